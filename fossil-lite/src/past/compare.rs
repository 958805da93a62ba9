//! Shows how two versions of a file differ, of which one may be that of today.
//!
//! What they are is compared first, in words. Only two files, or two directories, are given to
//! diff(1): it would wait for ever for the other end of a pipe, and follow a link.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vac::extractor::remove_directory;
use vac::format::FileKind;

use super::{Purpose, Tell, extract};
use crate::FileError;
use crate::dump::DumpFile;
use crate::program::{Failure, system};

/// A version of a file.
pub struct Side {
    /// What a file is called where it differs. Directories have the names of their dumps.
    pub label: Vec<u8>,
    /// Where it is.
    pub version: SideVersion,
}

/// Where a version is.
pub enum SideVersion {
    /// In a dump.
    Then(DumpFile),
    /// At this path of today: what a link there leads to, if it leads to anything.
    Today(PathBuf),
}

/// What diff(1) can look into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Text,
    Names,
}

impl Side {
    /// What it is in words, and what can be looked into.
    fn what(&self) -> Result<(Vec<u8>, Option<Inside>), Failure> {
        let link = |target: &[u8]| [b"a link to ", target].concat();
        let (kind, target, (major, minor)) = match &self.version {
            SideVersion::Then(file) => {
                let attributes = file.attributes()?;
                let device =
                    attributes.device.map_or((0, 0), |device| (device.major, device.minor));
                let target = match attributes.kind {
                    FileKind::Symlink => file.node().link_target().map_err(FileError::from)?,
                    _ => Vec::new(),
                };
                (attributes.kind, target, device)
            }
            SideVersion::Today(path) => {
                let found = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path));
                let Ok(found) = found else { return Ok((b"not there".to_vec(), None)) };
                let target = std::fs::read_link(path).unwrap_or_default();
                let device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
                let kind = FileKind::from_unix(found.mode()).unwrap_or(FileKind::Regular);
                (kind, target.into_os_string().into_encoded_bytes(), device)
            }
        };
        Ok(match kind {
            FileKind::Regular => (b"a file".to_vec(), Some(Inside::Text)),
            FileKind::Directory => (b"a directory".to_vec(), Some(Inside::Names)),
            FileKind::Symlink => (link(&target), None),
            FileKind::Fifo => (b"a pipe".to_vec(), None),
            FileKind::Socket => (b"a socket".to_vec(), None),
            FileKind::CharDevice => {
                (format!("the character device {major}:{minor}").into_bytes(), None)
            }
            FileKind::BlockDevice => {
                (format!("the block device {major}:{minor}").into_bytes(), None)
            }
        })
    }

    /// Where diff(1) finds it, below or beside the directory in which it runs.
    fn put_in(&self, directory: &Path, tell: &Tell<'_>) -> Result<PathBuf, Failure> {
        let file = match &self.version {
            SideVersion::Then(file) => file,
            SideVersion::Today(path) => {
                return std::fs::canonicalize(path).map_err(system(path.display().to_string()));
            }
        };
        let above = file.parent().map(DumpFile::path).unwrap_or_default();
        let place = Path::new(&file.dump().name.to_string()).join(OsStr::from_bytes(&above));
        let target = directory.join(&place);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&target);
        made.map_err(system("can not make a directory"))?;
        extract(file, &target, Purpose::Compare, tell)?;
        Ok(place.join(OsStr::from_bytes(file.node().name())))
    }
}

/// A directory for versions of then, which is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        tempfile::tempdir().map(|directory| Scratch(directory.keep()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is where the system keeps what is temporary.
        let _ = remove_directory(&self.0);
    }
}

/// Writes how they differ, as `diff -ru` does, and returns whether they do.
///
/// # Errors
/// If either can not be read: then nothing is compared.
pub fn show_difference(
    older: &Side,
    newer: &Side,
    tell: &Tell<'_>,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    let (old_what, old_inside) = older.what()?;
    let (new_what, new_inside) = newer.what()?;
    let inside = match old_inside.filter(|inside| Some(*inside) == new_inside) {
        Some(inside) => inside,
        None if old_what == new_what => return Ok(false),
        None => {
            let is = b" is ".as_slice();
            let (old, new) = (older.label.as_slice(), newer.label.as_slice());
            let line = [old, is, &old_what, b", ", new, is, &new_what, b"\n"].concat();
            out.write_all(&line).map_err(system("standard output"))?;
            return Ok(true);
        }
    };
    let directory = Scratch::new().map_err(system("can not make a directory"))?;
    let mut command = Command::new("diff");
    command.args(["-ru", "--no-dereference"]).current_dir(&directory.0);
    // What it says of pipes is looked at, in English.
    command.env("LANGUAGE", "en");
    for side in [older, newer] {
        if inside == Inside::Text {
            command.arg("--label").arg(OsStr::from_bytes(&side.label));
        }
    }
    command.arg("--");
    for side in [older, newer] {
        command.arg(side.put_in(&directory.0, tell)?);
    }
    let mut diff = command.stdout(Stdio::piped()).spawn().map_err(system("can not run diff"))?;
    // Its end of the pipe is closed then, so that it ends if nobody wants to know more.
    let copied = diff.stdout.take().map_or(Ok(false), |lines| copy_differences(lines, out));
    let status = diff.wait().map_err(system("can not run diff"))?;
    let differs = copied.map_err(system("standard output"))?;
    match status.code() {
        Some(0) => Ok(false),
        Some(1) => Ok(differs),
        _ => Err(FileError::Io { detail: format!("diff: {status}") }.into()),
    }
}

/// Passes on what diff prints, and returns whether that is anything. That a pipe or a socket is
/// the same as the other it does not know, and says so.
fn copy_differences(lines: impl Read, out: &mut dyn Write) -> std::io::Result<bool> {
    let mut lines = BufReader::new(lines);
    let (mut piece, mut begins, mut differs) = (Vec::new(), true, false);
    while (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut piece)? > 0 {
        if !(begins && is_the_same(&piece)) {
            out.write_all(&piece)?;
            differs = true;
        }
        begins = piece.ends_with(b"\n");
        piece.clear();
    }
    Ok(differs)
}

/// Enough for a line of diff with two paths.
const LONGEST_LINE: u64 = 16 << 10;

/// Whether diff can not compare two files that are what they were: no line of a file begins so.
fn is_the_same(line: &[u8]) -> bool {
    let both = |kind: &str| {
        let [middle, end] = [format!(" is a {kind} while file "), format!(" is a {kind}\n")];
        line.ends_with(end.as_bytes())
            && line.windows(middle.len()).any(|window| window == middle.as_bytes())
    };
    line.starts_with(b"File ") && (both("fifo") || both("socket"))
}
