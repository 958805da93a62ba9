//! Every root block of a store, found by looking through the log: a lost score is never a lost
//! archive.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use venti_proto::{BlockStore, BlockType, Root, Score, StoreError};

use crate::Location;
use crate::arena::TocEntry;
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader};
use crate::disk::read_exact_at;
use crate::store::Store;

/// A root block that is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundRoot {
    /// Its score, as `vac:` takes it.
    #[serde(serialize_with = "as_text")]
    pub score: Score,
    /// When it was stored first, in milliseconds since 1970; 0 if its clump's header is damaged.
    pub time: u64,
    /// The arena it is in.
    pub arena: u32,
    /// Where its clump starts in the arena.
    pub offset: u32,
    /// What it says, unless it can not be read or is no root that Venti's programs make.
    #[serde(skip)]
    pub root: Option<Root>,
}

fn as_text<S: serde::Serializer>(score: &Score, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(score)
}

impl Store {
    /// Hands every root block to `found`, the one that was stored last first, until it breaks.
    ///
    /// # Errors
    /// `Io` if an arena can not be read.
    pub fn roots(
        &self,
        found: &mut dyn FnMut(FoundRoot) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut roots = Vec::new();
        for (location, score) in self.root_entries(Location { arena: 0, offset: 0 })? {
            roots.push((self.time_of(location).unwrap_or(0), location, score));
        }
        roots.sort_unstable_by_key(|(time, location, _)| (*time, *location));
        for (time, Location { arena, offset }, score) in roots.into_iter().rev() {
            let root = self.root(score);
            if found(FoundRoot { score, time, arena, offset, root }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Hands every root block that can be read and lies at `from` or behind it to `take`, the last
    /// in the log first, until that is false. Clocks go back, the log does not.
    pub(crate) fn roots_from(
        &self,
        from: Location,
        take: &mut dyn FnMut(&Root) -> bool,
    ) -> Result<(), StoreError> {
        let mut roots = self.root_entries(from)?;
        roots.sort_unstable_by_key(|(location, _)| *location);
        for (_, score) in roots.into_iter().rev() {
            if !self.root(score).is_none_or(|root| take(&root)) {
                break;
            }
        }
        Ok(())
    }

    fn root(&self, score: Score) -> Option<Root> {
        let block = self.read_block(score, BlockType::ROOT).ok()?;
        Root::decode(&block).ok()
    }

    /// Where the root blocks are that lie at `from` or behind it.
    fn root_entries(&self, from: Location) -> Result<Vec<(Location, Score)>, StoreError> {
        let mut roots = Vec::new();
        let mut add = |number: u32, entries: &mut dyn Iterator<Item = TocEntry>| {
            for entry in entries.filter(|entry| entry.info.block_type == BlockType::ROOT) {
                let location = entry.location(number);
                if location >= from {
                    roots.push((location, entry.info.score));
                }
            }
        };
        for (number, entries) in self.mapped_arenas() {
            add(number, &mut entries.iter().copied());
        }
        for footer in self.unmapped_footers() {
            if footer.number >= from.arena {
                let entries = self.shared().catalogue.entries_of(&footer);
                let entries =
                    entries.map_err(|error| StoreError::Io { detail: error.to_string() })?;
                add(footer.number, &mut entries.into_iter());
            }
        }
        Ok(roots)
    }

    fn time_of(&self, location: Location) -> Option<u64> {
        let shared = self.shared();
        let mut header = [0; CLUMP_HEADER_SIZE];
        let file = shared.catalogue.file(location.arena).ok()?;
        read_exact_at(&*file, &mut header, u64::from(location.offset)).ok()?;
        let header = ClumpHeader::decode(&shared.catalogue.store, location, &header).ok()?;
        Some(header.time)
    }
}

impl Store {
    /// The arenas that are known by an exact map.
    pub(crate) fn mapped_arenas(&self) -> Vec<(u32, Arc<crate::log::Entries>)> {
        let shared = self.shared();
        let open = shared.log.as_ref().map(crate::log::Log::open_arenas).unwrap_or_default();
        let mut mapped: Vec<_> =
            open.into_iter().map(|(number, _, entries)| (number, entries)).collect();
        for arena in shared.catalogue.scanned() {
            if mapped.iter().all(|(number, _)| *number != arena.number) {
                mapped.push((arena.number, arena.entries));
            }
        }
        mapped
    }

    /// The footers of the arenas that are not among those.
    pub(crate) fn unmapped_footers(&self) -> Vec<crate::arena::Footer> {
        let mapped = self.mapped_arenas();
        let mut footers = self.shared().catalogue.footers();
        footers.retain(|footer| mapped.iter().all(|(number, _)| *number != footer.number));
        footers
    }
}
