//! One shard's memory: values by key, bounded in bytes, that leave by CLOCK.

use std::collections::HashMap;
use std::hash::Hash;

use super::CacheStats;

/// Values with weights in bytes whose sum never passes a limit.
pub(super) struct Clock<K, V> {
    slots: Vec<Option<Slot<K, V>>>,
    /// Slots that hold nothing.
    free: Vec<usize>,
    places: HashMap<K, usize>,
    /// The slot that is looked at next when something must leave.
    hand: usize,
    /// Bytes and counts of this shard.
    pub(super) stats: CacheStats,
}

struct Slot<K, V> {
    key: K,
    value: V,
    /// Bytes that the value counts for.
    weight: usize,
    /// Set by use, cleared by the hand.
    used: bool,
}

impl<K: Copy + Eq + Hash, V> Clock<K, V> {
    /// Holds at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Clock<K, V> {
        let stats = CacheStats { limit: limit as u64, ..CacheStats::default() };
        Clock { slots: Vec::new(), free: Vec::new(), places: HashMap::new(), hand: 0, stats }
    }

    /// The value of `key`, which counts as used.
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        let place = *self.places.get(key)?;
        self.get_at(place)
    }

    /// The value in a slot that [`Clock::insert`] named, which counts as used.
    pub(super) fn get_at(&mut self, place: usize) -> Option<&V> {
        let slot = self.slots.get_mut(place)?.as_mut()?;
        slot.used = true;
        Some(&slot.value)
    }

    /// Takes a value in, in the place of one with the same key, and gives what has to leave for
    /// it, with its slot, to `leaves`. Returns the slot, or `None` if the value is too large.
    pub(super) fn insert(
        &mut self,
        key: K,
        value: V,
        weight: usize,
        mut leaves: impl FnMut(usize, V),
    ) -> Option<usize> {
        if let Some(place) = self.places.get(&key).copied() {
            self.take(place).into_iter().for_each(|value| leaves(place, value));
        }
        if weight as u64 > self.stats.limit {
            return None;
        }
        while self.stats.bytes + weight as u64 > self.stats.limit {
            let place = self.next_to_leave()?;
            self.take(place).into_iter().for_each(|value| leaves(place, value));
            self.stats.evictions += 1;
        }
        let slot = Some(Slot { key, value, weight, used: false });
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[place] = slot;
        self.places.insert(key, place);
        self.stats.bytes += weight as u64;
        self.stats.insertions += 1;
        Some(place)
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        let kept = CacheStats { bytes: 0, ..self.stats };
        *self = Clock { stats: kept, ..Clock::new(0) };
    }

    /// Moves the hand to the next value that was not used since it last came by.
    fn next_to_leave(&mut self) -> Option<usize> {
        // Twice around: the first time clears every mark.
        for _ in 0..2 * self.slots.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if let Some(slot) = &mut self.slots[place] {
                if !slot.used {
                    return Some(place);
                }
                slot.used = false;
            }
        }
        None
    }

    fn take(&mut self, place: usize) -> Option<V> {
        let slot = self.slots.get_mut(place)?.take()?;
        self.places.remove(&slot.key);
        self.free.push(place);
        self.stats.bytes -= slot.weight as u64;
        Some(slot.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_its_limit_and_says_what_leaves() {
        let mut clock = Clock::new(100);
        let mut inside = std::collections::BTreeSet::new();
        for key in 0..1000_u32 {
            let weight = usize::try_from(key % 37).unwrap();
            inside.insert(key);
            clock.insert(key, key, weight, |_, gone| assert!(inside.remove(&gone)));
            assert!(clock.stats.bytes <= 100);
            assert_eq!(clock.get(&key), Some(&key));
        }
        for key in 0..1000 {
            assert_eq!(clock.get(&key).is_some(), inside.contains(&key), "{key}");
        }
        assert_eq!(clock.stats.insertions - clock.stats.evictions, inside.len() as u64);
    }

    #[test]
    fn what_is_used_outlives_what_is_passed_once() {
        let mut clock = Clock::new(10);
        clock.insert(0, 'a', 1, |_, _| {});
        for key in 1..1000 {
            assert!(clock.get(&0).is_some(), "gone before {key}");
            clock.insert(key, 'b', 1, |_, _| {});
        }
    }

    #[test]
    fn a_second_value_replaces_the_first() {
        let mut clock = Clock::new(10);
        clock.insert(7, 'a', 4, |_, _| {});
        let mut left = Vec::new();
        clock.insert(7, 'b', 5, |_, value| left.push(value));
        assert_eq!((clock.get(&7), left), (Some(&'b'), vec!['a']));
        assert_eq!(clock.stats.bytes, 5);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut clock = Clock::new(10);
        clock.insert(1, 'a', 10, |_, _| {});
        assert_eq!(clock.insert(2, 'b', 11, |_, _| panic!("nothing has to leave")), None);
        assert!(clock.get(&1).is_some() && clock.get(&2).is_none());
        clock.clear();
        assert!(clock.get(&1).is_none());
        assert_eq!((clock.stats.bytes, clock.stats.limit), (0, 10));
        clock.insert(1, 'a', 10, |_, _| {});
        assert!(clock.get(&1).is_some());
    }
}
