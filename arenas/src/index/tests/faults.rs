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
