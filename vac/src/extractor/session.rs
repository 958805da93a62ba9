//! What all threads of one restore share: options, counts, and who is told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use venti_proto::StoreError;

use super::place::Mount;
use super::{ExtractError, ExtractOptions, Severity};
use crate::format::FileKind;
use crate::reader::Node;

/// Is told what happens, from several threads at once.
pub trait Observer: Send + Sync {
    /// A file or directory is about to be made, or would be.
    fn entry(&self, _path: &[u8], _node: &Node) {}

    /// A file that is there already does not differ.
    fn unchanged(&self, _node: &Node) {}

    /// What is there is removed, or would be, for the archive does not have it.
    fn removed(&self, _path: &[u8]) {}

    /// Something was not restored.
    fn problem(&self, path: &[u8], error: &ExtractError);

    /// So many bytes were written.
    fn bytes(&self, _count: u64) {}

    /// Whether somebody wants an end of it. A restore is told otherwise, by its `stop`.
    fn stopped(&self) -> bool {
        false
    }
}

/// An observer that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn problem(&self, _path: &[u8], _error: &ExtractError) {}
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Files made or replaced, links and devices included.
    pub files: u64,
    /// Directories made or found.
    pub directories: u64,
    /// Files that were there already and did not differ.
    pub unchanged: u64,
    /// Names removed because the archive does not have them.
    pub removed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files or properties that were not restored.
    pub incomplete: u64,
    /// Entries that were refused because the archive is malformed.
    pub refused: u64,
    /// Files whose owner could not be set, for only the superuser can.
    pub owners_not_set: u64,
    /// Those of them that would have run as their owner or group, and do not.
    pub set_ids_not_set: u64,
}

impl Summary {
    /// The exit code of a program: 0 complete, 1 a malformed archive, 3 incomplete.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match (self.refused, self.incomplete) {
            (0, 0) => 0,
            (0, _) => 3,
            _ => 1,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: AtomicU64,
    pub(super) directories: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) incomplete: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) owners_not_set: AtomicU64,
    pub(super) set_ids_not_set: AtomicU64,
}

pub(super) struct Session<'a> {
    pub(super) options: ExtractOptions,
    pub(super) observer: &'a dyn Observer,
    pub(super) counts: Counts,
    pub(super) owners: super::owners::OwnerMap,
    /// Set when someone wants the restore to end.
    pub(super) stop: &'a AtomicBool,
    /// The effective user: only the superuser gives files away.
    pub(super) superuser: bool,
    /// Where the target is mounted, as far as the system tells: nothing is removed elsewhere.
    pub(super) mount: Option<Mount>,
}

impl Session<'_> {
    pub(super) fn problem(&self, path: &[u8], error: &ExtractError) {
        let counter = match error.severity() {
            Severity::Incomplete => &self.counts.incomplete,
            Severity::Refused => &self.counts.refused,
        };
        counter.fetch_add(1, Relaxed);
        self.observer.problem(path, error);
        // Without a server every other file would fail in the same way, one after another.
        if let ExtractError::Read(error) = error
            && matches!(error.store(), Some(StoreError::Connection { .. }))
        {
            self.stop.store(true, Relaxed);
        }
    }

    pub(super) fn check(&self, path: &[u8], result: Result<(), ExtractError>) {
        if let Err(error) = result {
            self.problem(path, &error);
        }
    }

    /// Counts what was made.
    pub(super) fn made(&self, node: &Node) {
        let counter = match node.kind() {
            FileKind::Directory => &self.counts.directories,
            _ => &self.counts.files,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts what was there already.
    pub(super) fn found_unchanged(&self, node: &Node) {
        self.counts.unchanged.fetch_add(1, Relaxed);
        self.observer.unchanged(node);
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.counts.bytes.fetch_add(bytes, Relaxed);
        self.observer.bytes(bytes);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(super) fn summary(&self) -> Summary {
        let Counts { files, directories, unchanged, removed, bytes, .. } = &self.counts;
        Summary {
            files: files.load(Relaxed),
            directories: directories.load(Relaxed),
            unchanged: unchanged.load(Relaxed),
            removed: removed.load(Relaxed),
            bytes: bytes.load(Relaxed),
            incomplete: self.counts.incomplete.load(Relaxed),
            refused: self.counts.refused.load(Relaxed),
            owners_not_set: self.counts.owners_not_set.load(Relaxed),
            set_ids_not_set: self.counts.set_ids_not_set.load(Relaxed),
        }
    }
}
