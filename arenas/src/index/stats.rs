//! What the index tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The state of the index, and what it did since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Runs that lookups ask.
    pub runs: u64,
    /// Entries in all runs; a block that is stored twice may count twice.
    pub entries: u64,
    /// Sealed arenas whose blocks the index knows.
    pub covered_arenas: u64,
    /// Sealed arenas that wait for being added; a miss is [`super::Lookup::Unknown`] meanwhile.
    pub uncovered_arenas: u64,
    /// Bytes of all run files.
    pub disk_bytes: u64,
    /// Bytes of memory that filters, fences and tables take.
    pub memory_bytes: u64,
    /// Addresses that were looked up.
    pub lookups: u64,
    /// Addresses that were found.
    pub found: u64,
    /// Pages that lookups looked at.
    pub pages_read: u64,
    /// Pages that a filter sent a lookup to in vain.
    pub false_positives: u64,
    /// Runs that were dropped because they are damaged, stale or missing.
    pub runs_dropped: u64,
    /// Merges that were completed.
    pub merges: u64,
}

/// Counters that lookups and merges add to.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) lookups: AtomicU64,
    pub(super) found: AtomicU64,
    pub(super) pages_read: AtomicU64,
    pub(super) false_positives: AtomicU64,
    pub(super) runs_dropped: AtomicU64,
    pub(super) merges: AtomicU64,
}

impl Counters {
    /// Copies the counters into `stats`.
    pub(super) fn report(&self, stats: &mut IndexStats) {
        stats.lookups = self.lookups.load(Ordering::Relaxed);
        stats.found = self.found.load(Ordering::Relaxed);
        stats.pages_read = self.pages_read.load(Ordering::Relaxed);
        stats.false_positives = self.false_positives.load(Ordering::Relaxed);
        stats.runs_dropped = self.runs_dropped.load(Ordering::Relaxed);
        stats.merges = self.merges.load(Ordering::Relaxed);
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    if amount > 0 {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
