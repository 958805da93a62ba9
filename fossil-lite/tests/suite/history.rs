//! The cost of a history in round trips, and a connection that is lost and comes back.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fossil_lite::past::{HistoryCache, history};
use fossil_lite::store::{Connect, Reconnecting};
use jiff::ToSpan;
use jiff::civil::date;
use venti_proto::roots::{
    HostName, MemoryRootLog, NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord,
};
use venti_proto::{
    BlockRequest, BlockStore, BlockType, Deliver, HashedBatch, MemoryStore, Presence, StoreError,
};

use crate::counting::Counting;
use crate::world::World;

/// 300 dumps with something new every day elsewhere, and a file three directories deep that
/// changes every 25 days.
#[test]
fn a_history_looks_into_no_directory_twice() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::create_dir_all(source.path().join("a/b/c")).unwrap();
    fs::create_dir_all(source.path().join("other")).unwrap();
    for day in 0..300 {
        fs::write(source.path().join("other/daily"), format!("{day}")).unwrap();
        if day % 25 == 0 {
            fs::write(source.path().join("a/b/c/file"), format!("version {day}")).unwrap();
        }
        let time = date(2004, 1, 1).checked_add(day.days()).unwrap();
        world.dump("moby", &format!("{time}T03:00:00Z"), source.path());
    }
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let host: HostName = "moby".parse().unwrap();
    let dumps = tree.catalogue().dumps(&host).unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut cache = HistoryCache::load(place.path(), &host, b"/a/b/c/file");
    let found = history(&tree, &host, &dumps, b"/a/b/c/file", &mut cache).unwrap();
    assert_eq!((found.versions.len(), found.unreadable.len()), (12, 0));
    let sizes: Vec<u64> =
        found.versions.iter().map(|v| v.snapshot.as_ref().unwrap().size).collect();
    assert_eq!(sizes, [11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 9]);
    assert_eq!(found.versions[0].oldest.name.to_string(), "2004/1002");
    // The tops of all dumps come in batches; below them only what differs is looked into.
    let calls = counting.calls();
    assert!(calls < 150, "{calls} round trips for 300 dumps with 12 versions");
    cache.save();

    // Asked again, a new process needs the blocks of no dump.
    let mut cache = HistoryCache::load(place.path(), &host, b"/a/b/c/file");
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    let again = history(&tree, &host, &dumps, b"/a/b/c/file", &mut cache).unwrap();
    assert_eq!(again.versions.len(), 12);
    let more = counting.calls() - calls;
    assert!(more <= 6, "{more} round trips");
}

/// A server that can be away.
struct Flaky {
    store: Arc<MemoryStore>,
    log: Arc<MemoryRootLog>,
    away: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
}

struct Connection {
    store: Arc<MemoryStore>,
    log: Arc<MemoryRootLog>,
    away: Arc<AtomicBool>,
    /// Set once the server was away: a connection does not come back.
    lost: AtomicBool,
}

impl Connection {
    fn check(&self) -> Result<(), StoreError> {
        self.lost.fetch_or(self.away.load(Ordering::SeqCst), Ordering::SeqCst);
        match self.lost.load(Ordering::SeqCst) {
            true => Err(StoreError::Connection { detail: "gone".to_owned() }),
            false => Ok(()),
        }
    }
}

impl Connect for Flaky {
    type Connection = Connection;

    fn connect(&self) -> Result<Connection, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Connection { detail: "refused".to_owned() });
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        let (store, log, away) =
            (Arc::clone(&self.store), Arc::clone(&self.log), Arc::clone(&self.away));
        Ok(Connection { store, log, away, lost: AtomicBool::new(false) })
    }
}

impl BlockStore for Connection {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.check()?;
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        match self.check() {
            Ok(()) => self.store.read(requests, deliver),
            Err(error) => (0..requests.len()).for_each(|at| deliver(at, Err(error.clone()))),
        }
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.check()?;
        self.store.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.check()
    }
}

impl RootLog for Connection {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        self.check()?;
        self.log.record(root)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        self.check()?;
        self.log.list(query)
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        self.check()?;
        self.log.watch(known, time)
    }
}

#[test]
fn a_server_that_goes_away_gives_errors_and_its_return_heals() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "content").unwrap();
    let score = world.dump("moby", "2004-06-11T03:00:00Z", source.path()).root.score;
    let away = Arc::new(AtomicBool::new(false));
    let connections = Arc::new(AtomicU64::new(0));
    let flaky = || Flaky {
        store: Arc::clone(&world.store),
        log: Arc::clone(&world.log),
        away: Arc::clone(&away),
        connections: Arc::clone(&connections),
    };
    let server = Reconnecting::new(flaky(), Duration::ZERO);
    let root = || server.read_block(score, BlockType::ROOT);
    let list = || server.list(&RootQuery::default()).map(|page| page.next);
    assert!(root().is_ok() && list() == Ok(1));
    away.store(true, Ordering::SeqCst);
    assert!(matches!(root(), Err(StoreError::Connection { .. })));
    assert!(matches!(list(), Err(RootLogError::Store(StoreError::Connection { .. }))));
    away.store(false, Ordering::SeqCst);
    assert!(root().is_ok() && list() == Ok(1));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    // What is not there is no lost connection.
    let nothing = server.read_block(venti_proto::Score::of(b"nothing"), BlockType::DATA);
    assert!(matches!(nothing, Err(StoreError::NotFound { .. })));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    // Whoever comes just after one that failed does not wait again.
    let patient = Reconnecting::new(flaky(), Duration::MAX);
    away.store(true, Ordering::SeqCst);
    let failed = patient.read_block(score, BlockType::ROOT).unwrap_err();
    away.store(false, Ordering::SeqCst);
    assert_eq!(patient.read_block(score, BlockType::ROOT), Err(failed));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
