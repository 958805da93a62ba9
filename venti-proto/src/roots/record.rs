//! A root as the client reports it, and as the server keeps it.

use super::{ArchiveName, HostName};
use crate::Score;

/// Whether everything that should be in an archive is in it: the exit status of vac.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// Everything was archived.
    Complete,
    /// Some files could not be read or changed meanwhile; vac has named them.
    Incomplete,
}

impl Completeness {
    /// The number in a record.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Completeness::Complete => 0,
            Completeness::Incomplete => 3,
        }
    }

    /// Reads the number in a record.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Completeness> {
        match number {
            0 => Some(Completeness::Complete),
            3 => Some(Completeness::Incomplete),
            _ => None,
        }
    }
}

/// What a client tells of an archive that it has made and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoot {
    /// Whose files they are.
    pub host: HostName,
    /// Which of them.
    pub archive: ArchiveName,
    /// Of the archive's root block.
    pub score: Score,
    /// Bytes of all files in the archive.
    pub bytes: u64,
    /// Files, directories and all else in the archive.
    pub files: u64,
    /// Whether all is in it.
    pub completeness: Completeness,
}

/// What proves that the server made a record, and chains the next one to it.
pub type Seal = [u8; 32];

/// A root in the server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRecord {
    /// Its place in the log, from 0.
    pub sequence: u64,
    /// When the server recorded it: nanoseconds since 1970, UTC.
    pub time: i64,
    /// What the client said.
    pub root: NewRoot,
    /// The seal of the record before; zeros in the first.
    pub previous: Seal,
    /// Keyed by the store: nobody else can make one. Clients can only check the chain.
    pub seal: Seal,
}
