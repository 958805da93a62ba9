//! The archive format of Plan 9, and the archiver and extractor that speak it.
//!
//! The bytes are in docs/vac-format.md.

#![forbid(unsafe_code)]

pub mod archiver;
pub mod causes;
pub mod estimate;
pub mod extractor;
pub mod format;
pub mod reader;
pub mod score_file;
pub mod selftest;
pub mod shown;
pub mod signals;
pub mod store;
pub mod walk;
