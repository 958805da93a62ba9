//! Every row of the recovery tables of docs/store-format.md, on a disk that brings it about.

use arenas::disk::SimDisk;
use arenas::{Finding, Severity, Store, describe};
use std::ops::ControlFlow;
use venti_proto::BlockStore;

use crate::support::{assert_all_there, assert_oracle, block, open, write};

const ARENA: u64 = 8 << 10;
const NAMES: [&str; 4] = [
    "arenas/0000000001.arena",
    "arenas/0000000002.arena",
    "arenas/0000000003.arena",
    "arenas/0000000004.arena",
];

/// Blocks of which none shrinks, so that each clump has 72 + 800 bytes.
fn raw(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| block(2 * number, 800)).collect()
}

/// Three sealed arenas and an open one.
fn four_arenas() -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(1);
    let store = open(&disk, ARENA).unwrap();
    let blocks = raw(0..28);
    for block in &blocks {
        write(&store, std::slice::from_ref(block)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    assert_eq!(disk.names().iter().filter(|name| name.ends_with(".arena")).count(), 4);
    (disk, blocks)
}

/// An arena with two synced blocks and three that are not. Returns where the latter start.
fn open_tail() -> (SimDisk, Vec<Vec<u8>>, usize) {
    let disk = SimDisk::new(1);
    let store = open(&disk, 1 << 20).unwrap();
    let blocks = raw(0..5);
    write(&store, &blocks[..2]).unwrap();
    store.sync().unwrap();
    let start = disk.contents(NAMES[0]).unwrap().len();
    write(&store, &blocks[2..]).unwrap();
    drop(store);
    (disk.kill(), blocks, start)
}

fn details(store: &Store) -> Vec<String> {
    store.findings().iter().map(ToString::to_string).collect()
}

/// Whether some finding is by this row, and how bad.
fn by_row(store: &Store, label: &str) -> Option<Severity> {
    let found: Vec<Finding> =
        store.findings().into_iter().filter(|finding| finding.detail.contains(label)).collect();
    found.first().map(|finding| finding.severity)
}

fn records(store: &Store, number: u32) -> Vec<String> {
    let mut lines = Vec::new();
    describe::records(store, number, &mut |line| {
        lines.push(line.to_owned());
        ControlFlow::Continue(())
    })
    .unwrap();
    lines
}

#[test]
fn a1_a_file_of_another_store_is_left_alone() {
    let (disk, blocks) = four_arenas();
    let (other, _) = four_arenas();
    let foreign = other.contents(NAMES[0]).unwrap();
    disk.put("arenas/0000000005.arena", foreign.clone());
    let store = open(&disk, ARENA).unwrap();
    assert_eq!(by_row(&store, "A1 foreign"), Some(Severity::Damaged), "{:?}", details(&store));
    assert_all_there(&store, &blocks);
    write(&store, &raw(100..130)).unwrap();
    assert_eq!(disk.contents("arenas/0000000005.arena").unwrap(), foreign);
}

#[test]
fn a2_a3_sealed_arenas_are_not_touched() {
    let (disk, blocks) = four_arenas();
    let before: Vec<_> = NAMES[..3].iter().map(|name| disk.contents(name)).collect();
    let store = open(&disk, ARENA).unwrap();
    assert_eq!(details(&store), Vec::<String>::new());
    assert_all_there(&store, &blocks);
    let after: Vec<_> = NAMES[..3].iter().map(|name| disk.contents(name)).collect();
    assert_eq!(before, after);
    // The last file may be a sealed one: a new arena is begun.
    drop(store);
    disk.delete(NAMES[3]);
    let store = open(&disk, ARENA).unwrap();
    assert_eq!(details(&store), Vec::<String>::new());
    write(&store, &raw(100..101)).unwrap();
    assert!(disk.contents(NAMES[3]).is_some());
}

#[test]
fn a4_a_footer_that_may_not_be_durable_is_written_again() {
    let (disk, blocks) = four_arenas();
    disk.delete(NAMES[3]);
    let sealed = disk.contents(NAMES[2]).unwrap();
    // The same bytes in a file that is not read-only, and so not known to be synced.
    disk.delete(NAMES[2]);
    disk.put(NAMES[2], sealed.clone());
    let store = open(&disk, ARENA).unwrap();
    assert_eq!(details(&store), Vec::<String>::new());
    assert_oracle(&store, &blocks, 24, 0);
    drop(store);
    assert_eq!(disk.contents(NAMES[2]).unwrap(), sealed);
    let before = disk.calls();
    drop(open(&disk, ARENA).unwrap());
    let without = disk.calls() - before;
    disk.delete(NAMES[2]);
    disk.put(NAMES[2], sealed);
    let before = disk.calls();
    drop(open(&disk, ARENA).unwrap());
    assert!(disk.calls() - before > without, "nothing was written again");
}

#[test]
fn a5_a6_an_arena_that_lost_its_footer_is_served_and_not_changed() {
    for (number, row) in [(0, "A5 old, no footer"), (2, "A6 sealed once, no footer")] {
        let (disk, blocks) = four_arenas();
        disk.damage(NAMES[number], |bytes| bytes.truncate(bytes.len() - 100));
        let before = disk.contents(NAMES[number]);
        let store = open(&disk, ARENA).unwrap();
        assert_eq!(by_row(&store, row), Some(Severity::Damaged), "{:?}", details(&store));
        assert_all_there(&store, &blocks);
        write(&store, &blocks).unwrap();
        assert_eq!(store.stats().blocks, blocks.len() as u64);
        assert_eq!(disk.contents(NAMES[number]), before);
    }
}

#[test]
fn a7_an_open_arena_that_can_not_be_read_is_left_for_a_new_one() {
    let (disk, blocks, start) = open_tail();
    // The second of the blocks that no mark proves durable: it must not pass for a torn tail.
    disk.break_sectors(NAMES[0], start + 900..start + 1000);
    let contents = disk.contents(NAMES[0]);
    for _ in 0..2 {
        let store = open(&disk, 1 << 20).unwrap();
        let said = details(&store);
        assert!(said.iter().any(|line| line.contains(" bytes can not be read")), "{said:?}");
        assert_oracle(&store, &blocks[..2], 2, 0);
        assert_eq!(disk.contents(NAMES[0]), contents);
        assert!(disk.contents(NAMES[1]).is_some());
        // What is lost can be stored again.
        write(&store, &blocks).unwrap();
        store.sync().unwrap();
        assert_all_there(&store, &blocks);
    }
}

#[test]
fn a8_s2_records_since_the_last_mark_are_kept_and_made_durable() {
    let (disk, blocks, _) = open_tail();
    let store = open(&disk, 1 << 20).unwrap();
    assert_eq!(details(&store), Vec::<String>::new());
    drop(store);
    for seed in 0..20 {
        assert_all_there(&open(&disk.crash(seed), 1 << 20).unwrap(), &blocks);
    }
}

#[test]
fn a9_an_arena_of_which_nothing_arrived_is_begun_again() {
    for contents in [Vec::new(), vec![0; 100], vec![0; 9000], vec![7; 513]] {
        let disk = SimDisk::new(1);
        drop(open(&disk, ARENA).unwrap());
        disk.put(NAMES[0], contents);
        let store = open(&disk, ARENA).unwrap();
        assert!(store.findings().iter().all(|finding| finding.severity == Severity::Recovered));
        write(&store, &raw(0..3)).unwrap();
        store.sync().unwrap();
        let lines = records(&store, 1);
        assert!(lines[0].contains("header: arena 1"), "{lines:?}");
        assert_all_there(&open(&disk.crash(1), ARENA).unwrap(), &raw(0..3));
    }
}

#[test]
fn s1_s5_what_a_mark_proves_durable_is_reported_and_never_cut() {
    let (disk, blocks, start) = open_tail();
    // The header of the first block: proved durable by the mark behind the second.
    disk.damage(NAMES[0], |bytes| bytes[512 + 40] ^= 1);
    let before = disk.contents(NAMES[0]).unwrap();
    let store = open(&disk, 1 << 20).unwrap();
    assert_eq!(by_row(&store, "S5 corruption"), Some(Severity::Damaged));
    let text = details(&store);
    assert!(text[0].starts_with("arena 1 at offset 512 (872 bytes): "), "{text:?}");
    assert_oracle(&store, &blocks[1..], 4, 0);
    assert_eq!(disk.contents(NAMES[0]).unwrap()[..start], before[..start]);
    assert!(!disk.names().iter().any(|name| name.contains(".torn.")));
    // It is said again until the arena is sealed, and checks say it for ever.
    drop(store);
    assert_eq!(by_row(&open(&disk, 1 << 20).unwrap(), "S5 corruption"), Some(Severity::Damaged));
}

#[test]
fn s3_s6_holes_are_copied_aside_and_closed() {
    // A payload that did not arrive, a header that did not, and records behind both.
    for (row, place) in [("S3 torn payload inside", 72 + 10), ("S6 hole", 10)] {
        let (disk, blocks, start) = open_tail();
        disk.damage(NAMES[0], |bytes| bytes[start + place] ^= 1);
        let dropped = disk.contents(NAMES[0]).unwrap()[start..start + 872].to_vec();
        let store = open(&disk, 1 << 20).unwrap();
        assert_eq!(by_row(&store, row), Some(Severity::Recovered), "{:?}", details(&store));
        assert_eq!(assert_oracle(&store, &blocks, 2, 0), [0, 1, 3, 4]);
        assert_eq!(disk.contents("arenas/0000000001.torn.1"), Some(dropped));
        assert!(records(&store, 1).iter().any(|line| line.contains("gap of 872 bytes")));
        drop(store);
        assert_eq!(details(&open(&disk, 1 << 20).unwrap()), Vec::<String>::new(), "{row}");
    }
}

#[test]
fn s4_s7_the_torn_tail_is_copied_aside_and_cut() {
    for (row, cut) in [("S4 torn payload at the end", false), ("S7 torn tail", true)] {
        let (disk, blocks, start) = open_tail();
        let last = start + 2 * 872;
        disk.damage(NAMES[0], |bytes| {
            bytes[last + 100] ^= 1;
            if cut {
                bytes.truncate(last + 500);
            }
        });
        let dropped = disk.contents(NAMES[0]).unwrap()[last..].to_vec();
        let store = open(&disk, 1 << 20).unwrap();
        assert_eq!(by_row(&store, row), Some(Severity::Recovered), "{:?}", details(&store));
        assert_eq!(assert_oracle(&store, &blocks, 2, 0), [0, 1, 2, 3]);
        assert_eq!(disk.contents("arenas/0000000001.torn.1"), Some(dropped));
        write(&store, &blocks).unwrap();
        drop(store);
        let store = open(&disk, 1 << 20).unwrap();
        assert_eq!(details(&store), Vec::<String>::new());
        assert_all_there(&store, &blocks);
        // A second recovery does not overwrite what the first has kept.
        drop(store);
        disk.damage(NAMES[0], |bytes| bytes.extend_from_slice(b"rubbish"));
        drop(open(&disk, 1 << 20).unwrap());
        assert_eq!(disk.contents("arenas/0000000001.torn.2"), Some(b"rubbish".to_vec()));
    }
}
