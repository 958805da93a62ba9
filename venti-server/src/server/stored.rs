//! What a server serves: a store, and the log of roots that is kept in it.

use std::path::Path;
use std::sync::Arc;

use arenas::disk::{Disk, RealDisk};
use arenas::roots_log::{DayZone, RootsLog, RootsLogOptions};
use arenas::{OpenError, Store, StoreOptions, UnverifiedBlock};
use serde_json::{Value, json};
use venti_proto::roots::{RootLog, RootLogError, RootQuery};
use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, Score, StoreError};

use crate::server::engine::Engine;

/// A store in a directory with its log of roots.
pub struct StoredBlocks {
    store: Store,
    roots: RootsLog,
}

/// Why it can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The store can not be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log of roots can not be.
    #[error("the log of roots: {0}")]
    Roots(#[from] RootLogError),
}

impl StoredBlocks {
    /// Opens the store in a directory, and its log of roots.
    ///
    /// # Errors
    /// [`StoredError`]
    pub fn open(
        path: &Path,
        options: StoreOptions,
        time_zone: DayZone,
    ) -> Result<StoredBlocks, StoredError> {
        let read_only = options.read_only;
        let store = Store::open_path(path, options)?;
        let log_options = RootsLogOptions {
            identity: *store.identity().as_bytes(),
            read_only,
            time_zone,
            clock: Arc::new(nanoseconds),
        };
        let blocks = Arc::new(store.clone());
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
        let roots = RootsLog::open(&disk, blocks, log_options, &store)?;
        let report = roots.report();
        if report.missing > 0 {
            tracing::error!(lost = report.missing, "records of the log of roots are lost");
        } else if report.rebuilt && report.records > 0 {
            tracing::warn!(
                records = report.records,
                "the log of roots was rebuilt from its blocks"
            );
        }
        Ok(StoredBlocks { store, roots })
    }

    /// The store alone.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The log of roots alone.
    #[must_use]
    pub fn root_log(&self) -> &RootsLog {
        &self.roots
    }
}

/// Nanoseconds since 1970, UTC.
fn nanoseconds() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

impl BlockStore for StoredBlocks {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.store.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store.probe(requests)
    }

    fn places(&self, requests: &[BlockRequest]) -> Option<Vec<Option<u64>>> {
        self.store.places(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

impl Engine for StoredBlocks {
    fn write_unverified(
        &self,
        blocks: &[UnverifiedBlock<'_>],
        results: &mut Vec<Result<Score, StoreError>>,
    ) {
        self.store.write_unverified(blocks, results);
    }

    fn sizes(&self, requests: &[BlockRequest], sizes: &mut Vec<Result<Option<u32>, StoreError>>) {
        self.store.sizes(requests, sizes);
    }

    fn roots(&self) -> Option<&dyn RootLog> {
        Some(&self.roots)
    }

    fn stats(&self) -> Value {
        let mut stats = serde_json::to_value(self.store.stats()).unwrap_or_default();
        let newest = RootQuery { limit: 0, ..RootQuery::default() };
        if let (Value::Object(fields), Ok(page)) = (&mut stats, self.roots.list(&newest)) {
            fields.insert("roots".to_owned(), json!(page.next));
        }
        stats
    }
}
