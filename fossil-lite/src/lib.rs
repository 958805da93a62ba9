//! The dump: every host, every day, as directories (docs/dump.md).
//!
//! [`date`] knows which dump is meant, and [`p9`] speaks 9P2000.

pub mod date;
pub mod dump;
mod file_error;
pub mod frame;
pub mod fuse;
pub mod json;
pub mod p9;
pub mod p9_dump;
pub mod past;
pub mod program;
pub mod show;
pub mod store;
pub mod users;

pub use file_error::FileError;
