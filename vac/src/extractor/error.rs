//! What can go wrong with one file, and how bad it is.

use rustix::io::Errno;

use crate::reader::ReadError;

/// How bad a problem is for whoever started the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is missing in the target: exit code 3.
    Incomplete,
    /// The archive is hostile or malformed, and the entry was refused: exit code 1.
    Refused,
}

/// Why a file, or a property of it, was not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Its content or metadata could not be read from the archive.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The system refused.
    #[error("{action}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The file is there, but the system refused a property of it.
    #[error("{action}: {errno}")]
    Property {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The archive has the name twice in one directory, or the file system takes two names for
    /// one.
    #[error("the name is in its directory twice")]
    Duplicate,
    /// The path is longer or deeper than the limits allow.
    #[error("{what} is {found}, the limit is {limit} ({option} changes it)")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the archive has.
        found: u64,
        /// The limit.
        limit: u64,
        /// The option that changes the limit.
        option: &'static str,
    },
    /// The file does not fit on the file system.
    #[error("{needed} bytes or more are needed, {free} are free")]
    NoSpace {
        /// Bytes of data counted so far.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The archive does not have what is needed to make the file again.
    #[error("the archive does not have {what}")]
    NotStored {
        /// What is missing.
        what: &'static str,
    },
    /// A stream that was being written can not be completed.
    #[error("the stream ends here: {detail}")]
    Broken {
        /// Why.
        detail: String,
    },
    /// It has no content that could be printed.
    #[error("not printed: {what}")]
    NoContent {
        /// What it is.
        what: &'static str,
    },
    /// Somebody wanted an end of it.
    #[error("interrupted")]
    Interrupted,
    /// What can not be kept here, or only by the superuser.
    #[error("not restored: {what}")]
    NotPossible {
        /// What was left out.
        what: &'static str,
    },
}

impl ExtractError {
    /// An error of the system.
    pub(super) fn system(action: &'static str) -> impl Fn(Errno) -> ExtractError {
        move |errno| ExtractError::System { action, errno }
    }

    /// A property that the system refused.
    pub(super) fn property(action: &'static str) -> impl Fn(Errno) -> ExtractError {
        move |errno| ExtractError::Property { action, errno }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            ExtractError::Read(error) if error.store().is_some() => Severity::Incomplete,
            ExtractError::Read(_) | ExtractError::Duplicate | ExtractError::Limit { .. } => {
                Severity::Refused
            }
            _ => Severity::Incomplete,
        }
    }
}
