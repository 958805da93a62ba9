//! A store that version 1 of the format has left: every later program must read it and go on.
//!
//! `testdata/store-1` is never changed. It has two sealed arenas and one that takes blocks, both
//! codecs, two types, and a mark; no index, which is derived.

use std::fs;
use std::path::Path;

use arenas::{CheckOptions, Store, StoreOptions, describe};
use venti_proto::{BlockBatch, BlockStore, BlockType};

use crate::support::{assert_all_there, block, write};

const FILES: [&str; 4] =
    ["store.toml", "arenas/0000000001.arena", "arenas/0000000002.arena", "arenas/0000000003.arena"];

fn blocks() -> Vec<Vec<u8>> {
    (0..40).map(|number| block(number, 430)).collect()
}

/// What the fixture was filled with.
fn fill(store: &Store) {
    for batch in blocks().chunks(3) {
        write(store, batch).unwrap();
    }
    let mut batch = BlockBatch::default();
    batch.push(BlockType::ROOT, &block(1000, 300));
    store.write(&batch.hash()).unwrap();
    store.close().unwrap();
}

fn copy_to(directory: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store-1");
    fs::create_dir(directory.join("arenas")).unwrap();
    for file in FILES {
        fs::write(directory.join(file), fs::read(fixture.join(file)).unwrap()).unwrap();
    }
}

#[test]
fn a_store_of_version_1_is_read_and_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    copy_to(directory.path());
    let options = StoreOptions { arena_size: 5 << 10, ..StoreOptions::default() };
    let reader = StoreOptions { read_only: true, ..options.clone() };
    for options in [reader, options.clone()] {
        let store = Store::open_path(directory.path(), options).unwrap();
        assert_eq!(store.findings(), []);
        assert_all_there(&store, &blocks());
        let root = block(1000, 300);
        let score = venti_proto::Score::of(&root);
        assert_eq!(store.read_block(score, BlockType::ROOT), Ok(root));
        let report = store.check(CheckOptions { data: true }, &mut |_| {});
        assert_eq!((report.blocks, report.findings), (41, Vec::new()));
    }
    let store = Store::open_path(directory.path(), options.clone()).unwrap();
    let more: Vec<Vec<u8>> = (100..160).map(|number| block(number, 430)).collect();
    write(&store, &more).unwrap();
    store.close().unwrap();
    drop(store);
    let store = Store::open_path(directory.path(), options).unwrap();
    assert_all_there(&store, &blocks());
    assert_all_there(&store, &more);
    assert!(describe::arenas(&store).len() > 3);
}

#[test]
fn this_program_lays_a_store_out_as_version_1_does() {
    let disk = arenas::disk::SimDisk::new(1);
    let store = crate::support::open(&disk, 5 << 10).unwrap();
    fill(&store);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store-1");
    for file in FILES {
        // The compressor may choose other bytes one day: where that happens, only the lengths of
        // payloads may differ, so the header and the first clump, which is stored raw, stay.
        let (ours, theirs) = (disk.contents(file).unwrap(), fs::read(fixture.join(file)).unwrap());
        let same = if file == FILES[1] { 512 + 72 + 430 } else { 80 };
        assert_eq!(ours[..same], theirs[..same], "{file}");
    }
}
