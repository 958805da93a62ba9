//! The files that a list names (`--files-from`): all of a tree that is archived, where it is.
//!
//! Kept sorted, with a slash at every end: what is below a directory then stands behind it, and one
//! search tells whether a name is on the way to a file of the list.

use std::sync::atomic::{AtomicBool, Ordering};

/// Paths below the archived directory.
#[derive(Debug, Default)]
pub struct Chosen {
    listed: Vec<Listed>,
    /// Whether the directory itself is among them.
    everything: bool,
}

#[derive(Debug)]
struct Listed {
    path: Vec<u8>,
    /// Whether the walk came to a name like this.
    met: AtomicBool,
}

impl Chosen {
    /// Takes paths without `.` and `..` components, without slashes at either end. An empty one is
    /// the archived directory itself.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = Vec<u8>>) -> Chosen {
        let mut chosen = Chosen::default();
        for mut path in paths {
            chosen.everything |= path.is_empty();
            path.push(b'/');
            chosen.listed.push(Listed { path, met: AtomicBool::new(false) });
        }
        chosen.listed.sort_by(|a, b| a.path.cmp(&b.path));
        chosen.listed.dedup_by(|a, b| a.path == b.path);
        chosen
    }

    /// Whether this is listed, below something that is, or on the way to it.
    pub(super) fn keeps(&self, path: &[u8]) -> bool {
        let path = [path, b"/"].concat();
        let position = self.listed.partition_point(|listed| listed.path < path);
        let next = self.listed.get(position).filter(|next| next.path.starts_with(&path));
        if let Some(next) = next {
            next.met.fetch_or(next.path == path, Ordering::Relaxed);
            return true;
        }
        self.everything || self.is_below(&path)
    }

    fn is_below(&self, path: &[u8]) -> bool {
        let ends = (0..path.len()).filter(|at| path[*at] == b'/');
        ends.map(|end| &path[..=end]).any(|above| {
            self.listed.binary_search_by(|listed| listed.path.as_slice().cmp(above)).is_ok()
        })
    }

    /// What is listed and was not there.
    pub(super) fn missing(&self) -> impl Iterator<Item = &[u8]> {
        let missing = self.listed.iter().filter(|listed| !listed.met.load(Ordering::Relaxed));
        missing.filter_map(|listed| listed.path.strip_suffix(b"/")).filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_kept_with_what_is_above_and_below() {
        let chosen = Chosen::new(["a/b", "a/b-c/d", "x", "a/b"].map(|p| p.as_bytes().to_vec()));
        for kept in ["a", "a/b", "a/b/deep/er", "a/b-c", "a/b-c/d", "x", "x/y"] {
            assert!(chosen.keeps(kept.as_bytes()), "{kept}");
        }
        for left in ["b", "a/c", "a/b-", "a/b-c/e", "xy", "a/bb"] {
            assert!(!chosen.keeps(left.as_bytes()), "{left}");
        }
        assert!(Chosen::new([Vec::new()]).keeps(b"anything"));
    }

    #[test]
    fn what_was_not_met_is_missing() {
        let chosen = Chosen::new(["a/b", "gone", ""].map(|p| p.as_bytes().to_vec()));
        assert!(chosen.keeps(b"a") && chosen.keeps(b"a/b"));
        assert_eq!(chosen.missing().collect::<Vec<_>>(), [b"gone"]);
    }
}
