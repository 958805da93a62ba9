//! The archive format of Plan 9, and the archiver and extractor that speak it.

#![forbid(unsafe_code)]

pub mod walk;
