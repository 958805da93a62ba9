//! Several threads at once: lookups while arenas are added and runs are merged.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

const CLUMPS: u32 = 120;
const ARENAS: u32 = 60;

/// Looks up arenas 1 to `added` over and over until the last was added, and demands every block.
fn keep_looking(index: &Index, added: &AtomicU32, what: &str) {
    loop {
        let known = added.load(Ordering::Acquire);
        for number in 1..=known {
            let (_, entries) = arena(number, CLUMPS);
            let expected: Vec<_> = entries.iter().map(|e| Lookup::Found(location(e))).collect();
            assert!(look_up(index, &entries) == expected, "{what}: arena {number} of {known}");
        }
        if known == ARENAS {
            return;
        }
    }
}

#[test]
fn what_was_added_is_found_while_others_add_and_merge() {
    let disk = SimDisk::new(1);
    let index = open(&disk, &[], SMALL);
    let added = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| keep_looking(&index, &added, "first reader"));
        scope.spawn(|| keep_looking(&index, &added, "second reader"));
        scope.spawn(|| {
            while added.load(Ordering::Acquire) < ARENAS {
                index.maintain().unwrap();
            }
        });
        for number in 1..=ARENAS {
            let (one, entries) = arena(number, CLUMPS);
            index.add_arena(one, entries).unwrap();
            added.store(number, Ordering::Release);
        }
    });
    while index.maintain().unwrap() {}
    assert_eq!(disk.names().len() as u64, index.stats().runs + 1);
}

#[test]
fn a_read_only_index_follows_while_the_writer_merges() {
    let disk = SimDisk::new(1);
    let writer = open(&disk, &[], SMALL);
    let added = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let reader = open(&disk, &[], IndexOptions { read_only: true, ..SMALL });
            loop {
                let known = added.load(Ordering::Acquire);
                let sealed: Vec<_> = (1..=known).map(|n| arena(n, CLUMPS).0).collect();
                reader.refresh(&sealed).unwrap();
                for number in 1..=known {
                    let answers = look_up(&reader, &arena(number, CLUMPS).1);
                    assert!(!answers.contains(&Lookup::Absent), "arena {number} of {known}");
                }
                if known == ARENAS {
                    assert_eq!(reader.uncovered(), []);
                    return;
                }
            }
        });
        for number in 1..=ARENAS {
            let (one, entries) = arena(number, CLUMPS);
            writer.add_arena(one, entries).unwrap();
            writer.maintain().unwrap();
            if number == ARENAS {
                while writer.maintain().unwrap() {}
            }
            added.store(number, Ordering::Release);
        }
    });
}
