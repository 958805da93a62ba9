//! The block store: an append-only log of arenas, and a fingerprint index that is derived from it.
//!
//! The log is the truth and the index a convenience: deleting `index/` loses nothing. All file
//! access goes through [`disk::Disk`], so that tests can tear, lose, reorder, flip, fill and fail
//! it. The formats are in `docs/store-format.md`.

pub mod cache;
pub mod disk;
pub mod index;
pub mod names;
