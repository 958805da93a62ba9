//! What can be wrong with the bytes of an archive, or with what should become such bytes.

/// Why metadata of an archive could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end inside a field.
    #[error("{field} needs {needed} bytes, {left} are left")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// A directory entry or a meta block starts with something else.
    #[error("{what} starts with {found:#010x}, expected {expected:#010x}")]
    Magic {
        /// What should have been there.
        what: &'static str,
        /// The magic found.
        found: u32,
        /// The magic expected.
        expected: u32,
    },
    /// The version is none that this program reads.
    #[error("{what} has version {found}, expected {oldest} to {newest}")]
    Version {
        /// What has the version.
        what: &'static str,
        /// The version found.
        found: u16,
        /// The oldest that is read.
        oldest: u16,
        /// The newest that is read.
        newest: u16,
    },
    /// An optional section does not have its size, or is there twice.
    #[error("optional section {section} of {found} bytes is malformed: {detail}")]
    Section {
        /// The number of the section, or of a field of ours in it.
        section: u8,
        /// Bytes in it.
        found: usize,
        /// What is wrong.
        detail: &'static str,
    },
    /// A meta block's header or index contradicts its size.
    #[error("meta block: {detail} ({found}, at most {limit} fits)")]
    MetaBlock {
        /// What is wrong.
        detail: &'static str,
        /// The number found.
        found: usize,
        /// The largest that would be right.
        limit: usize,
    },
    /// Something is too long to be written.
    #[error("{what} of {size} bytes is too long, at most {limit} fit")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The most that fits.
        limit: usize,
    },
    /// Entries of a directory came in the wrong order, or one came twice.
    #[error("{name:?} does not sort behind {previous:?}")]
    Order {
        /// The name.
        name: String,
        /// The name before it.
        previous: String,
    },
    /// The directory's streams can not be written.
    #[error("{detail}")]
    Stream {
        /// What the stream writer said.
        detail: String,
    },
}
