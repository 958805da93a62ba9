//! What is known of a file in whole dumps, kept on disk between runs.
//!
//! A score never means anything else, so nothing here becomes stale. It is only a hint: a cache
//! that can not be read is empty, and one that can not be written is not written.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use venti_proto::Score;
use venti_proto::roots::HostName;

use super::Snapshot;

/// Changed whenever [`Snapshot`] or how it is found changes.
const VERSION: &str = "1";

/// What is known of one file.
#[derive(Debug, Default)]
pub struct HistoryCache {
    known: HashMap<Score, Option<Snapshot>>,
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
        let kept: Option<(String, HashMap<String, Option<Snapshot>>)> =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known = match kept {
            Some((kept_about, kept)) if kept_about == about => kept
                .into_iter()
                .filter_map(|(score, snapshot)| Some((score.parse().ok()?, snapshot)))
                .collect(),
            _ => HashMap::new(),
        };
        HistoryCache { known, place: Some((file, about)), changed: false }
    }

    /// What is known of the file in the dump with this score.
    #[must_use]
    pub fn get(&self, score: Score) -> Option<&Option<Snapshot>> {
        self.known.get(&score)
    }

    pub(super) fn put(&mut self, score: Score, snapshot: Option<Snapshot>) {
        self.changed |= self.known.insert(score, snapshot).is_none();
    }

    /// Writes down what is new, if that can be done.
    pub fn save(&self) {
        let Some((file, about)) = self.place.as_ref().filter(|_| self.changed) else { return };
        let known: HashMap<String, &Option<Snapshot>> =
            self.known.iter().map(|(score, snapshot)| (score.to_string(), snapshot)).collect();
        let Ok(bytes) = serde_json::to_vec(&(about, known)) else { return };
        let temporary = file.with_extension(format!("{}.new", std::process::id()));
        let directory = file.parent().map(fs::create_dir_all);
        if directory.is_some_and(|made| made.is_ok()) && fs::write(&temporary, bytes).is_ok() {
            let _ = fs::rename(&temporary, file);
        }
    }
}
