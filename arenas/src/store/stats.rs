//! What a store holds and did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::Store;
use crate::cache::CacheStats;
use crate::finding::Finding;
use crate::index::IndexStats;
use crate::log::Totals;

/// What callers did since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) blocks_written: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) collisions: AtomicU64,
    pub(super) clumps: AtomicU64,
    pub(super) bytes_stored: AtomicU64,
    pub(super) blocks_read: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) damaged_reads: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// What a store holds, and did since it was opened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStats {
    /// Sealed arenas.
    pub sealed_arenas: u64,
    /// Arenas that are served by an exact map because their end is damaged, or that the index
    /// does not have yet.
    pub scanned_arenas: u64,
    /// Arenas that take blocks, or wait to be sealed.
    pub open_arenas: u64,
    /// Blocks stored.
    pub blocks: u64,
    /// Bytes of these blocks, as they were written.
    pub block_bytes: u64,
    /// Bytes of these blocks, as they are stored, without headers.
    pub stored_bytes: u64,
    /// Bytes written that no sync covers yet.
    pub unsynced_bytes: u64,
    /// Why the store takes no writes, if it does not.
    pub read_only: Option<String>,
    /// Since it was opened: blocks that callers wrote, duplicates included.
    pub blocks_written: u64,
    /// Their bytes.
    pub bytes_written: u64,
    /// Those that were stored already.
    pub duplicates: u64,
    /// Those that were refused because other bytes have their score.
    pub collisions: u64,
    /// Clumps that were appended.
    pub clumps_appended: u64,
    /// Bytes of them, headers included.
    pub bytes_appended: u64,
    /// Blocks that callers read.
    pub blocks_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Reads that found a damaged block.
    pub damaged_reads: u64,
    /// Syncs that callers asked for.
    pub syncs: u64,
    /// The index.
    pub index: IndexStats,
    /// The cache of neighbours' fingerprints.
    pub fingerprint_cache: CacheStats,
    /// The cache of the log's bytes.
    pub data_cache: CacheStats,
    /// What is wrong with the store.
    pub findings: Vec<Finding>,
}

impl Store {
    /// What the store holds, and did since it was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let shared = self.shared();
        let counters = &shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (fingerprint_cache, data_cache) = shared.catalogue.cache_stats();
        let read_only = match &shared.log {
            Some(log) => log.health().err().map(|error| error.to_string()),
            None => Some("it was opened read-only".to_owned()),
        };
        let mut stats = StoreStats {
            read_only,
            blocks_written: get(&counters.blocks_written),
            bytes_written: get(&counters.bytes_written),
            duplicates: get(&counters.duplicates),
            collisions: get(&counters.collisions),
            clumps_appended: get(&counters.clumps),
            bytes_appended: get(&counters.bytes_stored),
            blocks_read: get(&counters.blocks_read),
            bytes_read: get(&counters.bytes_read),
            damaged_reads: get(&counters.damaged_reads),
            syncs: get(&counters.syncs),
            index: shared.catalogue.index_stats(),
            fingerprint_cache,
            data_cache,
            findings: self.findings(),
            ..StoreStats::default()
        };
        self.add_contents(&mut stats);
        stats
    }

    fn add_contents(&self, stats: &mut StoreStats) {
        let shared = self.shared();
        let footers = shared.catalogue.footers();
        stats.sealed_arenas = footers.len() as u64;
        for footer in &footers {
            stats.blocks += u64::from(footer.clumps);
            stats.block_bytes += footer.block_bytes;
            stats.stored_bytes += footer.stored_bytes;
        }
        let scanned = shared.catalogue.scanned();
        stats.scanned_arenas = scanned.len() as u64;
        let mut unsealed: Vec<(u32, Totals)> =
            scanned.into_iter().map(|arena| (arena.number, arena.entries.totals())).collect();
        if let Some(log) = &shared.log {
            let open = log.open_totals();
            stats.open_arenas = open.len() as u64;
            stats.unsynced_bytes = log.unsynced();
            unsealed.extend(open);
        }
        let is_sealed = |number: u32| footers.iter().any(|footer| footer.number == number);
        for (_, totals) in unsealed.iter().filter(|(number, _)| !is_sealed(*number)) {
            stats.blocks += totals.blocks;
            stats.block_bytes += totals.block_bytes;
            stats.stored_bytes += totals.stored_bytes;
        }
    }
}
