//! Shows what is kept and restored here: makes one of everything, archives it, restores it, and
//! compares.
//!
//! What a file system or a person's rights do not allow to be made is said to be not possible
//! here, with what the system said. Everything else has to come back, but for what no system
//! lets anybody set (the time of birth) and for sockets, which are worth nothing without the
//! program behind them: those are kept only.

mod compare;
mod subjects;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use venti_proto::MemoryStore;

use crate::archiver::{ArchiveError, Observer, Options, Problem, Progress, Source, archive};
use crate::extractor::{
    ExtractError, ExtractOptions, Selection, Silent, remove_directory, restore,
};
use crate::reader::{Archive, Node, ReadError};
use compare::{is_kept, is_restored};
use subjects::{Subject, subjects};

/// What became of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was tried.
    pub subject: &'static str,
    /// Why it could not be made here, if so; nothing else is known then.
    pub impossible: Option<String>,
    /// What the archive lacks, if anything.
    pub not_kept: Option<String>,
    /// What was not restored, if anything.
    pub not_restored: Option<String>,
    /// Whether restoring it is promised.
    pub is_promised: bool,
}

impl Row {
    /// Whether everything that is promised was found.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let restored = self.not_restored.is_none() || !self.is_promised;
        self.impossible.is_some() || (self.not_kept.is_none() && restored)
    }
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// The place for the test could not be made.
    #[error("{}: {error}", path.display())]
    Place {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The archive could not be made.
    #[error("archiving: {0}")]
    Archive(#[from] ArchiveError),
    /// The archive could not be read.
    #[error("reading the archive: {0}")]
    Read(#[from] ReadError),
    /// The archive could not be restored.
    #[error("restoring: {0}")]
    Restore(#[from] ExtractError),
    /// The command that was to do it instead could not be run.
    #[error("running the command: {0}")]
    Command(io::Error),
}

/// Problems show in the table.
struct Deaf;

impl Observer for Deaf {
    fn problem(&self, _problem: &Problem) {}
}

/// A directory that is removed in the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind is in the directory that the caller chose for this.
        let _ = remove_directory(&self.0);
    }
}

/// Runs the test in a new directory below `directory`. With `through`, that command of the shell
/// is to copy the tree `$TREE` to `$RESTORED`, by whatever program: then the table shows what that
/// one brings back, and nothing is known of what it keeps. It may fail, as programs do that could
/// not restore everything.
///
/// # Errors
/// Any [`SelftestError`].
pub fn run(directory: &Path, through: Option<&OsStr>) -> Result<Vec<Row>, SelftestError> {
    let path = directory.join(format!("vac-selftest.{}", std::process::id()));
    let place_error = |error| SelftestError::Place { path: path.clone(), error };
    std::fs::create_dir(&path).map_err(place_error)?;
    let place = Place(path.clone());
    let (tree, restored) = (place.0.join("tree"), place.0.join("restored"));
    std::fs::create_dir(&tree).map_err(place_error)?;
    let subjects = subjects();
    let made: Vec<io::Result<()>> = subjects.iter().map(|subject| (subject.make)(&tree)).collect();
    let top = match through {
        None => archive_and_restore(&tree, &restored)?,
        Some(command) => {
            copy_by(command, &tree, &restored).map_err(SelftestError::Command)?;
            None
        }
    };
    let look = |(subject, made): (&Subject, io::Result<()>)| {
        let mut row = Row {
            subject: subject.name,
            impossible: made.err().map(|error| error.to_string()),
            not_kept: None,
            not_restored: None,
            is_promised: subject.is_promised,
        };
        if row.impossible.is_none() {
            if through.is_none() {
                row.not_kept = is_kept(&tree, top.as_ref(), subject).err();
            }
            row.not_restored = is_restored(&tree, &restored, subject).err();
        }
        row
    };
    Ok(subjects.iter().zip(made).map(look).collect())
}

/// Returns what the archive has of the tree.
fn archive_and_restore(tree: &Path, restored: &Path) -> Result<Option<Node>, SelftestError> {
    let store = Arc::new(MemoryStore::new());
    let progress = Arc::new(Progress::default());
    let options = Options { access_times: true, ..Options::default() };
    let sources = vec![Source::Path(tree.join("."))];
    let made = archive(&*store, sources, &options, &progress, Arc::new(Deaf))?;
    let top = Archive::open(store, made.root)?.root().lookup(b"tree")?;
    if let Some(top) = &top {
        let (everything, options) = (Selection::everything(), ExtractOptions::default());
        let stop = AtomicBool::new(false);
        restore(top, restored, &everything, &options, &Silent, &stop)?;
    }
    Ok(top)
}

fn copy_by(command: &OsStr, tree: &Path, restored: &Path) -> io::Result<()> {
    std::fs::create_dir(restored)?;
    Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env("TREE", tree)
        .env("RESTORED", restored)
        .stdin(Stdio::null())
        .status()
        .map(|_| ())
}
