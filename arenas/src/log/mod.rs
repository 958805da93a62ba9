//! The end of the log: giving out places, one write a batch, group sync, and health.
//!
//! One lock guards who goes where ([`State`]). Hashing and compressing happen before it is taken,
//! writing after it is released: a thread reserves a place, writes, and reports back. Reserved
//! places are visible at once to duplicates and reads, which wait until the bytes are written; so
//! whoever gets an answer for a block knows that the next sync covers it.
//!
//! A failed write or sync makes the log unhealthy for good: the kernel may have marked pages clean
//! that never reached the disk, and only a new start, which writes them again, can tell. A full
//! disk is the exception: that write is undone and later ones may succeed.
//!
//! At most two arenas are not sealed: the last one, which takes clumps, and the one before it,
//! while its table of contents is written. So every arena before those two is known to be durable.

mod append;
mod entries;
mod open_arena;
mod seal;
mod slab;
mod sync;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use venti_proto::{BlockRequest, StoreError};

pub(crate) use append::{Appended, Duplicates};
pub(crate) use entries::{Entries, Totals};
pub(crate) use open_arena::OpenArena;
pub(crate) use slab::{SLAB_SIZE, Slab};

use crate::Location;
use crate::clump::ClumpInfo;
use crate::disk::{Disk, DiskError, DiskFile};
use crate::environment::Environment;
use crate::fields::StoreIdentity;

/// The writable end of a store's log.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    store: StoreIdentity,
    environment: Arc<dyn Environment>,
    /// An arena that is not empty is not filled beyond this, but for marks.
    arena_size: u32,
    state: Mutex<State>,
    /// Any change of the state that somebody may wait for.
    changed: Condvar,
}

/// What the log's lock guards.
struct State {
    /// The last one takes clumps; one before it waits to be sealed.
    arenas: VecDeque<OpenArena>,
    /// Goes up whenever an arena leaves the list above: what was looked up before must be looked
    /// up again before it is believed to be absent.
    generation: u64,
    /// Whether somebody is at work sealing the first arena.
    sealing: bool,
    sync: sync::SyncQueue,
    /// What failed, once something has. Never cleared.
    failure: Option<String>,
}

/// A block that is in an arena of the log's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFind {
    pub(crate) location: Location,
    pub(crate) info: ClumpInfo,
    /// Whether its bytes are still on their way: [`Log::wait_written`] first.
    pub(crate) pending: bool,
}

impl State {
    fn healthy(&self) -> Result<(), StoreError> {
        match &self.failure {
            Some(detail) => Err(StoreError::ReadOnly { detail: detail.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers the first failure, and says it.
    fn fail(&mut self, error: &DiskError) -> StoreError {
        let detail = format!("{error}; it stays so until the store is opened again");
        self.failure.get_or_insert(detail);
        StoreError::Io { detail: error.to_string() }
    }

    /// The arena that takes clumps. The list is never empty.
    fn last(&mut self) -> Result<&mut OpenArena, StoreError> {
        let lost = || StoreError::ReadOnly { detail: "no arena is open".to_owned() };
        self.arenas.back_mut().ok_or_else(lost)
    }

    fn arena(&mut self, number: u32) -> Option<&mut OpenArena> {
        self.arenas.iter_mut().find(|arena| arena.number == number)
    }
}

impl Log {
    /// Goes on with `arenas`, one or two, in order.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        store: StoreIdentity,
        environment: Arc<dyn Environment>,
        arena_size: u32,
        arenas: VecDeque<OpenArena>,
    ) -> Log {
        let state = State {
            arenas,
            generation: 0,
            sealing: false,
            sync: sync::SyncQueue::default(),
            failure: None,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Log { disk, store, environment, arena_size, state, changed }
    }

    /// What failed, if the log takes no writes any more.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        self.state.lock().healthy()
    }

    /// Looks for blocks, newest arena first; `found` gets one answer for each. Returns the
    /// generation that makes an absence believable to [`Log::append`].
    pub(crate) fn find(
        &self,
        requests: impl Iterator<Item = BlockRequest>,
        found: &mut Vec<Option<OpenFind>>,
    ) -> u64 {
        let state = self.state.lock();
        found.extend(requests.map(|request| {
            state.arenas.iter().rev().find_map(|arena| {
                let entry = arena.entries.find(&request)?;
                Some(OpenFind {
                    location: entry.location(arena.number),
                    info: entry.info,
                    pending: arena.is_pending(entry.offset),
                })
            })
        }));
        state.generation
    }

    /// Waits until the bytes of a block that was found are written.
    ///
    /// # Errors
    /// If they could not be.
    pub(crate) fn wait_written(&self, location: Location) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        loop {
            let Some(arena) = state.arena(location.arena) else { return Ok(()) };
            if !arena.is_pending(location.offset) {
                if arena.entries.at(location.offset).is_some() {
                    return Ok(());
                }
                state.healthy()?;
                let detail = format!("the write of a block at {location} failed");
                return Err(StoreError::Io { detail });
            }
            self.changed.wait(&mut state);
        }
    }

    /// The file of an arena that is not sealed.
    pub(crate) fn file(&self, number: u32) -> Option<Arc<dyn DiskFile>> {
        self.state.lock().arena(number).map(|arena| Arc::clone(&arena.file))
    }

    /// Number and sums of each arena that is not sealed.
    pub(crate) fn open_totals(&self) -> Vec<(u32, Totals)> {
        let state = self.lock();
        state.arenas.iter().map(|arena| (arena.number, arena.entries.totals())).collect()
    }

    /// Number, end of the log, and clumps of each arena that is not sealed.
    pub(crate) fn open_arenas(&self) -> Vec<(u32, u32, Arc<Entries>)> {
        let state = self.state.lock();
        let summary =
            |arena: &OpenArena| (arena.number, arena.written_through(), Arc::clone(&arena.entries));
        state.arenas.iter().map(summary).collect()
    }

    /// Whether an arena waits to be sealed and nobody does it.
    pub(crate) fn waits_for_seal(&self) -> bool {
        let state = self.lock();
        state.arenas.len() > 1 && !state.sealing
    }

    /// Takes no writes from now on.
    pub(crate) fn shut(&self) {
        self.lock().failure.get_or_insert("it was closed".to_owned());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
