//! How a command ends: its exit code, and the words that go with a failure.
//!
//! Codes are those of every program here, after restic's: 0 complete, 1 failed, 2 usage, 3 done
//! but incomplete or something wrong was found, 10 no such server or store, 11 busy, 12 not
//! allowed, 130 interrupted.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use arenas::OpenError;
use venti_proto::client::ConnectError;
use venti_proto::roots::{HostName, RootLogError};
use venti_proto::{BlockType, Score, StoreError};

use crate::server::{ListenError, ServeError};

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done, and nothing is wrong.
    Complete,
    /// Something is missing or wrong; what, was said already.
    Incomplete,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Neither `-h` nor `$venti` says where to go.
    #[error("no server is named: give -h HOST or -h STORE, or set $venti")]
    NowhereToGo,
    /// An argument that can not be right.
    #[error("{detail}")]
    Usage {
        /// What was found and what was expected.
        detail: String,
    },
    /// There is nothing at the path of a store.
    #[error("no store at {}: nothing is there", path.display())]
    NoStore {
        /// The path.
        path: PathBuf,
    },
    /// A server can not be reached, or does not speak Venti.
    #[error("no server at {address}: {source}")]
    NoServer {
        /// Where it was expected.
        address: String,
        /// What happened.
        source: Box<ConnectError>,
    },
    /// A store can not be opened.
    #[error("store {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// A server is named where only the directory of a store will do.
    #[error(
        "this works on a store in a directory, and {address} is a server: \
         give the directory of its store, on the machine that has it"
    )]
    NotLocal {
        /// The server.
        address: String,
    },
    /// Standard input has more than a block.
    #[error("standard input is larger than a block: at most {limit} bytes are taken")]
    TooLarge {
        /// The most bytes that are taken.
        limit: u64,
    },
    /// A host is not in the log of roots, or nobody is.
    #[error("no archive{} is recorded", host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default())]
    NoArchive {
        /// The only host that was asked for.
        host: Option<HostName>,
    },
    /// A block is not there under any type.
    #[error("no block with score {score} is stored, under no type")]
    NoBlock {
        /// The score asked for.
        score: Score,
    },
    /// A block is not there under the type asked for.
    #[error("{score} is not stored as {wanted}, but as {}", names(found))]
    WrongType {
        /// The score asked for.
        score: Score,
        /// The type asked for.
        wanted: BlockType,
        /// The types that it is stored under.
        found: Vec<BlockType>,
    },
    /// A store or server did not do what it was asked.
    #[error("{source}")]
    Store {
        /// Why.
        #[from]
        source: StoreError,
    },
    /// The log of roots can not be read.
    #[error("the log of roots: {source}")]
    Roots {
        /// Why.
        #[from]
        source: RootLogError,
    },
    /// Standard input, standard output, or a file.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server can not be started.
    #[error("{source}")]
    Serve {
        /// Why.
        #[from]
        source: ServeError,
    },
    /// A tree that is not one: the block is named.
    #[error("{detail}")]
    NotATree {
        /// Which block, what was found and what was expected.
        detail: String,
    },
}

impl Failure {
    /// What the user can do about it, if that is not plain.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            // A server where a directory is wanted: nobody wants a store of that name.
            Failure::NoStore { path } if path.to_string_lossy().contains(['!', ':']) => {
                Some("a server can not be named here, only the directory of its store".to_owned())
            }
            Failure::NoStore { path } => {
                Some(format!("venti serve {} creates one", path.display()))
            }
            Failure::Open { source, .. } => match source {
                OpenError::NotAStore { .. } => {
                    Some("venti serve makes a store of a new or empty directory".to_owned())
                }
                OpenError::Busy => Some(
                    "stop the process that has it, or go through its server with -h".to_owned(),
                ),
                OpenError::NewerFormat { .. } => Some("use a newer venti for it".to_owned()),
                _ => None,
            },
            Failure::Store { source: StoreError::ReadOnly { .. } } => Some(
                "after an error of the disk, see to the disk and start the server again".to_owned(),
            ),
            Failure::NoServer { source, .. } if matches!(**source, ConnectError::Tls { .. }) => {
                None
            }
            Failure::NoServer { .. } => {
                Some("is venti serve running there, and listening on that address?".to_owned())
            }
            _ => None,
        }
    }

    /// The code that the program ends with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Failure::NowhereToGo | Failure::Usage { .. } | Failure::NotLocal { .. } => 2,
            Failure::NoStore { .. } => 10,
            Failure::NoServer { source, .. } => source.exit_code(),
            Failure::Open { source, .. } => open_code(source),
            Failure::Serve { source } => serve_code(source),
            Failure::Io { source, .. } => kind_code(source.kind()),
            Failure::NoArchive { .. }
            | Failure::NoBlock { .. }
            | Failure::WrongType { .. }
            | Failure::TooLarge { .. }
            | Failure::Store { .. }
            | Failure::Roots { .. }
            | Failure::NotATree { .. } => 1,
        }
    }
}

/// The exit code of a command.
#[must_use]
pub fn exit_code(result: &Result<Outcome, Failure>) -> ExitCode {
    ExitCode::from(match result {
        Ok(Outcome::Complete) => 0,
        Ok(Outcome::Incomplete) => 3,
        Err(failure) => failure.code(),
    })
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::NotAStore { .. } => 10,
        OpenError::Busy => 11,
        OpenError::Disk(error) => kind_code(error.kind()),
        _ => 1,
    }
}

fn serve_code(error: &ServeError) -> u8 {
    match error {
        ServeError::Listen(ListenError::InUse { .. }) => 11,
        ServeError::Listen(ListenError::Bind { source, .. })
        | ServeError::System { source, .. } => kind_code(source.kind()),
        _ => 1,
    }
}

fn kind_code(kind: io::ErrorKind) -> u8 {
    if kind == io::ErrorKind::PermissionDenied { 12 } else { 1 }
}

fn names(types: &[BlockType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and as ")
}
