//! The log of roots of an open store.

use std::ops::ControlFlow;
use std::sync::Arc;

use venti_proto::roots::RootLogError;

use super::{DayZone, RootsLog, RootsLogOptions};
use crate::Store;
use crate::environment::Environment;

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
        RootsLog::open(&shared.disk, Arc::new(self.clone()), options, &mut |take| {
            self.roots(&mut |found| match &found.root {
                Some(root) if !take(root) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::{ScriptedEnvironment, StoreOptions, names};
    use venti_proto::roots::{Completeness, NewRoot, RootLog, RootQuery};
    use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

    #[test]
    fn the_log_of_a_real_store_comes_back_from_its_blocks() {
        let disk = SimDisk::new(1);
        let options = || StoreOptions {
            create: true,
            background: false,
            arena_size: 64 << 10,
            environment: Arc::new(ScriptedEnvironment::default()),
            ..StoreOptions::default()
        };
        let environment = || Arc::new(ScriptedEnvironment::default()) as Arc<dyn Environment>;
        let store = Store::open(Arc::new(disk.clone()), options()).unwrap();
        let log = store.roots_log("Europe/Berlin", environment()).unwrap();
        let mut records = Vec::new();
        for number in 0..300u64 {
            let root = Root::vac(Score::of(&number.to_be_bytes()), 8192).encode().unwrap();
            let mut batch = BlockBatch::default();
            batch.push(BlockType::ROOT, &root);
            let batch = batch.hash();
            store.write(&batch).unwrap();
            let root = NewRoot {
                host: "moby".parse().unwrap(),
                archive: "-".parse().unwrap(),
                score: batch.scores()[0],
                bytes: 0,
                files: 0,
                completeness: Completeness::Complete,
            };
            records.push(log.record(&root).unwrap());
        }
        drop(log);
        store.close().unwrap();
        drop(store);
        assert!(disk.delete(names::ROOTS_LOG));
        let store = Store::open(Arc::new(disk.kill()), options()).unwrap();
        let log = store.roots_log("Europe/Berlin", environment()).unwrap();
        assert!(log.report().rebuilt);
        let mut found = Vec::new();
        log.each(&RootQuery::default(), &mut |record| {
            found.push(record);
            true
        })
        .unwrap();
        found.reverse();
        assert_eq!(found, records);
    }
}
