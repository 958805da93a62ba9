//! A meta block: directory entries behind an index that is sorted by name.
//!
//! The original sorts names in an order of its own making: of two names of which one starts the
//! other, the longer one comes first. Its programs search that way in blocks with the usual
//! magic, so that is how blocks are written here. Blocks with the other magic (fossil writes
//! them) are in the order that one expects.

use std::cmp::Ordering;
use std::ops::Range;

use super::vac_dir::MAGIC as ENTRY_MAGIC;
use super::{FormatError, VacDir};

const MAGIC: u32 = 0x5656_fc79;
/// In blocks with this magic a name comes before those that it starts.
const MAGIC_PLAIN_ORDER: u32 = MAGIC + 1;
const HEADER_SIZE: usize = 4 + 2 + 2 + 2 + 2;
const INDEX_SIZE: usize = 2 + 2;
const _: () = assert!(HEADER_SIZE == 12 && INDEX_SIZE == 4);

/// The order of names in a meta block: bytes count, and a name comes behind those that it starts.
#[must_use]
pub fn name_order(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.len().min(b.len());
    a[..common].cmp(&b[..common]).then(b.len().cmp(&a.len()))
}

/// A parsed meta block: header and index are right, entries are checked as they are read.
#[derive(Clone, Copy, Debug)]
pub struct MetaBlock<'a> {
    bytes: &'a [u8],
    count: usize,
    plain_order: bool,
}

impl<'a> MetaBlock<'a> {
    /// Parses a block that was extended to its full size.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Truncated`], [`FormatError::MetaBlock`].
    pub fn parse(bytes: &'a [u8]) -> Result<MetaBlock<'a>, FormatError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(MetaBlock { bytes, count: 0, plain_order: false });
        }
        let Some(header) = bytes.first_chunk::<HEADER_SIZE>() else {
            let (needed, left) = (HEADER_SIZE, bytes.len());
            return Err(FormatError::Truncated { field: "meta block header", needed, left });
        };
        let magic = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        if magic != MAGIC && magic != MAGIC_PLAIN_ORDER {
            let what = "a meta block";
            return Err(FormatError::Magic { what, found: magic, expected: MAGIC });
        }
        let field = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let (size, index_room, count) = (field(4), field(8), field(10));
        let data_start = HEADER_SIZE + index_room * INDEX_SIZE;
        let check = |detail: &'static str, found: usize, limit: usize| {
            if found <= limit {
                Ok(())
            } else {
                Err(FormatError::MetaBlock { detail, found, limit })
            }
        };
        check("larger than the block", size, bytes.len())?;
        check("the index is larger than what is used", data_start, size)?;
        check("more entries than the index has room for", count, index_room)?;
        let block = MetaBlock { bytes: &bytes[..size], count, plain_order: magic != MAGIC };
        // Entries may lie in any order but not upon each other: a small block would otherwise
        // stand for a huge directory.
        let (starts, sizes) = (0..count)
            .map(|i| block.extent(i))
            .fold((usize::MAX, 0), |(first, total), (start, size)| {
                (first.min(start), total + size)
            });
        if count > 0 {
            check("an entry lies in the index", data_start, starts)?;
            check("the entries are larger than the block", sizes, size - data_start)?;
        }
        Ok(block)
    }

    /// Entries in the block.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the block has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The name of an entry.
    ///
    /// # Errors
    /// [`FormatError::Truncated`], [`FormatError::Magic`].
    pub fn name(&self, number: usize) -> Result<&'a [u8], FormatError> {
        let entry = self.entry_bytes(number)?;
        let (needed, left) = (8, entry.len());
        let truncated = |needed| FormatError::Truncated { field: "directory entry", needed, left };
        let head = entry.first_chunk::<8>().ok_or_else(|| truncated(needed))?;
        let found = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if found != ENTRY_MAGIC {
            let what = "a directory entry";
            return Err(FormatError::Magic { what, found, expected: ENTRY_MAGIC });
        }
        let end = 8 + usize::from(u16::from_be_bytes([head[6], head[7]]));
        entry.get(8..end).ok_or_else(|| truncated(end))
    }

    /// Where an entry is in the block; nowhere if there is no such entry. It may reach beyond the
    /// end of a block that is damaged.
    #[must_use]
    pub fn place(&self, number: usize) -> Range<usize> {
        let (start, size) = if number < self.count { self.extent(number) } else { (0, 0) };
        start..start + size
    }

    /// An entry.
    ///
    /// # Errors
    /// As [`VacDir::decode`].
    pub fn entry(&self, number: usize) -> Result<VacDir, FormatError> {
        VacDir::decode(self.entry_bytes(number)?)
    }

    /// The entry with this name, found by bisection as the original does it.
    ///
    /// # Errors
    /// As [`MetaBlock::name`], [`MetaBlock::entry`].
    pub fn find(&self, name: &[u8]) -> Result<Option<VacDir>, FormatError> {
        let (mut from, mut to) = (0, self.count);
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.order(self.name(middle)?, name) {
                Ordering::Equal => return self.entry(middle).map(Some),
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
            }
        }
        Ok(None)
    }

    /// Compares two names in the order of this block.
    #[must_use]
    pub fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.plain_order { a.cmp(b) } else { name_order(a, b) }
    }

    fn entry_bytes(&self, number: usize) -> Result<&'a [u8], FormatError> {
        let place = self.place(number);
        let (needed, left) = (place.end, self.bytes.len());
        let truncated = FormatError::Truncated { field: "directory entry", needed, left };
        self.bytes.get(place).ok_or(truncated)
    }

    /// Start and size of an entry, from the index: `number` is below the count.
    fn extent(&self, number: usize) -> (usize, usize) {
        let at = HEADER_SIZE + number * INDEX_SIZE;
        let field = |at: usize| {
            self.bytes.get(at..at + 2).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1]))
        };
        (field(at), field(at + 2))
    }
}

/// Fills meta blocks with entries that come in [`name_order`].
#[derive(Clone, Debug)]
pub struct MetaBlockBuilder {
    /// Bytes in a block.
    limit: usize,
    /// Size of each entry.
    sizes: Vec<usize>,
    /// The entries one after another.
    entries: Vec<u8>,
}

impl MetaBlockBuilder {
    /// A builder of blocks of `block_size` bytes.
    #[must_use]
    pub fn new(block_size: u32) -> MetaBlockBuilder {
        // Offsets have 16 bits, so larger blocks are not filled.
        let limit = usize::try_from(block_size).unwrap_or(usize::MAX).min(usize::from(u16::MAX));
        MetaBlockBuilder { limit, sizes: Vec::new(), entries: Vec::new() }
    }

    /// The largest entry that fits into a block.
    #[must_use]
    pub fn largest_entry(&self) -> usize {
        self.limit.saturating_sub(HEADER_SIZE + INDEX_SIZE)
    }

    /// Entries in the block.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether the block has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Adds an encoded entry, or returns `false` if the block has no room for it.
    pub fn push(&mut self, entry: &[u8]) -> bool {
        let head = HEADER_SIZE + (self.sizes.len() + 1) * INDEX_SIZE;
        if head + self.entries.len() + entry.len() > self.limit {
            return false;
        }
        self.sizes.push(entry.len());
        self.entries.extend_from_slice(entry);
        true
    }

    /// Appends the block's bytes, without padding, and starts the next block.
    pub fn finish(&mut self, to: &mut Vec<u8>) {
        let data_start = HEADER_SIZE + self.sizes.len() * INDEX_SIZE;
        let mut put = |number: usize| {
            // All numbers are below `limit`, which 16 bits hold.
            to.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
        };
        put((MAGIC >> 16) as usize);
        put((MAGIC & 0xffff) as usize);
        put(data_start + self.entries.len());
        put(0);
        put(self.sizes.len());
        put(self.sizes.len());
        let mut start = data_start;
        for size in self.sizes.drain(..) {
            put(start);
            put(size);
            start += size;
        }
        to.append(&mut self.entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &[u8]) -> VacDir {
        VacDir { name: name.to_vec(), ..VacDir::default() }
    }

    fn block(names: &[&[u8]]) -> Vec<u8> {
        let mut builder = MetaBlockBuilder::new(8192);
        for name in names {
            let mut bytes = Vec::new();
            named(name).encode(&mut bytes).unwrap();
            assert!(builder.push(&bytes));
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        bytes.resize(8192, 0);
        bytes
    }

    #[test]
    fn longer_names_come_before_their_prefixes() {
        assert_eq!(name_order(b"ab", b"a"), Ordering::Less);
        assert_eq!(name_order(b"a", b"b"), Ordering::Less);
        assert_eq!(name_order(b"ab", b"b"), Ordering::Less);
        assert_eq!(name_order(b"\xff", b"a"), Ordering::Greater);
        assert_eq!(name_order(b"a", b"a"), Ordering::Equal);
    }

    #[test]
    fn a_block_gives_back_and_finds_what_was_put_in() {
        let names: [&[u8]; 4] = [b"abc", b"ab", b"a", b"b"];
        let bytes = block(&names);
        let parsed = MetaBlock::parse(&bytes).unwrap();
        assert_eq!(parsed.len(), 4);
        for (number, name) in names.iter().enumerate() {
            assert_eq!(parsed.name(number), Ok(*name));
            assert_eq!(parsed.find(name), Ok(Some(named(name))));
        }
        assert_eq!(parsed.find(b"aa"), Ok(None));
        assert!(parsed.entry(4).is_err());
        assert!(MetaBlock::parse(&[0; 512]).unwrap().is_empty());
    }

    #[test]
    fn malformed_blocks_are_refused() {
        let good = block(&[b"a", b"b"]);
        let with = |at: usize, value: [u8; 2]| {
            let mut bytes = good.clone();
            bytes[at..at + 2].copy_from_slice(&value);
            MetaBlock::parse(&bytes).map(|block| block.len())
        };
        assert!(matches!(with(0, [0, 0]), Err(FormatError::Magic { .. })), "magic");
        assert!(matches!(with(4, [0xff; 2]), Err(FormatError::MetaBlock { .. })), "size");
        assert!(matches!(with(8, [0xff; 2]), Err(FormatError::MetaBlock { .. })), "index");
        assert!(matches!(with(10, [0, 3]), Err(FormatError::MetaBlock { .. })), "count");
        assert!(matches!(with(12, [0, 12]), Err(FormatError::MetaBlock { .. })), "offset");
        assert!(matches!(with(14, [0xff; 2]), Err(FormatError::MetaBlock { .. })), "entry size");
        assert!(matches!(MetaBlock::parse(&good[..11]), Err(FormatError::Truncated { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(
            at in proptest::collection::vec((0usize..200, any::<u8>()), 1..6),
        ) {
            let mut bytes = block(&[b"abc", b"b"]);
            at.iter().for_each(|(at, byte)| bytes[*at] = *byte);
            if let Ok(parsed) = MetaBlock::parse(&bytes) {
                for number in 0..parsed.len() {
                    let found = (parsed.name(number), parsed.entry(number).map(|e| e.name));
                    if let (Ok(name), Ok(whole)) = found {
                        prop_assert_eq!(name, &whole[..]);
                    }
                }
                let _ = parsed.find(b"b");
            }
        }
    }
}
