//! The index on the simulated disk: against a map, damaged, cut, old, full and failing.

mod damage;
mod faults;
mod model;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use venti_proto::{BlockRequest, BlockType, Score};

use super::*;
use crate::disk::SimDisk;

/// Segments and levels so small that a few hundred entries have several of both.
const SMALL: IndexOptions =
    IndexOptions { read_only: false, segment_entries: 300, merge_factor: 3 };

/// An arena whose entries follow from its number.
fn arena(number: u32, clumps: u32) -> (SealedArena, Vec<IndexEntry>) {
    let mut identity = [0xa5; 16];
    identity[..4].copy_from_slice(&number.to_be_bytes());
    let entries = (0..clumps).map(|clump| IndexEntry {
        score: score(number, clump),
        block_type: if clump % 3 == 0 { BlockType::DIRECTORY } else { BlockType::DATA },
        arena: number,
        offset: 4096 + clump * 100,
    });
    (SealedArena { number, identity, clumps }, entries.collect())
}

fn score(arena: u32, clump: u32) -> Score {
    Score::of(&[arena.to_be_bytes(), clump.to_be_bytes()].concat())
}

fn request(entry: &IndexEntry) -> BlockRequest {
    BlockRequest { score: entry.score, block_type: entry.block_type }
}

fn location(entry: &IndexEntry) -> Location {
    Location { arena: entry.arena, offset: entry.offset }
}

fn open(disk: &SimDisk, sealed: &[SealedArena], options: IndexOptions) -> Index {
    Index::open(Arc::new(disk.clone()), sealed, options).unwrap()
}

/// Arenas 1 to `count` with `clumps` each, in an index on a new disk; merged if `merged`.
fn example(count: u32, clumps: u32, merged: bool) -> (SimDisk, Vec<SealedArena>, Vec<IndexEntry>) {
    let disk = SimDisk::new(1);
    let index = open(&disk, &[], SMALL);
    let mut sealed = Vec::new();
    let mut all = Vec::new();
    for number in 1..=count {
        let (one, entries) = arena(number, clumps);
        all.extend_from_slice(&entries);
        sealed.push(one);
        index.add_arena(one, entries).unwrap();
    }
    while merged && index.maintain().unwrap() {}
    (disk, sealed, all)
}

fn look_up(index: &Index, entries: &[IndexEntry]) -> Vec<Lookup> {
    let requests: Vec<_> = entries.iter().map(request).collect();
    let mut answers = Vec::new();
    index.lookup(&requests, &mut answers);
    answers
}

/// Entries that no arena of [`arena`] has: unknown scores, and known ones as another type.
fn strangers(count: u32) -> Vec<IndexEntry> {
    let (_, mut strangers) = arena(9999, count);
    let (_, known) = arena(1, count);
    strangers.extend(known.iter().map(|e| IndexEntry { block_type: BlockType::ROOT, ..*e }));
    strangers
}

#[test]
fn finds_what_was_added_and_nothing_else() {
    for merged in [false, true] {
        let (disk, sealed, all) = example(10, 500, merged);
        for options in [SMALL, IndexOptions { read_only: true, ..SMALL }] {
            let index = open(&disk, &sealed, options);
            assert_eq!(index.uncovered(), []);
            let expected: Vec<_> = all.iter().map(|e| Lookup::Found(location(e))).collect();
            assert!(look_up(&index, &all) == expected);
            assert!(look_up(&index, &strangers(2000)).iter().all(|l| *l == Lookup::Absent));
        }
    }
}

#[test]
fn merging_leaves_few_runs_and_no_other_file() {
    let (disk, sealed, all) = example(10, 500, true);
    let stats = open(&disk, &sealed, SMALL).stats();
    assert_eq!((stats.runs, stats.entries), (2, all.len() as u64));
    assert_eq!(stats.covered_arenas, 10);
    assert_eq!(disk.names().len(), 3, "{:?}", disk.names());
}

#[test]
fn a_miss_reads_almost_nothing_and_a_hit_one_page() {
    let (disk, sealed, all) = example(9, 500, true);
    let index = open(&disk, &sealed, SMALL);
    assert_eq!(index.stats().runs, 1);
    let misses = strangers(5000);
    look_up(&index, &misses);
    let after_misses = index.stats();
    assert!(after_misses.pages_read < 100, "{after_misses:?} for {} misses", misses.len());
    all.iter().for_each(|entry| drop(look_up(&index, &[*entry])));
    let stats = index.stats();
    assert_eq!(stats.found, all.len() as u64);
    assert_eq!(stats.pages_read - after_misses.pages_read, all.len() as u64);
}

#[test]
fn a_block_that_two_arenas_have_is_found_once() {
    let disk = SimDisk::new(1);
    let index = open(&disk, &[], SMALL);
    let (one, entries) = arena(1, 400);
    let (two, _) = arena(2, 400);
    let copies: Vec<_> = entries.iter().map(|e| IndexEntry { arena: 2, ..*e }).collect();
    let (three, _) = arena(3, 0);
    index.add_arena(two, copies).unwrap();
    index.add_arena(one, entries.clone()).unwrap();
    index.add_arena(three, Vec::new()).unwrap();
    assert_eq!(index.stats().entries, 800);
    while index.maintain().unwrap() {}
    assert_eq!((index.stats().runs, index.stats().entries), (1, 400));
    let expected: Vec<_> = entries.iter().map(|e| Lookup::Found(location(e))).collect();
    assert!(look_up(&index, &entries) == expected);
}

#[test]
fn scores_that_begin_alike_are_told_apart() {
    let disk = SimDisk::new(1);
    let index = open(&disk, &[], SMALL);
    let (one, mut entries) = arena(1, 1000);
    for (i, entry) in entries.iter_mut().enumerate() {
        let mut bytes = [0x77; 20];
        bytes[16..].copy_from_slice(&u32::try_from(i).unwrap().to_be_bytes());
        if i % 10 == 0 {
            bytes[0] = u8::try_from(i / 4).unwrap();
        }
        entry.score = Score::from_bytes(bytes);
    }
    index.add_arena(one, entries.clone()).unwrap();
    let expected: Vec<_> = entries.iter().map(|e| Lookup::Found(location(e))).collect();
    assert!(look_up(&index, &entries) == expected);
}

#[test]
fn what_is_not_covered_is_unknown_and_not_absent() {
    let (disk, mut sealed, all) = example(3, 200, false);
    let (missing, entries) = arena(4, 200);
    sealed.push(missing);
    let index = open(&disk, &sealed, SMALL);
    assert_eq!(index.uncovered(), [missing]);
    assert!(look_up(&index, &all).iter().all(|l| matches!(l, Lookup::Found(_))));
    assert!(look_up(&index, &entries).iter().all(|l| *l == Lookup::Unknown));
    index.add_arena(missing, entries.clone()).unwrap();
    assert_eq!(index.uncovered(), []);
    assert!(look_up(&index, &entries).iter().all(|l| matches!(l, Lookup::Found(_))));
    assert!(look_up(&index, &strangers(9)).iter().all(|l| *l == Lookup::Absent));
}

#[test]
fn an_entry_of_another_arena_is_refused() {
    let disk = SimDisk::new(1);
    let index = open(&disk, &[], SMALL);
    let (one, _) = arena(1, 5);
    let (_, entries) = arena(2, 5);
    let error = index.add_arena(one, entries).unwrap_err();
    assert_eq!(error.to_string(), "index entry of arena 2 among those of arena 1");
    assert_eq!(index.uncovered(), [one]);
}

#[test]
fn dropped_arenas_are_unknown_until_they_are_added_again() {
    let (disk, sealed, all) = example(10, 100, true);
    let index = open(&disk, &sealed, SMALL);
    index.invalidate(5);
    let uncovered = index.uncovered();
    assert!(uncovered.contains(&sealed[4]) && uncovered.len() < 10, "{uncovered:?}");
    let lost = &all[400..500];
    assert!(look_up(&index, lost).iter().all(|l| *l == Lookup::Unknown));
    index.invalidate_all();
    assert_eq!(index.uncovered(), sealed);
    for one in index.uncovered() {
        index.add_arena(one, arena(one.number, 100).1).unwrap();
    }
    while index.maintain().unwrap() {}
    assert!(look_up(&index, &all).iter().all(|l| matches!(l, Lookup::Found(_))));
    assert_eq!(disk.names().len() as u64, index.stats().runs + 1, "old files are gone");
}

#[test]
fn a_read_only_index_changes_nothing_and_follows_a_writer() {
    let (disk, mut sealed, _) = example(2, 100, false);
    let reader = open(&disk, &sealed, IndexOptions { read_only: true, ..SMALL });
    let (third, entries) = arena(3, 100);
    let before = disk.names();
    assert!(matches!(reader.add_arena(third, entries.clone()), Err(IndexError::ReadOnly)));
    assert!(!reader.maintain().unwrap());
    assert_eq!(disk.names(), before);
    let writer = open(&disk, &sealed, SMALL);
    writer.add_arena(third, entries.clone()).unwrap();
    while writer.maintain().unwrap() {}
    sealed.push(third);
    reader.refresh(&sealed).unwrap();
    assert_eq!(reader.uncovered(), []);
    assert!(look_up(&reader, &entries).iter().all(|l| matches!(l, Lookup::Found(_))));
    let nothing = SimDisk::new(2);
    let reader = open(&nothing, &sealed, IndexOptions { read_only: true, ..SMALL });
    assert_eq!(reader.uncovered(), sealed);
    assert!(nothing.names().is_empty());
}

/// An index of 200 entries that was written by format 1 and is never written again.
#[test]
fn an_index_of_format_1_is_read() {
    let manifest: &[u8] = include_bytes!("../../../testdata/index-1/manifest");
    let run: &[u8] = include_bytes!("../../../testdata/index-1/0000000004.run");
    let disk = SimDisk::new(1);
    disk.create_dir(names::INDEX).unwrap();
    for (name, bytes) in [(names::INDEX_MANIFEST, manifest), (&names::run(4), run)] {
        let file = disk.open(name, crate::disk::OpenMode::Create).unwrap();
        crate::disk::write_all_at(&*file, bytes, 0).unwrap();
    }
    let arenas: Vec<_> = [(1, 90), (2, 100), (3, 10)].map(|(n, clumps)| arena(n, clumps)).into();
    let sealed: Vec<_> = arenas.iter().map(|(one, _)| *one).collect();
    let index = open(&disk, &sealed, IndexOptions { read_only: true, ..SMALL });
    assert_eq!(index.uncovered(), []);
    for entry in arenas.iter().flat_map(|(_, entries)| entries) {
        assert_eq!(look_up(&index, &[*entry]), [Lookup::Found(location(entry))]);
    }
}

/// On files of the system, with their pages in memory and, where it lets go of them, not.
#[test]
fn answers_are_the_same_when_pages_must_be_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(crate::disk::RealDisk::new(directory.path()));
    let index = Index::open(Arc::clone(&disk), &[], SMALL).unwrap();
    let mut all = Vec::new();
    for number in 1..=4 {
        let (one, entries) = arena(number, 1000);
        all.extend_from_slice(&entries);
        index.add_arena(one, entries).unwrap();
    }
    while index.maintain().unwrap() {}
    let expected: Vec<_> = all.iter().map(|e| Lookup::Found(location(e))).collect();
    for round in 0..4 {
        for file in std::fs::read_dir(directory.path().join("index")).unwrap() {
            let file = std::fs::File::open(file.unwrap().path()).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
        // In the later rounds some pages are brought in before, one by one.
        all.iter().step_by(150).take(round * 4).for_each(|e| drop(look_up(&index, &[*e])));
        assert!(look_up(&index, &all) == expected, "round {round}");
        assert!(look_up(&index, &strangers(3000)).iter().all(|l| *l == Lookup::Absent));
    }
}
