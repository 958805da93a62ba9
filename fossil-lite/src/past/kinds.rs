//! What two versions of a directory have of different kinds: a pipe that was a file, or a device with
//! another number, of which diff(1) does not know.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vac::format::{DeviceNumber, FileKind};

/// The number of what is no device.
pub(super) const NO_DEVICE: DeviceNumber = DeviceNumber { major: 0, minor: 0 };

/// A version of a file or directory, where diff(1) can look at it.
pub(super) struct Placed {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The name that diff has for it.
    pub(super) shown: PathBuf,
    /// What is a device, and only has something in its place.
    pub(super) devices: HashMap<PathBuf, (FileKind, DeviceNumber)>,
}

impl Placed {
    /// What has this name, and that in words; `None` if nothing has.
    fn what(&self, below: &Path) -> Option<(FileKind, Vec<u8>)> {
        let path = self.path.join(below);
        let (kind, target, device) = match self.devices.get(&path) {
            Some((kind, number)) => (*kind, Vec::new(), *number),
            None => of_today(&path, &std::fs::symlink_metadata(&path).ok()?),
        };
        Some((kind, in_words(kind, &target, device)))
    }
}

/// The kind of a file, its target if it is a link, and its number if it is a device.
pub(super) fn of_today(path: &Path, found: &Metadata) -> (FileKind, Vec<u8>, DeviceNumber) {
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let kind = FileKind::from_unix(found.mode()).unwrap_or(FileKind::Regular);
    let target = std::fs::read_link(path).unwrap_or_default();
    (kind, target.into_os_string().into_encoded_bytes(), DeviceNumber { major, minor })
}

/// What a file is.
pub(super) fn in_words(kind: FileKind, target: &[u8], device: DeviceNumber) -> Vec<u8> {
    let DeviceNumber { major, minor } = device;
    match kind {
        FileKind::Regular => b"a file".to_vec(),
        FileKind::Directory => b"a directory".to_vec(),
        FileKind::Symlink => [b"a link to ", target].concat(),
        FileKind::Fifo => b"a pipe".to_vec(),
        FileKind::Socket => b"a socket".to_vec(),
        FileKind::CharDevice => format!("the character device {major}:{minor}").into_bytes(),
        FileKind::BlockDevice => format!("the block device {major}:{minor}").into_bytes(),
    }
}

/// Writes what both directories have, but not of one kind or with one number, and returns whether
/// there is such a thing.
pub(super) fn show_differences(
    older: &Placed,
    newer: &Placed,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let mut differ = false;
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        // Of what can not be listed diff has said so.
        let Ok(entries) = std::fs::read_dir(older.path.join(&directory)) else { continue };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let below = directory.join(name);
            let (Some((old_kind, old)), Some((new_kind, new))) =
                (older.what(&below), newer.what(&below))
            else {
                continue;
            };
            if old_kind == FileKind::Directory && new_kind == FileKind::Directory {
                waiting.push(below);
                continue;
            }
            // What a link leads to is compared by diff.
            let both_links = old_kind == FileKind::Symlink && new_kind == FileKind::Symlink;
            if old != new && !both_links {
                let label = |copy: &Placed| copy.shown.join(&below).as_os_str().as_bytes().to_vec();
                let is = b" is ".as_slice();
                let (old_label, new_label) = (label(older), label(newer));
                let line = [&old_label, is, &old, b", ", &new_label, is, &new, b"\n"].concat();
                out.write_all(&line)?;
                differ = true;
            }
        }
    }
    Ok(differ)
}
