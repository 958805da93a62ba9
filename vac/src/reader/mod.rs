//! Opens an archive and reads its tree: names, metadata, content.
//!
//! Everything is read on demand and nothing is cached: a [`Node`] is a handle of a few hundred
//! bytes that may be cloned and sent between threads. Blocks are asked for many at a time, because
//! a round trip to the server costs more than a block. Nothing that an archive says is trusted:
//! sizes bound no allocation, and there is no recursion.

mod archive;
mod content;
mod directory;
mod error;
mod lookup;
mod node;

pub use archive::Archive;
pub use content::Piece;
pub use directory::{BadChild, Child, DirectoryScan, read_small_directories};
pub use error::ReadError;
pub use node::Node;
