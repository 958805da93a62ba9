//! What lies between the dump and its server: a cache of blocks, and a connection that heals.

mod block_cache;
mod reconnecting;

pub use block_cache::BlockCache;
pub use reconnecting::{Connect, Reconnecting};
