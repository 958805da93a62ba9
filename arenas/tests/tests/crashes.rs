//! Loss of power at any moment: what was synced is there, what was not is whole or absent, and
//! the store opens by itself.
//!
//! Each image keeps a random part of the unsynced writes, in random order, torn. The number of
//! images is for every change; `VENTI_SUITE=long` makes it a million.

use arenas::Store;
use arenas::disk::SimDisk;
use venti_proto::BlockStore;

use crate::support::{Dice, assert_oracle, block, long_suite, open, write};

/// A run of writes and syncs: after each step the disk, and how much was synced then.
struct Workload {
    /// Every block in the order of writing.
    blocks: Vec<Vec<u8>>,
    arena_size: u64,
    seed: u64,
}

impl Workload {
    fn new(seed: u64, count: u64) -> Workload {
        let mut dice = Dice::new(seed);
        let blocks = (0..count).map(|number| {
            let largest = if dice.chance(1, 10) { 5000 } else { 700 };
            block(seed << 32 | number, 1 + dice.below(largest))
        });
        let blocks = blocks.collect();
        Workload { blocks, arena_size: [6 << 10, 16 << 10, 1 << 20][dice.below(3)], seed }
    }

    /// Runs on `disk` and calls `look` with what is synced, after each step and before the next.
    fn run(&self, disk: &SimDisk, mut look: impl FnMut(&Store, usize, usize)) {
        let mut dice = Dice::new(self.seed ^ 1);
        let store = open(disk, self.arena_size).unwrap();
        let (mut written, mut synced) = (0, 0);
        while written < self.blocks.len() {
            let count = (1 + dice.below(12)).min(self.blocks.len() - written);
            // The batch is at work from here on: a part of it may be there.
            write(&store, &self.blocks[written..written + count]).unwrap();
            written += count;
            look(&store, written, synced);
            if dice.chance(1, 4) {
                store.sync().unwrap();
                synced = written;
                look(&store, written, synced);
            }
        }
        if dice.chance(1, 2) {
            store.close().unwrap();
            look(&store, written, written);
        }
    }
}

/// Crashes `disk`, opens what is left, and checks it; sometimes crashes again while recovering.
fn crash_and_check(workload: &Workload, disk: &SimDisk, seed: u64, written: usize, synced: usize) {
    let mut dice = Dice::new(seed);
    let mut image = disk.crash(seed);
    while dice.chance(1, 5) {
        // Recovery is interrupted: killed at some call, and then the power fails too.
        image.set_faults(Some(arenas::disk::FaultPlan {
            after: dice.below(60) as u64,
            fault: arenas::disk::Fault::Io,
            forever: true,
        }));
        drop(open(&image, workload.arena_size));
        image = if dice.chance(1, 2) { image.crash(seed ^ dice.next()) } else { image.kill() };
    }
    let store = match open(&image, workload.arena_size) {
        Ok(store) => store,
        Err(error) => panic!("seed {seed}: does not open: {error}"),
    };
    let kept = assert_oracle(&store, &workload.blocks[..written], synced, seed);
    let damage: Vec<_> = store
        .findings()
        .into_iter()
        .filter(|finding| finding.severity != arenas::Severity::Recovered)
        .collect();
    assert!(damage.is_empty(), "seed {seed}: a crash is called damage: {damage:?}");
    if dice.chance(1, 8) {
        // Goes on as if nothing had been, and what was there before stays through the next crash.
        let before: Vec<Vec<u8>> = kept.into_iter().map(|at| workload.blocks[at].clone()).collect();
        let fresh: Vec<Vec<u8>> = (0..5).map(|number| block(u64::MAX - number, 300)).collect();
        write(&store, &fresh).unwrap();
        store.sync().unwrap();
        let again = open(&image.crash(seed ^ 77), workload.arena_size).unwrap();
        assert_oracle(&again, &fresh, fresh.len(), seed);
        assert_oracle(&again, &before, before.len(), seed);
    }
}

/// As many images as asked for, spread over all moments of many workloads.
fn crash_images(images: u64, first_seed: u64) {
    let mut seed = first_seed;
    let mut done = 0;
    while done < images {
        seed += 1;
        let workload = Workload::new(seed, 40);
        let disk = SimDisk::new(seed);
        let mut step = 0;
        workload.run(&disk, |_, written, synced| {
            for image in 0..12 {
                step += 1;
                crash_and_check(&workload, &disk, seed << 20 | step << 4 | image, written, synced);
                done += 1;
            }
        });
    }
}

// Two halves, so that two cores can share them.
#[test]
fn crash_images_first_half() {
    crash_images(if long_suite() { 500_000 } else { 10_000 }, 0);
}

#[test]
fn crash_images_second_half() {
    crash_images(if long_suite() { 500_000 } else { 10_000 }, 1 << 30);
}

#[test]
fn every_call_of_a_workload_can_be_the_last() {
    let workload = Workload::new(3, 60);
    let whole = SimDisk::new(3);
    workload.run(&whole, |_, _, _| {});
    let calls = whole.calls();
    assert!(calls > 60, "{calls}");
    for last in 0..calls {
        let disk = SimDisk::new(3);
        disk.set_faults(Some(arenas::disk::FaultPlan {
            after: last,
            fault: arenas::disk::Fault::Io,
            forever: true,
        }));
        let (written, synced) = run_until_failure(&workload, &disk);
        for (number, image) in [disk.kill(), disk.crash(last), disk.crash(!last)].iter().enumerate()
        {
            let store = open(image, workload.arena_size)
                .unwrap_or_else(|error| panic!("call {last} image {number}: {error}"));
            assert_oracle(&store, &workload.blocks[..written], synced, last);
        }
    }
}

/// Writes and syncs until something fails. Returns how many blocks were begun, and how many were
/// acknowledged by a sync.
fn run_until_failure(workload: &Workload, disk: &SimDisk) -> (usize, usize) {
    let Ok(store) = open(disk, workload.arena_size) else { return (0, 0) };
    let mut synced = 0;
    for (number, chunk) in workload.blocks.chunks(5).enumerate() {
        let written = number * 5 + chunk.len();
        if write(&store, chunk).is_err() || store.sync().is_err() {
            return (written, synced);
        }
        synced = written;
    }
    (workload.blocks.len(), synced)
}

#[test]
fn a_tail_of_64_kib_may_be_cut_at_every_byte() {
    let disk = SimDisk::new(5);
    let store = open(&disk, 1 << 20).unwrap();
    let synced: Vec<Vec<u8>> = (0..20).map(|number| block(number, 400)).collect();
    write(&store, &synced).unwrap();
    store.sync().unwrap();
    let start = disk.contents("arenas/0000000001.arena").unwrap().len();
    let mut blocks = synced.clone();
    let mut number = 100;
    while disk.contents("arenas/0000000001.arena").unwrap().len() < start + (64 << 10) {
        number += 2;
        blocks.push(block(number, 900));
        write(&store, &blocks[blocks.len() - 1..]).unwrap();
    }
    let whole = disk.contents("arenas/0000000001.arena").unwrap();
    let image = disk.kill();
    for place in start..whole.len() {
        image.damage("arenas/0000000001.arena", |bytes| *bytes = whole[..place].to_vec());
        let tried = image.kill();
        let store = open(&tried, 1 << 20).unwrap();
        let kept = assert_oracle(&store, &blocks, synced.len(), place as u64);
        assert!(kept.len() >= synced.len() + (place - start) / 972, "cut at {place}");
    }
}
