//! The dump: every host, every day, as directories.
//!
//! [`p9`] speaks 9P2000.

mod file_error;
pub mod p9;

pub use file_error::FileError;
