//! Streams as trees of blocks: leaves of one size, and above them blocks of scores (venti(7)).
//!
//! The tree of a stream is a function of its bytes and of its two block sizes: leaves all but the
//! last are full, a pointer block is full before the next one of its level starts, and there are
//! as few levels as the size needs. Equal streams have equal scores, and a run of zeros is one
//! score at every level.

mod reader;
mod writer;

pub use reader::{Leaf, LeafWalk, TreeError, read_range};
pub use writer::{HashTreeWriter, TreeTooDeep};

use crate::{Entry, Score};

/// Levels of pointer blocks that a tree may have.
pub const MAX_DEPTH: u8 = 7;

const SCORE_SIZE: u32 = 20;
const ENTRY_SIZE: u32 = 40;
const _: () = assert!(SCORE_SIZE as usize == Score::SIZE && ENTRY_SIZE as usize == Entry::SIZE);

/// Levels of pointer blocks that a stream of `size` bytes needs; `None` if more than seven.
#[must_use]
pub fn depth_of(size: u64, pointer_size: u32, data_size: u32) -> Option<u8> {
    let per_block = u64::from(pointer_size) / Score::SIZE as u64;
    let mut blocks = size.div_ceil(u64::from(data_size.max(1)));
    let mut depth = 0;
    while blocks > 1 {
        if depth == MAX_DEPTH || per_block < 2 {
            return None;
        }
        blocks = blocks.div_ceil(per_block);
        depth += 1;
    }
    Some(depth)
}

/// The pointer block size that the original's vac uses with this data block size: as many whole
/// scores as fit, up to 60,000 bytes.
#[must_use]
pub fn pointer_size_for(data_size: u32) -> u32 {
    let size = data_size.min(60_000);
    size - size % SCORE_SIZE
}

/// Bytes in a directory stream of this many entries: a leaf holds only whole entries, and what
/// is left of it counts as well.
#[must_use]
pub fn directory_stream_size(entries: u64, data_size: u32) -> u64 {
    let entry = Entry::SIZE as u64;
    let per_block = (u64::from(data_size) / entry).max(1);
    (entries / per_block) * u64::from(data_size) + (entries % per_block) * entry
}

/// Where the entry of this number lies in a directory stream: the leaf, and the byte in it.
#[must_use]
pub fn directory_position(number: u32, data_size: u32) -> (u64, usize) {
    let per_block = (data_size / ENTRY_SIZE).max(1);
    (u64::from(number / per_block), (number % per_block) as usize * Entry::SIZE)
}
