//! Hosts with files that change, archived into a store in memory, day by day.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fossil_lite::dump::{Catalogue, Tree};
use fossil_lite::store::BlockCache;
use jiff::Timestamp;
use vac::archiver::{Observer, Options, Problem, Progress, Source, archive};
use venti_proto::roots::{Completeness, HostName, MemoryRootLog, NewRoot, RootLog, RootRecord};
use venti_proto::{BlockStore, MemoryStore};

/// A server's store and log of roots, with a clock that is set.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) log: Arc<MemoryRootLog>,
    clock: Arc<AtomicI64>,
}

struct Silent;

impl Observer for Silent {
    fn problem(&self, problem: &Problem) {
        panic!("{problem:?}");
    }
}

impl World {
    pub(crate) fn new() -> World {
        let clock = Arc::new(AtomicI64::new(0));
        let read = Arc::clone(&clock);
        let log = MemoryRootLog::new("Europe/Berlin", move || read.load(Ordering::SeqCst));
        World { store: Arc::default(), log: Arc::new(log), clock }
    }

    /// Archives what is in `directory` as the files of `host`, at this time.
    pub(crate) fn dump(&self, host: &str, time: &str, directory: &Path) -> RootRecord {
        let time: Timestamp = time.parse().unwrap();
        self.clock.store(i64::try_from(time.as_nanosecond()).unwrap(), Ordering::SeqCst);
        let entries = std::fs::read_dir(directory).unwrap();
        let sources = entries.map(|entry| Source::Path(entry.unwrap().path())).collect();
        let (options, progress) = (Options::default(), Arc::default());
        let made = archive(&*self.store, sources, &options, &progress, Arc::new(Silent)).unwrap();
        let _: &Arc<Progress> = &progress;
        self.record(host, made.root)
    }

    pub(crate) fn record(&self, host: &str, score: venti_proto::Score) -> RootRecord {
        let root = NewRoot {
            host: host.parse().unwrap(),
            archive: "-".parse().unwrap(),
            score,
            bytes: 1,
            files: 1,
            completeness: Completeness::Complete,
        };
        self.log.record(&root).unwrap()
    }

    pub(crate) fn tree(&self, host: Option<&str>) -> Arc<Tree> {
        self.tree_over(Arc::clone(&self.store) as _, host)
    }

    pub(crate) fn tree_over(&self, store: Arc<dyn BlockStore>, host: Option<&str>) -> Arc<Tree> {
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&self.log) as _));
        let host: Option<HostName> = host.map(|host| host.parse().unwrap());
        let cache = Arc::new(BlockCache::new(Arc::clone(&store), 64 << 20));
        Arc::new(Tree::new(catalogue, cache, host).with_beneath(store))
    }
}
