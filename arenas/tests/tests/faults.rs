//! Disks that fail: no sync is acknowledged falsely, nothing wrong is read, reads go on.

use std::sync::Arc;

use arenas::disk::{Fault, FaultPlan, SimDisk};
use arenas::{Severity, Store, StoreOptions};
use venti_proto::{BlockStore, StoreError};

use crate::gate::GateDisk;
use crate::support::{assert_all_there, block, open, read, small, write};

const ARENA: u64 = 6 << 10;

fn blocks(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| block(number, 50 + (number as usize * 131) % 600)).collect()
}

/// What a run that goes on after failures was promised.
struct Promises {
    blocks: Vec<Vec<u8>>,
    /// Whether a sync that succeeded came after a write that did.
    durable: Vec<bool>,
}

/// Writes, reads and syncs to the end, whatever fails.
fn run(disk: &SimDisk, blocks: &[Vec<u8>]) -> Promises {
    let mut taken = vec![false; blocks.len()];
    let mut durable = taken.clone();
    if let Ok(store) = open(disk, ARENA) {
        for (number, chunk) in blocks.chunks(4).enumerate() {
            let range = number * 4..number * 4 + chunk.len();
            let written = write(&store, chunk).is_ok();
            taken[range.clone()].fill(written);
            for (found, expected) in read(&store, chunk).into_iter().zip(chunk) {
                assert!(found.is_err() || found.as_ref() == Ok(expected), "wrong bytes");
            }
            if number % 2 == 1 && store.sync().is_ok() {
                durable.clone_from(&taken);
            }
        }
        if store.close().is_ok() {
            durable.clone_from(&taken);
        }
    }
    Promises { blocks: blocks.to_vec(), durable }
}

fn assert_kept(promises: &Promises, image: &SimDisk, what: &str) {
    let store = open(image, ARENA).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = read(&store, &promises.blocks);
    for (place, found) in found.into_iter().enumerate() {
        match found {
            Ok(found) => assert!(found == promises.blocks[place], "{what}: wrong bytes"),
            Err(StoreError::NotFound { .. }) if !promises.durable[place] => {}
            Err(error) => panic!("{what}: block {place}: {error}; {:?}", store.findings()),
        }
    }
}

#[test]
fn every_call_may_fail_in_every_way_once_or_for_ever() {
    let blocks = blocks(60);
    let whole = SimDisk::new(9);
    assert!(run(&whole, &blocks).durable.iter().all(|durable| *durable));
    let calls = whole.calls();
    let mut promised = 0;
    for fault in [Fault::Io, Fault::Full, Fault::Short, Fault::Interrupted] {
        for forever in [false, true] {
            for after in 0..calls {
                let what = format!("{fault:?} at call {after}, forever {forever}");
                let disk = SimDisk::new(9);
                disk.set_faults(Some(FaultPlan { after, fault, forever }));
                let promises = run(&disk, &blocks);
                promised += promises.durable.iter().filter(|durable| **durable).count();
                assert_kept(&promises, &disk.crash(after), &format!("{what}, crashed"));
                assert_kept(&promises, &disk.crash(!after), &format!("{what}, crashed again"));
                assert_kept(&promises, &disk.kill(), &format!("{what}, killed"));
                if fault == Fault::Short {
                    assert!(promises.durable.iter().all(|durable| *durable), "{what}");
                }
            }
        }
    }
    assert!(promised > 10_000, "{promised}");
}

#[test]
fn a_failed_sync_is_never_followed_by_a_good_one() {
    for failing in 0..3 {
        let disk = SimDisk::new(failing);
        let store = open(&disk, 1 << 20).unwrap();
        let old = blocks(20);
        write(&store, &old).unwrap();
        store.sync().unwrap();
        let new: Vec<Vec<u8>> = (100..120).map(|number| block(number, 500)).collect();
        write(&store, &new).unwrap();
        disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Io, forever: false }));
        assert!(matches!(store.sync(), Err(StoreError::Io { .. })));
        // The kernel calls the pages clean now, and every later call would succeed.
        for _ in 0..3 {
            let Err(StoreError::ReadOnly { detail }) = store.sync() else { panic!("synced") };
            assert!(detail.contains("sync arenas/0000000001.arena"), "{detail}");
            assert!(matches!(write(&store, &old), Err(StoreError::ReadOnly { .. })));
        }
        assert!(matches!(store.close(), Err(StoreError::ReadOnly { .. })));
        assert_all_there(&store, &old);
        assert_all_there(&store, &new);
        drop(store);

        // The next process reads from the page cache what the disk does not have. What it then
        // syncs must be there after a loss of power.
        let restarted = disk.kill();
        let store = open(&restarted, 1 << 20).unwrap();
        let visible: Vec<Vec<u8>> = new
            .iter()
            .zip(read(&store, &new))
            .filter_map(|(block, found)| found.ok().map(|_| block.clone()))
            .collect();
        assert_eq!(visible.len(), 20, "a killed process loses nothing");
        write(&store, &visible).unwrap();
        store.sync().unwrap();
        for seed in 0..20 {
            let store = open(&restarted.crash(seed), 1 << 20).unwrap();
            assert_all_there(&store, &old);
            assert_all_there(&store, &visible);
        }
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new(2);
    let store = open(&disk, 8 << 10).unwrap();
    let first = blocks(30);
    write(&store, &first).unwrap();
    store.sync().unwrap();
    let used: usize = disk.names().iter().map(|name| disk.contents(name).unwrap().len()).sum();
    for room in [0, 1, 40, 41, 100, 700] {
        disk.set_capacity(Some(used + room));
        let refused: Vec<Vec<u8>> = (0..10).map(|n| block(500 + 2 * n, 400)).collect();
        assert!(matches!(write(&store, &refused), Err(StoreError::Io { .. })), "room {room}");
        for found in read(&store, &refused) {
            assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
        }
        assert_all_there(&store, &first);
        store.sync().unwrap();
    }
    disk.set_capacity(None);
    let second: Vec<Vec<u8>> = (0..60).map(|n| block(500 + 2 * n, 400)).collect();
    write(&store, &second).unwrap();
    store.sync().unwrap();
    let store = open(&disk.crash(3), 8 << 10).unwrap();
    assert_eq!(store.findings(), []);
    assert_all_there(&store, &first);
    assert_all_there(&store, &second);
}

fn gated(options: StoreOptions) -> (SimDisk, Arc<GateDisk>, Store) {
    let disk = SimDisk::new(4);
    let gate = Arc::new(GateDisk::new(disk.clone()));
    let store = Store::open(Arc::clone(&gate) as Arc<dyn arenas::disk::Disk>, options).unwrap();
    (disk, gate, store)
}

/// Client one writes a block and hangs in the write; client two writes the same block meanwhile.
fn duplicate_in_flight(outcome: Option<Fault>) {
    let (disk, gate, store) = gated(small(1 << 20));
    let shared = [block(1, 300)];
    std::thread::scope(|scope| {
        gate.close();
        let first = scope.spawn(|| write(&store, &shared));
        gate.wait_for_arrival();
        let second = scope.spawn(|| write(&store, &shared).and_then(|()| store.sync()));
        let reader = scope.spawn(|| read(&store, &shared).remove(0));
        // The second has nothing to write: it may only wait, and must not be told that all is well.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!second.is_finished() && !reader.is_finished(), "answered before the write");
        gate.open(outcome);
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        let found = reader.join().unwrap();
        if outcome.is_none() {
            assert_eq!((first, second), (Ok(()), Ok(())));
            assert_eq!(found.as_ref(), Ok(&shared[0]));
        } else {
            assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
            assert!(found.is_err());
        }
    });
    for seed in 0..10 {
        let store = open(&disk.crash(seed), 1 << 20).unwrap();
        let there = read(&store, &shared)[0].is_ok();
        assert!(there || outcome.is_some(), "an acknowledged duplicate is lost");
    }
}

#[test]
fn a_duplicate_of_a_block_in_flight_shares_its_fate() {
    duplicate_in_flight(None);
    duplicate_in_flight(Some(Fault::Io));
    duplicate_in_flight(Some(Fault::Full));
}

#[test]
fn a_hole_that_a_full_disk_leaves_between_two_writes_becomes_a_gap() {
    let (disk, gate, store) = gated(small(1 << 20));
    let (lost, kept) = ([block(2, 300)], [block(4, 300)]);
    std::thread::scope(|scope| {
        gate.close();
        let first = scope.spawn(|| write(&store, &lost));
        gate.wait_for_arrival();
        gate.let_others_pass();
        write(&store, &kept).unwrap();
        gate.open(Some(Fault::Full));
        assert!(matches!(first.join().unwrap(), Err(StoreError::Io { .. })));
    });
    assert!(read(&store, &lost)[0].is_err());
    assert_all_there(&store, &kept);
    store.sync().unwrap();
    write(&store, &lost).unwrap();
    store.close().unwrap();
    let store = open(&disk.kill(), 1 << 20).unwrap();
    assert_eq!(store.findings(), [], "a closed gap is no damage");
    assert_all_there(&store, &lost);
    assert_all_there(&store, &kept);
}

#[test]
fn what_can_not_be_read_is_never_called_absent() {
    let disk = SimDisk::new(6);
    let store = open(&disk, 8 << 10).unwrap();
    let blocks = blocks(100);
    write(&store, &blocks).unwrap();
    store.sync().unwrap();
    drop(store);
    let mut failed = 0;
    for (place, expected) in blocks.iter().enumerate() {
        let store = open(&disk, 8 << 10).unwrap();
        disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Io, forever: true }));
        let wanted = std::slice::from_ref(expected);
        match read(&store, wanted).remove(0) {
            Ok(found) => assert!(found == *expected),
            Err(StoreError::Damaged { detail, .. } | StoreError::Io { detail }) => {
                assert!(detail.contains("arena "), "{detail}");
                failed += 1;
            }
            Err(error) => panic!("block {place}: {error}"),
        }
        let again = write(&store, wanted);
        assert!(!matches!(again, Err(StoreError::Collision { .. })), "{again:?}");
        disk.set_faults(None);
        // It passes, and nothing was made worse.
        assert_all_there(&store, &blocks);
    }
    assert_eq!(failed, 100);
}

#[test]
fn one_failed_read_is_made_up_for_or_said() {
    let disk = SimDisk::new(6);
    let store = open(&disk, 8 << 10).unwrap();
    let blocks = blocks(100);
    write(&store, &blocks).unwrap();
    for after in 0..60 {
        disk.set_faults(Some(FaultPlan { after, fault: Fault::Io, forever: false }));
        for (found, expected) in read(&store, &blocks).iter().zip(&blocks) {
            match found {
                Ok(found) => assert!(found == expected),
                Err(StoreError::Damaged { .. } | StoreError::Io { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        disk.set_faults(None);
        assert_all_there(&store, &blocks);
    }
}

#[test]
fn a_bad_sector_costs_the_blocks_in_it_and_no_others() {
    let disk = SimDisk::new(6);
    let store = open(&disk, 8 << 10).unwrap();
    let blocks: Vec<Vec<u8>> = (0..40).map(|number| block(2 * number, 400)).collect();
    write(&store, &blocks).unwrap();
    store.sync().unwrap();
    assert!(store.stats().sealed_arenas > 1);
    drop(store);
    // Block 3 and the header of block 4.
    let start = 512 + 3 * 472;
    assert!(disk.break_sectors("arenas/0000000001.arena", start + 100..start + 472 + 10));
    let store = open(&disk, 8 << 10).unwrap();
    for _ in 0..3 {
        for (place, (found, expected)) in read(&store, &blocks).iter().zip(&blocks).enumerate() {
            match found {
                Ok(found) => assert!(found == expected && place != 3),
                Err(StoreError::Damaged { detail, .. }) => {
                    assert_eq!(place, 3, "{detail}");
                    assert!(detail.contains("arena 1 offset 1928: read arenas/"), "{detail}");
                }
                Err(error) => panic!("block {place}: {error}"),
            }
        }
    }
    let report = store.check(arenas::CheckOptions { data: true }, &mut |_| {});
    assert!(!report.is_clean());
    assert!(report.findings.iter().all(|finding| finding.arena == Some(1)));
}

#[test]
fn a_mark_claims_nothing_of_a_write_that_is_on_its_way() {
    let (disk, gate, store) = gated(small(1 << 20));
    let (late, synced) = ([block(2, 300)], [block(4, 300)]);
    let mut images = Vec::new();
    std::thread::scope(|scope| {
        gate.close();
        let first = scope.spawn(|| write(&store, &late));
        gate.wait_for_arrival();
        gate.let_others_pass();
        write(&store, &synced).unwrap();
        store.sync().unwrap();
        // A second sync makes the mark of the first durable.
        write(&store, &[block(6, 300)]).unwrap();
        store.sync().unwrap();
        images.extend((0..10).map(|seed| disk.crash(seed)));
        gate.open(None);
        assert_eq!(first.join().unwrap(), Ok(()));
    });
    for image in images {
        let store = open(&image, 1 << 20).unwrap();
        assert_all_there(&store, &synced);
        let crash = |finding: &arenas::Finding| finding.severity == Severity::Recovered;
        assert!(store.findings().iter().all(crash), "{:?}", store.findings());
    }
    store.sync().unwrap();
    assert_all_there(&open(&disk.crash(1), 1 << 20).unwrap(), &late);
}
