//! Loss of power at any moment while roots are recorded: every record that was acknowledged is
//! there, none is made up, none is called lost, and the file can be rebuilt from the blocks.
//!
//! Images are as those of `crashes.rs`; here `VENTI_SUITE=long` makes it a hundred thousand.

use std::sync::Arc;

use arenas::disk::{Fault, FaultPlan, SimDisk};
use arenas::roots_log::{RootsLog, RootsLogReport};
use arenas::{ScriptedEnvironment, Store};
use venti_proto::roots::{Completeness, NewRoot, RootLog, RootLogError, RootQuery, RootRecord};
use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

use crate::support::{Dice, block, long_suite, open, write};

const LOG: &str = "roots/log";
const FAULTS: [Fault; 4] = [Fault::Io, Fault::Full, Fault::Short, Fault::Interrupted];

fn log_of(store: &Store) -> Result<RootsLog, RootLogError> {
    store.roots_log("UTC", Arc::new(ScriptedEnvironment::new(1_000_000, 7)))
}

fn record(store: &Store, log: &RootsLog, number: u64) -> Result<RootRecord, RootLogError> {
    let root = Root::vac(Score::of(&number.to_be_bytes()), 8192).encode().unwrap();
    let mut batch = BlockBatch::default();
    batch.push(BlockType::ROOT, &root);
    let batch = batch.hash();
    store.write(&batch)?;
    log.record(&NewRoot {
        host: ["moby", "ishmael"][(number % 2) as usize].parse().unwrap(),
        archive: "-".parse().unwrap(),
        score: batch.scores()[0],
        bytes: number,
        files: 1,
        completeness: Completeness::Complete,
    })
}

fn all(log: &RootsLog) -> Vec<RootRecord> {
    let mut found = Vec::new();
    log.each(&RootQuery::default(), &mut |record| {
        found.push(record);
        true
    })
    .unwrap();
    found.reverse();
    found
}

/// A disk in use, and what was asked of it and promised so far.
struct Run {
    disk: SimDisk,
    arena_size: u64,
    dice: Dice,
    seed: u64,
    acknowledged: Vec<RootRecord>,
    asked: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut dice = Dice::new(seed);
        let arena_size = [6 << 10, 16 << 10, 1 << 20][dice.below(3)];
        let disk = SimDisk::new(seed);
        Run { disk, arena_size, dice, seed, acknowledged: Vec::new(), asked: 0 }
    }

    /// Records roots among other blocks, and goes on whatever fails.
    fn session(&mut self) {
        let Ok(store) = open(&self.disk, self.arena_size) else { return };
        let Ok(log) = log_of(&store) else { return };
        for _ in 0..self.dice.below(12) {
            // Now and then so much that the next opening has many arenas to look through.
            let count = if self.dice.chance(1, 10) { 50 } else { self.dice.below(6) as u64 };
            let first = self.dice.next() >> 8;
            let blocks: Vec<_> = (first..first + count).map(|n| block(n, 900)).collect();
            let _ = write(&store, &blocks);
            if self.dice.chance(1, 4) {
                let _ = store.sync();
            }
            self.asked += 1;
            if let Ok(record) = record(&store, &log, self.seed << 32 | self.asked) {
                // One that was not acknowledged may be there, too.
                self.acknowledged = all(&log);
                assert_eq!(self.acknowledged.last(), Some(&record), "seed {}", self.seed);
            }
        }
        if self.dice.chance(1, 2) {
            drop(log);
            let _ = store.close();
        }
    }

    /// What the disk is after the process, or the machine, was stopped.
    fn stop(&mut self, disk: &SimDisk) -> SimDisk {
        if self.dice.chance(1, 3) { disk.kill() } else { disk.crash(self.dice.next()) }
    }

    /// Opens `image`, after some openings that are interrupted, and checks what it has.
    fn check(&mut self, mut image: SimDisk) -> SimDisk {
        let seed = self.seed;
        while self.dice.chance(1, 4) {
            let after = self.dice.below(80) as u64;
            image.set_faults(Some(FaultPlan { after, fault: Fault::Io, forever: true }));
            drop(open(&image, self.arena_size).map(|store| drop(log_of(&store))));
            image = self.stop(&image);
        }
        let store = open(&image, self.arena_size).unwrap();
        let log = log_of(&store).unwrap();
        let found = all(&log);
        let acknowledged = &self.acknowledged[..];
        assert!(found.starts_with(acknowledged), "seed {seed}: {found:#?} {acknowledged:#?}");
        assert!(found.len() as u64 <= self.asked, "seed {seed}");
        assert_eq!(log.report().missing, 0, "seed {seed}");
        drop((log, store));
        // What was listed is in the blocks, too, and durable there.
        let rebuilt = self.stop(&image);
        let length = rebuilt.contents(LOG).map_or(0, |file| file.len());
        let cut = self.dice.below(length + 1);
        rebuilt.damage(LOG, |bytes| bytes.truncate(cut));
        let store = open(&rebuilt, self.arena_size).unwrap();
        let log = log_of(&store).unwrap();
        assert_eq!(all(&log), found, "seed {seed}, cut at {cut}");
        let records = found.len() as u64;
        let report = RootsLogReport { records, rebuilt: log.report().rebuilt, missing: 0 };
        assert_eq!(log.report(), report, "seed {seed}, cut at {cut}");
        self.acknowledged = found;
        image
    }
}

/// As many images as asked for; work goes on where one of them was left.
fn crash_images(images: u64, first_seed: u64) {
    let mut done = 0;
    let mut seed = first_seed;
    while done < images {
        seed += 1;
        let mut run = Run::new(seed);
        for _ in 0..4 {
            if run.dice.chance(2, 3) {
                let after = run.dice.below(150) as u64;
                let fault = FAULTS[run.dice.below(FAULTS.len())];
                // A call that is interrupted for ever is made again for ever.
                let forever = fault != Fault::Interrupted && run.dice.chance(1, 2);
                run.disk.set_faults(Some(FaultPlan { after, fault, forever }));
            }
            run.session();
            let acknowledged = run.acknowledged.clone();
            let mut next = None;
            for _ in 0..3 {
                // Each image is a world of its own: what one keeps is not promised by another.
                run.acknowledged = acknowledged.clone();
                let image = run.stop(&run.disk.clone());
                next = Some(run.check(image));
                done += 1;
            }
            run.disk = next.expect("an image");
            run.asked = run.acknowledged.len() as u64;
        }
    }
}

#[test]
fn every_acknowledged_record_survives_a_crash() {
    crash_images(if long_suite() { 100_000 } else { 2_000 }, 0);
}
