//! Flipped bits, cut and missing files, copies of an older day: detected or harmless.

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
    let shorter = &sealed[..3];
    let index = open(&disk, shorter, SMALL);
    check_answers(&index, &all[..300], "an arena that is gone");
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
