//! What vac, the dump and the tools need of a store, whichever store it is.
//!
//! Implemented by the client of a remote server, by an embedded store of the crate `arenas`, and
//! by [`crate::MemoryStore`]. One behavioural suite runs against all three.

use crate::{BlockType, HashedBatch, HashedBlock, Score};

/// The address of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRequest {
    /// Which bytes.
    pub score: Score,
    /// As what.
    pub block_type: BlockType,
}

/// The answer to "is it there?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The store holds the block.
    Present,
    /// The store does not hold the block.
    Absent,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No block with this score and type is stored.
    #[error("no block with score {score} and type {block_type} exists")]
    NotFound {
        /// The score asked for.
        score: Score,
        /// The type asked for.
        block_type: BlockType,
    },
    /// Other bytes with the same score are stored already. The stored block stays as it is.
    #[error("score collision: other bytes with score {score} are stored already")]
    Collision {
        /// The score that both blocks have.
        score: Score,
    },
    /// The store holds the block and can not read it, or what it read does not match the score.
    #[error("block {score} is damaged: {detail}")]
    Damaged {
        /// The score asked for.
        score: Score,
        /// Where, what was found and what was expected.
        detail: String,
    },
    /// The block is larger than the store takes.
    #[error("a block of {size} bytes is too large, at most {limit} are allowed")]
    TooLarge {
        /// Bytes in the block.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// The store takes no writes: it was opened read-only, or an earlier write or sync failed.
    #[error("the store takes no writes: {detail}")]
    ReadOnly {
        /// Why.
        detail: String,
    },
    /// The disk is full or can not be read or written.
    #[error("{detail}")]
    Io {
        /// What was done, and what the system said.
        detail: String,
    },
    /// The server can not be reached any more, or broke the protocol.
    #[error("connection to the server lost: {detail}")]
    Connection {
        /// What happened.
        detail: String,
    },
    /// The server refused, in its own words.
    #[error("the server refused: {message}")]
    Refused {
        /// The text of the server's error.
        message: String,
    },
}

/// Takes what was read: the position of the request, and the block's bytes or why there are none.
pub type Deliver<'a> = dyn FnMut(usize, Result<&[u8], StoreError>) + 'a;

/// A place that keeps blocks.
///
/// All methods may be called from several threads at once.
pub trait BlockStore: Send + Sync {
    /// Takes every block of the batch, in order. Returning does not mean that they are stored:
    /// only [`BlockStore::sync`] promises that. A block that is refused is reported by this call
    /// or by any later one of the same store, at the latest by the next sync.
    ///
    /// # Errors
    /// Any [`StoreError`] but `NotFound`.
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError>;

    /// Reads every requested block and hands each to `deliver` with its position in `requests`,
    /// in whatever order they come, each exactly once. The bytes match the score: the
    /// implementation has hashed them.
    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>);

    /// Says of each block whether it is there, without reading it, in the order of `requests`.
    ///
    /// # Errors
    /// `Connection`, `Io` or `Refused`: then nothing is known of any of them.
    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError>;

    /// Returns once every block that any earlier [`BlockStore::write`] took is durable.
    ///
    /// # Errors
    /// Any [`StoreError`]; then nothing is promised of the blocks written since the last success.
    fn sync(&self) -> Result<(), StoreError>;

    /// For each block a number by which they can be read in the order in which they lie; `None`
    /// for those of which nothing is known, and in all if this store has no order.
    fn places(&self, requests: &[BlockRequest]) -> Option<Vec<Option<u64>>> {
        let _ = requests;
        None
    }

    /// Reads one block into a new buffer.
    ///
    /// # Errors
    /// As [`BlockStore::read`] delivers them.
    fn read_block(&self, score: Score, block_type: BlockType) -> Result<Vec<u8>, StoreError> {
        let mut block = Err(StoreError::NotFound { score, block_type });
        self.read(&[BlockRequest { score, block_type }], &mut |_, found| {
            block = found.map(<[u8]>::to_vec);
        });
        block
    }
}

/// The address of a block that was hashed here.
impl From<&HashedBlock<'_>> for BlockRequest {
    fn from(block: &HashedBlock<'_>) -> BlockRequest {
        BlockRequest { score: block.score(), block_type: block.block_type() }
    }
}
