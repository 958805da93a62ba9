//! Checking, finding roots, and describing a store.

use std::ops::ControlFlow;
use std::sync::Arc;

use arenas::disk::SimDisk;
use arenas::{CheckOptions, CheckReport, Severity, Store, StoreOptions, describe};
use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

use crate::support::{assert_all_there, block, open, small, write};

const ARENA: u64 = 16 << 10;

fn blocks(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| block(number, 700)).collect()
}

fn check(store: &Store, data: bool) -> CheckReport {
    store.check(CheckOptions { data }, &mut |progress| assert!(progress.done <= progress.total))
}

#[test]
fn a_sound_store_checks_clean() {
    let disk = SimDisk::new(1);
    let store = open(&disk, ARENA).unwrap();
    let blocks = blocks(100);
    write(&store, &blocks).unwrap();
    for data in [false, true] {
        let report = check(&store, data);
        assert_eq!(report.findings, []);
        assert_eq!(report.blocks, 100);
        assert_eq!(report.bytes_hashed, if data { 70_000 } else { 0 });
        assert!(report.is_clean());
    }
}

#[test]
fn a_flipped_payload_is_found_by_its_place_and_neighbours_stay_readable() {
    let disk = SimDisk::new(1);
    let store = open(&disk, ARENA).unwrap();
    let blocks = blocks(100);
    write(&store, &blocks).unwrap();
    store.sync().unwrap();
    assert!(disk.damage("arenas/0000000001.arena", |bytes| bytes[512 + 72 + 100] ^= 1));
    assert_all_there(&store, &blocks[1..]);
    let report = check(&store, true);
    assert!(!report.is_clean());
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.arena, finding.offset, finding.length), (Some(1), Some(512), Some(772)));
    assert_eq!(finding.severity, Severity::Damaged);
    assert!(finding.to_string().starts_with("arena 1 at offset 512 (772 bytes): block "));
}

#[test]
fn a_damaged_index_is_reported_until_it_is_built_again() {
    for (name, part) in [
        ("index/manifest", "the index manifest is damaged: checksum of manifest"),
        ("index/0000000001.run", "index run 1 is damaged: checksum of"),
    ] {
        let disk = SimDisk::new(1);
        let blocks = blocks(100);
        let store = open(&disk, ARENA).unwrap();
        write(&store, &blocks).unwrap();
        store.close().unwrap();
        drop(store);
        assert!(disk.damage(name, |bytes| bytes[60] ^= 1), "{name}");
        let read_only = StoreOptions { read_only: true, ..small(ARENA) };
        let store = Store::open(Arc::new(disk.clone()), read_only).unwrap();
        assert_all_there(&store, &blocks);
        let report = check(&store, false);
        let [finding] = &report.findings[..] else { panic!("{name}: {:?}", report.findings) };
        assert_eq!(finding.severity, Severity::Repairable);
        assert!(finding.to_string().starts_with(part), "{finding}");
        assert!(!report.is_clean());
        drop(store);
        let writer = open(&disk, ARENA).unwrap();
        assert_all_there(&writer, &blocks);
        writer.close().unwrap();
        drop(writer);
        assert!(check(&open(&disk, ARENA).unwrap(), false).is_clean(), "{name}");
    }
}

#[test]
fn roots_are_found_newest_first_wherever_they_are() {
    let disk = SimDisk::new(1);
    let store = open(&disk, ARENA).unwrap();
    let mut scores = Vec::new();
    for number in 0..20 {
        write(&store, &[block(number, 900), block(1000 + number, 900)]).unwrap();
        let tree = Score::of(&number.to_be_bytes());
        let root = Root::vac(tree, 8192).encode().unwrap();
        let mut batch = BlockBatch::default();
        batch.push(BlockType::ROOT, &root);
        store.write(&batch.hash()).unwrap();
        scores.insert(0, (Score::of(&root), tree));
    }
    assert!(store.stats().sealed_arenas > 0);
    let mut found = Vec::new();
    let mut times = Vec::new();
    store
        .roots(&mut |root| {
            times.push(root.time);
            found.push((root.score, root.root.unwrap().score));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, scores);
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    let mut first = 0;
    store
        .roots(&mut |_| {
            first += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(first, 1);
}

#[test]
fn a_store_is_described_in_words() {
    let disk = SimDisk::new(1);
    let store = open(&disk, ARENA).unwrap();
    write(&store, &blocks(60)).unwrap();
    store.sync().unwrap();
    let summaries = describe::arenas(&store);
    assert_eq!(summaries.iter().map(|arena| arena.blocks).sum::<u64>(), 60);
    let [sealed, open] = &summaries[..] else { panic!("{summaries:?}") };
    let text = sealed.to_string();
    assert!(text.starts_with("arena 1: sealed, "), "{text}");
    assert!(open.to_string().starts_with("arena 2: open, "), "{open}");
    let counts = [sealed, open].map(|arena| usize::try_from(arena.blocks).unwrap());
    let mut lines = Vec::new();
    let mut take = |line: &str| {
        lines.push(line.to_owned());
        ControlFlow::Continue(())
    };
    describe::contents(&store, 1, &mut take).unwrap();
    describe::records(&store, 2, &mut take).unwrap();
    assert_eq!(lines.len(), counts[0] + 1 + counts[1] + 1);
    let score = Score::of(&block(0, 700));
    assert_eq!(lines[0], format!("     512 {score} data, 700 bytes, raw 700"));
    let header = &lines[counts[0]];
    assert!(header.starts_with("       0 header: arena 2, made at 1000"), "{header}");
    assert!(lines[counts[0] + 1].contains(" clump: "), "{}", lines[counts[0] + 1]);
    let mark = lines.last().unwrap();
    assert!(mark.contains(" mark 1: durable through "), "{mark}");
    let none = describe::records(&store, 9, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(none.to_string(), "the server refused: there is no arena 9");
}
