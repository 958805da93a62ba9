//! Why an archive, or a part of it, could not be read.

use venti_proto::hash_tree::TreeError;
use venti_proto::{BlockType, EntryError, RootError, Score, StoreError};

use crate::format::{BadName, FormatError};

/// Why an archive, or a part of it, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The score leads to a root of something else.
    #[error("root {score} is of kind {kind:?}, expected \"vac\": this is no archive of files")]
    Kind {
        /// The score given.
        score: Score,
        /// What the root says it is.
        kind: String,
    },
    /// The score is that of a block, and of no root.
    #[error(
        "{score} is not the root of an archive: it is stored as {found}; a score that vac printed, \
         or one that venti find-roots lists, is expected"
    )]
    NotARoot {
        /// The score given.
        score: Score,
        /// A type that it is stored under.
        found: BlockType,
    },
    /// The score leads to bytes that are no root.
    #[error("{score} is no root of an archive: {source}")]
    Root {
        /// The score given.
        score: Score,
        /// What is wrong with it.
        source: RootError,
    },
    /// The directory above the root directory is not as it must be.
    #[error("the archive's top directory {score} is malformed: {detail}")]
    Top {
        /// The directory block.
        score: Score,
        /// What is wrong.
        detail: String,
    },
    /// A Venti entry is malformed.
    #[error("Venti entry {number}: {source}")]
    Entry {
        /// Its place in the directory.
        number: u32,
        /// What is wrong with it.
        source: EntryError,
    },
    /// A Venti entry that a name leads to is not in use, not of its generation or kind.
    #[error("Venti entry {number} {detail}")]
    Dangling {
        /// Its place in the directory.
        number: u32,
        /// What is wrong.
        detail: &'static str,
    },
    /// A directory entry or meta block is malformed.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A name can not be the name of a file.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A stream can not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A directory was asked of something else.
    #[error("not a directory")]
    NotADirectory,
    /// A stream is larger than what it holds may be.
    #[error("{what} has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// What the stream holds.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> ReadError {
        ReadError::Tree(TreeError::Store(error))
    }
}

impl ReadError {
    /// The store's own error, if the store could not read a block: the archive is not to blame.
    #[must_use]
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            ReadError::Tree(TreeError::Store(error)) => Some(error),
            _ => None,
        }
    }
}
