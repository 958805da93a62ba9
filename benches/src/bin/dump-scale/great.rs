//! An archive of one great directory, written as vac writes it but without two million files to
//! be made first.

use anyhow::Result;
use vac::format::{
    DirectoryFacts, DirectoryStreams, DirectoryWriter, Identity, MetaBlockBuilder, Mode, Timestamp,
    UnixMetadata, VacDir,
};
use venti_proto::hash_tree::pointer_size_for;
use venti_proto::{
    BlockBatch, BlockStore, BlockType, Entry, Root, Score, StreamKind, zero_truncated_len,
};

const BLOCK_SIZE: u32 = 8192;
/// Bytes of blocks that are stored together.
const BATCH: usize = 4 << 20;

/// The name of the directory at the top of the archive.
pub(crate) const NAME: &str = "many";

/// The name of an entry of it, in the order of its number.
pub(crate) fn entry_name(number: u64) -> String {
    format!("file-{number:07}")
}

/// Writes the archive with so many empty files, and returns its score.
pub(crate) fn archive(store: &dyn BlockStore, entries: u64) -> Result<Score> {
    let mut batch = BlockBatch::default();
    let pointer_size = pointer_size_for(BLOCK_SIZE);
    let mut writer = DirectoryWriter::new(pointer_size, BLOCK_SIZE);
    let nothing = Entry::empty(StreamKind::Data, pointer_size, BLOCK_SIZE);
    for number in 0..entries {
        let file = described(&entry_name(number), 0o100_644, 1000 + number, None);
        writer.push(file, &nothing, None, &mut batch)?;
        if batch.bytes() > BATCH {
            store.write(&std::mem::take(&mut batch).hash())?;
        }
    }
    let many = writer.finish(&mut batch)?;
    let directory = described(NAME, 0o040_755, 2, Some(&many));
    writer.push(directory, &many.entries, Some(&many.meta), &mut batch)?;
    let top = writer.finish(&mut batch)?;
    let own = own_entry(&top, &mut batch)?;
    let mut block = Vec::new();
    for entry in [top.entries, top.meta, own] {
        block.extend_from_slice(&entry.encode()?);
    }
    let score = push(BlockType::DIRECTORY, &block, &mut batch);
    let root = push(BlockType::ROOT, &Root::vac(score, BLOCK_SIZE).encode()?, &mut batch);
    store.write(&batch.hash())?;
    store.sync()?;
    Ok(root)
}

/// Everything that vac says of a file.
fn described(name: &str, mode: u32, inode: u64, streams: Option<&DirectoryStreams>) -> VacDir {
    let time = Timestamp { seconds: 1_009_854_000, nanoseconds: 123_456_789 };
    let unix = UnixMetadata {
        mode,
        modified: time,
        changed: Some(time),
        born: Some(time),
        identity: Some(Identity { device: 1, inode }),
        directory: streams.map(|s| DirectoryFacts { sorted: true, entries: s.names }),
        ..UnixMetadata::default()
    };
    VacDir {
        name: name.as_bytes().to_vec(),
        qid: inode,
        owner: b"root".to_vec(),
        group: b"root".to_vec(),
        mode: Mode::from_unix(mode),
        unix: Some(Box::new(unix)),
        ..VacDir::default()
    }
}

/// The stream of the topmost directory's own entry.
fn own_entry(top: &DirectoryStreams, batch: &mut BlockBatch) -> Result<Entry> {
    let mut bytes = Vec::new();
    described("/", 0o040_755, 1, Some(top)).encode(&mut bytes)?;
    let mut builder = MetaBlockBuilder::new(BLOCK_SIZE);
    builder.push(&bytes);
    let mut block = Vec::new();
    builder.finish(&mut block);
    let score = push(BlockType::DATA, &block, batch);
    let empty = Entry::empty(StreamKind::Data, pointer_size_for(BLOCK_SIZE), BLOCK_SIZE);
    Ok(Entry { size: u64::from(BLOCK_SIZE), score, ..empty })
}

fn push(block_type: BlockType, block: &[u8], batch: &mut BlockBatch) -> Score {
    let block = &block[..zero_truncated_len(block_type, block)];
    batch.push(block_type, block);
    Score::of(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vac::reader::Archive;
    use venti_proto::MemoryStore;

    #[test]
    fn the_archive_reads_as_one_of_vac() {
        let store = Arc::new(MemoryStore::new());
        let score = archive(&*store, 1000).expect("written");
        let archive = Archive::open(store, score).expect("opened");
        let many = archive.root().lookup(NAME.as_bytes()).expect("read").expect("there");
        assert_eq!(many.all_children().expect("read").len(), 1000);
        assert!(many.lookup(entry_name(765).as_bytes()).expect("read").is_some());
        assert!(many.lookup(b"file-1").expect("read").is_none());
    }
}
