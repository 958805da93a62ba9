//! A store in this process, which other processes write to.
//!
//! A store that was opened to be read has what was in it then. When the log of roots has changed
//! since, it is opened again: what was recorded is in it as a whole, for blocks are made durable
//! before they are recorded. What is being read goes on with the store that it began with.
//!
//! The lock is held for no longer than it takes to look which store is open.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vac::store::{Access, OpenStoreError, OpenedStore, open_directory, recorded};
use venti_proto::roots::{NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord};
use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, StoreError};

/// A store in a directory that is opened again when something was recorded in it.
pub struct Reopening {
    directory: PathBuf,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    store: Arc<OpenedStore>,
    /// What [`recorded`] said before it was opened.
    recorded: Option<(u64, u64)>,
}

impl Current {
    fn open(directory: &std::path::Path) -> Result<Current, OpenStoreError> {
        let recorded = recorded(directory);
        Ok(Current { store: Arc::new(open_directory(directory, Access::Read)?), recorded })
    }
}

impl Reopening {
    /// Opens it for the first time.
    ///
    /// # Errors
    /// Any [`OpenStoreError`] but those of servers.
    pub fn open(directory: PathBuf) -> Result<Reopening, OpenStoreError> {
        let current = Mutex::new(Current::open(&directory)?);
        Ok(Reopening { directory, current })
    }

    fn store(&self) -> Arc<OpenedStore> {
        Arc::clone(&self.current.lock().store)
    }

    /// The store with everything that is recorded now.
    fn refreshed(&self) -> Result<Arc<OpenedStore>, StoreError> {
        let known = self.current.lock().clone();
        if recorded(&self.directory) == known.recorded {
            return Ok(known.store);
        }
        let opened = Current::open(&self.directory);
        let opened = opened.map_err(|error| StoreError::Io { detail: error.to_string() })?;
        *self.current.lock() = opened.clone();
        Ok(opened.store)
    }
}

impl BlockStore for Reopening {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.store().blocks.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.store().blocks.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store().blocks.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store().blocks.sync()
    }
}

impl RootLog for Reopening {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        self.store().roots.record(root)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        self.refreshed()?.roots.list(query)
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        self.refreshed()?.roots.watch(known, time)
    }
}
