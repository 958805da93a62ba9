//! An arena that still takes clumps, or is waiting to be sealed. Guarded by the log's lock.

use std::ops::Range;
use std::sync::Arc;

use super::entries::Entries;
use crate::arena::{ARENA_HEADER_SIZE, ArenaHeader};
use crate::disk::{Disk, DiskFile, DiskResult, OpenMode, write_all_at};
use crate::fields::StoreIdentity;
use crate::names;

/// Most clumps in an arena: bounds the memory of the exact map and of sealing.
pub(crate) const MOST_CLUMPS: usize = 262_144;

/// What was written to a place. A mark needs no sync: losing it loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Clumps,
    Mark,
}

/// An arena without a table of contents.
#[derive(Debug)]
pub(crate) struct OpenArena {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    /// In milliseconds since 1970.
    pub(crate) created: u64,
    /// Shared with whoever seals it; alone here as long as clumps are added.
    pub(crate) entries: Arc<Entries>,
    /// Where the next record goes.
    pub(crate) next: u32,
    /// Places that were given out and are not written yet.
    pub(crate) pending: Vec<Range<u32>>,
    /// Bytes that were written and that no sync has covered.
    pub(crate) unsynced: u64,
    /// Whether the file's name is durable.
    pub(crate) name_durable: bool,
    /// What the last mark claims to be durable.
    pub(crate) marked: u32,
    /// Sequence number of the last mark.
    pub(crate) sequence: u64,
}

impl OpenArena {
    /// Makes the file and writes its header. Neither is durable yet.
    pub(crate) fn create(
        disk: &dyn Disk,
        store: StoreIdentity,
        number: u32,
        created: u64,
    ) -> DiskResult<OpenArena> {
        let file = disk.open(&names::arena(number), OpenMode::Create)?;
        let header = ArenaHeader { store, number, created }.encode();
        write_all_at(&*file, &header, 0)?;
        let size = u32::try_from(ARENA_HEADER_SIZE).unwrap_or(u32::MAX);
        Ok(OpenArena {
            number,
            file,
            created,
            entries: Arc::new(Entries::new(&store)),
            next: size,
            pending: Vec::new(),
            unsynced: u64::from(size),
            name_durable: false,
            marked: 0,
            sequence: 0,
        })
    }

    /// Whether so many bytes and clumps more still go into the arena. An empty one takes any.
    pub(crate) fn has_room(&self, bytes: usize, clumps: usize, arena_size: u32) -> bool {
        let end = self.next as usize + bytes;
        let empty = self.entries.len() == 0;
        let within = end <= arena_size as usize && self.entries.len() + clumps <= MOST_CLUMPS;
        within || empty
    }

    /// Gives out the next `length` bytes.
    pub(crate) fn reserve(&mut self, length: usize) -> Range<u32> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let place = self.next..self.next.saturating_add(length);
        self.next = place.end;
        self.pending.push(place.clone());
        place
    }

    /// Every byte before this offset is written, as far as it ever will be.
    pub(crate) fn written_through(&self) -> u32 {
        self.pending.iter().map(|place| place.start).min().unwrap_or(self.next)
    }

    pub(crate) fn is_pending(&self, offset: u32) -> bool {
        self.pending.iter().any(|place| place.contains(&offset))
    }

    /// A place was written.
    pub(crate) fn complete(&mut self, place: &Range<u32>, what: Written) {
        self.pending.retain(|pending| pending != place);
        if what == Written::Clumps {
            self.unsynced += u64::from(place.end - place.start);
        }
    }

    /// A place could not be written: what was to be there is forgotten.
    pub(crate) fn fail(&mut self, place: &Range<u32>) {
        self.pending.retain(|pending| pending != place);
        Arc::make_mut(&mut self.entries).kill(place.start, place.end);
    }
}
