//! Finds the leaves of a stream, many pointer blocks at a time.
//!
//! The walk keeps one queue of scores a level and always expands the lowest one that has any, so
//! that memory is bounded by depth and window, never by the size that an entry claims. There is no
//! recursion: an entry is not to be trusted. Subtrees of zeros are never entered.

use std::collections::VecDeque;
use std::ops::Range;

use super::depth_of;
use crate::{BlockRequest, BlockStore, BlockType, Entry, MAX_STREAM_SIZE, Score, StoreError};

/// Why a stream could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The tree of the entry is not deep enough for its size.
    #[error(
        "an entry of {size} bytes with blocks of {data_size} and {pointer_size} bytes \
         can not have a tree of depth {depth}"
    )]
    Shape {
        /// Bytes that the entry claims.
        size: u64,
        /// Bytes in a leaf.
        data_size: u32,
        /// Bytes in a pointer block.
        pointer_size: u32,
        /// Levels of pointer blocks that the entry claims.
        depth: u8,
    },
    /// A block is longer than the entry says that its blocks are.
    #[error("block {score} of type {block_type} has {found} bytes, the entry allows {expected}")]
    TooLong {
        /// The block.
        score: Score,
        /// Its type.
        block_type: BlockType,
        /// Its length.
        found: usize,
        /// The most that the entry allows.
        expected: u32,
    },
    /// A block could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A part of a stream: one block of data, or a run of zeros of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it starts in the stream.
    pub offset: u64,
    /// Bytes of the stream that it covers. A block may be shorter (the rest is zeros), or longer
    /// at the end of the stream.
    pub length: u64,
    /// The block; [`Score::ZERO`] for zeros.
    pub score: Score,
}

impl Leaf {
    /// Whether the leaf is a run of zeros.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.score == Score::ZERO
    }
}

/// Scores of one level that the walk has not come to yet: consecutive blocks.
#[derive(Clone, Debug, Default)]
struct Level {
    scores: VecDeque<Score>,
    /// The number of the first of them, counted from the start of the stream.
    next: u64,
    /// Leaves under each of them, as far as 64 bits can say.
    span: u64,
}

/// A walk over the leaves of a stream, or of a range of it.
#[derive(Clone, Debug)]
pub struct LeafWalk {
    entry: Entry,
    /// Scores in a pointer block.
    per_block: u64,
    /// The leaves that are wanted.
    wanted: Range<u64>,
    /// From the leaves up.
    levels: Vec<Level>,
}

impl LeafWalk {
    /// A walk over the whole stream.
    ///
    /// # Errors
    /// [`TreeError::Shape`].
    pub fn new(entry: &Entry) -> Result<LeafWalk, TreeError> {
        LeafWalk::over(entry, 0..entry.size)
    }

    /// A walk over the leaves that hold these bytes of the stream.
    ///
    /// # Errors
    /// [`TreeError::Shape`].
    pub fn over(entry: &Entry, bytes: Range<u64>) -> Result<LeafWalk, TreeError> {
        let Entry { size, data_size, pointer_size, depth, .. } = *entry;
        let needed = depth_of(size, pointer_size, data_size);
        let fits = needed.is_some_and(|needed| needed <= depth) && entry.top_type().is_some();
        if !fits || size > MAX_STREAM_SIZE || data_size == 0 {
            return Err(TreeError::Shape { size, data_size, pointer_size, depth });
        }
        let per_block = u64::from(pointer_size) / Score::SIZE as u64;
        let mut span = 1u64;
        let mut levels = Vec::with_capacity(usize::from(depth) + 1);
        for _ in 0..=depth {
            levels.push(Level { span, ..Level::default() });
            span = span.saturating_mul(per_block);
        }
        let end = bytes.end.min(size);
        let wanted = bytes.start / u64::from(data_size)..end.div_ceil(u64::from(data_size));
        if bytes.start < end {
            levels[usize::from(depth)].scores.push_back(entry.score);
        }
        Ok(LeafWalk { entry: *entry, per_block, wanted, levels })
    }

    /// Appends the next leaves to `leaves` until it has `limit` of them or the stream ends, and
    /// reads the pointer blocks that this takes. Leaves come in order.
    ///
    /// # Errors
    /// [`TreeError::Store`], [`TreeError::TooLong`]; the walk can not go on then.
    pub fn next_leaves(
        &mut self,
        store: &dyn BlockStore,
        limit: usize,
        leaves: &mut Vec<Leaf>,
    ) -> Result<(), TreeError> {
        while leaves.len() < limit {
            let lowest = self.levels.iter().position(|level| !level.scores.is_empty());
            let Some(level) = lowest else { return Ok(()) };
            let front = &mut self.levels[level];
            if level > 0 && front.scores.front() != Some(&Score::ZERO) {
                self.expand(store, level, limit)?;
                continue;
            }
            let Some(score) = front.scores.pop_front() else { return Ok(()) };
            let first = front.next.saturating_mul(front.span);
            let covered = first..first.saturating_add(front.span);
            front.next += 1;
            self.give(score, covered, leaves);
        }
        Ok(())
    }

    /// The pointer block at the top of the tree, if the walk starts with one. Whoever reads it
    /// together with those of other walks gives it to [`LeafWalk::take_top`].
    #[must_use]
    pub fn top_request(&self) -> Option<BlockRequest> {
        let depth = self.levels.len().checked_sub(1).filter(|depth| *depth > 0)?;
        let score = *self.levels[depth].scores.front().filter(|score| **score != Score::ZERO)?;
        let block_type = u8::try_from(depth - 1).ok().and_then(BlockType::pointer)?;
        Some(BlockRequest { score, block_type })
    }

    /// Takes the block that [`LeafWalk::top_request`] asks for. Nothing happens if it asks for none.
    ///
    /// # Errors
    /// [`TreeError::TooLong`]; the walk can not go on then.
    pub fn take_top(&mut self, block: &[u8]) -> Result<(), TreeError> {
        let Some(request) = self.top_request() else { return Ok(()) };
        check_length(&request, block.len(), self.entry.pointer_size)?;
        self.queue_children(self.levels.len() - 1, &[block]);
        Ok(())
    }

    /// Whether every leaf was given.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.levels.iter().all(|level| level.scores.is_empty())
    }

    fn give(&self, score: Score, covered: Range<u64>, leaves: &mut Vec<Leaf>) {
        let data_size = u64::from(self.entry.data_size);
        let start = covered.start.max(self.wanted.start) * data_size;
        let end = (covered.end.min(self.wanted.end) * data_size).min(self.entry.size);
        let leaf = Leaf { offset: start, length: end.saturating_sub(start), score };
        match leaves.last_mut() {
            Some(last) if last.is_hole() && leaf.is_hole() => last.length += leaf.length,
            _ => leaves.push(leaf),
        }
    }

    /// Reads pointer blocks at the front of `level` and queues what they hold one level down.
    fn expand(
        &mut self,
        store: &dyn BlockStore,
        level: usize,
        limit: usize,
    ) -> Result<(), TreeError> {
        let Some(parents) = self.levels.get(level) else { return Ok(()) };
        let per_block = usize::try_from(self.per_block).unwrap_or(usize::MAX);
        let at_once = (limit / per_block.max(1)).clamp(1, 256);
        let block_type = u8::try_from(level - 1).ok().and_then(BlockType::pointer);
        let Some(block_type) = block_type else { return Ok(()) };
        let run = parents.scores.iter().take(at_once).take_while(|score| **score != Score::ZERO);
        let requests: Vec<_> =
            run.map(|score| BlockRequest { score: *score, block_type }).collect();
        let blocks = read_pointers(store, &requests, self.entry.pointer_size)?;
        self.queue_children(level, &blocks);
        Ok(())
    }

    /// Replaces the scores at the front of `level` by what their blocks hold, one level down.
    fn queue_children(&mut self, level: usize, blocks: &[impl AsRef<[u8]>]) {
        let (below, above) = self.levels.split_at_mut(level);
        let (Some(children), Some(parents)) = (below.last_mut(), above.first_mut()) else { return };
        children.next = u64::MAX;
        for block in blocks {
            let first = parents.next * self.per_block;
            parents.scores.pop_front();
            parents.next += 1;
            // Only the children above wanted leaves: the first and the last block are cut.
            let from = (self.wanted.start / children.span).saturating_sub(first);
            let to = self.wanted.end.div_ceil(children.span).saturating_sub(first);
            for child in from..to.min(self.per_block) {
                children.next = children.next.min(first + child);
                children.scores.push_back(score_in(block.as_ref(), child));
            }
        }
    }
}

/// The score at this place of a pointer block; what truncation took is the score of zeros.
fn score_in(block: &[u8], place: u64) -> Score {
    let start = usize::try_from(place).map_or(usize::MAX, |p| p.saturating_mul(Score::SIZE));
    let bytes = block.get(start..start.saturating_add(Score::SIZE));
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(Score::ZERO, Score::from_bytes)
}

fn read_pointers(
    store: &dyn BlockStore,
    requests: &[BlockRequest],
    expected: u32,
) -> Result<Vec<Vec<u8>>, TreeError> {
    let mut blocks = vec![Vec::new(); requests.len()];
    let mut failure = None;
    store.read(requests, &mut |position, block| match block {
        Ok(block) => {
            if let Err(error) = check_length(&requests[position], block.len(), expected) {
                failure = Some(error);
            } else {
                blocks[position].extend_from_slice(block);
            }
        }
        Err(error) => failure = Some(error.into()),
    });
    failure.map_or(Ok(blocks), Err)
}

/// Whether a block may have this length.
fn check_length(request: &BlockRequest, found: usize, expected: u32) -> Result<(), TreeError> {
    if usize::try_from(expected).is_ok_and(|expected| found <= expected) {
        return Ok(());
    }
    let BlockRequest { score, block_type } = *request;
    Err(TreeError::TooLong { score, block_type, found, expected })
}

/// Reads the bytes at `offset` of a stream into `buffer`, and returns how many there were: fewer
/// than asked only at the end of the stream.
///
/// # Errors
/// [`TreeError`]; what is in the buffer is then not to be used.
pub fn read_range(
    store: &dyn BlockStore,
    entry: &Entry,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, TreeError> {
    let end = offset.saturating_add(buffer.len() as u64).min(entry.size);
    let mut walk = LeafWalk::over(entry, offset..end)?;
    let mut leaves = Vec::new();
    walk.next_leaves(store, usize::MAX, &mut leaves)?;
    let length = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
    let buffer = &mut buffer[..length];
    buffer.fill(0);
    let block_type = entry.kind.leaf_type();
    let blocks: Vec<_> = leaves.iter().filter(|leaf| !leaf.is_hole()).collect();
    let requests: Vec<_> =
        blocks.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect();
    let mut failure = None;
    store.read(&requests, &mut |position, block| {
        let copied = block.map_err(TreeError::from).and_then(|block| {
            check_length(&requests[position], block.len(), entry.data_size)?;
            copy_overlap(buffer, offset, block, blocks[position].offset);
            Ok(())
        });
        if let Err(error) = copied {
            failure = Some(error);
        }
    });
    failure.map_or(Ok(length), Err)
}

/// Copies what `block`, which lies at `block_offset`, has for `buffer`, which lies at `offset`.
fn copy_overlap(buffer: &mut [u8], offset: u64, block: &[u8], block_offset: u64) {
    let skip_block = usize::try_from(offset.saturating_sub(block_offset)).unwrap_or(usize::MAX);
    let skip_buffer = usize::try_from(block_offset.saturating_sub(offset)).unwrap_or(usize::MAX);
    let (Some(from), Some(to)) = (block.get(skip_block..), buffer.get_mut(skip_buffer..)) else {
        return;
    };
    let length = from.len().min(to.len());
    to[..length].copy_from_slice(&from[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_tree::HashTreeWriter;
    use crate::{BlockBatch, MemoryStore, StreamKind, zero_truncated_len};
    use proptest::prelude::*;

    fn store_stream(store: &MemoryStore, bytes: &[u8], pointer_size: u32) -> Entry {
        let mut batch = BlockBatch::default();
        let mut writer = HashTreeWriter::new(StreamKind::Data, pointer_size, 256);
        for leaf in bytes.chunks(256) {
            let leaf = &leaf[..zero_truncated_len(BlockType::DATA, leaf)];
            batch.push(BlockType::DATA, leaf);
            writer.push(Score::of(leaf), &mut batch).unwrap();
        }
        let entry = writer.finish(bytes.len() as u64, &mut batch).unwrap();
        store.write(&batch.hash()).unwrap();
        entry
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let run = (any::<u8>(), 0usize..2000);
        proptest::collection::vec(run, 0..12).prop_map(|runs| {
            runs.iter().flat_map(|(b, n)| std::iter::repeat_n(b & 3, *n)).collect()
        })
    }

    proptest! {
        #[test]
        fn any_range_reads_as_it_was_written(
            bytes in stream(), offset in 0u64..25_000, length in 0usize..9000,
            pointer_size in 256u32..300,
        ) {
            let store = MemoryStore::new();
            let entry = store_stream(&store, &bytes, pointer_size);
            let mut buffer = vec![9; length];
            let read = read_range(&store, &entry, offset, &mut buffer).unwrap();
            let start = bytes.len().min(usize::try_from(offset).unwrap());
            let end = bytes.len().min(start + length);
            prop_assert_eq!(&buffer[..read], &bytes[start..end]);
        }

        #[test]
        fn leaves_are_in_order_and_cover_the_stream(bytes in stream(), limit in 1usize..40) {
            let store = MemoryStore::new();
            let entry = store_stream(&store, &bytes, 256);
            let mut walk = LeafWalk::new(&entry).unwrap();
            let mut at = 0;
            while !walk.is_done() {
                let mut leaves = Vec::new();
                walk.next_leaves(&store, limit, &mut leaves).unwrap();
                for leaf in leaves {
                    prop_assert_eq!(leaf.offset, at);
                    at += leaf.length;
                }
            }
            prop_assert_eq!(at, bytes.len() as u64);
        }

        #[test]
        fn no_entry_makes_the_walk_panic_or_grow(
            size in 0u64..1 << 48, pointer_size in 0u32..100_000, data_size in 0u32..100_000,
            depth in 0u8..9, from: u64, length: u64,
        ) {
            let empty = Entry::empty(StreamKind::Data, pointer_size, data_size);
            let entry = Entry { size, depth, ..empty };
            if let Ok(mut walk) = LeafWalk::over(&entry, from..from.saturating_add(length)) {
                let mut leaves = Vec::new();
                walk.next_leaves(&MemoryStore::new(), 100, &mut leaves).unwrap();
                prop_assert!(leaves.len() <= 1);
            }
        }
    }

    #[test]
    fn a_top_that_was_read_before_is_not_read_again() {
        let store = MemoryStore::new();
        let bytes: Vec<u8> = (0..100u8).flat_map(|block| [block; 256]).collect();
        for length in [25_600, 2000, 100] {
            let entry = store_stream(&store, &bytes[..length], 256);
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            let mut walk = LeafWalk::new(&entry).unwrap();
            walk.next_leaves(&store, 1000, &mut expected).unwrap();
            assert_eq!(walk.top_request(), None, "the top is behind it");
            let mut walk = LeafWalk::new(&entry).unwrap();
            assert_eq!(walk.top_request().is_some(), entry.depth > 0);
            if let Some(request) = walk.top_request() {
                let top = store.read_block(request.score, request.block_type).unwrap();
                let long = [top.as_slice(), &[1; 256]].concat();
                let refused = walk.clone().take_top(&long).unwrap_err();
                assert!(matches!(refused, TreeError::TooLong { expected: 256, .. }));
                assert!(store.forget(&request));
                walk.take_top(&top).unwrap();
            }
            walk.next_leaves(&store, 1000, &mut found).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_hole_of_a_terabyte_is_one_leaf() {
        let store = MemoryStore::new();
        let mut batch = BlockBatch::default();
        let mut writer = HashTreeWriter::new(StreamKind::Data, 8180, 8192);
        batch.push(BlockType::DATA, b"end");
        writer.push_zeros((1 << 40) / 8192, &mut batch).unwrap();
        writer.push(Score::of(b"end"), &mut batch).unwrap();
        let entry = writer.finish((1 << 40) + 3, &mut batch).unwrap();
        store.write(&batch.hash()).unwrap();
        let mut leaves = Vec::new();
        LeafWalk::new(&entry).unwrap().next_leaves(&store, 10, &mut leaves).unwrap();
        let hole = Leaf { offset: 0, length: 1 << 40, score: Score::ZERO };
        let end = Leaf { offset: 1 << 40, length: 3, score: Score::of(b"end") };
        assert_eq!(leaves, [hole, end]);
    }

    #[test]
    fn wrong_shapes_and_wrong_lengths_are_errors() {
        let store = MemoryStore::new();
        let entry = store_stream(&store, &[1; 256 * 100], 256);
        assert_eq!(entry.depth, 2);
        let shallow = LeafWalk::new(&Entry { depth: 1, ..entry }).unwrap_err();
        assert!(matches!(shallow, TreeError::Shape { depth: 1, .. }));
        let mut buffer = [0; 600];
        let narrow = Entry { pointer_size: 200, depth: 3, ..entry };
        assert!(read_range(&store, &narrow, 0, &mut buffer).is_err());
        let leaf =
            Entry { depth: 0, size: 100, data_size: 255, score: Score::of(&[1; 256]), ..entry };
        let found = read_range(&store, &leaf, 0, &mut buffer).unwrap_err();
        assert!(matches!(found, TreeError::TooLong { found: 256, expected: 255, .. }), "{found}");
        let missing = BlockRequest { score: Score::of(&[1; 256]), block_type: BlockType::DATA };
        assert!(store.forget(&missing));
        let found = read_range(&store, &entry, 300, &mut buffer).unwrap_err();
        assert!(matches!(found, TreeError::Store(StoreError::NotFound { .. })), "{found}");
    }
}
