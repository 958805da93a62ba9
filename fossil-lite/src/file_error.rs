//! Why a file of the dump can not be had: one vocabulary for FUSE, 9P and the programs.

use vac::reader::ReadError;
use venti_proto::StoreError;

/// What went wrong with a file. The texts are those that Plan 9's clients know, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing has that name.
    #[error("file does not exist")]
    NotFound,
    /// The user may not.
    #[error("permission denied")]
    PermissionDenied,
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// A file was needed.
    #[error("is a directory")]
    IsADirectory,
    /// The dump never changes.
    #[error("read-only file system")]
    ReadOnly,
    /// The name is none.
    #[error("bad file name {name:?}")]
    Name {
        /// As given, made printable.
        name: String,
    },
    /// More symbolic links than any real path has.
    #[error("too many symbolic links")]
    TooManyLinks,
    /// The file has no such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// The server is none of ours, or an old one.
    #[error("the server keeps no roots, and so has no dump")]
    NoRoots,
    /// Nobody here can tell which day it is there.
    #[error("days are cut in the time zone {name:?}, which is not known here")]
    TimeZone {
        /// As the store has it.
        name: String,
    },
    /// Blocks are missing or damaged, or the archive is not one.
    #[error("i/o error: {detail}")]
    Io {
        /// What was read and what came.
        detail: String,
    },
    /// The server can not be reached.
    #[error("i/o error: the server can not be reached: {detail}")]
    Unreachable {
        /// What happened.
        detail: String,
    },
}

impl From<&StoreError> for FileError {
    fn from(error: &StoreError) -> FileError {
        let detail = error.to_string();
        match error {
            StoreError::Connection { .. } => FileError::Unreachable { detail },
            _ => FileError::Io { detail },
        }
    }
}

impl From<StoreError> for FileError {
    fn from(error: StoreError) -> FileError {
        FileError::from(&error)
    }
}

impl From<ReadError> for FileError {
    fn from(error: ReadError) -> FileError {
        match error.store() {
            Some(error) => FileError::from(error),
            None if error == ReadError::NotADirectory => FileError::NotADirectory,
            None => FileError::Io { detail: error.to_string() },
        }
    }
}
