//! Copies between stores in memory, some of which lose blocks.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use venti_proto::{
    BlockType, Deliver, Entry, HashedBatch, HashedBlock, MemoryStore, Root, StreamKind,
};

use super::*;

/// Puts one block into a store.
fn put(store: &MemoryStore, block_type: BlockType, data: &[u8]) -> Score {
    let mut batch = BlockBatch::default();
    batch.push(block_type, data);
    let batch = batch.hash();
    store.write(&batch).unwrap();
    batch.scores()[0]
}

fn pointer(level: u8) -> BlockType {
    BlockType::pointer(level).unwrap()
}

/// A root with a directory of two streams: one of three data blocks under a pointer block, and
/// one directory with an empty stream and a stream of one block, the same as one of the three.
fn tree(store: &MemoryStore) -> (Score, Vec<BlockRequest>) {
    let data: Vec<Score> =
        [&b"one"[..], b"two", b"three"].map(|d| put(store, BlockType::DATA, d)).into();
    let scores: Vec<u8> = data.iter().flat_map(|score| *score.as_bytes()).collect();
    let top = put(store, pointer(0), &scores);
    let entry = |kind, depth, score| {
        Entry { depth, score, size: 3, ..Entry::empty(kind, 8180, 8192) }.encode().unwrap()
    };
    let empty = Entry::empty(StreamKind::Data, 8180, 8192).encode().unwrap();
    let inner = [empty, entry(StreamKind::Data, 0, data[1])].concat();
    let inner = put(store, BlockType::DIRECTORY, &inner);
    let outer = [entry(StreamKind::Data, 1, top), entry(StreamKind::Directory, 0, inner)].concat();
    let outer = put(store, BlockType::DIRECTORY, &outer);
    let root = put(store, BlockType::ROOT, &Root::vac(outer, 8192).encode().unwrap());
    let mut all: Vec<_> = data
        .iter()
        .map(|score| BlockRequest { score: *score, block_type: BlockType::DATA })
        .collect();
    for (score, block_type) in [
        (top, pointer(0)),
        (inner, BlockType::DIRECTORY),
        (outer, BlockType::DIRECTORY),
        (root, BlockType::ROOT),
    ] {
        all.push(BlockRequest { score, block_type });
    }
    (root, all)
}

const PLAIN: CopyOptions =
    CopyOptions { fast: false, remember: false, on_read_error: OnReadError::Fail };

fn copy(
    source: &dyn BlockStore,
    destination: &dyn BlockStore,
    score: Score,
    options: CopyOptions,
) -> Result<(Score, CopyReport), CopyError> {
    Copier::new(source, destination, options, &mut |_| {}).run(score, NodeKind::ROOT)
}

#[test]
fn everything_below_a_root_is_copied() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let (root, blocks) = tree(&source);
    put(&source, BlockType::DATA, b"not below the root");
    let (copied, report) = copy(&source, &destination, root, PLAIN).unwrap();
    assert_eq!(copied, root);
    assert_eq!(destination.len(), blocks.len());
    assert!(destination.probe(&blocks).unwrap().iter().all(|p| *p == Presence::Present));
    // The block "two" is reached on two ways.
    assert_eq!((report.written, report.skipped), (blocks.len() as u64 + 1, 0));
}

#[test]
fn previous_archives_are_copied_too() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let (first, blocks) = tree(&source);
    let directory = put(&source, BlockType::DIRECTORY, b"");
    let root = Root { previous: first, ..Root::vac(directory, 8192) };
    let root = put(&source, BlockType::ROOT, &root.encode().unwrap());
    copy(&source, &destination, root, PLAIN).unwrap();
    assert_eq!(destination.len(), blocks.len() + 1);
}

#[test]
fn remembering_copies_no_block_twice_and_fast_mode_none_that_is_there() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let (root, blocks) = tree(&source);
    // A second directory in the same archive leads to the same file as the first.
    let remember = CopyOptions { remember: true, ..PLAIN };
    let (_, report) = copy(&source, &destination, root, remember).unwrap();
    assert_eq!(report.written + report.skipped, blocks.len() as u64 + 1);
    let (_, report) =
        copy(&source, &destination, root, CopyOptions { fast: true, ..PLAIN }).unwrap();
    assert_eq!((report.written, report.skipped), (0, 1));
}

/// A store that notes what it is given.
#[derive(Default)]
struct Recording {
    inner: MemoryStore,
    written: Mutex<Vec<BlockRequest>>,
    /// Calls of `read`.
    reads: Mutex<usize>,
}

impl BlockStore for Recording {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.written.lock().extend(batch.iter().map(|b: HashedBlock<'_>| BlockRequest::from(&b)));
        self.inner.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        *self.reads.lock() += 1;
        self.inner.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.inner.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }
}

#[test]
fn children_are_written_before_their_parents() {
    let (source, destination) = (MemoryStore::new(), Recording::default());
    let (root, blocks) = tree(&source);
    copy(&source, &destination, root, PLAIN).unwrap();
    let written = destination.written.lock();
    let first = |request: &BlockRequest| written.iter().position(|w| w == request).unwrap();
    let [one, two, three, top, inner, outer, root] = blocks[..].try_into().unwrap();
    for (child, parent) in [
        (one, top),
        (two, top),
        (three, top),
        (two, inner),
        (top, outer),
        (inner, outer),
        (outer, root),
    ] {
        assert!(first(&child) < first(&parent), "{child:?} {parent:?}");
    }
}

#[test]
fn an_unreadable_block_ends_the_copy_or_is_left_out_or_replaced() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let (root, blocks) = tree(&source);
    let lost = blocks[2];
    assert!(source.forget(&lost));
    match copy(&source, &destination, root, PLAIN) {
        Err(CopyError::Read { block, source: StoreError::NotFound { .. } }) => {
            assert_eq!(block, lost);
        }
        other => panic!("{other:?}"),
    }
    let root_request = BlockRequest { score: root, block_type: BlockType::ROOT };
    assert_eq!(destination.probe(&[root_request]).unwrap(), [Presence::Absent]);

    let ignore = CopyOptions { on_read_error: OnReadError::Ignore, ..PLAIN };
    let (copied, report) = copy(&source, &destination, root, ignore).unwrap();
    assert_eq!((copied, report.unreadable, report.rewritten), (root, 1, 0));

    let destination = MemoryStore::new();
    let rewrite = CopyOptions { on_read_error: OnReadError::Rewrite, ..PLAIN };
    let (copied, report) = copy(&source, &destination, root, rewrite).unwrap();
    assert_ne!(copied, root);
    // The pointer to the block, to the pointer block, and to the outer directory.
    assert_eq!((report.unreadable, report.rewritten), (1, 3));
    // What was made of it is whole: it copies again without any error.
    let again = MemoryStore::new();
    let (same, report) = copy(&destination, &again, copied, PLAIN).unwrap();
    assert_eq!((same, report.written), (copied, blocks.len() as u64));
}

#[test]
fn every_event_names_its_block() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let (root, blocks) = tree(&source);
    let mut written = BTreeSet::new();
    let mut event = |event: CopyEvent<'_>| {
        if let CopyEvent::Written { block, depth, size } = event {
            assert!(depth <= 4 && size > 0);
            written.insert(block);
        }
    };
    Copier::new(&source, &destination, PLAIN, &mut event).run(root, NodeKind::ROOT).unwrap();
    assert_eq!(written, blocks.into_iter().collect());
}

#[test]
fn a_block_that_is_not_what_its_type_says_is_named_and_copied() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let root = put(&source, BlockType::ROOT, b"not 300 bytes");
    let mut named = Vec::new();
    let mut event = |event: CopyEvent<'_>| {
        if let CopyEvent::Malformed { block, detail } = event {
            named.push((block.score, detail.to_owned()));
        }
    };
    Copier::new(&source, &destination, PLAIN, &mut event).run(root, NodeKind::ROOT).unwrap();
    assert_eq!(named, [(root, "a root has 300 bytes, found 13".to_owned())]);
    assert_eq!(destination.len(), 1);
}

/// A root above `depth` directories, each with nothing but the next.
fn deep_tree(store: &MemoryStore, depth: usize) -> Score {
    let mut score = put(store, BlockType::DATA, b"bottom");
    let mut kind = StreamKind::Data;
    for _ in 0..depth {
        let entry = Entry { score, size: 6, ..Entry::empty(kind, 512, 512) }.encode().unwrap();
        score = put(store, BlockType::DIRECTORY, &entry);
        kind = StreamKind::Directory;
    }
    put(store, BlockType::ROOT, &Root::vac(score, 512).encode().unwrap())
}

#[test]
fn a_deep_tree_needs_no_stack() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let root = deep_tree(&source, 20_000);
    copy(&source, &destination, root, PLAIN).unwrap();
    assert_eq!(destination.len(), source.len());
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let (source, destination) = (MemoryStore::new(), MemoryStore::new());
    let root = deep_tree(&source, MAX_DEPTH + 1);
    assert!(matches!(copy(&source, &destination, root, PLAIN), Err(CopyError::TooDeep { .. })));
}

#[test]
fn a_wide_tree_is_read_by_the_batch() {
    let (source, destination) = (Recording::default(), Recording::default());
    let mut pointers = Vec::new();
    for number in 0..1000_u32 {
        let block = number.to_be_bytes().repeat(100);
        pointers.extend_from_slice(put(&source.inner, BlockType::DATA, &block).as_bytes());
    }
    let mut top = Vec::new();
    for pointers in pointers.chunks(25 * Score::SIZE) {
        top.extend_from_slice(put(&source.inner, pointer(0), pointers).as_bytes());
    }
    let top = put(&source.inner, pointer(1), &top);
    let file = Entry { score: top, depth: 2, ..Entry::empty(StreamKind::Data, 512, 512) };
    let directory = put(&source.inner, BlockType::DIRECTORY, &file.encode().unwrap());
    let root = put(&source.inner, BlockType::ROOT, &Root::vac(directory, 512).encode().unwrap());
    copy(&source, &destination, root, PLAIN).unwrap();
    assert_eq!(destination.inner.len(), 1000 + 40 + 1 + 1 + 1);
    // Root, directory, top, 40 pointer blocks, and 1000 data blocks by 256.
    assert_eq!(*source.reads.lock(), 1 + 1 + 1 + 1 + 4);
}
