//! Asks for the upper blocks of many archives at once, so that they are in the cache when they
//! are needed one by one.

use venti_proto::{BlockRequest, BlockStore, BlockType, Entry, Root, Score};

/// Reads root blocks, the directory blocks below them, and the tops of what these lead to.
/// Whatever can not be read is left for whoever needs it to find out.
pub(super) fn prefetch(store: &dyn BlockStore, archives: &[Score]) {
    let request = |block_type| move |score: &Score| BlockRequest { score: *score, block_type };
    let roots: Vec<_> = archives.iter().map(request(BlockType::ROOT)).collect();
    let mut directories = Vec::new();
    store.read(&roots, &mut |_, block| {
        directories.extend(block.ok().and_then(|block| Root::decode(block).ok()).map(|r| r.score));
    });
    let directories: Vec<_> = directories.iter().map(request(BlockType::DIRECTORY)).collect();
    let mut tops = Vec::new();
    store.read(&directories, &mut |_, block| {
        for bytes in block.unwrap_or_default().chunks_exact(Entry::SIZE).take(3) {
            let Ok(Some(entry)) = Entry::decode(bytes) else { continue };
            let block_type = match entry.depth.checked_sub(1) {
                None => Some(entry.kind.leaf_type()),
                Some(level) => BlockType::pointer(level),
            };
            tops.extend(
                block_type.map(|block_type| BlockRequest { score: entry.score, block_type }),
            );
        }
    });
    store.read(&tops, &mut |_, _| {});
}
