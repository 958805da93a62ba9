//! Restores an archive into a directory, and never outside of it.
//!
//! One thread walks the archive, many directories with one call to the store, and makes the
//! directories. What it finds is put into the order in which the store has it, some thousand files
//! at a time, and goes in batches to workers, each of which reads the blocks of some hundred small
//! files with one call and writes each block from where it arrived: no block is copied or handed
//! from thread to thread. Files of a few blocks go in batches, too; a large one is made by itself.
//!
//! A directory is held open by everything that is still to be made in it, and gets its owner,
//! mode and times when the last of them lets go: so the number of open directories is bounded by
//! the work in flight, not by the depth of the tree.
//!
//! Invariants: every name of the archive is checked before it is used; every file is reached from
//! an open directory by one name, never through a symbolic link; nothing that exists is written
//! to, but replaced by `rename`; a file whose content could not be read is not there afterwards; a
//! file of more than one block has no name before it is whole.

mod attributes;
mod batch;
mod compare;
mod delete;
mod destination;
mod error;
mod extended;
mod large;
mod links;
mod log_order;
mod medium;
mod open_directory;
mod options;
mod ordered;
mod owners;
mod place;
mod restore;
mod selection;
mod session;
mod tar;
mod verify;
mod walker;
mod zeros;

pub use delete::remove_directory;
pub use error::{ExtractError, Severity};
pub use options::{ExtractOptions, Limits, Owners};
pub use ordered::{Visitor, visit};
pub use restore::restore;
pub use selection::Selection;
pub use session::{Observer, Silent, Summary};
pub use tar::TarWriter;
pub use verify::{Difference, verify};
