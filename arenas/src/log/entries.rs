//! The exact map of one arena that is not sealed: every clump in the order of the log, found by
//! score and type.
//!
//! One vector of entries, which is the table of contents to be, and an open-addressed table of
//! positions in it: 64 + 8 bytes a block, at most 262,144 blocks. The hash is keyed with the
//! store's identity, because scores are chosen by clients.

use std::collections::BTreeSet;

use venti_proto::{BlockRequest, Score};

use crate::arena::TocEntry;
use crate::fields::StoreIdentity;

/// A slot that holds nothing.
const FREE: u32 = u32::MAX;
const FIRST_SLOTS: usize = 64;

/// Keys the hash of scores.
#[derive(Clone, Copy, Debug)]
struct Keys(u64, u64);

impl Keys {
    fn new(store: &StoreIdentity) -> Keys {
        let (first, second) = halves(store.as_bytes());
        Keys(first, second)
    }

    /// A folded product of 16 bytes of the score: one multiplication.
    fn hash(self, score: &Score) -> u64 {
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&score.as_bytes()[..16]);
        let (first, second) = halves(&prefix);
        let product = u128::from(first ^ self.0) * u128::from(second ^ self.1);
        let bytes = product.to_be_bytes();
        let (high, low) = halves(&bytes);
        high ^ low
    }
}

fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    let value = u128::from_be_bytes(*bytes);
    let low = value & u128::from(u64::MAX);
    (u64::try_from(value >> 64).unwrap_or_default(), u64::try_from(low).unwrap_or_default())
}

/// The clumps of one arena.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    list: Vec<TocEntry>,
    /// Positions in `list`; a power of two of them, at most 7/8 in use.
    slots: Vec<u32>,
    /// Positions in `list` whose clump could not be written.
    dead: BTreeSet<usize>,
    keys: Keys,
    totals: Totals,
}

/// Sums over the clumps of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) blocks: u64,
    /// Bytes of the blocks.
    pub(crate) block_bytes: u64,
    /// Bytes of the payloads.
    pub(crate) stored_bytes: u64,
}

impl Entries {
    pub(crate) fn new(store: &StoreIdentity) -> Entries {
        Entries {
            list: Vec::new(),
            slots: vec![FREE; FIRST_SLOTS],
            dead: BTreeSet::new(),
            keys: Keys::new(store),
            totals: Totals::default(),
        }
    }

    /// Clumps that were added, those that could not be written included.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a clump behind all others.
    pub(crate) fn push(&mut self, entry: TocEntry) {
        if (self.list.len() + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        let position = u32::try_from(self.list.len()).unwrap_or(FREE);
        self.list.push(entry);
        self.totals.blocks += 1;
        self.totals.block_bytes += u64::from(entry.info.size);
        self.totals.stored_bytes += u64::from(entry.info.stored);
        self.link(position, &entry.info.score);
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for position in 0..self.list.len() {
            let score = self.list[position].info.score;
            self.link(u32::try_from(position).unwrap_or(FREE), &score);
        }
    }

    fn link(&mut self, position: u32, score: &Score) {
        let mut slot = self.first_slot(score);
        while self.slots[slot] != FREE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = position;
    }

    fn first_slot(&self, score: &Score) -> usize {
        let mask = self.slots.len() as u64 - 1;
        usize::try_from(self.keys.hash(score) & mask).unwrap_or(0)
    }

    /// The first clump with this block.
    pub(crate) fn find(&self, request: &BlockRequest) -> Option<&TocEntry> {
        let mut slot = self.first_slot(&request.score);
        loop {
            let position = self.slots[slot];
            if position == FREE {
                return None;
            }
            let entry = &self.list[position as usize];
            if entry.info.request() == *request && !self.dead.contains(&(position as usize)) {
                return Some(entry);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Forgets the clumps that start in `from..until`: they could not be written.
    pub(crate) fn kill(&mut self, from: u32, until: u32) {
        for position in self.before(from)..self.before(until) {
            if self.dead.insert(position) {
                let info = &self.list[position].info;
                self.totals.blocks -= 1;
                self.totals.block_bytes -= u64::from(info.size);
                self.totals.stored_bytes -= u64::from(info.stored);
            }
        }
    }

    /// Sums over the clumps that are there.
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// How many clumps start before `offset`.
    pub(crate) fn before(&self, offset: u32) -> usize {
        self.list.partition_point(|entry| entry.offset < offset)
    }

    /// The clump that starts at `offset`, unless it could not be written.
    pub(crate) fn at(&self, offset: u32) -> Option<&TocEntry> {
        let position = self.before(offset);
        let entry = self.list.get(position)?;
        (entry.offset == offset && !self.dead.contains(&position)).then_some(entry)
    }

    /// The clumps that are there, in the order of the log.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TocEntry> {
        let alive = |(position, _): &(usize, &TocEntry)| !self.dead.contains(position);
        self.list.iter().enumerate().filter(alive).map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clump::{ClumpInfo, Codec, Digest};
    use venti_proto::BlockType;

    fn entry(number: u32) -> TocEntry {
        let info = ClumpInfo {
            score: Score::of(&number.to_be_bytes()),
            block_type: BlockType::DATA,
            codec: Codec::Raw,
            stored: 4,
            size: 4,
            digest: Digest::of(&number.to_be_bytes()),
        };
        TocEntry { offset: number * 76, info }
    }

    #[test]
    fn every_entry_is_found_but_those_that_were_not_written() {
        let mut entries = Entries::new(&StoreIdentity::new([3; 16]));
        for number in 0..5000 {
            entries.push(entry(number));
        }
        entries.kill(10 * 76, 20 * 76);
        for number in 0..5000 {
            let expected = entry(number);
            let found = entries.find(&expected.info.request());
            let alive = !(10..20).contains(&number);
            assert_eq!(found, alive.then_some(&expected), "{number}");
            assert_eq!(entries.at(number * 76), alive.then_some(&expected));
        }
        assert_eq!(entries.find(&entry(5000).info.request()), None);
        assert_eq!(entries.iter().count(), 4990);
        let totals = Totals { blocks: 4990, block_bytes: 4 * 4990, stored_bytes: 4 * 4990 };
        assert_eq!(entries.totals(), totals);
        // Written again after the failure, it is found again.
        let again = TocEntry { offset: 5000 * 76, ..entry(15) };
        entries.push(again);
        assert_eq!(entries.find(&again.info.request()), Some(&again));
    }
}
