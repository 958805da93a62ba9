//! Every root block of a store, found by looking through the log: a lost score is never a lost
//! archive.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use venti_proto::{BlockStore, BlockType, Root, Score, StoreError};

use crate::Location;
use crate::arena::TocEntry;
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader};
use crate::disk::{DiskResult, read_exact_at};
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
        let failed = |error: crate::disk::DiskError| StoreError::Io { detail: error.to_string() };
        let mut roots = Vec::new();
        for (arena, entry) in self.root_entries().map_err(failed)? {
            let location = entry.location(arena);
            let time = self.time_of(location).unwrap_or(0);
            roots.push((time, location, entry.info.score));
        }
        roots.sort_unstable_by_key(|(time, location, _)| (*time, *location));
        for (time, Location { arena, offset }, score) in roots.into_iter().rev() {
            let block = self.read_block(score, BlockType::ROOT).ok();
            let root = block.and_then(|block| Root::decode(&block).ok());
            if found(FoundRoot { score, time, arena, offset, root }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn root_entries(&self) -> DiskResult<Vec<(u32, TocEntry)>> {
        let mut roots = Vec::new();
        let is_root = |entry: &TocEntry| entry.info.block_type == BlockType::ROOT;
        for (number, entries) in self.mapped_arenas() {
            let found = entries.iter().copied().filter(is_root);
            roots.extend(found.map(|entry| (number, entry)));
        }
        for footer in self.unmapped_footers() {
            let entries = self.shared().catalogue.entries_of(&footer)?;
            let found = entries.into_iter().filter(is_root);
            roots.extend(found.map(|entry| (footer.number, entry)));
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
