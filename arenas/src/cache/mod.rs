//! Caches that use locality: blocks that were written together are read, and written again,
//! together.
//!
//! Their unit is a *group*: the clumps of one stretch of an arena. [`FingerprintCache`] holds what
//! the table of contents says of the blocks of a group, so that the duplicates after the first of
//! a stream are answered without the index; [`DataCache`] holds a group's bytes as they are in the
//! log. Both are bounded in bytes and cut into shards, each with a lock of its own that is held
//! for the time of a map access only. Losing anything costs time and nothing else.
//!
//! Groups leave by CLOCK: a group enters unmarked, a use marks it, and the hand takes the first
//! unmarked group it meets. So one pass over a large archive does not push out what is used often.

mod clock;
mod data;
mod fingerprints;

use serde::{Deserialize, Serialize};

pub use self::data::DataCache;
pub use self::fingerprints::FingerprintCache;

/// A stretch of an arena. How arenas are cut into groups is the caller's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Number of the arena.
    pub arena: u32,
    /// Number of the group within it.
    pub group: u32,
}

/// What a cache holds, and did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheStats {
    /// Bytes held, with what it takes to find them.
    pub bytes: u64,
    /// The most bytes that it may hold.
    pub limit: u64,
    /// Questions that it could answer.
    pub hits: u64,
    /// Questions that it could not answer.
    pub misses: u64,
    /// Groups, or a shard's part of one, that were taken in.
    pub insertions: u64,
    /// Groups, or a shard's part of one, that had to leave.
    pub evictions: u64,
}

impl CacheStats {
    /// The sum over two shards.
    fn plus(self, other: CacheStats) -> CacheStats {
        CacheStats {
            bytes: self.bytes + other.bytes,
            limit: self.limit + other.limit,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            insertions: self.insertions + other.insertions,
            evictions: self.evictions + other.evictions,
        }
    }
}
