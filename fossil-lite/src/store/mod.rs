//! What lies between the dump and its store: a cache of blocks, a connection that heals, and a
//! store in a directory that others write to.

mod block_cache;
mod reconnecting;
mod reopening;

pub use block_cache::BlockCache;
pub use reconnecting::{Connect, Reconnecting};
pub use reopening::Reopening;
