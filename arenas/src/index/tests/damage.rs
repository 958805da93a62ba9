//! Flipped bits, cut and missing files, copies of an older day: detected or harmless.

use proptest::prelude::*;

use super::manifest::{Manifest, RunRecord};
use super::page::RunIdentity;
use super::*;

/// Nothing that is there is called absent, and no place is given that is not true.
fn check_answers(index: &Index, entries: &[IndexEntry], what: &str) {
    for (entry, answer) in entries.iter().zip(look_up(index, entries)) {
        match answer {
            Lookup::Found(found) => assert_eq!(found, location(entry), "{what}"),
            Lookup::Absent => panic!("{what}: {entry:?} is absent"),
            Lookup::Unknown => {}
        }
    }
}

/// Adds what is uncovered, merges, and demands that everything is found.
fn heal(index: &Index, clumps: u32, all: &[IndexEntry], what: &str) {
    for one in index.uncovered() {
        index.add_arena(one, arena(one.number, clumps).1).unwrap();
    }
    while index.maintain().unwrap() {}
    let answers = look_up(index, all);
    assert!(answers.iter().all(|l| matches!(l, Lookup::Found(_))), "{what}");
}

/// Flips bits one at a time, opens, looks everything up, and puts the bit back.
fn flip(disk: &SimDisk, sealed: &[SealedArena], all: &[IndexEntry], bits: impl Fn(usize) -> bool) {
    for name in disk.names() {
        let length = disk.contents(&name).unwrap().len();
        for bit in (0..length * 8).filter(|bit| bits(*bit)) {
            let toggle = |bytes: &mut Vec<u8>| bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(disk.damage(&name, toggle));
            check_answers(&open(disk, sealed, SMALL), all, &format!("bit {bit} of {name}"));
            assert!(disk.damage(&name, toggle));
        }
    }
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let (disk, sealed, all) = example(1, 20, false);
    flip(&disk, &sealed, &all, |_| true);
}

#[test]
fn a_flipped_bit_in_every_byte_of_merged_runs_is_detected_or_harmless() {
    let (disk, sealed, all) = example(5, 120, true);
    flip(&disk, &sealed, &all, |bit| bit % 8 == bit / 8 % 8);
}

#[test]
fn an_index_with_a_flipped_bit_heals() {
    let (disk, sealed, all) = example(5, 120, true);
    for name in disk.names() {
        let length = disk.contents(&name).unwrap().len();
        for at in (0..length).step_by(811) {
            let damaged = disk.crash(1);
            assert!(damaged.damage(&name, |bytes| bytes[at] ^= 4));
            let index = open(&damaged, &sealed, SMALL);
            check_answers(&index, &all, &name);
            heal(&index, 120, &all, &format!("byte {at} of {name}"));
            drop(index);
            let index = open(&damaged, &sealed, SMALL);
            assert_eq!(index.uncovered(), [], "byte {at} of {name}, opened again");
        }
    }
}

#[test]
fn zeroed_and_swapped_pages_are_noticed() {
    let (disk, sealed, all) = example(5, 400, true);
    for name in disk.names() {
        let pages = disk.contents(&name).unwrap().len() / 4096;
        for page in 0..pages {
            let zeroed = disk.crash(1);
            assert!(zeroed.damage(&name, |bytes| bytes[page * 4096..][..4096].fill(0)));
            check_answers(&open(&zeroed, &sealed, SMALL), &all, &format!("zero page {page}"));
            let swapped = disk.crash(1);
            assert!(swapped.damage(&name, |bytes| {
                let (one, other) = (page * 4096, (page + 1) % pages * 4096);
                (0..4096).for_each(|i| bytes.swap(one + i, other + i));
            }));
            check_answers(&open(&swapped, &sealed, SMALL), &all, &format!("swapped page {page}"));
        }
    }
}

#[test]
fn cut_and_lengthened_files_are_noticed() {
    let (disk, sealed, all) = example(4, 300, true);
    for name in disk.names() {
        let length = disk.contents(&name).unwrap().len();
        for cut in (0..length).step_by(length / 50 + 1).chain([length - 1]) {
            let damaged = disk.crash(1);
            assert!(damaged.damage(&name, |bytes| bytes.truncate(cut)));
            let index = open(&damaged, &sealed, SMALL);
            check_answers(&index, &all, &format!("{name} cut to {cut}"));
            heal(&index, 300, &all, &format!("{name} cut to {cut}"));
        }
        let damaged = disk.crash(1);
        assert!(damaged.damage(&name, |bytes| bytes.extend_from_slice(&[0; 100])));
        let index = open(&damaged, &sealed, SMALL);
        assert_ne!(index.uncovered(), [], "{name} with garbage behind it");
        check_answers(&index, &all, &name);
    }
}

#[test]
fn files_cut_under_an_open_index_are_noticed() {
    let (disk, sealed, all) = example(4, 300, true);
    let index = open(&disk, &sealed, SMALL);
    for name in disk.names() {
        assert!(disk.damage(&name, |bytes| bytes.truncate(4096)));
    }
    check_answers(&index, &all, "cut while open");
    heal(&index, 300, &all, "cut while open");
}

#[test]
fn deleted_files_are_noticed() {
    let (disk, sealed, all) = example(8, 100, true);
    for name in disk.names() {
        let damaged = disk.crash(1);
        damaged.remove(&name).unwrap();
        let index = open(&damaged, &sealed, SMALL);
        assert_ne!(index.uncovered(), [], "{name}");
        check_answers(&index, &all, &name);
        heal(&index, 100, &all, &name);
    }
    for name in disk.names() {
        disk.remove(&name).unwrap();
    }
    let index = open(&disk, &sealed, SMALL);
    assert_eq!(index.uncovered(), sealed);
    heal(&index, 100, &all, "all deleted");
}

#[test]
fn an_index_of_an_older_day_is_used_as_far_as_it_goes() {
    let (disk, mut sealed, mut all) = example(4, 200, true);
    let old: Vec<_> = disk.names().into_iter().map(|name| (disk.contents(&name), name)).collect();
    let index = open(&disk, &sealed, SMALL);
    for number in 5..=9 {
        let (one, entries) = arena(number, 200);
        all.extend_from_slice(&entries);
        sealed.push(one);
        index.add_arena(one, entries).unwrap();
        while index.maintain().unwrap() {}
    }
    drop(index);
    // The old manifest alone: the runs that it names are gone.
    let manifest = names::INDEX_MANIFEST;
    let saved = old.iter().find(|(_, name)| name == manifest).unwrap().0.clone().unwrap();
    let mixed = disk.crash(1);
    assert!(mixed.damage(manifest, |bytes| bytes.clone_from(&saved)));
    let index = open(&mixed, &sealed, SMALL);
    check_answers(&index, &all, "old manifest");
    heal(&index, 200, &all, "old manifest");
    // The whole directory.
    for name in disk.names() {
        disk.remove(&name).unwrap();
    }
    for (contents, name) in &old {
        let file = disk.open(name, crate::disk::OpenMode::Create).unwrap();
        crate::disk::write_all_at(&*file, contents.as_ref().unwrap(), 0).unwrap();
    }
    let index = open(&disk, &sealed, SMALL);
    assert_eq!(index.uncovered(), sealed[4..], "old runs are still true");
    check_answers(&index, &all, "old index");
    heal(&index, 200, &all, "old index");
}

#[test]
fn runs_of_another_store_or_of_a_replaced_arena_are_not_believed() {
    let (disk, sealed, all) = example(4, 100, true);
    let mut others = sealed.clone();
    others.iter_mut().for_each(|one| one.identity[9] ^= 1);
    assert_eq!(open(&disk, &others, SMALL).uncovered(), others);
    let mut replaced = sealed.clone();
    replaced[1].identity[9] ^= 1;
    let index = open(&disk, &replaced, SMALL);
    assert!(index.uncovered().contains(&replaced[1]));
    check_answers(&index, &all[..100], "a replaced neighbour");
    assert!(look_up(&index, &all[100..200]).iter().all(|l| *l == Lookup::Unknown));
    let shorter = &sealed[..3];
    let index = open(&disk, shorter, SMALL);
    check_answers(&index, &all[..300], "an arena that is gone");
    let gone = look_up(&index, &all[300..]);
    assert!(gone.iter().all(|l| !matches!(l, Lookup::Found(_))), "places in no arena");
}

#[test]
fn a_run_under_the_name_of_another_is_not_believed() {
    let (disk, sealed, all) = example(2, 100, false);
    let first = disk.contents(&names::run(1)).unwrap();
    let second = disk.contents(&names::run(2)).unwrap();
    assert!(disk.damage(&names::run(1), |bytes| bytes.clone_from(&second)));
    assert!(disk.damage(&names::run(2), |bytes| bytes.clone_from(&first)));
    let index = open(&disk, &sealed, SMALL);
    assert_eq!(index.uncovered(), sealed);
    heal(&index, 100, &all, "swapped runs");
}

#[test]
fn a_damaged_page_is_not_merged() {
    let (disk, sealed, all) = example(3, 500, false);
    for number in 1..=3 {
        for page in [1, 2, 5] {
            let damaged = disk.crash(1);
            let index = open(&damaged, &sealed, SMALL);
            let flip = |bytes: &mut Vec<u8>| bytes[page * 4096 + 29] ^= 1;
            assert!(damaged.damage(&names::run(number), flip));
            while index.maintain().unwrap() {}
            let what = format!("page {page} of run {number}");
            assert_eq!(index.uncovered(), [sealed[number as usize - 1]], "{what}");
            check_answers(&index, &all, &what);
            heal(&index, 500, &all, &what);
        }
    }
}

#[test]
fn what_is_dropped_while_it_is_merged_stays_dropped() {
    let (disk, sealed, all) = example(3, 500, false);
    let index = open(&disk, &sealed, SMALL);
    assert!(index.maintain().unwrap(), "the merge has several steps");
    index.invalidate(2);
    while index.maintain().unwrap() {}
    assert_eq!(index.uncovered(), [sealed[1]], "dropped between two steps");
    heal(&index, 500, &all, "dropped between two steps");
    for number in 4..=6 {
        let (one, entries) = arena(number, 90);
        index.add_arena(one, entries).unwrap();
    }
    let merge = index.next_merge(&mut None).unwrap().unwrap();
    let Step::Finished { record, inputs } = merge.step().unwrap() else { panic!("not finished") };
    index.invalidate(5);
    assert!(!index.install(record, &inputs).unwrap(), "dropped before the merge was installed");
    assert_eq!(index.uncovered(), [arena(5, 90).0]);
}

proptest! {
    /// Bytes that somebody chose, under checksums that match: refused, or read without harm.
    #[test]
    fn a_forged_run_does_no_harm(
        page in 0_usize..5,
        changes in proptest::collection::vec((0_usize..600, any::<u8>()), 1..8),
    ) {
        let (disk, sealed, all) = example(1, 150, false);
        let identity = RunRecord::identity(&Manifest::read(&disk).unwrap().unwrap().runs[0]);
        let good = disk.contents(&names::run(1)).unwrap();
        let mut forged = good.clone();
        forge(&mut forged, identity);
        assert!(forged == good, "forging finds every checksum");
        assert!(disk.damage(&names::run(1), |bytes| {
            for (at, value) in &changes {
                bytes[page * 4096 + at] = *value;
            }
            forge(bytes, identity);
        }));
        let index = open(&disk, &sealed, SMALL);
        look_up(&index, &all);
        index.add_arena(arena(2, 100).0, arena(2, 100).1).unwrap();
        index.add_arena(arena(3, 100).0, arena(3, 100).1).unwrap();
        while index.maintain().unwrap() {}
        look_up(&index, &all);
    }
}

/// Makes all checksums of a run of one segment match: 2 pages of entries, summary, table.
fn forge(bytes: &mut [u8], identity: RunIdentity) {
    const ROW: usize = 4 * 4096;
    let length = u32::from_be_bytes(bytes[ROW + 56..ROW + 60].try_into().unwrap()) as usize;
    let summary = 3 * 4096..(3 * 4096 + 16 + length).min(bytes.len());
    let sum = page::checksum(identity, 3, &bytes[summary]);
    bytes[ROW + 36..ROW + 40].copy_from_slice(&sum.to_be_bytes());
    let sum = page::checksum(identity, 4, &bytes[ROW..ROW + 64]);
    bytes[40..44].copy_from_slice(&sum.to_be_bytes());
    for (number, page) in bytes.as_chunks_mut().0.iter_mut().enumerate().take(3) {
        page::seal_whole(page, identity, number as u64);
    }
}
