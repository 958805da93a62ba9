//! The store: what callers open, write to, read from and sync.
//!
//! [`Store`] is a shared handle. Below it are the log's end, which takes clumps ([`crate::log`]),
//! and the catalogue of all other arenas. A block is looked for in the log first and in the
//! catalogue then; an arena enters the catalogue before it leaves the log, so that no block is
//! ever between the two.

mod catalogue;
mod identity;
mod locate;
mod open;
mod options;
mod read;
mod refresh;
mod stats;
mod toc;
mod trails;
mod worker;
mod write;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, StoreError};

pub(crate) use catalogue::Catalogue;
pub use options::{
    DEFAULT_ARENA_SIZE, DEFAULT_MEMORY, MAX_ARENA_SIZE, MIN_ARENA_SIZE, OpenError, StoreOptions,
};
pub use stats::StoreStats;
pub use write::UnverifiedBlock;

use crate::Location;
use crate::disk::{Disk, DiskLock, RealDisk};
use crate::fields::StoreIdentity;
use crate::finding::Finding;
use crate::log::Log;
use crate::names;
use stats::Counters;
use worker::Worker;

/// A handle on an open store. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Owns the store's thread, which itself only knows [`Shared`].
struct Handle {
    shared: Arc<Shared>,
    /// None if opened without one, or once closed.
    worker: Mutex<Option<Worker>>,
    /// Held while the store may be written to.
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

/// What all threads at work on a store share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    /// None if opened read-only.
    pub(crate) log: Option<Log>,
    pub(crate) catalogue: Catalogue,
    /// What opening found.
    pub(crate) findings: Vec<Finding>,
    counters: Counters,
    /// Most bytes of blocks that are made ready at once.
    chunk_bytes: usize,
    /// Wakes the worker. None if there is none: then its work is done by callers.
    wake: Option<crossbeam_channel::Sender<()>>,
}

impl Store {
    /// Opens the store in a directory of the system.
    ///
    /// # Errors
    /// [`OpenError`]: no store, in use, of a newer format, damaged beyond recognition, or the
    /// disk failed.
    pub fn open_path(path: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        let disk = if options.create && !options.read_only {
            refuse_foreign(path)?;
            RealDisk::create(path)?
        } else if path.is_dir() {
            RealDisk::new(path)
        } else {
            return Err(not_a_directory(path));
        };
        Store::open(Arc::new(disk), options)
    }

    /// Opens the store on any disk.
    ///
    /// # Errors
    /// As [`Store::open_path`].
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Store, OpenError> {
        open::open(disk, options).map(|handle| Store { handle: Arc::new(handle) })
    }

    /// Syncs, ends the store's thread, and lets another process have the store. Other handles
    /// can still read.
    ///
    /// # Errors
    /// Those of the sync. The store is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        let result = match &shared.log {
            Some(log) if self.handle.lock.lock().is_some() => {
                shared.sync().and_then(|()| log.close())
            }
            _ => Ok(()),
        };
        self.handle.stop();
        result
    }

    /// Whose arenas these are: sixteen bytes that no other store has got.
    #[must_use]
    pub fn identity(&self) -> StoreIdentity {
        self.shared().catalogue.store
    }

    /// What opening found, and what was found since.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let shared = self.shared();
        let mut findings = shared.findings.clone();
        findings.extend(shared.catalogue.findings());
        findings
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

/// No store is made among files that belong to something else. A directory that has anything of
/// a store is one, or was about to become one; `lost+found` is in every fresh file system.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    if path.metadata().is_ok_and(|found| !found.is_dir()) {
        return Err(not_a_directory(path));
    }
    let Ok(entries) = path.read_dir() else { return Ok(()) };
    let ours =
        [names::ARENAS, names::INDEX, names::LOCK, names::IDENTITY, names::IDENTITY_TEMPORARY];
    let mut foreign = None;
    for name in entries.flatten().map(|entry| entry.file_name()) {
        if ours.iter().any(|ours| name == *ours) {
            return Ok(());
        }
        if name != "lost+found" {
            foreign = Some(name);
        }
    }
    foreign.map_or(Ok(()), |name| {
        let detail = format!(
            "{} has other files in it, such as {}, and a store is made in an empty directory only",
            path.display(),
            name.display()
        );
        Err(OpenError::NotAStore { detail })
    })
}

fn not_a_directory(path: &Path) -> OpenError {
    OpenError::NotAStore { detail: format!("{} is not a directory", path.display()) }
}

impl Handle {
    /// Ends the thread and releases the lock. Nothing is written after that.
    fn stop(&self) {
        if let Some(log) = &self.shared.log {
            log.shut();
        }
        if let Some(worker) = self.worker.lock().take() {
            worker.stop();
        }
        self.lock.lock().take();
    }
}

impl Drop for Handle {
    /// What was not synced is not promised: a store that is dropped is not synced.
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("disk", &self.shared().disk).finish_non_exhaustive()
    }
}

impl BlockStore for Store {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.shared().write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.shared().read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        let mut sizes = Vec::with_capacity(requests.len());
        self.sizes(requests, &mut sizes);
        let presence = |size: Result<Option<u32>, StoreError>| {
            size.map(|size| if size.is_some() { Presence::Present } else { Presence::Absent })
        };
        sizes.into_iter().map(presence).collect()
    }

    fn places(&self, requests: &[BlockRequest]) -> Option<Vec<Option<u64>>> {
        let place = |at: Location| u64::from(at.arena) << 32 | u64::from(at.offset);
        Some(self.shared().guess(requests).into_iter().map(|at| at.map(place)).collect())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.shared().sync()
    }
}
