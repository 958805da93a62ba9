//! Writes the tree above leaves that come one after another.
//!
//! Holds one unfinished pointer block a level, whatever the size of the stream. A run of zeros
//! costs a few steps a level, not one a leaf: a hole of a terabyte is cheap.

use super::MAX_DEPTH;
use crate::{BlockBatch, BlockType, Entry, Score, StreamKind};

/// The stream has more leaves than seven levels of pointer blocks can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many leaves: {leaves} need more than 7 levels of pointer blocks of {pointer_size} bytes"
)]
pub struct TreeTooDeep {
    /// Leaves so far.
    pub leaves: u64,
    /// Bytes in a pointer block.
    pub pointer_size: u32,
}

/// The scores of one level that no block of the level above holds yet.
#[derive(Clone, Debug, Default)]
struct Level {
    /// Scores gathered since the last full block.
    filled: u64,
    /// Their bytes, without the scores of empty blocks at the end.
    block: Vec<u8>,
    /// Scores that this level ever had.
    total: u64,
}

/// Makes the pointer blocks and the entry of one stream after another.
#[derive(Clone, Debug)]
pub struct HashTreeWriter {
    kind: StreamKind,
    pointer_size: u32,
    data_size: u32,
    /// Scores in a pointer block.
    per_block: u64,
    /// Level 0 has the scores of the leaves, level 7 that of the highest pointer block.
    levels: [Level; MAX_DEPTH as usize + 1],
}

impl HashTreeWriter {
    /// A writer of streams with these block sizes. A pointer block holds at least two scores,
    /// whatever `pointer_size` says.
    #[must_use]
    pub fn new(kind: StreamKind, pointer_size: u32, data_size: u32) -> HashTreeWriter {
        let per_block = (u64::from(pointer_size) / Score::SIZE as u64).max(2);
        HashTreeWriter { kind, pointer_size, data_size, per_block, levels: Default::default() }
    }

    /// Leaves so far.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.levels[0].total
    }

    /// Adds the next leaf. Pointer blocks that are full now are appended to `batch`.
    ///
    /// # Errors
    /// [`TreeTooDeep`].
    pub fn push(&mut self, leaf: Score, batch: &mut BlockBatch) -> Result<(), TreeTooDeep> {
        self.push_at(0, leaf, batch)
    }

    /// Adds leaves that are all zero.
    ///
    /// # Errors
    /// [`TreeTooDeep`].
    pub fn push_zeros(&mut self, leaves: u64, batch: &mut BlockBatch) -> Result<(), TreeTooDeep> {
        let mut run = leaves;
        for level in 0..=usize::from(MAX_DEPTH) {
            let top_up = run.min(self.per_block - self.levels[level].filled);
            self.extend_zeros(level, top_up, batch)?;
            let whole = (run - top_up) / self.per_block;
            // The blocks between start and end of the run are zeros of the level above, but
            // their scores come before those of the rest: which is never a full block.
            let rest = (run - top_up) % self.per_block;
            self.levels[level].total += whole * self.per_block + rest;
            self.levels[level].filled += rest;
            run = whole;
            if run == 0 {
                return Ok(());
            }
        }
        Err(self.too_deep())
    }

    /// Ends the stream: appends the blocks that are not full to `batch`, and returns the entry
    /// of a stream of `size` bytes. The writer is then ready for the next stream.
    ///
    /// # Errors
    /// [`TreeTooDeep`]; the writer is ready for the next stream then too.
    pub fn finish(&mut self, size: u64, batch: &mut BlockBatch) -> Result<Entry, TreeTooDeep> {
        let top = self.close_levels(batch);
        for level in &mut self.levels {
            level.filled = 0;
            level.total = 0;
            level.block.clear();
        }
        let (depth, score) = top?;
        let empty = Entry::empty(self.kind, self.pointer_size, self.data_size);
        Ok(Entry { depth, size, score, ..empty })
    }

    /// The depth of the tree and its topmost score.
    fn close_levels(&mut self, batch: &mut BlockBatch) -> Result<(u8, Score), TreeTooDeep> {
        for depth in 0..=MAX_DEPTH {
            let level = usize::from(depth);
            if self.levels[level].total <= 1 {
                let block = &self.levels[level].block;
                let score = <[u8; Score::SIZE]>::try_from(block.as_slice());
                return Ok((depth, score.map_or(Score::ZERO, Score::from_bytes)));
            }
            if self.levels[level].filled > 0 {
                self.close_block(level, batch)?;
            }
        }
        Err(self.too_deep())
    }

    fn push_at(
        &mut self,
        level: usize,
        score: Score,
        batch: &mut BlockBatch,
    ) -> Result<(), TreeTooDeep> {
        if score == Score::ZERO {
            return self.extend_zeros(level, 1, batch);
        }
        let Some(Level { filled, block, total }) = self.levels.get_mut(level) else {
            return Err(self.too_deep());
        };
        while (block.len() / Score::SIZE) < usize::try_from(*filled).unwrap_or(usize::MAX) {
            block.extend_from_slice(Score::ZERO.as_bytes());
        }
        block.extend_from_slice(score.as_bytes());
        *filled += 1;
        *total += 1;
        if *filled == self.per_block { self.close_block(level, batch) } else { Ok(()) }
    }

    /// Adds zeros that fit into the unfinished block.
    fn extend_zeros(
        &mut self,
        level: usize,
        count: u64,
        batch: &mut BlockBatch,
    ) -> Result<(), TreeTooDeep> {
        let Some(unfinished) = self.levels.get_mut(level) else { return Err(self.too_deep()) };
        unfinished.filled += count;
        unfinished.total += count;
        if unfinished.filled == self.per_block { self.close_block(level, batch) } else { Ok(()) }
    }

    /// Turns the unfinished block of `level` into a score of the level above.
    fn close_block(&mut self, level: usize, batch: &mut BlockBatch) -> Result<(), TreeTooDeep> {
        let number = u8::try_from(level).unwrap_or(u8::MAX);
        let Some(block_type) = BlockType::pointer(number) else { return Err(self.too_deep()) };
        let unfinished = &mut self.levels[level];
        let mut score = Score::ZERO;
        if !unfinished.block.is_empty() {
            score = Score::of(&unfinished.block);
            batch.push(block_type, &unfinished.block);
        }
        unfinished.block.clear();
        unfinished.filled = 0;
        self.push_at(level + 1, score, batch)
    }

    fn too_deep(&self) -> TreeTooDeep {
        TreeTooDeep { leaves: self.leaves(), pointer_size: self.pointer_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_tree::depth_of;
    use proptest::prelude::*;

    /// The tree as venti(7) describes it, level by level, without any cleverness.
    fn naive_top(mut scores: Vec<Score>, per_block: usize) -> (u8, Score) {
        let mut depth = 0;
        while scores.len() > 1 {
            let block_score = |block: &[Score]| {
                let bytes: Vec<u8> = block.iter().flat_map(|s| *s.as_bytes()).collect();
                let pointer = BlockType::pointer(0).unwrap();
                Score::of(&bytes[..crate::zero_truncated_len(pointer, &bytes)])
            };
            scores = scores.chunks(per_block).map(block_score).collect();
            depth += 1;
        }
        (depth, scores.first().copied().unwrap_or(Score::ZERO))
    }

    proptest! {
        #[test]
        fn the_tree_is_the_one_of_the_definition(
            runs in proptest::collection::vec((any::<bool>(), 1u64..70), 0..12),
            per_block in 3u32..9,
        ) {
            let mut writer = HashTreeWriter::new(StreamKind::Data, per_block * 20 + 7, 512);
            let mut batch = BlockBatch::default();
            let mut scores = Vec::new();
            for (run, (zeros, length)) in runs.into_iter().enumerate() {
                let number = |leaf: u64| (run as u64 * 100 + leaf).to_be_bytes();
                if zeros {
                    writer.push_zeros(length, &mut batch).unwrap();
                    scores.extend((0..length).map(|_| Score::ZERO));
                } else {
                    let leaves = (0..length).map(|leaf| Score::of(&number(leaf)));
                    scores.extend(leaves.clone());
                    leaves.for_each(|leaf| writer.push(leaf, &mut batch).unwrap());
                }
            }
            prop_assert_eq!(writer.leaves(), scores.len() as u64);
            let size = scores.len() as u64 * 512;
            let entry = writer.finish(size, &mut batch).unwrap();
            prop_assert_eq!((entry.depth, entry.score), naive_top(scores, per_block as usize));
            prop_assert_eq!(Some(entry.depth), depth_of(size, per_block * 20, 512));
            let batch = batch.hash();
            prop_assert!(entry.depth == 0 || entry.score == Score::ZERO
                || batch.scores().contains(&entry.score));
            prop_assert_eq!(writer.finish(0, &mut BlockBatch::default()).unwrap().depth, 0);
        }
    }

    #[test]
    fn the_largest_file_of_zeros_is_made_at_once() {
        let mut writer = HashTreeWriter::new(StreamKind::Data, 8180, 8192);
        let mut batch = BlockBatch::default();
        let leaves = crate::MAX_STREAM_SIZE.div_ceil(8192);
        writer.push(Score::of(b"first"), &mut batch).unwrap();
        writer.push_zeros(leaves - 2, &mut batch).unwrap();
        writer.push(Score::of(b"last"), &mut batch).unwrap();
        let entry = writer.finish(crate::MAX_STREAM_SIZE, &mut batch).unwrap();
        assert_eq!(Some(entry.depth), depth_of(crate::MAX_STREAM_SIZE, 8180, 8192));
        assert!(batch.len() < 16, "{} pointer blocks", batch.len());
    }

    #[test]
    fn eight_levels_are_refused() {
        let mut writer = HashTreeWriter::new(StreamKind::Data, 40, 512);
        let mut batch = BlockBatch::default();
        assert!(writer.push_zeros(128, &mut batch).is_ok());
        assert_eq!(writer.finish(128 * 512, &mut batch).unwrap().depth, 7);
        let mut more = || {
            writer.push_zeros(128, &mut batch)?;
            writer.push(Score::of(b"one too many"), &mut batch)?;
            writer.finish(129 * 512, &mut batch)
        };
        assert_eq!(
            more().map(|entry| entry.depth),
            Err(TreeTooDeep { leaves: 129, pointer_size: 40 })
        );
    }
}
