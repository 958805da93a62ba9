//! How to open a store, and why that may fail.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::disk::DiskError;
use crate::environment::{Environment, SystemEnvironment};

/// Bytes that an arena is filled to, unless told otherwise.
pub const DEFAULT_ARENA_SIZE: u64 = 512 << 20;
/// Larger ones could not be addressed with 32 bits once sealed.
pub const MAX_ARENA_SIZE: u64 = 2 << 30;
/// Smaller ones would be mostly header and footer.
pub const MIN_ARENA_SIZE: u64 = 4 << 10;
/// Bytes of memory for caches and filters, unless told otherwise.
pub const DEFAULT_MEMORY: u64 = 256 << 20;

/// How to open a store. The default opens one that exists, to read and write.
#[derive(Clone)]
pub struct StoreOptions {
    /// Make a store where there is none.
    pub create: bool,
    /// Change nothing, take no lock, and see what a writer beside us adds.
    pub read_only: bool,
    /// Bytes of memory for caches and filters.
    pub memory: u64,
    /// Bytes that an arena is filled to before the next is begun.
    pub arena_size: u64,
    /// Seal, merge and sync in a thread of the store's own. Without it that happens in the calls
    /// that make it necessary, in the same order every time.
    pub background: bool,
    /// The time, and randomness for the identity of a new store.
    pub environment: Arc<dyn Environment>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            create: false,
            read_only: false,
            memory: DEFAULT_MEMORY,
            arena_size: DEFAULT_ARENA_SIZE,
            background: true,
            environment: Arc::new(SystemEnvironment),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreOptions { create, read_only, memory, arena_size, background, .. } = self;
        f.debug_struct("StoreOptions")
            .field("create", create)
            .field("read_only", read_only)
            .field("memory", memory)
            .field("arena_size", arena_size)
            .field("background", background)
            .finish_non_exhaustive()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store, and none was to be made.
    #[error("no store: {detail}")]
    NotAStore {
        /// What is missing.
        detail: String,
    },
    /// Another process has the store open for writing.
    #[error("the store is in use by another process")]
    Busy,
    /// A later program made the store.
    #[error("the store has format version {found}, this program knows versions up to {supported}")]
    NewerFormat {
        /// The version that the store has.
        found: u32,
        /// The newest version that this program knows.
        supported: u32,
    },
    /// There are arenas, and neither `store.toml` nor any of them says whose they are.
    #[error("store.toml and the headers of all {arenas} arenas are damaged")]
    NoIdentity {
        /// Arena files that are there.
        arenas: usize,
    },
    /// The disk did not do what it was asked.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no randomness to make an identity from.
    #[error("no randomness for the identity of a new store: {0}")]
    Randomness(#[source] io::Error),
    /// The store was recovered and then took no writes.
    #[error(transparent)]
    Store(#[from] venti_proto::StoreError),
    /// The thread for work in the background could not be started.
    #[error("the store's own thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    pub(crate) const fn newer(found: u32) -> OpenError {
        OpenError::NewerFormat { found, supported: crate::arena::FORMAT_VERSION }
    }
}
