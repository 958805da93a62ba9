//! Two blocks with one score: whichever comes second is refused, and the first stays readable.
//!
//! The pair is the first 320 bytes of the two files of shattered.io, where SHA-1 already agrees.

use arenas::disk::SimDisk;
use arenas::{Store, UnverifiedBlock};
use sha1_checked::Sha1;
use venti_proto::{BlockStore, BlockType, Score, StoreError};

use crate::support::{assert_all_there, block, open, write};

const PAIR: [&[u8]; 2] = [
    include_bytes!("../../testdata/shattered-1.bin"),
    include_bytes!("../../testdata/shattered-2.bin"),
];

fn refused() -> Result<(), StoreError> {
    Err(StoreError::Collision { score: Score::of(PAIR[0]) })
}

fn only_first_is_there(store: &Store, first: &[u8]) {
    assert_all_there(store, &[first.to_vec()]);
}

#[test]
fn the_pair_is_a_collision() {
    assert_ne!(PAIR[0], PAIR[1]);
    assert_eq!(Score::of(PAIR[0]), Score::of(PAIR[1]));
    assert!(PAIR.iter().all(|block| Sha1::try_digest(block).has_collision()));
}

#[test]
fn the_second_is_refused_in_both_orders_and_wherever_the_first_is() {
    for [first, second] in [PAIR, [PAIR[1], PAIR[0]]] {
        let disk = SimDisk::new(1);
        let store = open(&disk, 8 << 10).unwrap();
        write(&store, &[first.to_vec()]).unwrap();
        // In the arena that takes blocks.
        assert_eq!(write(&store, &[second.to_vec()]), refused());
        let around: Vec<Vec<u8>> = (0..60).map(|number| block(number, 500)).collect();
        write(&store, &around).unwrap();
        assert!(store.stats().sealed_arenas > 1);
        // In a sealed one, by the clump's header, then by the table of contents and the cache.
        for _ in 0..4 {
            assert_eq!(write(&store, &[second.to_vec()]), refused());
            write(&store, &[first.to_vec()]).unwrap();
        }
        only_first_is_there(&store, first);
        store.close().unwrap();
        drop(store);
        let store = open(&disk, 8 << 10).unwrap();
        assert_eq!(write(&store, &[second.to_vec()]), refused());
        only_first_is_there(&store, first);
        assert_eq!(store.stats().collisions, 1);
        // Another type is another block: the order of the two is free there.
        let mut results = Vec::new();
        let other = UnverifiedBlock { block_type: BlockType::DIRECTORY, data: second };
        store.write_unverified(&[other], &mut results);
        assert_eq!(results, [Ok(Score::of(second))]);
        only_first_is_there(&store, first);
    }
}

#[test]
fn the_second_is_refused_within_a_batch_and_its_neighbours_are_stored() {
    let store = open(&SimDisk::new(1), 1 << 20).unwrap();
    let (before, after) = (block(1, 200), block(2, 200));
    let data = [&before[..], PAIR[0], PAIR[1], PAIR[0], &after[..]];
    let blocks = data.map(|data| UnverifiedBlock { block_type: BlockType::DATA, data });
    let mut results = Vec::new();
    store.write_unverified(&blocks, &mut results);
    let failed: Vec<usize> = (0..5).filter(|place| results[*place].is_err()).collect();
    assert_eq!(failed, [2]);
    assert_all_there(&store, &[before, PAIR[0].to_vec(), after]);
}

#[test]
fn of_two_at_the_same_moment_one_is_refused() {
    for _ in 0..50 {
        let store = open(&SimDisk::new(1), 1 << 20).unwrap();
        let barrier = std::sync::Barrier::new(2);
        let results = std::thread::scope(|scope| {
            let writers = PAIR.map(|data| {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    write(store, &[data.to_vec()])
                })
            });
            writers.map(|writer| writer.join().unwrap())
        });
        let winner = usize::from(results[0].is_err());
        assert!(results[winner].is_ok() && results[1 - winner] == refused(), "{results:?}");
        only_first_is_there(&store, PAIR[winner]);
        store.sync().unwrap();
    }
}
