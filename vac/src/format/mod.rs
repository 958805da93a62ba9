//! The archive format of vac: directory entries, their optional sections, and the meta blocks
//! that hold them. The byte tables are in docs/vac-format.md.
//!
//! A directory is two streams: one of Venti entries, and one of meta blocks that name them. The
//! format is that of Plan 9 (version 9 written, 7 to 9 read); what Unix has and Plan 9 has not
//! goes into one optional section that older readers skip.

mod cursor;
mod directory_writer;
mod error;
mod meta_block;
mod mode;
mod plain_entry;
mod unix;
mod unix_codec;
mod vac_dir;

pub use directory_writer::{DirectoryStreams, DirectoryWriter};
pub use error::FormatError;
pub use meta_block::{MetaBlock, MetaBlockBuilder, name_order};
pub use mode::{FileKind, Mode};
pub use plain_entry::PlainEntry;
pub use unix::{
    DeviceNumber, DirectoryFacts, ExternalStream, Gap, HardLink, Hole, Identity, Timestamp,
    UnixMetadata, Xattr,
};
pub use unix_codec::{MAX_EXTERNAL_SIZE, decode_external};
pub use vac_dir::{BadName, QidSpace, Section, VacDir};
