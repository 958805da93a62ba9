//! The version of a file that somebody means.

use std::sync::Arc;

use venti_proto::roots::HostName;

use super::resolve;
use crate::FileError;
use crate::date::{Numbered, When};
use crate::dump::{Dump, DumpFile, Tree};
use venti_proto::roots::DumpName;

/// A file in a dump.
#[derive(Clone)]
pub struct Found {
    /// Which dump.
    pub dump: Arc<Dump>,
    /// The file.
    pub file: DumpFile,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The host has no dump at all.
    #[error("there is no dump of {host}")]
    Host {
        /// Its name.
        host: HostName,
    },
    /// All dumps of the host are later.
    #[error("there is no dump of {host} {when}: the first is {first}")]
    Dump {
        /// The host.
        host: HostName,
        /// What was asked for.
        when: When,
        /// The oldest dump.
        first: DumpName,
    },
    /// All dumps of the host are earlier.
    #[error("there is no dump of {host} since {since}: the last is {last}")]
    Since {
        /// The host.
        host: HostName,
        /// What was asked for.
        since: String,
        /// The newest dump.
        last: DumpName,
    },
    /// The file is not in the dump.
    #[error("{path} is not in the dump {dump}{}", elsewhere(*nearest))]
    File {
        /// Its path.
        path: String,
        /// Where it was looked for.
        dump: DumpName,
        /// The nearest dump that has it.
        nearest: Option<Nearest>,
    },
}

/// The nearest dump that has a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Which one.
    pub dump: DumpName,
    /// Whether its day has no other: then the day means it.
    pub is_alone: bool,
}

/// What to give as the date, for whoever wants that one.
fn elsewhere(nearest: Option<Nearest>) -> String {
    match nearest {
        Some(Nearest { dump, is_alone: true }) => format!("; it is in {dump}"),
        Some(Nearest { dump, is_alone: false }) => format!("; it is in {}", Numbered(dump)),
        None => " nor in any other".to_owned(),
    }
}

/// Finds a file in the newest dump that is included. A host may archive different parts of
/// itself: then the newest included dump of each part is looked into.
///
/// # Errors
/// If a dump can not be read.
pub fn find(
    tree: &Tree,
    host: &HostName,
    when: &When,
    path: &[u8],
    follow_last: bool,
) -> Result<Result<Found, Missing>, FileError> {
    tree.catalogue().refresh()?;
    let dumps = tree.catalogue().dumps(host)?;
    let Some(first) = dumps.first() else {
        return Ok(Err(Missing::Host { host: host.clone() }));
    };
    let included = dumps.partition_point(|dump| when.includes(dump.name, dump.time()));
    let mut parts = Vec::new();
    for dump in dumps[..included].iter().rev() {
        if parts.contains(&&dump.record.root.archive) {
            continue;
        }
        parts.push(&dump.record.root.archive);
        if let Some(found) = look(tree, host, dump, path, follow_last)? {
            return Ok(Ok(found));
        }
    }
    let Some(dump) = dumps[..included].last() else {
        let (host, when, first) = (host.clone(), when.clone(), first.name);
        return Ok(Err(Missing::Dump { host, when, first }));
    };
    let nearest = nearest_with(tree, host, &dumps, dump, path, follow_last)?;
    let path = String::from_utf8_lossy(path).into_owned();
    Ok(Err(Missing::File { path, dump: dump.name, nearest }))
}

fn look(
    tree: &Tree,
    host: &HostName,
    dump: &Arc<Dump>,
    path: &[u8],
    follow_last: bool,
) -> Result<Option<Found>, FileError> {
    let root = tree.open_dump(host, dump)?;
    match resolve(tree, &root, path, follow_last) {
        Ok(file) => Ok(Some(Found { dump: Arc::clone(dump), file })),
        Err(FileError::NotFound | FileError::NotADirectory | FileError::TooManyLinks) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks in ever more distant dumps, the older of two first. A dump that can not be read has
/// nothing.
fn nearest_with(
    tree: &Tree,
    host: &HostName,
    dumps: &[Arc<Dump>],
    from: &Dump,
    path: &[u8],
    follow_last: bool,
) -> Result<Option<Nearest>, FileError> {
    let mut others: Vec<&Arc<Dump>> = dumps.iter().filter(|dump| dump.name != from.name).collect();
    others.sort_by_key(|dump| dump.record.time.abs_diff(from.record.time));
    for dump in others {
        match look(tree, host, dump, path, follow_last) {
            Ok(Some(_)) => {
                let dump = dump.name;
                let of_the_day = dumps.iter().filter(|other| other.name.day == dump.day);
                return Ok(Some(Nearest { dump, is_alone: of_the_day.count() == 1 }));
            }
            Err(error @ FileError::Unreachable { .. }) => return Err(error),
            Ok(None) | Err(_) => {}
        }
    }
    Ok(None)
}
