//! A store that counts what is read from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, StoreError};

use crate::world::World;

/// Counts calls, each of which is a round trip to a server, and blocks.
pub(crate) struct Counting {
    store: Arc<dyn BlockStore>,
    calls: AtomicU64,
    blocks: AtomicU64,
}

impl Counting {
    pub(crate) fn of(world: &World) -> Arc<Counting> {
        let store = Arc::clone(&world.store) as _;
        Arc::new(Counting { store, calls: AtomicU64::new(0), blocks: AtomicU64::new(0) })
    }

    /// Calls until now.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Blocks until now.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::SeqCst)
    }

    /// Calls and blocks that it takes to do something.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> (u64, u64, T) {
        let before = (self.calls(), self.blocks());
        let done = act();
        (self.calls() - before.0, self.blocks() - before.1, done)
    }
}

impl BlockStore for Counting {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.blocks.fetch_add(requests.len() as u64, Ordering::SeqCst);
        self.store.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}
