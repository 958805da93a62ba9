//! What goes wrong: with a file, which is reported, and with the archive, which ends it.

use rustix::io::Errno;
use venti_proto::hash_tree::TreeTooDeep;
use venti_proto::{Score, StoreError};

use super::chunk::Failure;
use crate::format::FormatError;
use crate::walk::ExtendedError;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store did not take a block, or could not promise to keep it.
    #[error(transparent)]
    Store(StoreError),
    /// A file needs more pointer blocks than the format has, at this block size.
    #[error("{0}: use larger blocks")]
    TooDeep(TreeTooDeep),
    /// What was read can not be written in the format.
    #[error("{path}: {error}")]
    Format {
        /// The file or directory.
        path: String,
        /// What the format has to say.
        error: FormatError,
    },
    /// An argument can not be archived.
    #[error("{path}: {detail}")]
    Source {
        /// The argument.
        path: String,
        /// Why.
        detail: String,
        /// What the system said, if it was asked.
        errno: Option<Errno>,
    },
    /// Two arguments would have the same name in the archive.
    #[error(
        "{first} and {second} would both be called {name:?} in the archive: name them together by their parent, or archive them apart"
    )]
    SameName {
        /// The argument that came first.
        first: String,
        /// The other one.
        second: String,
        /// What both are called.
        name: String,
    },
    /// The older archive can not be read.
    #[error("the older archive {root}: {detail}")]
    OldArchive {
        /// Score of its root.
        root: Score,
        /// What is wrong.
        detail: String,
    },
    /// A stream that was to be archived is not whole.
    #[error("{name}: {error}")]
    Stream {
        /// The name that it was given.
        name: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The block size is out of range.
    #[error("block size {0}: expected 512 to 57344 bytes")]
    BlockSize(u32),
    /// The caller asked to stop. What was done until then is stored.
    #[error("interrupted")]
    Stopped {
        /// An archive of what the walk had met: to compare with when the same is archived again,
        /// so that it costs little more than the walk to come to where this one was.
        resume: Score,
    },
    /// Blocks that an older archive leads to, and that were to be taken from it, are not there.
    #[error("the store lost blocks that it had")]
    StaleHint,
    /// The caller asked to stop, or a thread of the archiver ended early.
    #[error("interrupted")]
    Interrupted,
}

/// Something that whoever reads the report should know of one file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path, as the caller would find it.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ProblemKind,
}

/// What happened to a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// It, or what is in it, is not in the archive.
    Failed(Failure),
    /// It went on changing while it was read: it is in the archive, marked as torn.
    Torn,
    /// One of its extended attributes, or the list of them, could not be read.
    ExtendedAttribute {
        /// Which, or none if it is the list.
        name: Option<Vec<u8>>,
        /// What the system said.
        errno: Errno,
    },
    /// The older archive is damaged there: everything in the directory was read again.
    OldDamaged(String),
    /// An archive that was to be merged has the name, and so has something else.
    MergeClash,
    /// Left out by a pattern.
    Excluded,
    /// Left out for its size.
    TooLarge,
    /// Not entered for the type of file system that is mounted there.
    FileSystem(String),
    /// Not entered: it is marked as a cache, or has a file that says so.
    Marked(Vec<u8>),
    /// Not entered: it is the store that the archive goes to.
    OwnStore,
}

impl Problem {
    pub(super) fn extended(path: &[u8], error: &ExtendedError) -> Problem {
        let kind = ProblemKind::ExtendedAttribute { name: error.name.clone(), errno: error.errno };
        Problem { path: path.to_vec(), kind }
    }

    /// Whether the archive is less than it should be because of this: exit code 3.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::Failed(_)
                | ProblemKind::Torn
                | ProblemKind::ExtendedAttribute { .. }
                | ProblemKind::MergeClash
        )
    }

    /// A word for programs that read the report.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.kind {
            ProblemKind::Failed(Failure::Vanished) => "vanished",
            ProblemKind::Failed(Failure::Unreadable(_)) => "unreadable",
            ProblemKind::Failed(Failure::TooLarge) => "too-large-for-format",
            ProblemKind::Torn => "torn",
            ProblemKind::ExtendedAttribute { .. } => "extended-attribute",
            ProblemKind::OldDamaged(_) => "old-damaged",
            ProblemKind::MergeClash => "merge-clash",
            ProblemKind::Excluded => "excluded",
            ProblemKind::TooLarge => "larger-than",
            ProblemKind::FileSystem(_) => "file-system",
            ProblemKind::Marked(_) => "marked",
            ProblemKind::OwnStore => "own-store",
        }
    }
}

/// What happened, without the path.
impl std::fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProblemKind::Failed(Failure::Vanished) => {
                f.write_str("not archived: it vanished, or became something else, meanwhile")
            }
            ProblemKind::Failed(Failure::Unreadable(errno)) => {
                write!(f, "not archived: {}", words(*errno))
            }
            ProblemKind::Failed(Failure::TooLarge) => {
                f.write_str("not archived: too large for the format with blocks of this size")
            }
            ProblemKind::Torn => {
                f.write_str("torn: it went on changing while it was read; kept as read last")
            }
            ProblemKind::ExtendedAttribute { name: Some(name), errno } => {
                let name = String::from_utf8_lossy(name);
                write!(f, "extended attribute {name} not archived: {}", words(*errno))
            }
            ProblemKind::ExtendedAttribute { name: None, errno } => {
                write!(f, "extended attributes not archived: {}", words(*errno))
            }
            ProblemKind::OldDamaged(detail) => {
                write!(f, "read anew, the older archive is damaged here: {detail}")
            }
            ProblemKind::MergeClash => f.write_str("not merged: something else here has the name"),
            ProblemKind::Excluded => f.write_str("excluded"),
            ProblemKind::TooLarge => f.write_str("left out for its size"),
            ProblemKind::FileSystem(kind) => write!(f, "not entered: a file system of type {kind}"),
            ProblemKind::Marked(mark) => {
                write!(f, "not entered: marked by {}", String::from_utf8_lossy(mark))
            }
            ProblemKind::OwnStore => f.write_str("not entered: it is the store itself"),
        }
    }
}

/// What the system says in words.
pub(super) fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
