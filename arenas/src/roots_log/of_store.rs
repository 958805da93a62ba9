//! The log of roots of an open store.

use std::sync::Arc;

use venti_proto::roots::RootLogError;
use venti_proto::{BlockRequest, Root, StoreError};

use super::{DayZone, RootBlocks, RootsLog, RootsLogOptions};
use crate::environment::Environment;
use crate::{Location, Store};

impl Store {
    /// Opens the log of roots. One at a time may be open for writing; if the store is read-only,
    /// so is the log. A store that has no time zone yet gets `time_zone` (an IANA name).
    ///
    /// # Errors
    /// As [`RootsLog::open`].
    pub fn roots_log(
        &self,
        time_zone: &str,
        environment: Arc<dyn Environment>,
    ) -> Result<RootsLog, RootLogError> {
        let shared = self.shared();
        let options = RootsLogOptions {
            identity: *shared.catalogue.store.as_bytes(),
            read_only: shared.log.is_none(),
            time_zone: DayZone::Keep(time_zone.to_owned()),
            clock: Arc::new(move || {
                let milliseconds = i64::try_from(environment.milliseconds()).unwrap_or(i64::MAX);
                milliseconds.saturating_mul(1_000_000)
            }),
        };
        RootsLog::open(&shared.disk, Arc::new(self.clone()), options, self)
    }
}

impl RootBlocks for Store {
    fn each(&self, from: Location, take: &mut dyn FnMut(&Root) -> bool) -> Result<(), StoreError> {
        self.roots_from(from, take)
    }

    fn place(&self, request: &BlockRequest) -> Result<Option<Location>, StoreError> {
        let found = self.shared().find(std::slice::from_ref(request)).pop();
        Ok(found.transpose()?.flatten().map(|(location, _)| location))
    }

    fn first_open_arena(&self) -> u32 {
        let sealed = self.shared().catalogue.footers();
        let mapped = self.mapped_arenas().into_iter().map(|(number, _)| number).min();
        let behind_sealed = sealed.last().map_or(0, |last| last.number + 1);
        mapped.map_or(behind_sealed, |mapped| mapped.min(behind_sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fault, FaultPlan, SimDisk};
    use crate::{OpenError, ScriptedEnvironment, StoreOptions, names};
    use venti_proto::roots::{Completeness, NewRoot, RootLog, RootQuery, RootRecord};
    use venti_proto::{BlockBatch, BlockStore, BlockType, Score};

    fn open(disk: &SimDisk, read_only: bool) -> Store {
        try_open(disk, read_only).unwrap()
    }

    fn try_open(disk: &SimDisk, read_only: bool) -> Result<Store, OpenError> {
        let options = StoreOptions {
            create: !read_only,
            read_only,
            background: false,
            arena_size: 64 << 10,
            environment: Arc::new(ScriptedEnvironment::default()),
            ..StoreOptions::default()
        };
        Store::open(Arc::new(disk.clone()), options)
    }

    fn log_of(store: &Store) -> RootsLog {
        store.roots_log("Europe/Berlin", Arc::new(ScriptedEnvironment::default())).unwrap()
    }

    fn write(store: &Store, block_type: BlockType, block: &[u8]) -> Score {
        let mut batch = BlockBatch::default();
        batch.push(block_type, block);
        let batch = batch.hash();
        store.write(&batch).unwrap();
        batch.scores()[0]
    }

    fn record(store: &Store, log: &RootsLog, number: u64) -> RootRecord {
        let root = Root::vac(Score::of(&number.to_be_bytes()), 8192).encode().unwrap();
        let root = NewRoot {
            host: "moby".parse().unwrap(),
            archive: "-".parse().unwrap(),
            score: write(store, BlockType::ROOT, &root),
            bytes: 0,
            files: 0,
            completeness: Completeness::Complete,
        };
        log.record(&root).unwrap()
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

    /// Blocks that fill so many arenas.
    fn fill(store: &Store, arenas: u64) {
        let mut noise = 1u64;
        let mut byte = |_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(arenas);
            noise.to_be_bytes()[0]
        };
        for _ in 0..arenas * 8 {
            write(store, BlockType::DATA, &(0..8192).map(&mut byte).collect::<Vec<u8>>());
        }
        store.sync().unwrap();
    }

    fn cut(disk: &SimDisk, records: &[RootRecord]) -> SimDisk {
        let image = disk.kill();
        let length = 8 + records.iter().map(|record| record.encode().len()).sum::<usize>();
        image.damage(names::ROOTS_LOG, |bytes| bytes.truncate(length));
        image
    }

    #[test]
    fn the_log_of_a_real_store_comes_back_from_its_blocks() {
        let disk = SimDisk::new(1);
        let store = open(&disk, false);
        let log = log_of(&store);
        let records: Vec<_> = (0..300).map(|number| record(&store, &log, number)).collect();
        drop(log);
        store.close().unwrap();
        drop(store);
        let image = disk.kill();
        assert!(image.delete(names::ROOTS_LOG));
        let log = log_of(&open(&image, false));
        assert!(log.report().rebuilt);
        assert_eq!(all(&log), records);
        // Between two records, so that it looks whole.
        for kept in (0..records.len()).step_by(23).chain([299]) {
            let image = cut(&disk, &records[..kept]);
            assert_eq!(all(&log_of(&open(&image, true))), records, "read-only, {kept}");
            let log = log_of(&open(&image, false));
            assert_eq!((log.report().rebuilt, all(&log)), (true, records.clone()), "{kept}");
            drop(log);
            assert!(!log_of(&open(&image, false)).report().rebuilt, "{kept}");
        }
    }

    /// A record that was never acknowledged may be lost, and is not called lost then, wherever the
    /// opening after it was interrupted.
    #[test]
    fn what_was_never_acknowledged_is_never_missing() {
        let disk = SimDisk::new(1);
        let store = open(&disk, false);
        let log = log_of(&store);
        let records = [record(&store, &log, 0)];
        fill(&store, 7);
        let root = Root::vac(Score::of(b"1"), 8192).encode().unwrap();
        let score = write(&store, BlockType::ROOT, &root);
        store.sync().unwrap();
        // The file gets the record, and only the page cache has it.
        let after = 1;
        disk.set_faults(Some(FaultPlan { after, fault: Fault::Io, forever: true }));
        log.record(&NewRoot { score, ..records[0].root.clone() }).unwrap_err();
        let mut noted = 0;
        for calls in 0..400 {
            let image = disk.kill();
            image.set_faults(Some(FaultPlan { after: calls, fault: Fault::Io, forever: true }));
            drop(try_open(&image, false).map(|store| {
                let _ = store.roots_log("UTC", Arc::new(ScriptedEnvironment::default()));
            }));
            let image = image.crash(calls);
            noted += u32::from(image.contents(names::ROOTS_SEEN).is_some());
            let log = log_of(&open(&image, false));
            assert!(all(&log).starts_with(&records), "call {calls}");
            assert_eq!(log.report().missing, 0, "call {calls}");
        }
        assert!(noted > 0 && noted < 400, "{noted}");
    }

    /// How far the log of blocks was looked through is written down, and goes on being true.
    #[test]
    fn what_was_looked_through_is_not_looked_through_again() {
        let disk = SimDisk::new(1);
        let store = open(&disk, false);
        let log = log_of(&store);
        let mut records: Vec<_> = (0..5).map(|number| record(&store, &log, number)).collect();
        fill(&store, 7);
        drop(log);
        store.close().unwrap();
        assert!(disk.contents(names::ROOTS_SEEN).is_none());
        let store = open(&disk, false);
        let log = log_of(&store);
        let seen = disk.contents(names::ROOTS_SEEN).unwrap();
        records.extend((5..9).map(|number| record(&store, &log, number)));
        fill(&store, 2);
        drop(log);
        store.close().unwrap();
        for kept in 0..=records.len() {
            let image = cut(&disk, &records[..kept]);
            assert_eq!(all(&log_of(&open(&image, true))), records, "read-only, {kept}");
            let log = log_of(&open(&image, false));
            assert_eq!((log.report().rebuilt, all(&log)), (kept < 9, records.clone()), "{kept}");
        }
        assert_eq!(disk.contents(names::ROOTS_SEEN).unwrap(), seen);
        // Nothing is left of the last record that it knows of: that is said, and once.
        let image = cut(&disk, &[]);
        let empty = open(&SimDisk::new(2), false);
        for (rebuilt, missing) in [(true, 5), (false, 0)] {
            let disk = Arc::new(image.clone()) as Arc<dyn crate::disk::Disk>;
            let options = RootsLogOptions {
                identity: *open(&image, true).identity().as_bytes(),
                read_only: false,
                time_zone: DayZone::Keep("UTC".to_owned()),
                clock: Arc::new(|| 0),
            };
            let log = RootsLog::open(&disk, Arc::new(empty.clone()), options, &empty).unwrap();
            assert_eq!((log.report().rebuilt, log.report().missing), (rebuilt, missing));
        }
    }
}
