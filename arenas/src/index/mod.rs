//! The fingerprint index: from a block's score and type to the place of its clump.
//!
//! It knows sealed arenas only, and is derived from their tables of contents: it may be deleted,
//! damaged, or an old copy, and is never wrong for it. Each sealed arena is *covered* by a run
//! that was checked and that names the arena's identity, or it is *uncovered*, and then a miss is
//! [`Lookup::Unknown`] until [`Index::add_arena`] has added it again.
//!
//! A run is a sorted, immutable file of 4 KiB pages. Memory holds a fence of eight bytes for each
//! page and a filter of nine bits for each block (1.2 bytes a block together), so that a miss
//! costs no read and a hit costs one. New arenas make small runs; [`Index::maintain`] merges eight
//! runs of a level into one of the next, a segment of a million entries at a time.
//! A file is removed only when a manifest that does not name it is durable.
//!
//! Lock order: `merge`, then `writer`, then `current`. Lookups hold no lock while they work: they
//! take the snapshot and go. No lock is held while a run is written but `merge`, by a merge.

mod builder;
mod entry;
mod error;
mod filter;
mod layout;
mod load;
mod lookup;
mod manifest;
mod merge;
mod page;
mod run;
mod stats;
mod writer;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::load::load;
use self::manifest::RunRecord;
use self::merge::{Merge, Step};
use self::run::Run;
use self::stats::{Counters, add};
use self::writer::{Snapshot, Writer};
use crate::disk::{Disk, DiskResult};
use crate::names;

pub use self::entry::{IndexEntry, Location};
pub use self::error::{Damage, IndexError};
pub use self::lookup::Lookup;
pub use self::stats::IndexStats;

/// A sealed arena as its footer describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedArena {
    /// Its number.
    pub number: u32,
    /// The identity in its footer: another arena in its place has another one.
    pub identity: [u8; 16],
    /// Clumps in its table of contents.
    pub clumps: u32,
}

/// How an index is opened.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Change nothing on the disk.
    pub read_only: bool,
    /// The most entries of a segment: building a filter takes about 33 bytes for each.
    pub segment_entries: u32,
    /// Runs of a level that are merged into one of the next, at least 2.
    pub merge_factor: usize,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions { read_only: false, segment_entries: 1 << 20, merge_factor: 8 }
    }
}

/// The index of a store. All methods may be called from several threads at once.
pub struct Index {
    disk: Arc<dyn Disk>,
    options: IndexOptions,
    /// The merge under way, if one is.
    merge: Mutex<Option<Box<Merge>>>,
    writer: Mutex<Writer>,
    /// What lookups see; replaced whole.
    current: RwLock<Arc<Snapshot>>,
    counters: Counters,
}

impl Index {
    /// Opens the index of a store whose sealed arenas are `sealed`. Runs that do not verify, or
    /// that cover an arena that is not among `sealed` or is another one, are dropped.
    ///
    /// # Errors
    /// [`IndexError::Disk`] if the directory can not be listed. Damage is no error, and no
    /// directory is none either.
    pub fn open(
        disk: Arc<dyn Disk>,
        sealed: &[SealedArena],
        options: IndexOptions,
    ) -> Result<Index, IndexError> {
        let options = IndexOptions {
            segment_entries: options.segment_entries.max(1),
            merge_factor: options.merge_factor.max(2),
            ..options
        };
        if !options.read_only
            && let Err(error) = make_directory(&*disk)
        {
            // A full disk must not keep a store from being read.
            tracing::warn!(%error, "the index has no directory yet");
        }
        let counters = Counters::default();
        let writer = load(&*disk, sealed, &[], options.read_only, &counters)?;
        Ok(Index {
            current: RwLock::new(Arc::new(writer.snapshot())),
            disk,
            options,
            merge: Mutex::new(None),
            writer: Mutex::new(writer),
            counters,
        })
    }

    /// Looks again at what another process has written, for an index that was opened read-only.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn refresh(&self, sealed: &[SealedArena]) -> Result<(), IndexError> {
        let mut writer = self.writer.lock();
        if self.options.read_only {
            *writer = load(&*self.disk, sealed, &writer.runs, true, &self.counters)?;
            self.publish(&writer);
        }
        Ok(())
    }

    /// Adds a sealed arena with all entries of its table of contents, in any order. When this
    /// returns, the arena is covered for good.
    ///
    /// # Errors
    /// [`IndexError`]; then the arena counts as sealed and uncovered, and may be added again.
    pub fn add_arena(
        &self,
        arena: SealedArena,
        mut entries: Vec<IndexEntry>,
    ) -> Result<(), IndexError> {
        let number = match self.begin_arena(arena, &entries) {
            Ok(Some(number)) => number,
            Ok(None) => return Ok(()),
            Err(error) => return self.leave_uncovered(arena, error),
        };
        entries.sort_unstable_by(IndexEntry::order);
        let record = RunRecord {
            number,
            level: 0,
            segment_entries: self.options.segment_entries,
            covered: vec![arena],
        };
        let written = self.write_run(record, &entries);
        drop(entries);
        match written.and_then(|record| self.install(record, &[])) {
            Ok(_) => Ok(()),
            Err(error) => self.leave_uncovered(arena, error),
        }
    }

    /// The sealed arenas that the index does not know, in order of their numbers.
    #[must_use]
    pub fn uncovered(&self) -> Vec<SealedArena> {
        self.snapshot().uncovered.clone()
    }

    /// Does one step of a merge, about a million entries, if there is one to do.
    /// Returns whether there is more to do.
    ///
    /// # Errors
    /// [`IndexError`]; the merge is given up and nothing is lost.
    pub fn maintain(&self) -> Result<bool, IndexError> {
        let mut slot = self.merge.lock();
        if self.options.read_only {
            return Ok(false);
        }
        let Some(merge) = self.next_merge(&mut slot)? else { return Ok(false) };
        let name = merge.name();
        let installed = match merge.step() {
            Ok(Step::Paused(merge)) => {
                *slot = Some(merge);
                return Ok(true);
            }
            Ok(Step::Finished { record, inputs }) => self.install(record, &inputs),
            Ok(Step::Damaged) => {
                self.retire_damaged();
                self.remove_unlisted(name);
                Ok(false)
            }
            Err(error) => {
                self.remove_unlisted(name);
                Err(error)
            }
        };
        add(&self.counters.merges, u64::from(installed?));
        Ok(merge::choose(&self.writer.lock().runs, self.options.merge_factor).is_some())
    }

    /// Drops what the index knows of arena `number`: for when a clump is not where a lookup said,
    /// though the arena's table of contents is whole.
    pub fn invalidate(&self, number: u32) {
        let covers = |run: &&Arc<Run>| run.record.covered.iter().any(|a| a.number == number);
        self.writer.lock().runs.iter().filter(covers).for_each(|run| run.mark_damaged());
        self.retire_damaged();
    }

    /// Drops everything, so that a complete rebuild can begin.
    pub fn invalidate_all(&self) {
        self.writer.lock().runs.iter().for_each(|run| run.mark_damaged());
        self.retire_damaged();
    }

    /// What was damaged when the index was loaded, in words; it is built again.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        self.writer.lock().damage.clone()
    }

    /// What the index is and did.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        let snapshot = self.snapshot();
        let sealed = self.writer.lock().sealed.len();
        let arenas = (sealed + snapshot.uncovered.len()) * size_of::<SealedArena>();
        let runs = &snapshot.runs;
        let memory = runs.iter().map(|run| run.memory_bytes()).sum::<usize>() + arenas;
        let mut stats = IndexStats {
            runs: runs.len() as u64,
            entries: runs.iter().map(|run| run.entries()).sum(),
            covered_arenas: (sealed - snapshot.uncovered.len().min(sealed)) as u64,
            uncovered_arenas: snapshot.uncovered.len() as u64,
            disk_bytes: runs.iter().map(|run| run.file_length).sum(),
            memory_bytes: memory as u64,
            ..IndexStats::default()
        };
        self.counters.report(&mut stats);
        stats
    }
}

/// Makes the directory of the index, durably.
fn make_directory(disk: &dyn Disk) -> DiskResult<()> {
    disk.create_dir(names::INDEX)?;
    disk.sync_dir(names::ROOT)
}

#[cfg(test)]
mod tests;
