//! Gets a file out of a dump, with everything that is known of it: all of it, or an error.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use vac::extractor::{ExtractError, ExtractOptions, Observer, Owners, Selection, restore, verify};
use vac::format::{DeviceNumber, FileKind};
use vac::reader::Node;
use vac::walk::Patterns;

use super::inside::HostPaths;
use crate::FileError;
use crate::dump::DumpFile;

/// What a file is got out of a dump for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be as it was: with owner, mode, attributes and times.
    Restore,
    /// To be read once and thrown away: owner, attributes and flags are left out, for they could
    /// keep this user from doing either, and a pipe is in the place of a device, which only root can
    /// make.
    Compare,
}

/// A file that was got out of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Where it is.
    pub path: PathBuf,
    /// Properties that the system refused; each was told.
    pub properties_lost: u64,
    /// Files that belong to this user and not to their owners.
    pub owners_not_set: u64,
    /// Devices of which only the place is there: [`Purpose::Compare`].
    pub devices: HashMap<PathBuf, (FileKind, DeviceNumber)>,
}

/// Is told of each problem, with the path on the host: from several threads.
pub type Tell<'a> = dyn Fn(&[u8], &ExtractError) + Send + Sync + 'a;

/// Hears what the extractor could not do.
struct Listener<'a> {
    tell: &'a Tell<'a>,
    purpose: Purpose,
    paths: HostPaths,
    /// The path in the dump of the directory that the extractor begins at, with a slash.
    above: Vec<u8>,
    properties: AtomicU64,
    problems: AtomicU64,
    unreachable: Mutex<Option<FileError>>,
    /// By their paths below that directory.
    devices: Mutex<Vec<(Vec<u8>, Node)>>,
}

impl Observer for Listener<'_> {
    fn entry(&self, path: &[u8], node: &Node) {
        let is_device = matches!(node.kind(), FileKind::CharDevice | FileKind::BlockDevice);
        if is_device && self.purpose == Purpose::Compare {
            self.devices.lock().push((path.to_vec(), node.clone()));
        }
    }

    fn problem(&self, path: &[u8], error: &ExtractError) {
        let counter = match error {
            ExtractError::Property { .. } if self.purpose == Purpose::Compare => return,
            ExtractError::Property { .. } => &self.properties,
            _ => &self.problems,
        };
        counter.fetch_add(1, Relaxed);
        if let ExtractError::Read(error) = error {
            let unreachable = Some(FileError::from(error.clone()))
                .filter(|error| matches!(error, FileError::Unreachable { .. }));
            let mut first = self.unreachable.lock();
            *first = first.take().or(unreachable);
        }
        (self.tell)(&self.paths.outside(&[&self.above, path].concat()), error);
    }
}

/// Restores a file or directory into the directory `target`, under its own name.
///
/// # Errors
/// If any of it can not be read, or not be written: what is in `target` then is not all of it.
pub fn extract(
    file: &DumpFile,
    target: &Path,
    purpose: Purpose,
    tell: &Tell<'_>,
) -> Result<Extracted, FileError> {
    let (parent, name) = parent_and_name(file)?;
    let mut above = parent.path();
    if !above.ends_with(b"/") {
        above.push(b'/');
    }
    let listener = Listener {
        tell,
        purpose,
        paths: HostPaths::of(parent.root_of_dump()),
        above,
        properties: AtomicU64::new(0),
        problems: AtomicU64::new(0),
        unreachable: Mutex::new(None),
        devices: Mutex::default(),
    };
    let selection = Selection::new([name], Patterns::default());
    let mut options = ExtractOptions::default();
    if purpose == Purpose::Compare {
        (options.owners, options.attributes, options.special) = (Owners::Mine, false, false);
    }
    let stop = AtomicBool::new(false);
    let summary = restore(parent.node(), target, &selection, &options, &listener, &stop)
        .map_err(|error| FileError::Io { detail: error.to_string() })?;
    if let Some(unreachable) = listener.unreachable.into_inner() {
        return Err(unreachable);
    }
    let path = target.join(OsStr::from_bytes(name));
    match listener.problems.into_inner() {
        0 if std::fs::symlink_metadata(&path).is_ok() => Ok(Extracted {
            path,
            properties_lost: listener.properties.into_inner(),
            owners_not_set: summary.owners_not_set,
            devices: keep_places(target, listener.devices.into_inner())?,
        }),
        0 => Err(FileError::Io { detail: "nothing was restored".to_owned() }),
        problems => {
            let detail = format!("not all of it can be restored: {problems} problems");
            Err(FileError::Io { detail })
        }
    }
}

/// Puts pipes in the place of devices.
fn keep_places(
    target: &Path,
    devices: Vec<(Vec<u8>, Node)>,
) -> Result<HashMap<PathBuf, (FileKind, DeviceNumber)>, FileError> {
    let mut known = HashMap::new();
    for (path, node) in devices {
        let path = target.join(OsStr::from_bytes(&path));
        let device = node.device()?;
        let (kind, number) = device.ok_or_else(|| FileError::Io {
            detail: format!("the archive does not have the device of {}", path.display()),
        })?;
        match make_pipe(&path) {
            Ok(()) => known.insert(path, (kind, number)),
            Err(error) => {
                return Err(FileError::Io { detail: format!("{}: {error}", path.display()) });
            }
        };
    }
    Ok(known)
}

fn make_pipe(path: &Path) -> std::io::Result<()> {
    let make = || {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, path, FileType::Fifo, mode, 0).map_err(std::io::Error::from)
    };
    match (make(), path.parent()) {
        // A directory that nobody may write to; it is this user's, and will be thrown away.
        (Err(error), Some(above)) if error.kind() == ErrorKind::PermissionDenied => {
            std::fs::set_permissions(above, Permissions::from_mode(0o700))?;
            make()
        }
        (made, _) => made,
    }
}

/// Whether a file of today is as it was then, with all that is below it and all that `-c` brings
/// back. What can not be read is not.
///
/// # Errors
/// If the server can not be reached.
pub fn is_unchanged(file: &DumpFile, today: &Path) -> Result<bool, FileError> {
    let (parent, name) = parent_and_name(file)?;
    let Some(directory) =
        today.parent().filter(|_| today.file_name() == Some(OsStr::from_bytes(name)))
    else {
        return Ok(false);
    };
    let selection = Selection::new([name], Patterns::default());
    let mut unchanged = true;
    let mut unreachable = None;
    let options = ExtractOptions::default();
    let verified = verify(
        parent.node(),
        directory,
        &selection,
        &options,
        &AtomicBool::new(false),
        &mut |_, _| unchanged = false,
        &mut |_, error| {
            if let ExtractError::Read(error) = error {
                unreachable = Some(error.clone());
            }
        },
    );
    match unreachable.map(FileError::from) {
        Some(error @ FileError::Unreachable { .. }) => Err(error),
        Some(_) => Ok(false),
        None => Ok(verified.is_ok() && unchanged),
    }
}

/// A file is restored as a child of its directory.
fn parent_and_name(file: &DumpFile) -> Result<(&DumpFile, &[u8]), FileError> {
    let Some(parent) = file.parent() else {
        return Err(FileError::Io { detail: "a whole dump is for unvac to restore".to_owned() });
    };
    let name = file.node().metadata().checked_name().map_err(|error| FileError::Name {
        name: format!("{} ({error})", String::from_utf8_lossy(file.node().name())),
    })?;
    Ok((parent, name))
}
