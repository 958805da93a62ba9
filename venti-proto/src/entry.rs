//! An entry: 40 bytes that describe one stream, a hash tree with its sizes (venti(7)).
//!
//! Directory blocks hold entries; an entry leads to the blocks of a file or of another directory.
//! A block size of 64 KiB or more is written as an 11-bit mantissa and a 5-bit shift, and then a
//! flag says so for both sizes of the entry.

use crate::{BlockType, Score};

/// The largest size of a stream: 2^48 - 1 bytes, for it is stored in 48 bits.
pub const MAX_STREAM_SIZE: u64 = (1 << 48) - 1;

/// The smallest block size that the original accepts in an entry or a root.
pub const MIN_ENTRY_BLOCK_SIZE: u32 = 256;

const FLAG_ACTIVE: u8 = 1 << 0;
const FLAG_DIRECTORY: u8 = 1 << 1;
const DEPTH_SHIFT: u8 = 2;
const DEPTH_MASK: u8 = 7 << DEPTH_SHIFT;
const FLAG_LOCAL: u8 = 1 << 5;
const FLAG_BIG: u8 = 1 << 6;
const FLAG_NO_ARCHIVE: u8 = 1 << 7;

/// What the leaves of a stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The bytes of a file.
    Data,
    /// Entries.
    Directory,
}

impl StreamKind {
    /// The type of the stream's leaves.
    #[must_use]
    pub const fn leaf_type(self) -> BlockType {
        match self {
            StreamKind::Data => BlockType::DATA,
            StreamKind::Directory => BlockType::DIRECTORY,
        }
    }
}

/// One stream: where its tree starts, how deep and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Tells a new stream in a slot from the one that was there before.
    pub generation: u32,
    /// Bytes in a full pointer block; scores in it: this divided by 20.
    pub pointer_size: u32,
    /// Bytes in a full leaf.
    pub data_size: u32,
    /// What the leaves hold.
    pub kind: StreamKind,
    /// Levels of pointer blocks, 0 to 7.
    pub depth: u8,
    /// Used by file systems that keep blocks outside Venti, kept as it was read.
    pub local: bool,
    /// Used by file systems that leave files out of dumps, kept as it was read.
    pub no_archive: bool,
    /// Bytes in the stream, at most [`MAX_STREAM_SIZE`].
    pub size: u64,
    /// The block at the top of the tree.
    pub score: Score,
}

/// What is wrong with 40 bytes that should be an entry, or with an entry to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// There are not 40 bytes.
    #[error("an entry has 40 bytes, found {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A block size is below 256 bytes or above what 32 bits hold.
    #[error("block size {size} in an entry, expected at least 256 and at most 2^32 - 1")]
    BlockSize {
        /// The size found.
        size: u64,
    },
    /// A block size of 64 KiB or more has more than 11 significant bits.
    #[error("block size {size} can not be written: above 65535 it needs an 11-bit mantissa")]
    BlockSizeMantissa {
        /// The size.
        size: u32,
    },
    /// The stream is larger than 48 bits can say.
    #[error("a stream of {size} bytes is too large: at most 2^48 - 1")]
    StreamSize {
        /// The size.
        size: u64,
    },
    /// More than seven levels of pointer blocks.
    #[error("depth {depth} in an entry, expected at most 7")]
    Depth {
        /// The depth.
        depth: u8,
    },
}

impl Entry {
    /// Bytes in an entry: generation, two block sizes, flags, padding, size, score.
    pub const SIZE: usize = 4 + 2 + 2 + 1 + 5 + 6 + Score::SIZE;

    /// The entry of a stream of no bytes.
    #[must_use]
    pub const fn empty(kind: StreamKind, pointer_size: u32, data_size: u32) -> Entry {
        Entry {
            generation: 0,
            pointer_size,
            data_size,
            kind,
            depth: 0,
            local: false,
            no_archive: false,
            size: 0,
            score: Score::ZERO,
        }
    }

    /// Reads 40 bytes; `None` if they are marked as not in use.
    ///
    /// Old archives have entries of empty streams with both sizes 0: as in the original they are
    /// read as if they said 4096.
    ///
    /// # Errors
    /// [`EntryError::Length`], [`EntryError::BlockSize`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Entry>, EntryError> {
        let Ok(bytes) = <&[u8; Entry::SIZE]>::try_from(bytes) else {
            return Err(EntryError::Length { found: bytes.len() });
        };
        let [g0, g1, g2, g3, p0, p1, d0, d1, flags, _, _, _, _, _, rest @ ..] = *bytes;
        if flags & FLAG_ACTIVE == 0 {
            return Ok(None);
        }
        let [s0, s1, s2, s3, s4, s5, score @ ..] = rest;
        let score = Score::from_bytes(score);
        let mut pointer_size = u64::from(u16::from_be_bytes([p0, p1]));
        let mut data_size = u64::from(u16::from_be_bytes([d0, d1]));
        if flags & FLAG_BIG != 0 {
            pointer_size = from_big(pointer_size);
            data_size = from_big(data_size);
        }
        if pointer_size == 0 && data_size == 0 && score == Score::ZERO {
            (pointer_size, data_size) = (4096, 4096);
        }
        Ok(Some(Entry {
            generation: u32::from_be_bytes([g0, g1, g2, g3]),
            pointer_size: check_block_size(pointer_size)?,
            data_size: check_block_size(data_size)?,
            kind: if flags & FLAG_DIRECTORY == 0 {
                StreamKind::Data
            } else {
                StreamKind::Directory
            },
            depth: (flags & DEPTH_MASK) >> DEPTH_SHIFT,
            local: flags & FLAG_LOCAL != 0,
            no_archive: flags & FLAG_NO_ARCHIVE != 0,
            size: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
            score,
        }))
    }

    /// The 40 bytes, marked as in use.
    ///
    /// # Errors
    /// Any [`EntryError`] but `Length`.
    pub fn encode(&self) -> Result<[u8; Entry::SIZE], EntryError> {
        if self.size > MAX_STREAM_SIZE {
            return Err(EntryError::StreamSize { size: self.size });
        }
        if self.depth > 7 {
            return Err(EntryError::Depth { depth: self.depth });
        }
        check_block_size(u64::from(self.pointer_size))?;
        check_block_size(u64::from(self.data_size))?;
        let mut flags = FLAG_ACTIVE | self.depth << DEPTH_SHIFT;
        for (set, flag) in [
            (self.kind == StreamKind::Directory, FLAG_DIRECTORY),
            (self.local, FLAG_LOCAL),
            (self.no_archive, FLAG_NO_ARCHIVE),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let sizes = match (u16::try_from(self.pointer_size), u16::try_from(self.data_size)) {
            (Ok(pointer_size), Ok(data_size)) => [pointer_size, data_size],
            _ => {
                flags |= FLAG_BIG;
                [to_big(self.pointer_size)?, to_big(self.data_size)?]
            }
        };
        let mut bytes = [0; Entry::SIZE];
        bytes[..4].copy_from_slice(&self.generation.to_be_bytes());
        bytes[4..6].copy_from_slice(&sizes[0].to_be_bytes());
        bytes[6..8].copy_from_slice(&sizes[1].to_be_bytes());
        bytes[8] = flags;
        bytes[14..20].copy_from_slice(&self.size.to_be_bytes()[2..]);
        bytes[20..].copy_from_slice(self.score.as_bytes());
        Ok(bytes)
    }

    /// The type of the block that [`Entry::score`] leads to; `None` if the depth is above 7.
    #[must_use]
    pub const fn top_type(&self) -> Option<BlockType> {
        match self.depth.checked_sub(1) {
            None => Some(self.kind.leaf_type()),
            Some(level) => BlockType::pointer(level),
        }
    }
}

fn check_block_size(size: u64) -> Result<u32, EntryError> {
    match u32::try_from(size) {
        Ok(size) if size >= MIN_ENTRY_BLOCK_SIZE => Ok(size),
        _ => Err(EntryError::BlockSize { size }),
    }
}

/// Reads a size written as mantissa and shift.
pub(crate) fn from_big(number: u64) -> u64 {
    (number >> 5) << (number & 31)
}

/// Writes a size as mantissa and shift, exactly or not at all.
pub(crate) fn to_big(size: u32) -> Result<u16, EntryError> {
    let shift = 21u32.saturating_sub(size.leading_zeros());
    let mantissa = size >> shift;
    if mantissa << shift != size {
        return Err(EntryError::BlockSizeMantissa { size });
    }
    u16::try_from(mantissa << 5 | shift).map_err(|_| EntryError::BlockSizeMantissa { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Entry {
        Entry {
            generation: 0x0102_0304,
            depth: 3,
            size: 0x0605_0403_0201,
            score: Score::of(b"x"),
            ..Entry::empty(StreamKind::Directory, 8180, 8192)
        }
    }

    #[test]
    fn layout_as_in_venti_7() {
        let bytes = sample().encode().unwrap();
        let expected = [
            &[1, 2, 3, 4, 0x1f, 0xf4, 0x20, 0, 0b0000_1111, 0, 0, 0, 0, 0][..],
            &[6, 5, 4, 3, 2, 1],
            Score::of(b"x").as_bytes(),
        ]
        .concat();
        assert_eq!(bytes[..], expected);
        assert_eq!(Entry::decode(&bytes), Ok(Some(sample())));
    }

    #[test]
    fn large_block_sizes_are_exact_or_refused() {
        for size in [0x1_0000, 0x7ff << 20, 0x7ff << 21, 0x8000_0000, 56 * 1024 * 2] {
            let entry = Entry { data_size: size, ..sample() };
            let bytes = Entry { pointer_size: 1024, ..entry }.encode().unwrap();
            assert_eq!(bytes[8] & FLAG_BIG, FLAG_BIG);
            assert_eq!(Entry::decode(&bytes).unwrap().unwrap().data_size, size);
        }
        assert_eq!(
            Entry { data_size: 0x1_0001, ..sample() }.encode(),
            Err(EntryError::BlockSizeMantissa { size: 0x1_0001 })
        );
        let mut overflowing = sample().encode().unwrap();
        overflowing[4..9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, FLAG_ACTIVE | FLAG_BIG]);
        let found = Entry::decode(&overflowing).unwrap_err();
        assert_eq!(found, EntryError::BlockSize { size: 0x7ff << 31 });
    }

    #[test]
    fn zero_sizes_of_empty_streams_are_rewritten_and_others_refused() {
        let mut bytes = Entry { score: Score::ZERO, ..sample() }.encode().unwrap();
        bytes[4..8].fill(0);
        let entry = Entry::decode(&bytes).unwrap().unwrap();
        assert_eq!((entry.pointer_size, entry.data_size), (4096, 4096));
        bytes[20] = 1;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::BlockSize { size: 0 }));
        bytes[8] = 0;
        assert_eq!(Entry::decode(&bytes), Ok(None));
        assert_eq!(Entry::decode(&bytes[1..]), Err(EntryError::Length { found: 39 }));
        let large = Entry { size: 1 << 48, ..sample() }.encode();
        assert_eq!(large, Err(EntryError::StreamSize { size: 1 << 48 }));
    }

    proptest! {
        #[test]
        fn any_40_bytes_decode_to_what_encodes_again(bytes: [u8; 20], score: [u8; 20]) {
            let bytes = [bytes, score].concat();
            if let Ok(Some(entry)) = Entry::decode(&bytes) {
                let again = entry.encode().unwrap();
                prop_assert_eq!(Entry::decode(&again), Ok(Some(entry)));
            }
        }
    }
}
