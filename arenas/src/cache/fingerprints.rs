//! What tables of contents say of the blocks of groups, found by score and type.

use std::collections::HashMap;

use parking_lot::Mutex;
use venti_proto::BlockRequest;

use super::clock::Clock;
use super::{CacheStats, GroupKey};

/// Shards hold the blocks of every group whose scores begin with their number.
const SHARDS: usize = 8;

/// What a block takes besides its value: a place in the map, which is half full at times.
const OVERHEAD: usize = 48;

/// What a shard's part of a group takes besides its blocks.
const PART_OVERHEAD: usize = 160;

/// Facts of type `T` about blocks, by address; they come and go by groups.
///
/// What it answers was true of the log when it was put in, and sealed arenas do not change.
pub struct FingerprintCache<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
}

struct Shard<T> {
    parts: Clock<GroupKey, Part<T>>,
    /// Slot and position of a block. Two addresses may share a key: the later is found.
    places: HashMap<u64, (usize, usize)>,
}

type Part<T> = Box<[(BlockRequest, T)]>;

impl<T: Copy> FingerprintCache<T> {
    /// Holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> FingerprintCache<T> {
        let shard = || Shard { parts: Clock::new(limit / SHARDS), places: HashMap::new() };
        FingerprintCache { shards: std::array::from_fn(|_| Mutex::new(shard())) }
    }

    /// What is known of a block. Its group counts as used.
    #[must_use]
    pub fn get(&self, request: &BlockRequest) -> Option<T> {
        let mut shard = self.shards[shard_of(request)].lock();
        let found = shard.get(request);
        shard.parts.stats.hits += u64::from(found.is_some());
        shard.parts.stats.misses += u64::from(found.is_none());
        found
    }

    /// Takes in what is known of all blocks of a group.
    pub fn insert_group(&self, key: GroupKey, blocks: &[(BlockRequest, T)]) {
        for (number, shard) in self.shards.iter().enumerate() {
            let own = blocks.iter().filter(|(request, _)| shard_of(request) == number);
            let part: Part<T> = own.copied().collect();
            if !part.is_empty() {
                shard.lock().insert(key, part);
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.parts.clear();
            shard.places = HashMap::new();
        }
    }

    /// What it holds and did.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let stats = self.shards.iter().map(|shard| shard.lock().parts.stats);
        stats.fold(CacheStats::default(), CacheStats::plus)
    }
}

impl<T: Copy> Shard<T> {
    fn get(&mut self, request: &BlockRequest) -> Option<T> {
        let (place, position) = *self.places.get(&map_key(request))?;
        let (found, value) = self.parts.get_at(place)?.get(position)?;
        (found == request).then_some(*value)
    }

    fn insert(&mut self, key: GroupKey, part: Part<T>) {
        let each = size_of::<(BlockRequest, T)>() + OVERHEAD;
        let weight = part.len() * each + PART_OVERHEAD;
        let keys: Vec<u64> = part.iter().map(|(request, _)| map_key(request)).collect();
        let Shard { parts, places } = self;
        let inserted = parts.insert(key, part, weight, |place, gone| {
            for (request, _) in &gone {
                let key = map_key(request);
                if places.get(&key).is_some_and(|(slot, _)| *slot == place) {
                    places.remove(&key);
                }
            }
        });
        if let Some(place) = inserted {
            places.extend(keys.into_iter().enumerate().map(|(at, key)| (key, (place, at))));
        }
    }
}

/// Eight bytes of the score, told apart by type. The map hashes them with a key of its own, so
/// that nobody can choose scores that all collide.
fn map_key(request: &BlockRequest) -> u64 {
    let bytes = request.score.as_bytes();
    let prefix = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    prefix ^ u64::from(request.block_type.wire())
}

fn shard_of(request: &BlockRequest) -> usize {
    usize::from(request.score.as_bytes()[19]) % SHARDS
}

#[cfg(test)]
mod tests {
    use venti_proto::{BlockType, Score};

    use super::*;

    fn group(number: u32) -> (GroupKey, Vec<(BlockRequest, u32)>) {
        let block = |i: u32| {
            let score = Score::of(&[number.to_be_bytes(), i.to_be_bytes()].concat());
            (BlockRequest { score, block_type: BlockType::DATA }, number * 1000 + i)
        };
        (GroupKey { arena: 1, group: number }, (0..100).map(block).collect())
    }

    #[test]
    fn one_group_answers_for_all_its_blocks() {
        let cache = FingerprintCache::new(1 << 20);
        let (key, blocks) = group(1);
        assert_eq!(cache.get(&blocks[0].0), None);
        cache.insert_group(key, &blocks);
        assert!(blocks.iter().all(|(request, value)| cache.get(request) == Some(*value)));
        let other = BlockRequest { block_type: BlockType::ROOT, ..blocks[0].0 };
        assert_eq!(cache.get(&other), None);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (100, 2));
        cache.clear();
        assert_eq!(cache.get(&blocks[0].0), None);
    }

    #[test]
    fn stays_within_its_limit_and_keeps_what_is_used() {
        let cache = FingerprintCache::new(100_000);
        let (key, favourite) = group(0);
        cache.insert_group(key, &favourite);
        for number in 1..500 {
            let (key, blocks) = group(number);
            favourite.iter().for_each(|(request, _)| assert!(cache.get(request).is_some()));
            cache.insert_group(key, &blocks);
            assert!(cache.stats().bytes <= 100_000);
            assert_eq!(cache.get(&blocks[5].0), Some(number * 1000 + 5));
        }
        let places: usize = cache.shards.iter().map(|shard| shard.lock().places.len()).sum();
        assert!(places < 2000, "{places} places for less than 100 kB");
    }

    #[test]
    fn a_block_of_two_groups_survives_the_older() {
        let cache = FingerprintCache::new(40_000);
        let (first, blocks) = group(0);
        cache.insert_group(first, &blocks);
        let copy = GroupKey { arena: 2, group: 0 };
        let copies: Vec<_> = blocks.iter().map(|(request, value)| (*request, value + 7)).collect();
        cache.insert_group(copy, &copies);
        cache.insert_group(first, &group(1).1);
        assert!(copies.iter().all(|(request, value)| cache.get(request) == Some(*value)));
    }
}
