//! Remembers the last archive of the same files in the same store, and what there is of one that
//! was not finished.
//!
//! Only ever a hint: what is remembered is compared with as `-d -q` does, and checked against
//! the store. Losing it, or finding something wrong in it, costs time and changes nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vac::archiver::resume_from;
use vac::score_file;
use venti_proto::{BlockStore, Score};

/// Where the last archive is remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// The memory of these files in this store; none without a home directory.
    pub(crate) fn of(store: &str, files: &[PathBuf], block_size: u32) -> Option<Memory> {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let directory = cache.filter(|path| path.is_absolute())?.join("vac");
        let mut key = format!("{block_size}").into_bytes();
        let store = if store.contains('/') { absolute(Path::new(store)) } else { store.into() };
        for part in std::iter::once(store).chain(files.iter().map(|file| absolute(file))) {
            key.push(0);
            key.extend_from_slice(part.as_os_str().as_encoded_bytes());
        }
        Some(Memory { path: directory.join(Score::of(&key).to_string()) })
    }

    /// The last archive.
    fn recall(&self) -> Option<Score> {
        score_file::read(&self.path).ok()
    }

    /// Remembers an archive instead of the last one, and nothing unfinished any more. Not being
    /// able to is no harm.
    pub(crate) fn remember(&self, root: Score) {
        keep(&self.path, root);
        let _ = std::fs::remove_file(self.unfinished());
    }

    /// Remembers, beside the last archive, how far the next one came.
    pub(crate) fn remember_unfinished(&self, root: Score) {
        keep(&self.unfinished(), root);
    }

    /// What to compare with: the last archive, or else `recorded`; and if there was a run since
    /// that was not finished, what that one met, too. The two together are then remembered as
    /// the last archive: so a run that is killed early loses nothing that an earlier one did.
    pub(crate) fn hint(
        &self,
        store: &Arc<dyn BlockStore>,
        block_size: u32,
        recorded: impl FnOnce() -> Option<Score>,
    ) -> Option<Score> {
        let last = self.recall().or_else(recorded);
        let Ok(unfinished) = score_file::read(&self.unfinished()) else { return last };
        let joined = match last {
            Some(last) => resume_from(store, unfinished, last, block_size).ok(),
            None => Some(unfinished),
        };
        if let Some(joined) = joined {
            self.remember(joined);
        }
        joined.or(last)
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("unfinished")
    }
}

fn keep(path: &Path, root: Score) {
    if let Some(directory) = path.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    let _ = score_file::write(path, root);
}

/// The path from the root on, without looking at the disk.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
