//! The content of a stream in order, a window of blocks at a time.

use venti_proto::hash_tree::{Leaf, LeafWalk, TreeError, read_range};
use venti_proto::{BlockRequest, BlockStore, Entry};

use super::ReadError;

/// Bytes of content that one round trip asks for.
const WINDOW: usize = 2 << 20;

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes.
    Data(&'a [u8]),
    /// So many zeros come next.
    Zeros(u64),
}

pub(super) fn read_in_order<E: From<ReadError>>(
    store: &dyn BlockStore,
    entry: &Entry,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let tree_error = |error: TreeError| E::from(ReadError::Tree(error));
    let mut walk = LeafWalk::new(entry).map_err(tree_error)?;
    let data_size = usize::try_from(entry.data_size).unwrap_or(usize::MAX);
    let limit = (WINDOW / data_size).clamp(1, 1024);
    let mut leaves = Vec::new();
    let mut buffer = Vec::new();
    while !walk.is_done() {
        leaves.clear();
        walk.next_leaves(store, limit, &mut leaves).map_err(tree_error)?;
        read_window(store, entry, &leaves, &mut buffer).map_err(tree_error)?;
        let mut start = 0;
        for leaf in &leaves {
            if leaf.is_hole() {
                take(Piece::Zeros(leaf.length))?;
                continue;
            }
            let end = start + usize::try_from(leaf.length).unwrap_or(0);
            take(Piece::Data(&buffer[start..end]))?;
            start = end;
        }
    }
    Ok(())
}

/// Fills `buffer` with the blocks of the window one after another, each in its full length.
fn read_window(
    store: &dyn BlockStore,
    entry: &Entry,
    leaves: &[Leaf],
    buffer: &mut Vec<u8>,
) -> Result<(), TreeError> {
    let block_type = entry.kind.leaf_type();
    let mut requests = Vec::with_capacity(leaves.len());
    let mut places = Vec::with_capacity(leaves.len());
    let mut total = 0;
    for leaf in leaves.iter().filter(|leaf| !leaf.is_hole()) {
        requests.push(BlockRequest { score: leaf.score, block_type });
        let length = usize::try_from(leaf.length).unwrap_or(0);
        places.push((total, length));
        total += length;
    }
    buffer.clear();
    buffer.resize(total, 0);
    let mut failure = None;
    store.read(&requests, &mut |position, block| {
        let (start, length) = places[position];
        match block {
            Ok(block) if block.len() <= entry.data_size as usize => {
                let length = length.min(block.len());
                buffer[start..start + length].copy_from_slice(&block[..length]);
            }
            Ok(block) => {
                let BlockRequest { score, block_type } = requests[position];
                let (found, expected) = (block.len(), entry.data_size);
                failure = Some(TreeError::TooLong { score, block_type, found, expected });
            }
            Err(error) => failure = Some(error.into()),
        }
    });
    failure.map_or(Ok(()), Err)
}

/// The whole content of a stream that has to be small.
pub(super) fn read_all(
    store: &dyn BlockStore,
    entry: &Entry,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    if entry.size > limit {
        return Err(ReadError::TooLarge { what, size: entry.size, limit });
    }
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(0)];
    read_range(store, entry, 0, &mut bytes)?;
    Ok(bytes)
}
