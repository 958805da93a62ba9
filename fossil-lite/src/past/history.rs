//! All versions of a file.
//!
//! Every dump is looked into, newest first, but not far: a directory that was seen before has
//! the same file below it as then, so what was found there is known. What was found for a whole
//! dump can be kept ([`super::HistoryCache`]) and is never asked for again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vac::format::FileKind;
use venti_proto::Score;
use venti_proto::roots::{ArchiveName, HostName};

use super::HistoryCache;
use super::inside::inside;
use super::resolve::{resolve, split};
use crate::FileError;
use crate::dump::{Dump, DumpFile, Place, Tree, ahead};

/// Dumps that are looked into at once: the directories on the way down have to fit into the cache.
const BATCH: usize = 128;

/// A file as it was in a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which file: the same number is the same file, under whatever name.
    pub path_id: u64,
    /// Which version of it.
    pub version_id: u64,
    /// `file`, `directory`, `link` or `special`.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Equal numbers, equal content.
    pub content_id: u64,
    /// When it changed last: seconds since 1970.
    pub modified: i64,
    /// Who changed it last, or owns it.
    pub who: String,
}

/// A file as it was found in a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// As it was.
    pub snapshot: Snapshot,
    /// Its path in the dump, if that is not the one that was asked for: the archive is of a part
    /// of the host only, or links on the way led elsewhere.
    pub place: Option<Vec<u8>>,
}

/// A run of dumps with the same version, or without the file.
#[derive(Clone, Debug)]
pub struct Version {
    /// The newest of them.
    pub newest: Arc<Dump>,
    /// The oldest of them.
    pub oldest: Arc<Dump>,
    /// The path of the file on the host.
    pub path: Vec<u8>,
    /// Its path in the newest of them; where it is not there, what that would be.
    pub place: Vec<u8>,
    /// `None` where nothing has this path.
    pub snapshot: Option<Snapshot>,
    /// Its path in the dump before, if it had another one there.
    pub renamed_from: Option<Vec<u8>>,
    /// Its path in the dump after, if it has another one there.
    pub renamed_to: Option<Vec<u8>>,
}

impl Version {
    /// Which file has the path, if any.
    #[must_use]
    pub fn path_id(&self) -> Option<u64> {
        self.snapshot.as_ref().map(|snapshot| snapshot.path_id)
    }
}

/// The history of a file, newest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Runs of dumps; the file was not there before the last one.
    pub versions: Vec<Version>,
    /// Dumps that could not be read, and why.
    pub unreadable: Vec<(Arc<Dump>, FileError)>,
}

/// Finds all versions of what has this path in these dumps of a host (oldest first, as the
/// catalogue has them).
///
/// # Errors
/// If the server can not be reached.
pub fn history(
    tree: &Tree,
    host: &HostName,
    dumps: &[Arc<Dump>],
    path: &[u8],
    cache: &mut HistoryCache,
) -> Result<History, FileError> {
    let mut search = Search { tree, host, path, seen: HashMap::new() };
    let mut history = History::default();
    let mut found: Vec<(Arc<Dump>, Option<Sighting>)> = Vec::with_capacity(dumps.len());
    let score = |dump: &Arc<Dump>| dump.record.root.score;
    for batch in dumps.rchunks(BATCH) {
        let unknown = batch.iter().filter(|dump| cache.get(score(dump)).is_none());
        search.approach(&unknown.collect::<Vec<_>>());
        for dump in batch.iter().rev() {
            let sighting = match cache.get(score(dump)) {
                Some(known) => known.clone(),
                None => match search.look(dump) {
                    Ok(sighting) => {
                        cache.put(score(dump), sighting.clone());
                        sighting
                    }
                    Err(error @ FileError::Unreachable { .. }) => return Err(error),
                    Err(error) => {
                        history.unreadable.push((Arc::clone(dump), error));
                        continue;
                    }
                },
            };
            found.push((Arc::clone(dump), sighting));
        }
    }
    history.versions = runs(found, path);
    Ok(history)
}

/// Joins dumps that show the same. Archives of other parts of the host never have the file, so
/// that it is missing there means nothing.
fn runs(found: Vec<(Arc<Dump>, Option<Sighting>)>, path: &[u8]) -> Vec<Version> {
    let archive = |dump: &Dump| dump.record.root.archive.clone();
    let having: Vec<ArchiveName> = found
        .iter()
        .filter(|(_, sighting)| sighting.is_some())
        .map(|(dump, _)| archive(dump))
        .collect();
    let having: HashSet<_> = having.into_iter().collect();
    let mut versions: Vec<Version> = Vec::new();
    for (dump, sighting) in found {
        if !having.contains(&archive(&dump)) {
            continue;
        }
        let (snapshot, place) = match sighting {
            Some(Sighting { snapshot, place }) => (Some(snapshot), place),
            None => (None, None),
        };
        match versions.last_mut() {
            Some(last) if last.snapshot == snapshot => last.oldest = dump,
            _ => versions.push(Version {
                newest: Arc::clone(&dump),
                oldest: dump,
                path: path.to_vec(),
                place: place.unwrap_or_else(|| path.to_vec()),
                snapshot,
                renamed_from: None,
                renamed_to: None,
            }),
        }
    }
    if versions.last().is_some_and(|last| last.snapshot.is_none()) {
        versions.pop();
    }
    // What is gone was where it had been before.
    for at in (1..versions.len()).rev() {
        let (newer, older) = versions.split_at_mut(at);
        if let (Some(newer), Some(older)) = (newer.last_mut(), older.first())
            && newer.snapshot.is_none()
        {
            newer.place.clone_from(&older.place);
        }
    }
    versions
}

/// A directory by its content, and how many names of the path are left below it: they are the last
/// ones, whatever the archive has above.
type Step = ((Score, Score, u64), usize);

struct Search<'a> {
    tree: &'a Tree,
    host: &'a HostName,
    /// On the host.
    path: &'a [u8],
    /// What is below a directory at this depth of the path.
    seen: HashMap<Step, Option<Snapshot>>,
}

impl Search<'_> {
    /// Reads the way down all these dumps, a level of all of them at once, as far as it was not
    /// seen before.
    fn approach(&self, dumps: &[&Arc<Dump>]) {
        let store = &**self.tree.store();
        let scores: Vec<_> = dumps.iter().map(|dump| dump.record.root.score).collect();
        ahead::archives(store, &scores);
        let mut groups: HashMap<Vec<u8>, Vec<DumpFile>> = HashMap::new();
        for dump in dumps {
            if let Ok(root) = self.tree.open_dump(self.host, dump)
                && let Some(place) = inside(&root, self.path)
            {
                groups.entry(place).or_default().push(root);
            }
        }
        for (place, roots) in groups {
            self.descend(&place, roots);
        }
    }

    fn descend(&self, place: &[u8], mut level: Vec<DumpFile>) {
        let names: Vec<&[u8]> = split(place).collect();
        for (depth, name) in names.iter().enumerate() {
            let mut met = HashSet::new();
            level.retain(|at| {
                let step = (at.content_key(), names.len() - depth);
                !self.seen.contains_key(&step) && met.insert(step)
            });
            ahead::directories(
                &**self.tree.store(),
                &level.iter().map(|at| at.node().clone()).collect::<Vec<_>>(),
            );
            let below = |at: &DumpFile| match self.tree.lookup(&Place::File(at.clone()), name) {
                Ok(Place::File(child)) if child.node().is_directory() => Some(child),
                _ => None,
            };
            level = level.iter().filter_map(below).collect();
        }
    }

    fn look(&mut self, dump: &Arc<Dump>) -> Result<Option<Sighting>, FileError> {
        let root = self.tree.open_dump(self.host, dump)?;
        if split(self.path).any(|name| name == b"..") {
            return self.look_through_links(&root);
        }
        let Some(place) = inside(&root, self.path) else { return Ok(None) };
        let names: Vec<&[u8]> = split(&place).collect();
        let mut at = root.clone();
        let mut way = Vec::new();
        let mut snapshot = None;
        let mut arrived = true;
        for (depth, name) in names.iter().enumerate() {
            let key = (at.content_key(), names.len() - depth);
            if let Some(known) = self.seen.get(&key) {
                snapshot.clone_from(known);
                arrived = false;
                break;
            }
            way.push(key);
            match self.tree.lookup(&Place::File(at.clone()), name) {
                Ok(Place::File(child)) => {
                    let on_the_way = depth + 1 < names.len();
                    if child.node().kind() == FileKind::Symlink && on_the_way {
                        // What is behind a link is not below this directory.
                        return self.look_through_links(&root);
                    }
                    at = child;
                }
                Ok(_) | Err(FileError::NotFound | FileError::NotADirectory) => {
                    arrived = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if arrived {
            snapshot = Some(Snapshot::of(&at)?);
        }
        for key in way {
            self.seen.insert(key, snapshot.clone());
        }
        let place = Some(place).filter(|place| place != self.path);
        Ok(snapshot.map(|snapshot| Sighting { snapshot, place }))
    }

    fn look_through_links(&self, root: &DumpFile) -> Result<Option<Sighting>, FileError> {
        match resolve(self.tree, root, self.path, false) {
            Ok(file) => {
                let place = Some([b"/", &file.path()[..]].concat());
                Ok(Some(Sighting { snapshot: Snapshot::of(&file)?, place }))
            }
            Err(FileError::NotFound | FileError::NotADirectory | FileError::TooManyLinks) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a file is, in a word.
#[must_use]
pub const fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        _ => "special",
    }
}

impl Snapshot {
    fn of(file: &DumpFile) -> Result<Snapshot, FileError> {
        let attributes = file.attributes()?;
        let who = match attributes.modifier.is_empty() {
            true => &attributes.owner,
            false => &attributes.modifier,
        };
        Ok(Snapshot {
            path_id: attributes.id.path,
            version_id: attributes.id.version,
            kind: kind_name(attributes.kind).to_owned(),
            size: attributes.size,
            content_id: file.content_id(),
            modified: attributes.modified.seconds,
            who: String::from_utf8_lossy(who).into_owned(),
        })
    }
}
