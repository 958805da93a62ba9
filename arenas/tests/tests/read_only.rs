//! A store that is opened read-only: beside a writer, after a crash, and changing nothing.

use std::sync::Arc;

use arenas::disk::SimDisk;
use arenas::{Severity, Store, StoreOptions};
use venti_proto::{BlockStore, StoreError};

use crate::support::{assert_all_there, block, open, read, small, write};

const ARENA: u64 = 8 << 10;

fn reader(disk: &SimDisk) -> Store {
    let options = StoreOptions { read_only: true, create: false, ..small(ARENA) };
    Store::open(Arc::new(disk.clone()), options).unwrap()
}

#[test]
fn a_reader_follows_the_writer_through_sealed_arenas() {
    let disk = SimDisk::new(1);
    let writer = open(&disk, ARENA).unwrap();
    write(&writer, &[block(0, 300)]).unwrap();
    let reader = reader(&disk);
    let mut blocks = vec![block(0, 300)];
    for number in 1..120 {
        blocks.push(block(number, 300));
        write(&writer, &blocks[blocks.len() - 1..]).unwrap();
        if number % 10 == 0 {
            writer.sync().unwrap();
        }
        assert_all_there(&reader, &blocks[blocks.len() - 1..]);
    }
    assert!(writer.stats().sealed_arenas > 2);
    assert_all_there(&reader, &blocks);
    assert!(matches!(read(&reader, &[block(999, 9)])[0], Err(StoreError::NotFound { .. })));
    assert!(matches!(write(&reader, &blocks), Err(StoreError::ReadOnly { .. })));
    assert_eq!(reader.sync(), Ok(()));
    assert_eq!(reader.findings(), []);
}

#[test]
fn a_reader_changes_nothing_whatever_it_finds() {
    let disk = SimDisk::new(2);
    let writer = open(&disk, ARENA).unwrap();
    let blocks: Vec<Vec<u8>> = (0..60).map(|number| block(number, 400)).collect();
    write(&writer, &blocks).unwrap();
    writer.sync().unwrap();
    write(&writer, &(100..110).map(|number| block(number, 400)).collect::<Vec<_>>()).unwrap();
    for seed in 0..60 {
        let image = disk.crash(seed);
        for name in image.names().iter().filter(|name| name.starts_with("index/")) {
            if seed % 2 == 0 {
                image.delete(name);
            }
        }
        let contents = |disk: &SimDisk| -> Vec<_> {
            disk.names().into_iter().map(|name| disk.contents(&name)).collect()
        };
        let (names, before) = (image.names(), contents(&image));
        let store = reader(&image);
        assert_all_there(&store, &blocks);
        store.check(arenas::CheckOptions { data: true }, &mut |_| {});
        store.close().unwrap();
        drop(store);
        assert_eq!((image.names(), contents(&image)), (names, before), "seed {seed}");
    }
}

#[test]
fn a_reader_says_what_is_behind_the_last_block_and_what_is_damaged_before_it() {
    let disk = SimDisk::new(3);
    let writer = open(&disk, 1 << 20).unwrap();
    let blocks: Vec<Vec<u8>> = (0..20).map(|number| block(number, 400)).collect();
    for block in &blocks {
        write(&writer, std::slice::from_ref(block)).unwrap();
        writer.sync().unwrap();
    }
    let name = disk.names().into_iter().find(|name| name.ends_with(".arena")).unwrap();
    let severities = |image: &SimDisk| -> Vec<Severity> {
        let options = StoreOptions { read_only: true, create: false, ..small(1 << 20) };
        let store = Store::open(Arc::new(image.clone()), options).unwrap();
        let report = store.check(arenas::CheckOptions::default(), &mut |_| {});
        report.findings.iter().map(|finding| finding.severity).collect()
    };
    assert_eq!(severities(&disk.kill()), []);
    let image = disk.kill();
    image.damage(&name, |bytes| bytes.extend_from_slice(&[0x56; 3000]));
    assert_eq!(severities(&image), [Severity::Recovered], "rubbish behind");
    let image = disk.kill();
    // A header of a block in the middle, which syncs have proved durable.
    image.damage(&name, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 600].fill(0x56);
    });
    assert!(severities(&image).contains(&Severity::Damaged), "{:?}", severities(&image));
}
