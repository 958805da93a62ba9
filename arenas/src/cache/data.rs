//! Groups of the log as bytes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::clock::Clock;
use super::{CacheStats, GroupKey};

const SHARDS: usize = 8;

/// What a group takes besides its bytes.
const OVERHEAD: usize = 128;

/// A shard that can not hold a few groups is no use.
const SMALLEST_SHARD: usize = 4 << 20;

/// Raw bytes of groups, as they are in the log: not verified, not decoded.
pub struct DataCache {
    shards: Vec<Mutex<Clock<GroupKey, Arc<Vec<u8>>>>>,
}

impl DataCache {
    /// Holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> DataCache {
        let shards = (limit / SMALLEST_SHARD).clamp(1, SHARDS);
        let shards = (0..shards).map(|_| Mutex::new(Clock::new(limit / shards))).collect();
        DataCache { shards }
    }

    /// The bytes of a group.
    #[must_use]
    pub fn get(&self, key: GroupKey) -> Option<Arc<Vec<u8>>> {
        let mut shard = self.shard(key).lock();
        let found = shard.get(&key).map(Arc::clone);
        shard.stats.hits += u64::from(found.is_some());
        shard.stats.misses += u64::from(found.is_none());
        found
    }

    /// Keeps the bytes of a group, if they are not more than a shard may hold.
    pub fn insert(&self, key: GroupKey, bytes: Arc<Vec<u8>>) {
        let weight = bytes.capacity() + OVERHEAD;
        let mut gone = Vec::new();
        self.shard(key).lock().insert(key, bytes, weight, |_, bytes| gone.push(bytes));
        // Freed here, after the lock.
        drop(gone);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.shards.iter().for_each(|shard| shard.lock().clear());
    }

    /// What it holds and did.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let stats = self.shards.iter().map(|shard| shard.lock().stats);
        stats.fold(CacheStats::default(), CacheStats::plus)
    }

    fn shard(&self, key: GroupKey) -> &Mutex<Clock<GroupKey, Arc<Vec<u8>>>> {
        // Neighbouring groups fall into different shards: a reader goes from one to the next.
        let at = (key.arena as usize).wrapping_mul(31).wrapping_add(key.group as usize);
        &self.shards[at % self.shards.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_fits_and_counts() {
        let cache = DataCache::new(32 << 20);
        let key = |group| GroupKey { arena: 3, group };
        for group in 0..200 {
            let byte = u8::try_from(group).unwrap();
            cache.insert(key(group), Arc::new(vec![byte; 512 << 10]));
            assert!(cache.stats().bytes <= 32 << 20);
        }
        let held: Vec<_> =
            (0..200).filter_map(|group| Some((group, cache.get(key(group))?))).collect();
        assert!(held.len() > 48 && held.len() <= 64, "{}", held.len());
        for (group, bytes) in &held {
            assert!(bytes.iter().all(|byte| u32::from(*byte) == *group));
        }
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (held.len() as u64, 200 - held.len() as u64));
        assert_eq!(stats.evictions, 200 - held.len() as u64);
        cache.clear();
        assert_eq!(cache.stats().bytes, 0);
    }

    #[test]
    fn a_small_cache_still_holds_a_group() {
        let cache = DataCache::new(1 << 20);
        let key = GroupKey { arena: 0, group: 0 };
        cache.insert(key, Arc::new(vec![1; 512 << 10]));
        assert!(cache.get(key).is_some());
        DataCache::new(0).insert(key, Arc::new(vec![1]));
    }
}
