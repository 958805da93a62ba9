//! The top of an archive: the block of three entries that a root block leads to.

use venti_proto::{
    BlockBatch, BlockType, Entry, Score, StreamKind, hash_tree::pointer_size_for,
    zero_truncated_len,
};

use crate::format::{DirectoryStreams, FormatError, MetaBlockBuilder, VacDir};

/// Appends the blocks above the topmost directory, and returns the score of the last one.
pub(super) fn push_top(
    dir: &VacDir,
    streams: &DirectoryStreams,
    block_size: u32,
    batch: &mut BlockBatch,
) -> Result<Score, FormatError> {
    let above = push_own_entry(dir, block_size, batch)?;
    let mut block = Vec::with_capacity(3 * Entry::SIZE);
    for entry in [streams.entries, streams.meta, above] {
        let bytes =
            entry.encode().map_err(|error| FormatError::Stream { detail: error.to_string() })?;
        block.extend_from_slice(&bytes);
    }
    Ok(push_leaf(BlockType::DIRECTORY, &block, batch))
}

/// The stream that has the topmost directory's own entry.
fn push_own_entry(
    dir: &VacDir,
    block_size: u32,
    batch: &mut BlockBatch,
) -> Result<Entry, FormatError> {
    let mut bytes = Vec::new();
    dir.encode(&mut bytes)?;
    let mut builder = MetaBlockBuilder::new(block_size);
    if !builder.push(&bytes) {
        let (size, limit) = (bytes.len(), builder.largest_entry());
        return Err(FormatError::TooLong { what: "the topmost entry", size, limit });
    }
    let mut block = Vec::new();
    builder.finish(&mut block);
    let score = push_leaf(BlockType::DATA, &block, batch);
    let empty = Entry::empty(StreamKind::Data, pointer_size_for(block_size), block_size);
    Ok(Entry { size: u64::from(block_size), score, ..empty })
}

fn push_leaf(block_type: BlockType, block: &[u8], batch: &mut BlockBatch) -> Score {
    let stored = &block[..zero_truncated_len(block_type, block)];
    batch.push(block_type, stored);
    Score::of(stored)
}
