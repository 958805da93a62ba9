//! Every call on the disk fails once, and for ever: nothing that is there becomes absent.

use super::*;
use crate::disk::{Fault, FaultPlan};

const CLUMPS: u32 = 60;

/// Adds arenas 3 to 8 to the index of a disk that has 1 and 2, merging and looking up between.
/// Whatever fails, no answer is wrong.
fn work(disk: &SimDisk, sealed: &[SealedArena]) -> Result<(), IndexError> {
    let index = Index::open(Arc::new(disk.clone()), sealed, SMALL)?;
    let mut results = Vec::new();
    for number in 3..=8 {
        let (one, entries) = arena(number, CLUMPS);
        results.push(index.add_arena(one, entries));
        results.push(index.maintain().map(drop));
        check(&index, number, "while working");
    }
    results.into_iter().collect()
}

/// Demands that everything up to arena `last` is found or unknown.
fn check(index: &Index, last: u32, what: &str) {
    for number in 1..=last {
        let (_, entries) = arena(number, CLUMPS);
        for (entry, answer) in entries.iter().zip(look_up(index, &entries)) {
            match answer {
                Lookup::Found(found) => assert_eq!(found, location(entry), "{what}"),
                Lookup::Absent => panic!("{what}: a block of arena {number} is absent"),
                Lookup::Unknown => {}
            }
        }
    }
}

/// Opens without faults, adds what is missing, and demands that everything is found.
fn recover(disk: &SimDisk, sealed: &[SealedArena], what: &str) {
    let index = open(disk, sealed, SMALL);
    check(&index, 8, what);
    for one in index.uncovered() {
        index.add_arena(one, arena(one.number, CLUMPS).1).unwrap();
    }
    while index.maintain().unwrap() {}
    for number in 1..=8 {
        let answers = look_up(&index, &arena(number, CLUMPS).1);
        assert!(answers.iter().all(|l| matches!(l, Lookup::Found(_))), "{what}");
    }
    let stats = index.stats();
    assert_eq!(disk.names().len() as u64, stats.runs + 1, "{what}: old files are gone");
}

#[test]
fn every_call_may_fail() {
    let (before, sealed, _) = example(2, CLUMPS, false);
    let all: Vec<_> = (1..=8).map(|number| arena(number, CLUMPS).0).collect();
    let counting = before.kill();
    work(&counting, &sealed).unwrap();
    let calls = counting.calls();
    assert!(calls > 100, "{calls}");
    for fault in [Fault::Io, Fault::Full, Fault::Short, Fault::Interrupted] {
        for forever in [false, true] {
            let mut failed = 0;
            for after in 0..calls {
                let what = format!("{fault:?} after {after}, for ever: {forever}");
                let disk = before.kill();
                disk.set_faults(Some(FaultPlan { after, fault, forever }));
                failed += u32::from(work(&disk, &sealed).is_err());
                disk.set_faults(None);
                recover(&disk.kill(), &all, &what);
                recover(&disk.crash(after), &all, &format!("{what}, power lost"));
            }
            assert!(fault == Fault::Short || failed > 0, "{fault:?} was never noticed");
        }
    }
}

#[test]
fn short_transfers_are_completed() {
    let (before, sealed, _) = example(2, CLUMPS, false);
    before.set_faults(Some(FaultPlan { after: 0, fault: Fault::Short, forever: true }));
    work(&before, &sealed).unwrap();
}

#[test]
fn a_full_disk_leaves_arenas_unknown_until_there_is_room() {
    let (disk, mut sealed, all) = example(3, 100, true);
    let index = open(&disk, &sealed, SMALL);
    disk.set_capacity(Some(40_000));
    let (fourth, entries) = arena(4, 1000);
    sealed.push(fourth);
    assert!(index.add_arena(fourth, entries.clone()).is_err());
    assert_eq!(index.uncovered(), [fourth]);
    assert!(look_up(&index, &all).iter().all(|l| matches!(l, Lookup::Found(_))));
    assert!(look_up(&index, &entries).iter().all(|l| *l == Lookup::Unknown));
    disk.set_capacity(None);
    index.add_arena(fourth, entries.clone()).unwrap();
    assert!(look_up(&index, &entries).iter().all(|l| matches!(l, Lookup::Found(_))));
    assert_eq!(disk.names().len() as u64, index.stats().runs + 1);
}

/// A merge that runs out of space gives back what it took, and goes through when there is room.
#[test]
fn a_merge_without_room_leaves_no_file() {
    let (disk, sealed, all) = example(3, 1000, false);
    let index = open(&disk, &sealed, SMALL);
    let files = disk.names();
    let used: usize = files.iter().map(|name| disk.contents(name).unwrap().len()).sum();
    disk.set_capacity(Some(used + 30_000));
    let failed = (0..20).any(|_| index.maintain().is_err());
    assert!(failed, "a merge needs room for its result");
    assert_eq!(disk.names(), files);
    assert!(look_up(&index, &all).iter().all(|l| matches!(l, Lookup::Found(_))));
    disk.set_capacity(None);
    while index.maintain().unwrap() {}
    assert_eq!(index.stats().runs, 1);
}

#[test]
fn what_a_killed_merge_left_is_removed_at_open() {
    let (disk, sealed, all) = example(3, 500, false);
    let index = open(&disk, &sealed, SMALL);
    assert!(index.maintain().unwrap(), "the merge is under way");
    let killed = disk.kill();
    assert_eq!(killed.names().len(), 5);
    let index = open(&killed, &sealed, SMALL);
    assert_eq!(killed.names().len(), 4);
    assert!(look_up(&index, &all).iter().all(|l| matches!(l, Lookup::Found(_))));
}

/// No directory, and none can be made: the store can be read, and the index comes with the room.
#[test]
fn an_index_without_a_directory_comes_later() {
    let disk = SimDisk::new(1);
    let (one, entries) = arena(1, 100);
    disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Full, forever: false }));
    let index = open(&disk, &[one], SMALL);
    disk.set_faults(None);
    assert!(disk.list(names::INDEX).is_err(), "there is no directory");
    assert!(look_up(&index, &entries).iter().all(|l| *l == Lookup::Unknown));
    index.add_arena(one, entries.clone()).unwrap();
    let index = open(&disk.crash(1), &[one], SMALL);
    assert!(look_up(&index, &entries).iter().all(|l| matches!(l, Lookup::Found(_))));
}
