//! Writing, reading, syncing, closing and opening again.

use std::sync::Arc;

use arenas::disk::SimDisk;
use arenas::{OpenError, Store, StoreOptions, UnverifiedBlock};
use venti_proto::{BlockStore, BlockType, MAX_BLOCK_SIZE, Presence, Score, StoreError};

use crate::support::{Dice, assert_all_there, block, open, read, request, small, write};

fn blocks(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| block(number, 100 + usize::try_from(number * 37 % 900).unwrap())).collect()
}

#[test]
fn what_is_written_is_read_before_and_after_opening_again() {
    let disk = SimDisk::new(1);
    let store = open(&disk, 16 << 10).unwrap();
    let blocks = blocks(0..400);
    for batch in blocks.chunks(7) {
        write(&store, batch).unwrap();
    }
    assert_all_there(&store, &blocks);
    assert!(store.stats().sealed_arenas > 5);
    assert_eq!(store.stats().blocks, 400);
    store.sync().unwrap();
    assert_eq!(store.stats().unsynced_bytes, 0);
    store.close().unwrap();
    assert!(matches!(write(&store, &blocks[..1]), Err(StoreError::ReadOnly { .. })));
    assert_all_there(&store, &blocks);

    for _ in 0..3 {
        let store = open(&disk, 16 << 10).unwrap();
        assert_eq!(store.findings(), []);
        assert_eq!(store.stats().blocks, 400);
        assert_all_there(&store, &blocks);
        drop(store);
    }
}

#[test]
fn a_real_directory_with_a_thread_works_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = StoreOptions { create: true, arena_size: 64 << 10, ..StoreOptions::default() };
    let blocks = blocks(0..2000);
    let store = Store::open_path(&path, options.clone()).unwrap();
    let threads = 4;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (store, blocks) = (store.clone(), &blocks);
            scope.spawn(move || {
                for batch in blocks.chunks(20).skip(thread).step_by(threads - 1) {
                    write(&store, batch).unwrap();
                    assert_all_there(&store, batch);
                }
                store.sync().unwrap();
            });
        }
    });
    assert_all_there(&store, &blocks);
    assert!(matches!(Store::open_path(&path, options.clone()), Err(OpenError::Busy)));
    store.close().unwrap();
    let store = Store::open_path(&path, options).unwrap();
    assert_eq!(store.findings(), []);
    assert_all_there(&store, &blocks);
}

#[test]
fn duplicates_are_stored_once() {
    let disk = SimDisk::new(1);
    let store = open(&disk, 16 << 10).unwrap();
    let blocks = blocks(0..200);
    write(&store, &blocks).unwrap();
    let before = store.stats();
    assert_eq!(before.blocks, 200);
    write(&store, &blocks).unwrap();
    let mut twice = blocks[..10].to_vec();
    twice.extend_from_within(..);
    write(&store, &twice).unwrap();
    let after = store.stats();
    assert_eq!((after.blocks, after.duplicates), (200, 220));
    assert_eq!(after.stored_bytes, before.stored_bytes);
    let new = vec![block(1000, 500), block(1000, 500), block(1001, 10)];
    write(&store, &new).unwrap();
    assert_eq!(store.stats().blocks, 202);
    assert_all_there(&store, &new);
}

#[test]
fn absent_blocks_and_other_types_are_told_apart() {
    let disk = SimDisk::new(1);
    let store = open(&disk, 16 << 10).unwrap();
    let stored = blocks(0..100);
    write(&store, &stored).unwrap();
    let absent = block(5000, 100);
    let wanted = [request(&stored[3]), request(&absent), request(b""), request(&stored[99])];
    let mut sizes = Vec::new();
    store.sizes(&wanted, &mut sizes);
    let expected = [Some(211), None, Some(0), Some(100 + 99 * 37 % 900)];
    assert_eq!(sizes, expected.map(Ok));
    assert_eq!(store.probe(&wanted[..2]).unwrap(), [Presence::Present, Presence::Absent]);
    let score = Score::of(&stored[3]);
    assert_eq!(
        store.read_block(score, BlockType::ROOT),
        Err(StoreError::NotFound { score, block_type: BlockType::ROOT })
    );
    assert_eq!(store.read_block(Score::ZERO, BlockType::ROOT), Ok(Vec::new()));
    assert_eq!(read(&store, &[Vec::new()]), [Ok(Vec::new())]);
}

#[test]
fn unverified_blocks_get_an_answer_each() {
    let disk = SimDisk::new(1);
    let store = open(&disk, 1 << 20).unwrap();
    let large = vec![1; MAX_BLOCK_SIZE + 1];
    let fits = vec![2; MAX_BLOCK_SIZE];
    let data: [&[u8]; 4] = [b"one", &large, b"", &fits];
    let blocks = data.map(|data| UnverifiedBlock { block_type: BlockType::DATA, data });
    let mut results = vec![Ok(Score::ZERO)];
    store.write_unverified(&blocks, &mut results);
    let limit = MAX_BLOCK_SIZE;
    let expected = [
        Ok(Score::ZERO),
        Ok(Score::of(b"one")),
        Err(StoreError::TooLarge { size: limit + 1, limit }),
        Ok(Score::ZERO),
        Ok(Score::of(&fits)),
    ];
    assert_eq!(results, expected);
    assert_all_there(&store, &[b"one".to_vec(), fits]);
}

#[test]
fn opening_says_what_is_wrong() {
    let disk = SimDisk::new(1);
    let missing = StoreOptions { create: false, ..small(16 << 10) };
    let nothing = Store::open(Arc::new(disk.clone()), missing.clone()).unwrap_err();
    assert_eq!(nothing.to_string(), "no store: there is neither store.toml nor any arena");
    assert!(disk.names().is_empty(), "asking for a store must not make one");
    let store = open(&disk, 16 << 10).unwrap();
    let busy = Store::open(Arc::new(disk.clone()), missing.clone()).unwrap_err();
    assert_eq!(busy.to_string(), "the store is in use by another process");
    drop(store);
    disk.damage("store.toml", |bytes| {
        let text = "format = 9\nidentity = \"00\"\ncreated = 1\nchecksum = 3067955026\n";
        *bytes = text.as_bytes().to_vec();
    });
    let checksum = crc32c::crc32c(b"9 00 1");
    disk.damage("store.toml", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("3067955026", &checksum.to_string()).into_bytes();
    });
    let newer = Store::open(Arc::new(disk), missing).unwrap_err();
    assert_eq!(
        newer.to_string(),
        "the store has format version 9, this program knows versions up to 1"
    );
}

#[test]
fn the_index_is_built_again_and_nothing_is_missed_meanwhile() {
    let disk = SimDisk::new(1);
    let store = open(&disk, 16 << 10).unwrap();
    let blocks = blocks(0..300);
    write(&store, &blocks).unwrap();
    store.sync().unwrap();
    let mut steps = Vec::new();
    store
        .rebuild_index(&mut |progress| {
            steps.push((progress.done, progress.total));
            assert_all_there(&store, &blocks[..50]);
        })
        .unwrap();
    let sealed = store.stats().sealed_arenas;
    assert_eq!(steps, (0..=sealed).map(|done| (done, sealed)).collect::<Vec<_>>());
    assert_eq!(store.stats().index.uncovered_arenas, 0);
    assert_eq!(store.stats().scanned_arenas, 0);
    assert_all_there(&store, &blocks);
    drop(store);
    for name in disk.names().iter().filter(|name| name.starts_with("index/")) {
        assert!(disk.delete(name));
    }
    let store = open(&disk, 16 << 10).unwrap();
    assert_all_there(&store, &blocks);
    write(&store, &blocks).unwrap();
    assert_eq!(store.stats().blocks, 300);
}

#[test]
fn reading_in_order_brings_whole_groups_and_reading_at_random_does_not() {
    const BLOCK: usize = 8 << 10;
    let disk = SimDisk::new(1);
    let store = open(&disk, 4 << 20).unwrap();
    // The even ones do not shrink.
    let blocks: Vec<Vec<u8>> = (0..1100).map(|number| block(2 * number, BLOCK)).collect();
    write(&store, &blocks).unwrap();
    store.close().unwrap();
    assert_eq!(store.stats().sealed_arenas, 2);
    drop(store);
    let sealed = &blocks[..960];
    let groups = |order: &[Vec<u8>], at_once: usize| {
        let store = open(&disk, 4 << 20).unwrap();
        order.chunks(at_once).for_each(|blocks| assert_all_there(&store, blocks));
        store.stats().data_cache.insertions
    };
    let all = (sealed.len() * BLOCK / (512 << 10)) as u64;
    for at_once in [1, 16, 64] {
        let brought = groups(sealed, at_once);
        let expected = all * 3 / 4..=all + 2;
        assert!(expected.contains(&brought), "{brought} of {all}, {at_once} at once");
    }
    let mut shuffled = sealed.to_vec();
    let mut dice = Dice::new(4);
    (1..shuffled.len()).for_each(|last| shuffled.swap(last, dice.below(last + 1)));
    let brought = groups(&shuffled, 1);
    assert!(brought < sealed.len() as u64 / 16, "{brought} groups for {} blocks", sealed.len());
}

#[test]
fn it_does_what_every_store_must() {
    let store = open(&SimDisk::new(1), 16 << 10).unwrap();
    venti_proto::conformance::check(&store, 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { create: true, ..StoreOptions::default() };
    let store = Store::open_path(directory.path(), options).unwrap();
    venti_proto::conformance::check(&store, 2).unwrap();
}
