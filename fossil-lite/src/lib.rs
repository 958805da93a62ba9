//! The dump: every host, every day, as directories.
//!
//! [`date`] knows which dump is meant, and [`p9`] speaks 9P2000.

pub mod date;
mod file_error;
pub mod p9;

pub use file_error::FileError;
