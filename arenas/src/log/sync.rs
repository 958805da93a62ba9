//! One sync for all who wait, and the mark that it leaves.
//!
//! Whoever comes first leads; the others wait, and those who come while it runs wait for the next.
//! All syncs of the log's files go through [`Log::exclusive_sync`], one at a time: the kernel
//! reports a failed write-back to one caller only, and no other may take its own success for an
//! answer.

use std::ops::Range;
use std::sync::Arc;

use venti_proto::StoreError;

use super::open_arena::Written;
use super::{Log, State};
use crate::Location;
use crate::arena::{MARK_SIZE, Mark};
use crate::disk::{DiskFile, DiskResult, write_all_at};
use crate::names;

/// Who waits for what. Guarded by the log's lock.
#[derive(Debug, Default)]
pub(super) struct SyncQueue {
    /// Number of the last request.
    requested: u64,
    /// All requests up to this number are answered.
    answered: u64,
    /// Whether a sync is running.
    running: bool,
}

/// What one sync covers of one arena.
struct Part {
    file: Arc<dyn DiskFile>,
    arena: u32,
    /// Every byte before this was written when the sync began.
    through: u32,
    /// Whether the directory must be synced too.
    new_name: bool,
    /// Bytes that stop being unsynced.
    bytes: u64,
}

/// A mark and its place.
struct MarkJob {
    file: Arc<dyn DiskFile>,
    arena: u32,
    range: Range<u32>,
    mark: Mark,
}

impl Log {
    /// Returns once everything that was written before is durable.
    ///
    /// # Errors
    /// If that can not be said. Then it can not be said again before the store is opened anew.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.sync.requested += 1;
        let mine = state.sync.requested;
        loop {
            state.healthy()?;
            if state.sync.answered >= mine {
                return Ok(());
            }
            if !state.sync.running {
                break;
            }
            self.changed.wait(&mut state);
        }
        state.sync.running = true;
        let covered = state.sync.requested;
        let parts = unsynced_parts(&state);
        drop(state);

        let synced = parts.iter().try_for_each(|part| part.sync(&*self.disk));

        let mut state = self.lock();
        let synced = match synced {
            Ok(()) => {
                let job = self.covered(&mut state, &parts);
                drop(state);
                let marked = job.map_or(Ok(()), |job| self.write_mark(&job));
                state = self.lock();
                marked
            }
            Err(error) => Err(state.fail(&error)),
        };
        state.sync.running = false;
        if synced.is_ok() {
            state.sync.answered = covered;
        }
        drop(state);
        self.changed.notify_all();
        synced
    }

    /// Runs a sync of some of the log's files while no other runs. A failure is for good.
    pub(super) fn exclusive_sync(
        &self,
        sync: impl FnOnce() -> DiskResult<()>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        while state.sync.running {
            self.changed.wait(&mut state);
        }
        state.healthy()?;
        state.sync.running = true;
        drop(state);
        let synced = sync();
        let mut state = self.lock();
        state.sync.running = false;
        let result = synced.map_err(|error| state.fail(&error));
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Makes the last mark durable too, which spares the next start from scanning behind the one
    /// before.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        let file = self.lock().last().map(|arena| Arc::clone(&arena.file))?;
        self.exclusive_sync(|| file.sync_data())
    }

    /// Bytes that were written and would be lost if the power failed now.
    pub(crate) fn unsynced(&self) -> u64 {
        self.lock().arenas.iter().map(|arena| arena.unsynced).sum()
    }

    /// Notes what a sync has made durable, and prepares the mark that says so.
    fn covered(&self, state: &mut State, parts: &[Part]) -> Option<MarkJob> {
        for part in parts {
            if let Some(arena) = state.arena(part.arena) {
                arena.unsynced = arena.unsynced.saturating_sub(part.bytes);
                arena.name_durable = true;
            }
        }
        let part = parts.last()?;
        let arena = state.arenas.back_mut()?;
        if arena.number != part.arena || arena.marked >= part.through {
            return None;
        }
        arena.marked = part.through;
        arena.sequence += 1;
        let clumps = u32::try_from(arena.entries.before(part.through)).unwrap_or(u32::MAX);
        let mark = Mark {
            durable_through: part.through,
            sequence: arena.sequence,
            time: self.environment.milliseconds(),
            clumps,
        };
        let (file, range) = (Arc::clone(&arena.file), arena.reserve(MARK_SIZE));
        Some(MarkJob { file, arena: arena.number, range, mark })
    }

    /// Writes a mark. That there is no room for it takes nothing from the sync that it tells of.
    fn write_mark(&self, job: &MarkJob) -> Result<(), StoreError> {
        let place = Location { arena: job.arena, offset: job.range.start };
        let bytes = job.mark.encode(&self.store, place);
        let written = write_all_at(&*job.file, &bytes, u64::from(job.range.start));
        let full = written.as_ref().is_err_and(crate::disk::DiskError::is_full);
        let completed = self.complete(job.arena, &job.range, Written::Mark, written);
        if full && self.health().is_ok() { Ok(()) } else { completed }
    }
}

impl Part {
    fn sync(&self, disk: &dyn crate::disk::Disk) -> DiskResult<()> {
        self.file.sync_data()?;
        if self.new_name { disk.sync_dir(names::ARENAS) } else { Ok(()) }
    }
}

fn unsynced_parts(state: &State) -> Vec<Part> {
    let unsynced = state.arenas.iter().filter(|arena| arena.unsynced > 0 || !arena.name_durable);
    unsynced
        .map(|arena| Part {
            file: Arc::clone(&arena.file),
            arena: arena.number,
            through: arena.written_through(),
            new_name: !arena.name_durable,
            bytes: arena.unsynced,
        })
        .collect()
}
