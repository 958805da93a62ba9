//! Shows how two versions of a file differ, of which one may be that of today.
//!
//! What they are is compared first, in words. Only two files, or two directories, are given to
//! diff(1): it would wait for ever for the other end of a pipe, and follow a link.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vac::extractor::remove_directory;
use vac::format::FileKind;

use super::kinds::{self, NO_DEVICE, Placed};
use super::{Extracted, Purpose, Tell, extract};
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
        let (kind, target, device) = match &self.version {
            SideVersion::Then(file) => {
                let attributes = file.attributes()?;
                let device = attributes.device.unwrap_or(NO_DEVICE);
                let target = match attributes.kind {
                    FileKind::Symlink => file.node().link_target().map_err(FileError::from)?,
                    _ => Vec::new(),
                };
                (attributes.kind, target, device)
            }
            SideVersion::Today(path) => {
                let found = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path));
                let Ok(found) = found else { return Ok((b"not there".to_vec(), None)) };
                kinds::of_today(path, &found)
            }
        };
        let inside = match kind {
            FileKind::Regular => Some(Inside::Text),
            FileKind::Directory => Some(Inside::Names),
            _ => None,
        };
        Ok((kinds::in_words(kind, &target, device), inside))
    }

    /// Where diff(1) finds it, below or beside the directory in which it runs.
    fn put_in(&self, directory: &Path, tell: &Tell<'_>) -> Result<Placed, Failure> {
        let file = match &self.version {
            SideVersion::Then(file) => file,
            SideVersion::Today(path) => {
                let found = std::fs::canonicalize(path);
                let shown = found.map_err(system(path.display().to_string()))?;
                return Ok(Placed { path: shown.clone(), shown, devices: HashMap::new() });
            }
        };
        let above = file.parent().map(DumpFile::path).unwrap_or_default();
        let place = Path::new(&file.dump().name.to_string()).join(OsStr::from_bytes(&above));
        let target = directory.join(&place);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&target);
        made.map_err(system("can not make a directory"))?;
        let Extracted { path, devices, .. } = extract(file, &target, Purpose::Compare, tell)?;
        Ok(Placed { path, shown: place.join(OsStr::from_bytes(file.node().name())), devices })
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
    // What it says of kinds is looked at, in English.
    command.env("LANGUAGE", "en");
    for side in [older, newer] {
        if inside == Inside::Text {
            command.arg("--label").arg(OsStr::from_bytes(&side.label));
        }
    }
    let (old, new) = (older.put_in(&directory.0, tell)?, newer.put_in(&directory.0, tell)?);
    command.arg("--").arg(&old.shown).arg(&new.shown);
    let mut diff = command.stdout(Stdio::piped()).spawn().map_err(system("can not run diff"))?;
    // Its end of the pipe is closed then, so that it ends if nobody wants to know more.
    let copied = diff.stdout.take().map_or(Ok(Said::default()), |lines| pass_on(lines, out));
    let status = diff.wait().map_err(system("can not run diff"))?;
    let said = copied.map_err(system("standard output"))?;
    match status.code() {
        Some(0) => Ok(false),
        Some(1) if said.kinds => {
            let differ =
                kinds::show_differences(&old, &new, out).map_err(system("standard output"));
            Ok(differ? || said.anything_else)
        }
        Some(1) => Ok(said.anything_else),
        _ => Err(FileError::Io { detail: format!("diff: {status}") }.into()),
    }
}

/// What diff has said.
#[derive(Default)]
struct Said {
    /// That two files are not of a kind, or of one that it can not compare.
    kinds: bool,
    anything_else: bool,
}

/// Passes on what diff prints, but for what it says of kinds: of devices it does not know the
/// numbers, nor that a pipe or a socket is the same as the other.
fn pass_on(lines: impl Read, out: &mut dyn Write) -> std::io::Result<Said> {
    let mut lines = BufReader::new(lines);
    let (mut piece, mut begins, mut said) = (Vec::new(), true, Said::default());
    let mut of_kinds = false;
    while (&mut lines).take(LONGEST_PIECE).read_until(b'\n', &mut piece)? > 0 {
        // No line of a file begins so.
        of_kinds = if begins { piece.starts_with(b"File ") } else { of_kinds };
        match of_kinds {
            true => said.kinds = true,
            false => {
                out.write_all(&piece)?;
                said.anything_else = true;
            }
        }
        begins = piece.ends_with(b"\n");
        piece.clear();
    }
    Ok(said)
}

/// So much of a line is looked at together.
const LONGEST_PIECE: u64 = 16 << 10;
