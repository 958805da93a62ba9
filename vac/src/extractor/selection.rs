//! Which files of the archive are wanted.

use std::collections::BTreeMap;

use crate::walk::Patterns;

/// Paths that were asked for, as a tree of names, and patterns of what to leave out.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(super) wanted: Wanted,
    excluded: Patterns,
}

/// What is wanted of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Everything: then `names` is empty.
    pub(super) whole: bool,
    /// These names.
    pub(super) names: BTreeMap<Vec<u8>, Wanted>,
}

impl Selection {
    /// Everything.
    #[must_use]
    pub fn everything() -> Selection {
        Selection::new([], Patterns::default())
    }

    /// Everything but what `excluded` says; or, if there are any, only these paths and what is
    /// below them. Empty parts of paths and `.` mean nothing.
    #[must_use]
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a [u8]>, excluded: Patterns) -> Selection {
        let mut wanted = Wanted::default();
        let mut any = false;
        for path in paths {
            any = true;
            wanted.add(path);
        }
        wanted.whole |= !any;
        Selection { wanted, excluded }
    }

    /// Whether the file at this path below the archive's root is kept.
    #[must_use]
    pub fn keeps(&self, path: &[u8]) -> bool {
        self.excluded.is_empty() || self.excluded.keeps(path, path)
    }

    /// Whether a pattern may leave something out.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.excluded.is_empty()
    }
}

impl Wanted {
    fn add(&mut self, path: &[u8]) {
        let mut at = self;
        for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".") {
            if at.whole {
                return;
            }
            at = at.names.entry(name.to_vec()).or_default();
        }
        at.whole = true;
        at.names.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_a_tree_and_the_shorter_one_wins() {
        let paths: [&[u8]; 4] = [b"a/b/c", b"/a//b/", b"a/b/d", b"./x"];
        let wanted = Selection::new(paths, Patterns::default()).wanted;
        assert!(!wanted.whole);
        assert_eq!(wanted.names.keys().collect::<Vec<_>>(), [&b"a".to_vec(), &b"x".to_vec()]);
        assert!(wanted.names[&b"a"[..]].names[&b"b"[..]].whole);
        assert!(wanted.names[&b"x"[..]].whole);
        assert!(Selection::everything().wanted.whole);
        let root: [&[u8]; 2] = [b"a", b"/"];
        assert!(Selection::new(root, Patterns::default()).wanted.whole);
    }
}
