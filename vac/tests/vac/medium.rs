//! Files of a few blocks are restored many at a time, and fail one at a time.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use vac::extractor::ExtractOptions;
use vac::reader::Archive;
use venti_proto::{
    BlockRequest, BlockStore, BlockType, Deliver, HashedBatch, MemoryStore, Presence, Score,
    StoreError,
};

use crate::round_trip::{Fixture, snapshot};

/// Counts how often it is asked.
struct Counting {
    store: Arc<MemoryStore>,
    reads: AtomicUsize,
}

impl BlockStore for Counting {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.reads.fetch_add(1, Relaxed);
        self.store.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

fn block(file: u8, number: u8) -> Vec<u8> {
    let bytes = (0..=255u8).cycle().take(8192).enumerate();
    bytes.map(|(at, byte)| if at % 3 == 0 { file } else { number.wrapping_add(byte) }).collect()
}

/// 130 files: of whole blocks, of a part of one more, with holes, and with zeros at the end.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for file in 0..130u8 {
        let mut content: Vec<u8> = (0..2 + file % 5).flat_map(|n| block(file, n)).collect();
        match file % 4 {
            1 => content.truncate(8192 + 100),
            2 => content.extend([0; 20_000]),
            3 => content[..8192].fill(0),
            _ => {}
        }
        fs::write(fixture.tree().join(format!("file-{file}")), content).unwrap();
    }
    fixture
}

#[test]
fn many_files_of_a_few_blocks_take_few_calls_to_the_store() {
    let fixture = fixture();
    let root = fixture.archive().score();
    let store = Arc::new(Counting { store: fixture.store.clone(), reads: AtomicUsize::new(0) });
    let archive = Archive::open(store.clone(), root).unwrap();
    for (round, differences) in [(0, false), (1, false), (2, true)] {
        // Into nothing, over what is there, and over files of which half are not there any more.
        if round == 2 {
            for file in 0..65 {
                fs::remove_file(fixture.target().join(format!("tree/file-{file}"))).unwrap();
            }
        }
        let before = store.reads.load(Relaxed);
        let options = ExtractOptions { differences, ..ExtractOptions::default() };
        fixture.restore(&archive, &options);
        assert!(snapshot(&fixture.tree()) == snapshot(&fixture.target().join("tree")));
        let reads = store.reads.load(Relaxed) - before;
        assert!(differences || reads < 30, "{reads} calls for 130 files");
    }
}

#[test]
fn of_files_made_together_only_the_damaged_one_is_missing() {
    let fixture = fixture();
    let archive = fixture.archive();
    let lost = |request: BlockRequest| assert!(fixture.store.forget(&request));
    lost(BlockRequest { score: Score::of(&block(8, 0)), block_type: BlockType::DATA });
    let children = archive.root().walk(b"tree").unwrap().unwrap();
    let other = children.lookup(b"file-40").unwrap().unwrap();
    let top = BlockType::pointer(0).unwrap();
    lost(BlockRequest { score: other.content().score, block_type: top });
    let (summary, problems) = fixture.try_restore(&archive, &ExtractOptions::default());
    assert_eq!((summary.files, summary.incomplete), (128, 2));
    let named: HashSet<_> = problems.iter().map(|p| p.split(':').next().unwrap()).collect();
    assert_eq!(named, HashSet::from(["tree/file-8", "tree/file-40"]), "{problems:?}");
    let found = snapshot(&fixture.target().join("tree"));
    let mut expected = snapshot(&fixture.tree());
    expected.retain(|path, _| !path.ends_with("file-8") && !path.ends_with("file-40"));
    assert!(found == expected);
}
