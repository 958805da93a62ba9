//! The dump as a tree: `/HOST/yyyy/mmdd[.n]/...`, and `latest` beside the years.
//!
//! One core for FUSE, 9P and the programs. A [`Place`] is a name in the tree; what is in a dump
//! never changes, and is read when it is asked for. Nothing here knows who asks: permissions are
//! enforced by the kernel (FUSE) or by [`crate::users`] (9P). Programs that read the store see all
//! of it, as does whoever can reach its server.

pub(crate) mod ahead;
mod attributes;
mod catalogue;
mod contents;
mod entry;
mod listing;
pub(crate) mod read_ahead;
mod tree;
mod upcoming;
mod visits;
mod walk;

pub use attributes::{Attributes, FileId};
pub use catalogue::{Catalogue, Dump};
pub use entry::DumpFile;
pub use tree::{LATEST, Place, Tree};
pub(crate) use walk::is_read_ahead;
