//! A store whose clock is set: what is archived into it was recorded when the test says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arenas::roots_log::RootsLog;
use arenas::{Environment, Store, StoreOptions};
use vac::archiver::{Observer, Options, Problem, Source, archive};
use venti_proto::roots::{Completeness, NewRoot, RootLog};
use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

/// A clock that is set.
#[derive(Default)]
struct Clock(AtomicU64);

impl Environment for Clock {
    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn identity(&self) -> std::io::Result<[u8; 16]> {
        Ok([4; 16])
    }
}

struct Strict;

impl Observer for Strict {
    fn problem(&self, problem: &Problem) {
        panic!("{problem:?}");
    }
}

/// A store in this process, with its log of roots.
pub(crate) struct DatedStore {
    store: Store,
    log: RootsLog,
    clock: Arc<Clock>,
}

impl DatedStore {
    /// Makes one that cuts days in this time zone.
    pub(crate) fn new(path: &Path, zone: &str) -> DatedStore {
        let clock = Arc::new(Clock::default());
        let environment = Arc::clone(&clock) as _;
        let options = StoreOptions { create: true, environment, ..StoreOptions::default() };
        let store = Store::open_path(path, options).expect("a store");
        let log = store.roots_log(zone, Arc::clone(&clock) as _).expect("a log");
        DatedStore { store, log, clock }
    }

    /// Archives these paths as a dump of `host`, so many seconds after 1970.
    pub(crate) fn dump(&self, host: &str, seconds: u64, paths: impl Iterator<Item = PathBuf>) {
        let sources = paths.map(Source::Path).collect();
        let (options, progress) = (Options::default(), Arc::default());
        let made = archive(&self.store, sources, &options, &progress, Arc::new(Strict));
        self.record(host, seconds, made.expect("an archive").root);
    }

    /// Records an archive of which there is nothing but the root block.
    pub(crate) fn dump_lost(&self, host: &str, seconds: u64) {
        let root = Root::vac(Score::of(b"what is lost"), 8192);
        let mut batch = BlockBatch::default();
        batch.push(BlockType::ROOT, &root.encode().expect("a root"));
        let hashed = batch.hash();
        self.store.write(&hashed).expect("written");
        self.store.sync().expect("synced");
        self.record(host, seconds, hashed.scores()[0]);
    }

    fn record(&self, host: &str, seconds: u64, score: Score) {
        self.clock.0.store(seconds * 1000, Ordering::SeqCst);
        let root = NewRoot {
            host: host.parse().expect("a name"),
            archive: "-".parse().expect("a name"),
            score,
            bytes: 1000,
            files: 10,
            completeness: Completeness::Complete,
        };
        self.log.record(&root).expect("recorded");
    }

    /// From now on others can open it.
    pub(crate) fn close(self) {
        drop(self.log);
        self.store.close().expect("closed");
    }
}
