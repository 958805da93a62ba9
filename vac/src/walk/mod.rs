//! Walking a tree of files by directory descriptors: safe against whoever changes it meanwhile,
//! and at the cost of one `statx` a file.
//!
//! Nothing here knows of archives. [`Directory`] and [`Attributes`] are what the kernel says,
//! [`NameList`] what a directory holds, [`FileSystems`] what is mounted where, and [`Patterns`]
//! what the user wants left out.

mod attributes;
mod directory;
mod extended;
mod file_systems;
mod globs;
mod holes;
mod names;
mod patterns;

pub use attributes::{Attributes, DeviceNumber, FileKind, Identity, Moment};
pub use directory::{Directory, attributes_of_path, has_content, says_vanished};
pub(crate) use extended::KEPT_FLAGS;
pub use extended::{Extended, ExtendedError};
pub use file_systems::{FileSystems, Mounted};
pub use holes::{find_data, holes};
pub use names::{NameList, TooManyNames};
pub use patterns::{PatternError, Patterns};
