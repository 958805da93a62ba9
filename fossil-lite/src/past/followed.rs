//! The history of a file under all of its names.
//!
//! [`history()`] has the versions under one name. Where the file comes or goes there, its other
//! name is looked for in the neighbouring dump ([`super::renames`]); and as long as nothing has
//! the first name, the versions under the other one are part of the history. What was found is
//! kept with the history, by the scores of both dumps.

use std::path::Path;
use std::sync::Arc;

use venti_proto::roots::HostName;

use super::history_cache::Neighbours;
use super::renames::{Reach, made_between, other_name};
use super::resolve::resolve;
use super::{History, HistoryCache, Snapshot, Version, history};
use crate::FileError;
use crate::dump::{Dump, Tree};

/// Whose files are asked for, and where.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The dump.
    pub tree: &'a Tree,
    /// Whose.
    pub host: &'a HostName,
    /// Where histories are kept; `None` to keep and to use nothing.
    pub cache: Option<&'a Path>,
}

/// Finds all versions of a file in these dumps of a host (oldest first, as the catalogue has
/// them), also from when it had other names.
///
/// # Errors
/// If the server can not be reached.
pub fn followed_history(
    asked: &Asked<'_>,
    dumps: &[Arc<Dump>],
    path: &[u8],
) -> Result<History, FileError> {
    let mut cache = match asked.cache {
        Some(directory) => HistoryCache::load(directory, asked.host, path),
        None => HistoryCache::empty(),
    };
    let found = history(asked.tree, asked.host, dumps, path, &mut cache)?;
    let mut walk = Follow { asked, dumps, cache, history: History::default() };
    walk.history.unreadable = found.unreadable;
    walk.follow(found.versions)?;
    walk.cache.save();
    name_origins(&mut walk.history.versions);
    Ok(walk.history)
}

/// A file that comes back to its name has an origin, too.
fn name_origins(versions: &mut [Version]) {
    for at in 1..versions.len() {
        let (newer, older) = versions.split_at_mut(at);
        let (Some(newer), Some(older)) = (newer.last_mut(), older.first()) else { continue };
        if newer.path != older.path
            && newer.path_id().is_some()
            && newer.path_id() == older.path_id()
        {
            newer.renamed_from.get_or_insert_with(|| older.path.clone());
        }
    }
}

struct Follow<'a> {
    asked: &'a Asked<'a>,
    dumps: &'a [Arc<Dump>],
    cache: HistoryCache,
    /// What was found, newest first.
    history: History,
}

impl Follow<'_> {
    fn follow(&mut self, versions: Vec<Version>) -> Result<(), FileError> {
        let mut newer: Option<Option<Snapshot>> = None;
        let mut versions = versions.into_iter().peekable();
        while let Some(mut version) = versions.next() {
            let Some(snapshot) = version.snapshot.clone() else {
                newer = Some(None);
                self.history.versions.push(version);
                continue;
            };
            let is_same = |other: &Snapshot| other.path_id == snapshot.path_id;
            if newer.as_ref().is_some_and(|newer| !newer.as_ref().is_some_and(is_same)) {
                let gone = newer.is_some_and(|newer| newer.is_none());
                version.renamed_to = self.destination(&version, &snapshot, gone)?;
            }
            let older = versions.peek();
            if !older.and_then(|older| older.snapshot.as_ref()).is_some_and(is_same) {
                version.renamed_from = self.origin(&version, &snapshot)?;
            }
            let origin = version.renamed_from.clone();
            let oldest = Arc::clone(&version.oldest);
            newer = Some(Some(snapshot));
            self.history.versions.push(version);
            if let Some(origin) = origin
                && older.is_none_or(|older| older.snapshot.is_none())
            {
                let absent = versions.next();
                newer = newer.filter(|_| absent.is_none()).or(Some(None));
                self.under_other_name(&origin, &oldest, absent)?;
            }
        }
        Ok(())
    }

    /// Adds the versions that the file had as `origin` in the dumps before `newer` in which
    /// nothing has its present name.
    fn under_other_name(
        &mut self,
        origin: &[u8],
        newer: &Arc<Dump>,
        absent: Option<Version>,
    ) -> Result<(), FileError> {
        let position = |dump: &Dump| self.dumps.partition_point(|other| other.name < dump.name);
        let first = absent.as_ref().map_or(0, |absent| position(&absent.oldest));
        let stretch = self.dumps.get(first..position(newer)).unwrap_or_default();
        let before = followed_history(self.asked, stretch, origin)?;
        for unreadable in before.unreadable {
            if self.history.unreadable.iter().all(|(dump, _)| dump.name != unreadable.0.name) {
                self.history.unreadable.push(unreadable);
            }
        }
        let end = before.versions.last().map(|last| Arc::clone(&last.oldest));
        self.history.versions.extend(before.versions);
        // There was nothing under either name before.
        if let (Some(absent), Some(end)) = (absent, end)
            && let Some(newest) = self.older(&end).filter(|dump| dump.name >= absent.oldest.name)
        {
            self.history.versions.push(Version { newest: Arc::clone(newest), ..absent });
        }
        Ok(())
    }

    /// The dump before this one, of the same part of the host.
    fn older(&self, dump: &Dump) -> Option<&Arc<Dump>> {
        let position = self.dumps.partition_point(|other| other.name < dump.name);
        self.dumps[..position].iter().rev().find(|other| is_same_part(other, dump))
    }

    fn newer(&self, dump: &Dump) -> Option<&Arc<Dump>> {
        let position = self.dumps.partition_point(|other| other.name <= dump.name);
        self.dumps[position..].iter().find(|other| is_same_part(other, dump))
    }

    /// What the file was called in the dump before its first one under this name.
    fn origin(
        &mut self,
        version: &Version,
        snapshot: &Snapshot,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let Some(older) = self.older(&version.oldest).cloned() else { return Ok(None) };
        let from = Arc::clone(&version.oldest);
        self.other_name(version, snapshot, &from, &older, Reach::Everywhere)
    }

    /// What it is called in the dump after its last one under this name. When another file has
    /// that name then, most likely the old one is no more: it is looked for in its directory only.
    fn destination(
        &mut self,
        version: &Version,
        snapshot: &Snapshot,
        gone: bool,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let Some(newer) = self.newer(&version.newest).cloned() else { return Ok(None) };
        let reach = if gone { Reach::Everywhere } else { Reach::Directory };
        let from = Arc::clone(&version.newest);
        self.other_name(version, snapshot, &from, &newer, reach)
    }

    fn other_name(
        &mut self,
        version: &Version,
        snapshot: &Snapshot,
        from: &Arc<Dump>,
        to: &Arc<Dump>,
        reach: Reach,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let between = Neighbours {
            from: from.record.root.score,
            to: to.record.root.score,
            path_id: snapshot.path_id,
        };
        if let Some(known) = self.cache.other_name(&between) {
            return Ok(known.clone());
        }
        match self.search(&version.path, from, to, reach) {
            Ok(found) => {
                self.cache.put_other_name(&between, found.clone());
                Ok(found)
            }
            Err(error @ FileError::Unreachable { .. }) => Err(error),
            Err(error) => {
                self.history.unreadable.push((Arc::clone(to), error));
                Ok(None)
            }
        }
    }

    fn search(
        &self,
        path: &[u8],
        from: &Arc<Dump>,
        to: &Arc<Dump>,
        reach: Reach,
    ) -> Result<Option<Vec<u8>>, FileError> {
        let Asked { tree, host, .. } = *self.asked;
        let file = resolve(tree, &tree.open_dump(host, from)?, path, false)?;
        if to.name < from.name && made_between(file.attributes()?.born, to, from) {
            return Ok(None);
        }
        other_name(tree, &file, &tree.open_dump(host, to)?, reach)
    }
}

fn is_same_part(one: &Dump, other: &Dump) -> bool {
    one.record.root.archive == other.record.root.archive
}
