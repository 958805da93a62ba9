//! Loads the log, and decides whether it is all of it: docs/roots.md has the table.
//!
//! A file that was cut between two records looks whole. Each record is in the log of blocks too,
//! in the same order, so what is missing lies behind the last one that is known: that part of the
//! log of blocks is looked through at every opening. Where much of it was, [`Seen`] says so to the
//! next one.

use venti_proto::roots::{RootLogError, RootRecord};
use venti_proto::{BlockRequest, BlockStore, Root, StoreError};

use super::file::{self, Loaded};
use super::rebuild::{rebuild, record_of};
use super::seen::{self, Seen};
use super::{RootsLogReport, io, record_blocks};
use crate::Location;
use crate::disk::Disk;

/// The root blocks of a store, in the order of its log.
pub trait RootBlocks {
    /// Gives every root block that lies at `from` or behind it, the last in the log first, until
    /// it is told to stop.
    ///
    /// # Errors
    /// If the log of blocks can not be read.
    fn each(&self, from: Location, take: &mut dyn FnMut(&Root) -> bool) -> Result<(), StoreError>;

    /// Where a block lies; `None` if it is not stored.
    ///
    /// # Errors
    /// If that can not be known.
    fn place(&self, request: &BlockRequest) -> Result<Option<Location>, StoreError>;

    /// The first arena that may still be written to.
    fn first_open_arena(&self) -> u32;
}

/// Where every log of blocks begins.
pub(super) const START: Location = Location { arena: 0, offset: 0 };

/// The blocks of so many records at the end may be missing before all of the log is looked
/// through. A crash loses those of one.
const TRIED: usize = 16;

/// It is written down that so many arenas were looked through: so few are again.
const MANY_ARENAS: u32 = 4;

/// What there is to recover from.
pub(super) struct Recovery<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) blocks: &'a dyn BlockStore,
    pub(super) roots: &'a dyn RootBlocks,
    pub(super) key: &'a [u8; 32],
    pub(super) read_only: bool,
}

/// A log that was loaded.
pub(super) struct Recovered {
    pub(super) records: Vec<RootRecord>,
    /// Bytes of the file that hold them; no place in it if the file has others.
    pub(super) length: u64,
    pub(super) report: RootsLogReport,
    pub(super) looked: Looked,
}

/// How far the log of blocks was looked through.
pub(super) struct Looked {
    /// What is written down of an earlier time.
    seen: Option<Seen>,
    /// From there on it was done now.
    from: Location,
}

impl Recovery<'_> {
    /// Loads what the file has, or rebuilds it from the blocks.
    pub(super) fn run(&self) -> Result<Recovered, RootLogError> {
        let seen = seen::load(self.disk, self.key);
        let (loaded, from) = self.load(seen)?;
        let Loaded { mut records, whole, mut length } = loaded;
        let mut report = RootsLogReport::default();
        if !whole {
            let right = records.len();
            let rebuilt = rebuild(self.blocks, self.key, records, self.roots)?;
            records = rebuilt.records;
            let known = seen.map_or(0, |seen| seen.next);
            let missing = rebuilt.missing + known.saturating_sub(next(&records));
            report = RootsLogReport { rebuilt: true, missing, records: 0 };
            if records.len() != right {
                // The next one is not where it should be in the file: it is not followed.
                length = u64::MAX;
            }
            if !self.read_only {
                file::replace(self.disk, &records).map_err(|error| io(&error))?;
            }
        }
        report.records = records.len() as u64;
        Ok(Recovered { records, length, report, looked: Looked { seen, from } })
    }

    /// Loads the file, which is whole only if the blocks have no more. Returns from where on they
    /// were looked through.
    fn load(&self, seen: Option<Seen>) -> Result<(Loaded, Location), RootLogError> {
        let mut loaded = file::load(self.disk, self.key)?;
        let mut from = START;
        while loaded.whole {
            if seen.is_some_and(|seen| seen.next > next(&loaded.records)) {
                loaded.whole = false;
                break;
            }
            let place = self.place_of_last(&loaded.records)?;
            from = place.max(seen.map_or(START, |seen| seen.place()));
            if !self.has_newer(from, next(&loaded.records))? {
                break;
            }
            // Another process may have recorded that since: the file has it before the blocks.
            let again = file::load(self.disk, self.key)?;
            let grown = again.whole && again.records.len() > loaded.records.len();
            loaded = Loaded { whole: grown, ..again };
        }
        Ok((loaded, from))
    }

    /// Where the blocks of the last record are that has them.
    fn place_of_last(&self, records: &[RootRecord]) -> Result<Location, RootLogError> {
        for record in records.iter().rev().take(TRIED) {
            let batch = record_blocks(std::slice::from_ref(record))?.hash();
            // The last block of a record is the root block that leads to it.
            let Some(request) = batch.iter().last().map(|block| BlockRequest::from(&block)) else {
                continue;
            };
            if let Some(place) = self.roots.place(&request)? {
                return Ok(place);
            }
        }
        Ok(START)
    }

    /// Whether the log of blocks has a record with this number or a greater one.
    fn has_newer(&self, from: Location, next: u64) -> Result<bool, RootLogError> {
        let mut found = Ok(false);
        self.roots.each(from, &mut |root| {
            found = record_of(self.blocks, self.key, root)
                .map(|record| record.is_some_and(|record| record.sequence >= next));
            matches!(found, Ok(false))
        })?;
        Ok(found?)
    }
}

impl Looked {
    /// Writes it down, if that is worth it or what is written there is wrong. All records must be
    /// durable: one that is lost later is called lost.
    pub(super) fn note(&self, disk: &dyn Disk, key: &[u8; 32], roots: &dyn RootBlocks, next: u64) {
        let arena = roots.first_open_arena();
        let wrong = self.seen.is_some_and(|seen| seen.next > next);
        if wrong || arena.saturating_sub(self.from.arena) > MANY_ARENAS {
            // Without it the next opening takes longer, and that is all.
            let _ = seen::store(disk, key, Seen { arena, next });
        }
    }
}

/// The number of the record that comes next.
fn next(records: &[RootRecord]) -> u64 {
    records.last().map_or(0, |last| last.sequence + 1)
}
