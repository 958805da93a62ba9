//! Which runs count: the manifest, the snapshot that lookups take, and the files left to remove.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::builder::RunBuilder;
use super::error::IndexError;
use super::manifest::{Manifest, RunRecord};
use super::merge::{self, Merge};
use super::run::Run;
use super::stats::add;
use super::{Index, IndexEntry, SealedArena};
use crate::disk::Disk;
use crate::names;

/// What changes when runs come and go; guards the manifest.
pub(super) struct Writer {
    pub(super) sealed: BTreeMap<u32, SealedArena>,
    pub(super) runs: Vec<Arc<Run>>,
    /// Of the manifest written last.
    pub(super) sequence: u64,
    /// The number of the next run: larger than any that was seen.
    pub(super) next_run: u32,
    /// Files to remove once a manifest that does not name them is durable.
    pub(super) garbage: Vec<String>,
    /// What was damaged when it was loaded, in words.
    pub(super) damage: Vec<String>,
}

/// What lookups ask.
pub(super) struct Snapshot {
    /// The largest first: it answers most.
    pub(super) runs: Vec<Arc<Run>>,
    pub(super) uncovered: Vec<SealedArena>,
}

impl Index {
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    pub(super) fn publish(&self, writer: &Writer) {
        *self.current.write() = Arc::new(writer.snapshot());
    }

    /// The number of a new run for `arena`; `None` if it is covered already.
    pub(super) fn begin_arena(
        &self,
        arena: SealedArena,
        entries: &[IndexEntry],
    ) -> Result<Option<u32>, IndexError> {
        if self.options.read_only {
            return Err(IndexError::ReadOnly);
        }
        if let Some(wrong) = entries.iter().find(|entry| entry.arena != arena.number) {
            return Err(IndexError::WrongArena { expected: arena.number, found: wrong.arena });
        }
        let mut writer = self.writer.lock();
        let covered = writer.runs.iter().any(|run| run.record.covered.contains(&arena));
        if covered { Ok(None) } else { writer.take_number().map(Some) }
    }

    /// Writes a run; if that fails, nothing of it stays.
    pub(super) fn write_run(
        &self,
        record: RunRecord,
        entries: &[IndexEntry],
    ) -> Result<RunRecord, IndexError> {
        let name = names::run(record.number);
        let written = RunBuilder::create(&*self.disk, record).and_then(|mut builder| {
            entries.iter().try_for_each(|entry| builder.push(&entry.encode()))?;
            builder.finish()
        });
        if written.is_err() {
            self.remove_unlisted(name);
        }
        written
    }

    /// Lists a written run in a new manifest, in the place of `replaced`, and lets lookups see it.
    /// Returns `false`, having removed it, if one of `replaced` was dropped meanwhile: what it
    /// said is not to be believed, wherever it was copied to.
    pub(super) fn install(
        &self,
        record: RunRecord,
        replaced: &[Arc<Run>],
    ) -> Result<bool, IndexError> {
        let number = record.number;
        let run = match Run::open(&*self.disk, record) {
            Ok(run) => run,
            Err(damage) => {
                self.remove_unlisted(names::run(number));
                return Err(IndexError::Unreadable { run: number, damage });
            }
        };
        let mut writer = self.writer.lock();
        let mut runs = writer.runs.clone();
        runs.retain(|run| !replaced.iter().any(|old| Arc::ptr_eq(run, old)));
        if runs.len() + replaced.len() != writer.runs.len() {
            drop(writer);
            self.remove_unlisted(names::run(number));
            return Ok(false);
        }
        runs.push(Arc::new(run));
        let committed = self.commit(&mut writer, runs);
        if committed.is_err() {
            // The manifest that names it may be the one that is found: it stays until the next.
            writer.garbage.push(names::run(number));
        }
        committed.map(|()| true)
    }

    /// Makes `runs` the runs that count, on the disk first.
    fn commit(&self, writer: &mut Writer, runs: Vec<Arc<Run>>) -> Result<(), IndexError> {
        // Never reused, even when writing fails half way: the file may be the one that is found.
        writer.sequence += 1;
        let records = runs.iter().map(|run| run.record.clone()).collect();
        Manifest { sequence: writer.sequence, runs: records }.write(&*self.disk)?;
        for run in &writer.runs {
            if !runs.iter().any(|kept| Arc::ptr_eq(kept, run)) {
                writer.garbage.push(names::run(run.record.number));
            }
        }
        for run in &runs {
            for arena in &run.record.covered {
                writer.sealed.insert(arena.number, *arena);
            }
        }
        writer.runs = runs;
        self.publish(writer);
        // A file that stays is removed by the next commit, or the next that opens the index.
        writer.garbage.retain(|name| !removed(&*self.disk, name));
        Ok(())
    }

    /// Stops believing runs that were marked. The next manifest leaves them out.
    pub(super) fn retire_damaged(&self) {
        let mut writer = self.writer.lock();
        let (damaged, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut writer.runs).into_iter().partition(|run| run.is_damaged());
        writer.runs = kept;
        writer.garbage.extend(damaged.iter().map(|run| names::run(run.record.number)));
        add(&self.counters.runs_dropped, damaged.len() as u64);
        self.publish(&writer);
    }

    /// The merge to go on with, or a new one.
    pub(super) fn next_merge(
        &self,
        slot: &mut Option<Box<Merge>>,
    ) -> Result<Option<Box<Merge>>, IndexError> {
        let mut writer = self.writer.lock();
        if let Some(merge) = slot.take() {
            if merge.inputs_are_in(&writer.runs) {
                return Ok(Some(merge));
            }
            writer.garbage.push(merge.name());
        }
        let Some((inputs, level)) = merge::choose(&writer.runs, self.options.merge_factor) else {
            return Ok(None);
        };
        let mut covered: Vec<SealedArena> =
            inputs.iter().flat_map(|run| run.record.covered.iter().copied()).collect();
        covered.sort_unstable();
        let number = writer.take_number()?;
        drop(writer);
        let segment_entries = self.options.segment_entries;
        let record = RunRecord { number, level, segment_entries, covered };
        match RunBuilder::create(&*self.disk, record) {
            Ok(builder) => Ok(Some(Merge::new(inputs, builder))),
            Err(error) => {
                self.remove_unlisted(names::run(number));
                Err(error)
            }
        }
    }

    /// Removes the file of a run that no manifest ever named, at once: the disk may be full.
    pub(super) fn remove_unlisted(&self, name: String) {
        if !removed(&*self.disk, &name) {
            self.writer.lock().garbage.push(name);
        }
    }

    /// Counts `arena` among the sealed ones though it could not be added.
    pub(super) fn leave_uncovered(
        &self,
        arena: SealedArena,
        error: IndexError,
    ) -> Result<(), IndexError> {
        let mut writer = self.writer.lock();
        writer.sealed.insert(arena.number, arena);
        self.publish(&writer);
        Err(error)
    }
}

impl Writer {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut runs = self.runs.clone();
        runs.sort_by_key(|run| std::cmp::Reverse(run.entries()));
        let mut uncovered = self.sealed.clone();
        for arena in runs.iter().flat_map(|run| &run.record.covered) {
            if uncovered.get(&arena.number) == Some(arena) {
                uncovered.remove(&arena.number);
            }
        }
        Snapshot { runs, uncovered: uncovered.into_values().collect() }
    }

    /// A number that no run has had.
    fn take_number(&mut self) -> Result<u32, IndexError> {
        let number = self.next_run;
        self.next_run = number.checked_add(1).ok_or(IndexError::TooLarge { entries: 0 })?;
        Ok(number)
    }
}

/// Removes a file; whether it is gone.
pub(super) fn removed(disk: &dyn Disk, name: &str) -> bool {
    match disk.remove(name) {
        Err(error) => error.kind() == ErrorKind::NotFound,
        Ok(()) => true,
    }
}
