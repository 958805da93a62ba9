//! Giving a slab its place and writing it there.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::MutexGuard;
use venti_proto::StoreError;

use super::open_arena::Written;
use super::{Log, OpenArena, Slab, State};
use crate::Location;
use crate::arena::{Gap, TocEntry};
use crate::disk::{DiskError, DiskFile, DiskResult, write_all_at};

/// What became of a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Its clumps are written, those that turned out to be duplicates left out.
    Done,
    /// An arena was sealed meanwhile: look the blocks up again.
    LookAgain,
    /// There is no room until the first arena is sealed, which nobody does.
    SealFirst,
}

/// What a slab that is being appended finds to be stored already.
pub(crate) trait Duplicates {
    /// Block `position` of the batch is stored at `location`, perhaps not yet written.
    fn duplicate(&mut self, position: usize, location: Location);
    /// Other bytes with the score of block `position` are stored.
    fn collision(&mut self, position: usize);
}

/// Where a slab goes.
struct Place {
    arena: u32,
    file: Arc<dyn DiskFile>,
    range: Range<u32>,
}

impl Log {
    /// Appends the clumps of `slab`, whose blocks were not found when the log was at `generation`.
    ///
    /// # Errors
    /// If the log takes no writes, or the disk is full.
    pub(crate) fn append(
        &self,
        slab: &mut Slab,
        generation: u64,
        duplicates: &mut dyn Duplicates,
    ) -> Result<Appended, StoreError> {
        let place = match self.reserve(slab, generation, duplicates)? {
            Ok(place) => place,
            Err(appended) => return Ok(appended),
        };
        if slab.is_empty() {
            return Ok(Appended::Done);
        }
        let Place { arena, file, range } = &place;
        let location = Location { arena: *arena, offset: range.start };
        slab.write_headers(&self.store, location, self.environment.milliseconds());
        let written = write_all_at(&**file, slab.bytes(), u64::from(range.start));
        self.complete(*arena, range, Written::Clumps, written)?;
        Ok(Appended::Done)
    }

    /// Takes the lock until a place is found, drops what is stored already, and enters the rest.
    fn reserve(
        &self,
        slab: &mut Slab,
        generation: u64,
        duplicates: &mut dyn Duplicates,
    ) -> Result<Result<Place, Appended>, StoreError> {
        let mut state = self.lock();
        loop {
            state.healthy()?;
            if state.generation != generation {
                return Ok(Err(Appended::LookAgain));
            }
            let (bytes, clumps) = (slab.bytes().len(), slab.clumps.len());
            if state.last()?.has_room(bytes, clumps, self.arena_size) {
                break;
            }
            if state.arenas.len() == 1 {
                self.roll(&mut state)?;
            } else if state.sealing {
                self.changed.wait(&mut state);
            } else {
                return Ok(Err(Appended::SealFirst));
            }
        }
        enter(&mut state, slab, duplicates)?;
        let arena = state.last()?;
        let nothing = arena.next..arena.next;
        let range = if slab.is_empty() { nothing } else { arena.reserve(slab.bytes().len()) };
        Ok(Ok(Place { arena: arena.number, file: Arc::clone(&arena.file), range }))
    }

    /// Starts the next arena. The one before it waits to be sealed from now on.
    fn roll(&self, state: &mut MutexGuard<'_, State>) -> Result<(), StoreError> {
        let number = state.last()?.number.saturating_add(1);
        let created = self.environment.milliseconds();
        match OpenArena::create(&*self.disk, self.store, number, created) {
            Ok(arena) => {
                state.arenas.push_back(arena);
                Ok(())
            }
            Err(error) if error.is_full() => Err(StoreError::Io { detail: error.to_string() }),
            Err(error) => Err(state.fail(&error)),
        }
    }

    /// Reports what became of a reserved place.
    pub(super) fn complete(
        &self,
        arena: u32,
        range: &Range<u32>,
        what: Written,
        written: DiskResult<()>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let result = match written {
            Ok(()) => {
                if let Some(arena) = state.arena(arena) {
                    arena.complete(range, what);
                }
                Ok(())
            }
            Err(error) => {
                let undone = match state.arena(arena) {
                    Some(arena) => self.undo(arena, range, &error),
                    None => Ok(()),
                };
                Err(match undone {
                    Ok(()) if error.is_full() => StoreError::Io { detail: error.to_string() },
                    Ok(()) => state.fail(&error),
                    Err(second) => state.fail(&second),
                })
            }
        };
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Takes a write back that failed. On a full disk the place is freed if it is the last, and
    /// becomes a gap if others follow; after any other failure nothing more is written.
    fn undo(&self, arena: &mut OpenArena, range: &Range<u32>, error: &DiskError) -> DiskResult<()> {
        arena.fail(range);
        if !error.is_full() {
            return Ok(());
        }
        if range.end == arena.next {
            arena.file.set_len(u64::from(range.start))?;
            arena.next = range.start;
            return Ok(());
        }
        let place = Location { arena: arena.number, offset: range.start };
        let gap = Gap { length: range.end - range.start }.encode(&self.store, place);
        write_all_at(&*arena.file, &gap, u64::from(range.start))
    }
}

/// Enters the clumps of a slab into the map of the last arena, and leaves out what another
/// thread, or an earlier clump of the same slab, has entered already.
fn enter(
    state: &mut State,
    slab: &mut Slab,
    duplicates: &mut dyn Duplicates,
) -> Result<(), StoreError> {
    let mut offset = state.last()?.next;
    let arenas = &mut state.arenas;
    slab.retain(|clump| {
        let request = clump.info.request();
        let stored = arenas.iter().rev().find_map(|arena| {
            let entry = arena.entries.find(&request)?;
            Some((entry.location(arena.number), entry.info.digest))
        });
        match stored {
            Some((location, digest)) if digest == clump.info.digest => {
                duplicates.duplicate(clump.position, location);
            }
            Some(_) => duplicates.collision(clump.position),
            None => {
                if let Some(last) = arenas.back_mut() {
                    let entry = TocEntry { offset, info: clump.info };
                    Arc::make_mut(&mut last.entries).push(entry);
                }
                offset += u32::try_from(clump.info.clump_size()).unwrap_or(0);
                return true;
            }
        }
        false
    });
    Ok(())
}
