//! Remembers the last archive of the same files in the same store.
//!
//! Only ever a hint: what is remembered is compared with as `-d -q` does, and checked against
//! the store. Losing it, or finding something wrong in it, costs time and changes nothing else.

use std::path::{Path, PathBuf};

use venti_proto::Score;

use crate::score_file;

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
    pub(crate) fn recall(&self) -> Option<Score> {
        score_file::read(&self.path).ok()
    }

    /// Remembers an archive instead of the last one. Not being able to is no harm.
    pub(crate) fn remember(&self, root: Score) {
        if let Some(directory) = self.path.parent() {
            let _ = std::fs::create_dir_all(directory);
        }
        let _ = score_file::write(&self.path, root);
    }
}

/// The path from the root on, without looking at the disk.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
