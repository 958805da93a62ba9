//! What is known of a file in whole dumps, kept on disk between runs.
//!
//! A score never means anything else, so nothing here becomes stale. It is only a hint: a cache
//! that can not be read is empty, and one that can not be written is not written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use venti_proto::Score;
use venti_proto::roots::HostName;

use super::Sighting;

/// Changed whenever [`Sighting`] or how it is found changes.
const VERSION: &str = "5";

/// Two neighbouring dumps, and a file of which one name is known in the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Neighbours {
    /// Where its name is known.
    pub(super) from: Score,
    /// Where it is asked for.
    pub(super) to: Score,
    /// Which file.
    pub(super) path_id: u64,
}

/// As they are kept.
impl Neighbours {
    fn key(&self) -> String {
        format!("{} {} {:x}", self.from, self.to, self.path_id)
    }
}

/// What is in a file of the cache.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    /// Version, host and path: a file about anything else is none of this.
    about: Cow<'a, str>,
    known: HashMap<String, Cow<'a, Option<Sighting>>>,
    other_names: Cow<'a, HashMap<String, Option<Vec<u8>>>>,
}

/// What is known of one file.
#[derive(Debug, Default)]
pub struct HistoryCache {
    known: HashMap<Score, Option<Sighting>>,
    /// By [`Neighbours`].
    other_names: HashMap<String, Option<Vec<u8>>>,
    /// Where it is kept, and what else must be the same there.
    place: Option<(PathBuf, String)>,
    changed: bool,
}

impl HistoryCache {
    /// One that is not kept.
    #[must_use]
    pub fn empty() -> HistoryCache {
        HistoryCache::default()
    }

    /// What is kept in `directory` of this file of this host.
    #[must_use]
    pub fn load(directory: &Path, host: &HostName, path: &[u8]) -> HistoryCache {
        let about = format!("{VERSION} {host} {}", String::from_utf8_lossy(path));
        let name = blake3::hash(&[host.as_str().as_bytes(), b"\0", path].concat()).to_hex();
        let file = directory.join(format!("{}.json", &name[..32]));
        let bytes = fs::read(&file).unwrap_or_default();
        let kept: Option<Kept<'_>> = serde_json::from_slice(&bytes).ok();
        let (known, other_names) = match kept {
            Some(kept) if kept.about == about => {
                let parsed = |(score, sighting): (String, Cow<'_, Option<Sighting>>)| {
                    Some((score.parse().ok()?, sighting.into_owned()))
                };
                let known = kept.known.into_iter().filter_map(parsed).collect();
                (known, kept.other_names.into_owned())
            }
            _ => Default::default(),
        };
        HistoryCache { known, other_names, place: Some((file, about)), changed: false }
    }

    /// What is known of the file in the dump with this score.
    #[must_use]
    pub fn get(&self, score: Score) -> Option<&Option<Sighting>> {
        self.known.get(&score)
    }

    pub(super) fn put(&mut self, score: Score, sighting: Option<Sighting>) {
        self.changed |= self.known.insert(score, sighting).is_none();
    }

    /// What the file is called in a neighbouring dump, if that was found out.
    pub(super) fn other_name(&self, between: &Neighbours) -> Option<&Option<Vec<u8>>> {
        self.other_names.get(&between.key())
    }

    pub(super) fn put_other_name(&mut self, between: &Neighbours, name: Option<Vec<u8>>) {
        self.changed |= self.other_names.insert(between.key(), name).is_none();
    }

    /// Writes down what is new, if that can be done.
    pub fn save(&self) {
        let Some((file, about)) = self.place.as_ref().filter(|_| self.changed) else { return };
        let entry = |(score, sighting): (&Score, _)| (score.to_string(), Cow::Borrowed(sighting));
        let kept = Kept {
            about: about.into(),
            known: self.known.iter().map(entry).collect(),
            other_names: Cow::Borrowed(&self.other_names),
        };
        let Ok(bytes) = serde_json::to_vec(&kept) else { return };
        let temporary = file.with_extension(format!("{}.new", std::process::id()));
        let directory = file.parent().map(fs::create_dir_all);
        if directory.is_some_and(|made| made.is_ok()) && fs::write(&temporary, bytes).is_ok() {
            let _ = fs::rename(&temporary, file);
        }
    }
}
