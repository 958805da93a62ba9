//! Reads blocks before they are asked for one by one: each function is a round trip or two for
//! any number of archives, directories or files. The store keeps what it reads
//! ([`BlockCache`](crate::store::BlockCache)); whatever can not be read is left for whoever needs
//! it to find out.

use std::ops::Range;

use vac::reader::Node;
use venti_proto::hash_tree::LeafWalk;
use venti_proto::{BlockRequest, BlockStore, BlockType, Entry, Root, Score};

/// Directories with more blocks than this in a stream are not read as a whole.
const SMALL_DIRECTORY: u64 = 16;
/// Nor are files with more bytes of which nobody knows that they will be read.
pub(super) const SMALL_FILE: u64 = 128 << 10;

/// Reads root blocks, the blocks of three entries below them, and the tops of the streams that
/// these lead to: three round trips.
pub(crate) fn archives(store: &dyn BlockStore, scores: &[Score]) {
    let request = |block_type| move |score: &Score| BlockRequest { score: *score, block_type };
    let roots: Vec<_> = scores.iter().map(request(BlockType::ROOT)).collect();
    let mut directories = Vec::new();
    store.read(&roots, &mut |_, block| {
        directories.extend(block.ok().and_then(|block| Root::decode(block).ok()).map(|r| r.score));
    });
    let requests: Vec<_> = directories.iter().map(request(BlockType::DIRECTORY)).collect();
    let mut entries = Vec::new();
    store.read(&requests, &mut |_, block| {
        for bytes in block.unwrap_or_default().chunks_exact(Entry::SIZE).take(3) {
            entries.extend(Entry::decode(bytes).ok().flatten());
        }
    });
    streams(store, entries.iter(), 0);
}

/// Reads small directories as a whole, and the tops of large ones: one round trip if all of them
/// have one block in each stream, two otherwise.
pub(crate) fn directories(store: &dyn BlockStore, directories: &[Node]) {
    let entries = directories.iter().flat_map(|node| [Some(node.content()), node.meta()]);
    streams(store, entries.flatten(), SMALL_DIRECTORY);
}

/// Reads small files as a whole, and nothing of large ones.
pub(super) fn files(store: &dyn BlockStore, files: &[Node]) {
    let small = |entry: &&Entry| entry.size <= SMALL_FILE;
    let entries = files.iter().map(Node::content).filter(small);
    streams(store, entries, u64::MAX);
}

/// Reads the tops of streams, then all leaves of those that have at most `most`.
fn streams<'a>(store: &dyn BlockStore, entries: impl Iterator<Item = &'a Entry>, most: u64) {
    let mut tops = Vec::new();
    let mut trees = Vec::new();
    for entry in entries.filter(|entry| entry.score != Score::ZERO && entry.data_size > 0) {
        let Some(block_type) = entry.top_type() else { continue };
        tops.push(BlockRequest { score: entry.score, block_type });
        if entry.depth > 0 && entry.size.div_ceil(entry.data_size.into()) <= most {
            trees.push(entry);
        }
    }
    read(store, tops);
    let mut leaves = Vec::new();
    for entry in trees {
        leaves.extend(leaves_of(store, entry, 0..entry.size));
    }
    read(store, leaves);
}

/// Reads the blocks of a part of a file.
pub(crate) fn range(store: &dyn BlockStore, entry: &Entry, bytes: Range<u64>) {
    let leaves = leaves_of(store, entry, bytes);
    read(store, leaves);
}

fn leaves_of(store: &dyn BlockStore, entry: &Entry, bytes: Range<u64>) -> Vec<BlockRequest> {
    let mut leaves = Vec::new();
    let found = LeafWalk::over(entry, bytes)
        .and_then(|mut walk| walk.next_leaves(store, usize::MAX, &mut leaves));
    if found.is_err() {
        return Vec::new();
    }
    let block_type = entry.kind.leaf_type();
    leaves.retain(|leaf| !leaf.is_hole());
    leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect()
}

fn read(store: &dyn BlockStore, mut requests: Vec<BlockRequest>) {
    requests.sort_unstable();
    requests.dedup();
    if !requests.is_empty() {
        store.read(&requests, &mut |_, _| {});
    }
}
