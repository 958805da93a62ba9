//! Many threads, the store's own among them, and a loss of power in the middle: what any thread
//! was promised is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arenas::disk::{Fault, FaultPlan, SimDisk};
use arenas::{Store, StoreOptions};
use parking_lot::Mutex;
use venti_proto::BlockStore;

use crate::support::{Dice, assert_all_there, block, long_suite, open, small, write};

const ARENA: u64 = 8 << 10;
const THREADS: u64 = 4;

/// Writes own blocks and blocks that all threads write, and notes what a sync has promised.
fn client(store: &Store, seed: u64, promised: &Mutex<Vec<Vec<u8>>>, stop: &AtomicBool) {
    let mut dice = Dice::new(seed);
    let mut taken = Vec::new();
    for step in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let own = (0..1 + dice.below(4)).map(|n| block(seed << 32 | step << 8 | n as u64, 300));
        let mut batch: Vec<Vec<u8>> = own.collect();
        batch.push(block(step / 2, 300));
        if write(store, &batch).is_ok() {
            taken.extend(batch);
        }
        if dice.chance(1, 3) && store.sync().is_ok() {
            promised.lock().append(&mut taken);
        }
    }
}

fn round(seed: u64, fault: Option<FaultPlan>) -> usize {
    let disk = SimDisk::new(seed);
    let options = StoreOptions { background: true, ..small(ARENA) };
    let store = Store::open(Arc::new(disk.clone()), options).unwrap();
    disk.set_faults(fault);
    let (promised, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let mut images = Vec::new();
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (store, promised, stop) = (&store, &promised, &stop);
            scope.spawn(move || client(store, seed * 64 + thread, promised, stop));
        }
        for image in 0..4 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            // First what was promised, then the power failure: what comes between is more.
            let promised = promised.lock().clone();
            images.push((promised, disk.crash(seed << 8 | image)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    images.push((promised.into_inner(), disk.crash(!seed)));
    let mut checked = 0;
    for (promised, image) in images {
        let store = open(&image, ARENA).unwrap();
        assert_all_there(&store, &promised);
        checked += promised.len();
    }
    checked
}

#[test]
fn promises_to_many_threads_outlive_the_power() {
    let rounds = if long_suite() { 2_000 } else { 60 };
    let checked: usize = (0..rounds).map(|seed| round(seed, None)).sum();
    assert!(checked > 1000, "{checked}");
}

#[test]
fn promises_to_many_threads_outlive_a_failing_disk() {
    let rounds = if long_suite() { 2_000 } else { 60 };
    let mut checked = 0;
    for seed in 0..rounds {
        for fault in [Fault::Io, Fault::Full] {
            let after = Dice::new(seed).below(400) as u64;
            let plan = FaultPlan { after, fault, forever: seed % 2 == 0 };
            checked += round(seed, Some(plan));
        }
    }
    assert!(checked > 100, "{checked}");
}
