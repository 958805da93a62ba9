//! The nouns of Venti and the rules between them, without input or output.
//!
//! A block is bytes with a [`BlockType`]; its address is its [`Score`]. Blocks are gathered in a
//! [`BlockBatch`], hashed together into a [`HashedBatch`], and given to a [`BlockStore`]: a remote
//! server, an embedded store, or [`MemoryStore`] in tests.
//!
//! Nothing here opens a file, reads a clock or knows of an executor; only [`client`], which can be
//! left out, opens sockets and starts a thread for each.

pub mod address;
mod batch;
mod block_store;
mod block_type;
#[cfg(feature = "client")]
pub mod client;
pub mod conformance;
mod entry;
pub mod hash_tree;
mod memory_store;
pub mod message;
pub mod places;
mod root;
pub mod roots;
mod score;
pub mod session;
mod sha1_lanes;
mod zero;

pub use batch::{BlockBatch, HashedBatch, HashedBlock};
pub use block_store::{BlockRequest, BlockStore, Deliver, Presence, StoreError};
pub use block_type::{BlockType, ParseBlockTypeError, UnknownBlockType};
pub use entry::{Entry, EntryError, MAX_STREAM_SIZE, MIN_ENTRY_BLOCK_SIZE, StreamKind};
pub use memory_store::MemoryStore;
pub use message::{Message, Tag, Version};
pub use root::{Root, RootError};
pub use score::{ParseScoreError, Score};
pub use zero::{zero_extend, zero_truncated_len};

/// The largest block that the original's programs and ours write: 56 KiB (venti(7)).
pub const MAX_BLOCK_SIZE: usize = 56 * 1024;
