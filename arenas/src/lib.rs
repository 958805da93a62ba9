//! The block store: an append-only log of arenas, and a fingerprint index that is derived from it.
//!
//! The log is the truth and the index a convenience: deleting `index/` loses nothing. All file
//! access goes through [`disk::Disk`], so that tests can tear, lose, reorder, flip, fill and fail
//! it. The formats are in `docs/store-format.md`.

pub mod arena;
pub mod cache;
mod check;
pub mod clump;
pub mod describe;
pub mod disk;
mod environment;
mod fields;
mod finding;
pub mod index;
mod log;
pub mod names;
mod rebuild;
mod recovery;
mod roots;
pub mod roots_log;
mod store;

pub use check::{CheckOptions, CheckReport};
pub use environment::{Environment, ScriptedEnvironment, SystemEnvironment};
pub use fields::{FormatError, StoreIdentity};
pub use finding::{Finding, Severity};
pub use index::Location;
pub use rebuild::Progress;
pub use roots::FoundRoot;
pub use store::{
    DEFAULT_ARENA_SIZE, DEFAULT_MEMORY, MAX_ARENA_SIZE, MIN_ARENA_SIZE, OpenError, Store,
    StoreOptions, StoreStats, UnverifiedBlock,
};
