//! The block sizes of an archive, in one place.

use venti_proto::StreamKind;
use venti_proto::hash_tree::{HashTreeWriter, pointer_size_for};

use crate::format::DirectoryWriter;

/// A writer of the trees above file content.
pub(super) fn data_tree(block_size: u32) -> HashTreeWriter {
    HashTreeWriter::new(StreamKind::Data, pointer_size_for(block_size), block_size)
}

/// A writer of directories.
pub(super) fn directory_writer(block_size: u32) -> DirectoryWriter {
    DirectoryWriter::new(pointer_size_for(block_size), block_size)
}
