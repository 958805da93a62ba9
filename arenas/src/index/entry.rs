//! One line of the index: a block's address and where its clump starts.
//!
//! Encoded entries are compared as bytes: score first, then type, then place. So sorting, merging
//! and searching never decode.

use std::cmp::Ordering;

use venti_proto::{BlockRequest, BlockType, Score};

/// Where one block of a sealed arena is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The block's address.
    pub score: Score,
    /// The block's type, part of its address.
    pub block_type: BlockType,
    /// Number of the arena that holds it.
    pub arena: u32,
    /// Bytes from the start of the arena file to the clump's header.
    pub offset: u32,
}

/// Where a clump starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Number of the arena.
    pub arena: u32,
    /// Bytes from the start of the arena file to the clump's header.
    pub offset: u32,
}

/// Bytes of a score and a type: what an entry is found by.
pub(super) const KEY_SIZE: usize = Score::SIZE + 1;

/// Score, type, three zero bytes, arena, offset (docs/store-format.md, "Index entry").
pub(super) const ENTRY_SIZE: usize = KEY_SIZE + 3 + 4 + 4;

/// An entry as it is stored.
pub(super) type RawEntry = [u8; ENTRY_SIZE];

/// The score and type of an entry as they are stored.
pub(super) type RawKey = [u8; KEY_SIZE];

impl IndexEntry {
    /// The order of entries in a run, which is that of their bytes: eight of them nearly always
    /// decide, and are compared as one number.
    pub(super) fn order(&self, other: &IndexEntry) -> Ordering {
        let prefixes = prefix(self.score.as_bytes()).cmp(&prefix(other.score.as_bytes()));
        prefixes.then_with(|| self.cmp(other))
    }

    /// The bytes that are stored.
    pub(super) fn encode(&self) -> RawEntry {
        let mut raw = [0; ENTRY_SIZE];
        raw[..Score::SIZE].copy_from_slice(self.score.as_bytes());
        raw[Score::SIZE] = self.block_type.wire();
        raw[KEY_SIZE + 3..KEY_SIZE + 7].copy_from_slice(&self.arena.to_be_bytes());
        raw[KEY_SIZE + 7..].copy_from_slice(&self.offset.to_be_bytes());
        raw
    }
}

/// Reads the place out of a stored entry; `None` if the bytes are no entry.
pub(super) fn decode_location(raw: &RawEntry) -> Option<Location> {
    let (key, rest) = raw.split_first_chunk::<KEY_SIZE>()?;
    BlockType::from_wire(key[Score::SIZE]).ok()?;
    let (padding, rest) = rest.split_first_chunk::<3>()?;
    let (arena, offset) = rest.split_first_chunk::<4>()?;
    let offset: &[u8; 4] = offset.try_into().ok()?;
    (*padding == [0; 3]).then_some(Location {
        arena: u32::from_be_bytes(*arena),
        offset: u32::from_be_bytes(*offset),
    })
}

/// The stored key that `request` looks for.
pub(super) fn key_of(request: &BlockRequest) -> RawKey {
    let mut key = [0; KEY_SIZE];
    key[..Score::SIZE].copy_from_slice(request.score.as_bytes());
    key[Score::SIZE] = request.block_type.wire();
    key
}

/// The first eight bytes of a key or an entry as a number: what fences hold.
pub(super) fn prefix(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What the filter hashes: the prefix with the type mixed in, so that a block that is stored under
/// another type is still a miss.
pub(super) fn filter_key(key: &[u8]) -> u64 {
    let block_type = key.get(Score::SIZE).copied().unwrap_or(0);
    prefix(key) ^ u64::from(block_type).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_documented() {
        let entry = IndexEntry {
            score: Score::ZERO,
            block_type: BlockType::DATA,
            arena: 0x0102_0304,
            offset: 0x0506_0708,
        };
        let raw = entry.encode();
        assert_eq!(&raw[..20], Score::ZERO.as_bytes());
        assert_eq!(raw[20..], [13, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let place = Location { arena: 0x0102_0304, offset: 0x0506_0708 };
        assert_eq!(decode_location(&raw), Some(place));
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused() {
        let raw = [0; ENTRY_SIZE];
        assert_eq!(decode_location(&raw), None, "type 0");
        let mut raw = [0; ENTRY_SIZE];
        raw[20] = 13;
        assert!(decode_location(&raw).is_some());
        raw[22] = 1;
        assert_eq!(decode_location(&raw), None, "padding");
    }

    #[test]
    fn the_type_changes_what_the_filter_hashes() {
        let score = Score::of(b"x");
        let data = key_of(&BlockRequest { score, block_type: BlockType::DATA });
        let root = key_of(&BlockRequest { score, block_type: BlockType::ROOT });
        assert_eq!(prefix(&data), prefix(&root));
        assert_ne!(filter_key(&data), filter_key(&root));
    }
}
