//! Blocks gathered in one buffer, so that hashing, sending and storing go by the batch.
//!
//! A hand-off between threads costs more than a block, and an allocation for each block more than
//! its copy: so the unit that moves is a batch, its blocks lie one after another in one buffer,
//! and the buffer is used again. Only [`BlockBatch::hash`] makes a [`HashedBatch`], so whoever
//! holds one knows that its scores were computed from its bytes in this process.

use crate::{BlockType, Score};

/// Where one block of a batch lies, and what it is.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Byte at which the block starts in the batch's buffer.
    start: usize,
    /// Bytes in the block.
    length: usize,
    block_type: BlockType,
}

/// Blocks that are being gathered and have no scores yet.
#[derive(Debug, Default)]
pub struct BlockBatch {
    data: Vec<u8>,
    extents: Vec<Extent>,
    /// Kept from an earlier round for its capacity.
    scores: Vec<Score>,
}

impl BlockBatch {
    /// An empty batch with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> BlockBatch {
        BlockBatch { data: Vec::with_capacity(bytes), ..BlockBatch::default() }
    }

    /// Appends a block with these bytes and returns its position in the batch.
    pub fn push(&mut self, block_type: BlockType, block: &[u8]) -> usize {
        self.data.extend_from_slice(block);
        self.finish_block(block_type, block.len())
    }

    /// Appends a block that `fill` writes: it gets a zeroed buffer of `max` bytes and returns how
    /// many of them are the block. Saves the copy of [`BlockBatch::push`] when reading a file.
    ///
    /// # Errors
    /// Those of `fill`; the batch is then as it was.
    pub fn push_with<E>(
        &mut self,
        block_type: BlockType,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let start = self.data.len();
        self.data.resize(start + max, 0);
        let filled = fill(&mut self.data[start..]);
        let length = filled.as_ref().map_or(0, |length| (*length).min(max));
        self.data.truncate(start + length);
        filled.map(|_| self.finish_block(block_type, length))
    }

    fn finish_block(&mut self, block_type: BlockType, length: usize) -> usize {
        self.extents.push(Extent { start: self.data.len() - length, length, block_type });
        self.extents.len() - 1
    }

    /// The bytes of the block at `position`, if there is one.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&[u8]> {
        self.extents.get(position).map(|e| &self.data[e.start..e.start + e.length])
    }

    /// Blocks gathered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.extents.len()
    }

    /// Whether no block was gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Bytes gathered.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Computes the score of every block.
    #[must_use]
    pub fn hash(mut self) -> HashedBatch {
        let BlockBatch { data, extents, scores } = &mut self;
        scores.clear();
        scores.resize(extents.len(), Score::ZERO);
        Score::of_all(extents.iter().map(|e| &data[e.start..e.start + e.length]), scores);
        HashedBatch { batch: self }
    }
}

/// Blocks with scores that were computed from their bytes in this process.
#[derive(Debug)]
pub struct HashedBatch {
    batch: BlockBatch,
}

/// One block of a [`HashedBatch`].
#[derive(Clone, Copy, Debug)]
pub struct HashedBlock<'a> {
    score: Score,
    block_type: BlockType,
    data: &'a [u8],
}

impl<'a> HashedBlock<'a> {
    /// Hashes `data`: the way to a verified block for callers that have just one.
    #[must_use]
    pub fn new(block_type: BlockType, data: &'a [u8]) -> HashedBlock<'a> {
        HashedBlock { score: Score::of(data), block_type, data }
    }

    /// Hashes all `blocks` together, which is faster than one after another.
    #[must_use]
    pub fn hash_all(blocks: impl Iterator<Item = (BlockType, &'a [u8])>) -> Vec<HashedBlock<'a>> {
        let unhashed = |(block_type, data)| HashedBlock { score: Score::ZERO, block_type, data };
        let mut hashed: Vec<_> = blocks.map(unhashed).collect();
        let mut scores = vec![Score::ZERO; hashed.len()];
        Score::of_all(hashed.iter().map(|block| block.data), &mut scores);
        for (block, score) in hashed.iter_mut().zip(scores) {
            block.score = score;
        }
        hashed
    }

    /// The score, computed from [`HashedBlock::data`].
    #[must_use]
    pub const fn score(&self) -> Score {
        self.score
    }

    /// The type.
    #[must_use]
    pub const fn block_type(&self) -> BlockType {
        self.block_type
    }

    /// The bytes.
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}

impl HashedBatch {
    /// The blocks in the order in which they were gathered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = HashedBlock<'_>> {
        let BlockBatch { data, extents, scores } = &self.batch;
        extents.iter().zip(scores).map(move |(extent, score)| HashedBlock {
            score: *score,
            block_type: extent.block_type,
            data: &data[extent.start..extent.start + extent.length],
        })
    }

    /// The scores in the order in which the blocks were gathered.
    #[must_use]
    pub fn scores(&self) -> &[Score] {
        &self.batch.scores
    }

    /// Blocks in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there is no block in the batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes of all blocks together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch.extents.iter().map(|extent| extent.length).sum()
    }

    /// Takes out every block that `keep` does not want to keep. The others stay as they are.
    pub fn retain(&mut self, mut keep: impl FnMut(HashedBlock<'_>) -> bool) {
        let BlockBatch { data, extents, scores } = &mut self.batch;
        let mut kept = 0;
        for position in 0..extents.len() {
            let extent = extents[position];
            let (score, block_type) = (scores[position], extent.block_type);
            let data = &data[extent.start..extent.start + extent.length];
            if keep(HashedBlock { score, block_type, data }) {
                extents[kept] = extent;
                scores[kept] = score;
                kept += 1;
            }
        }
        extents.truncate(kept);
        scores.truncate(kept);
    }

    /// An empty batch that uses this one's buffers again.
    #[must_use]
    pub fn recycle(self) -> BlockBatch {
        let BlockBatch { mut data, mut extents, scores } = self.batch;
        data.clear();
        extents.clear();
        BlockBatch { data, extents, scores }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hashed_together_have_their_own_scores() {
        let blocks: [(BlockType, &[u8]); 2] = [(BlockType::DATA, b"a"), (BlockType::ROOT, b"")];
        let hashed = HashedBlock::hash_all(blocks.into_iter());
        let found: Vec<_> = hashed.iter().map(|b| (b.score(), b.block_type(), b.data())).collect();
        assert_eq!(found, blocks.map(|(block_type, data)| (Score::of(data), block_type, data)));
    }

    #[test]
    fn a_batch_keeps_order_and_computes_scores() {
        let mut batch = BlockBatch::with_capacity(64);
        batch.push(BlockType::DATA, b"one");
        let filled: Result<usize, ()> = batch.push_with(BlockType::DIRECTORY, 10, |buffer| {
            buffer[..3].copy_from_slice(b"two");
            Ok(3)
        });
        assert_eq!(filled, Ok(1));
        assert_eq!(batch.push_with(BlockType::DATA, 10, |_| Err("no")), Err("no"));
        batch.push(BlockType::DATA, b"");
        let hashed = batch.hash();
        let blocks: Vec<_> = hashed.iter().map(|b| (b.block_type(), b.score(), b.data())).collect();
        let expected: [(BlockType, &[u8]); 3] =
            [(BlockType::DATA, b"one"), (BlockType::DIRECTORY, b"two"), (BlockType::DATA, b"")];
        assert_eq!(blocks, expected.map(|(t, data)| (t, Score::of(data), data)));
        let mut fewer = hashed;
        fewer.retain(|block| block.data() != b"two");
        let left: Vec<_> = fewer.iter().map(|b| (b.score(), b.data().to_vec())).collect();
        assert_eq!(left, [b"one".as_slice(), b""].map(|d| (Score::of(d), d.to_vec())));
        assert_eq!((fewer.scores().len(), fewer.bytes()), (2, 3));
        let empty = fewer.recycle();
        assert!(empty.is_empty());
        assert_eq!(empty.bytes(), 0);
    }
}
