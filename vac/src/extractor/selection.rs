//! Which files of the archive are wanted.

use std::collections::BTreeMap;

use crate::walk::Patterns;

/// Paths that were asked for, as a tree of names, and patterns of what to leave out.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(super) wanted: Wanted,
    excluded: Patterns,
    /// Patterns of what is kept, if there are any.
    included: Patterns,
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
        Selection { wanted, excluded, included: Patterns::default() }
    }

    /// Keeps only what one of these patterns matches, with all that is below it, and the
    /// directories that lead there. `included` has the patterns as if it were to exclude them.
    #[must_use]
    pub fn only(mut self, included: Patterns) -> Selection {
        self.included = included;
        self
    }

    /// Whether the file at this path below the archive's root is kept.
    #[must_use]
    pub fn keeps(&self, path: &[u8], is_directory: bool) -> bool {
        let excluded = !self.excluded.is_empty() && is_matched(&self.excluded, path, is_directory);
        !excluded && (is_directory || self.is_included(path, is_directory))
    }

    /// Whether the directory at this path is kept only if something below it is.
    #[must_use]
    pub fn is_on_the_way(&self, path: &[u8]) -> bool {
        !self.is_included(path, true)
    }

    /// Whether the file at this path is selected itself, whatever is below it.
    pub(super) fn chooses(&self, path: &[u8], is_directory: bool) -> bool {
        self.keeps(path, is_directory) && self.is_included(path, is_directory)
    }

    /// Whether the file at this path, or one above it, is among those to be kept.
    fn is_included(&self, path: &[u8], is_directory: bool) -> bool {
        let mut above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        self.included.is_empty()
            || is_matched(&self.included, path, is_directory)
            || above.any(|(end, _)| is_matched(&self.included, &path[..end], true))
    }

    /// Whether this very path is one of those that were asked for.
    #[must_use]
    pub fn names(&self, path: &[u8]) -> bool {
        let mut parts = path.split(|byte| *byte == b'/');
        let end = parts.try_fold(&self.wanted, |at, name| at.names.get(name));
        end.is_some_and(|end| end.whole)
    }

    /// Whether nothing at all is left out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.wanted.whole && !self.has_patterns()
    }

    /// Whether a pattern may leave something out.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.excluded.is_empty() || !self.included.is_empty()
    }
}

fn is_matched(patterns: &Patterns, path: &[u8], is_directory: bool) -> bool {
    !patterns.keeps(path, path) || (is_directory && !patterns.keeps_directory(path, path))
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
    fn patterns_keep_what_is_below_what_they_match() {
        let patterns = |glob: &str| {
            let mut patterns = Patterns::default();
            patterns.exclude_glob(glob.as_ref()).unwrap();
            patterns
        };
        let selection = Selection::new([], patterns("*.o")).only(patterns("src"));
        assert!(selection.keeps(b"a/src/b/c.c", false));
        assert!(selection.keeps(b"src", false));
        assert!(!selection.keeps(b"a/b.c", false));
        assert!(selection.keeps(b"a/b", true), "something below may match");
        assert!(selection.is_on_the_way(b"a/b"));
        assert!(!selection.is_on_the_way(b"a/src"));
        assert!(!selection.is_on_the_way(b"a/src/b"));
        assert!(!selection.is_everything());
        assert!(Selection::everything().is_everything());
        assert!(!selection.keeps(b"a/src/b.o", false));
        assert!(!selection.keeps(b"a.o", true));
    }

    #[test]
    fn paths_become_a_tree_and_the_shorter_one_wins() {
        let paths: [&[u8]; 4] = [b"a/b/c", b"/a//b/", b"a/b/d", b"./x"];
        let wanted = Selection::new(paths, Patterns::default()).wanted;
        assert!(!wanted.whole);
        assert_eq!(wanted.names.keys().collect::<Vec<_>>(), [&b"a".to_vec(), &b"x".to_vec()]);
        assert!(wanted.names[&b"a"[..]].names[&b"b"[..]].whole);
        assert!(wanted.names[&b"x"[..]].whole);
        let selection = Selection::new(paths, Patterns::default());
        assert!(selection.names(b"a/b") && selection.names(b"x"));
        assert!(!selection.names(b"a") && !selection.names(b"a/b/c") && !selection.names(b"y"));
        assert!(Selection::everything().wanted.whole);
        let root: [&[u8]; 2] = [b"a", b"/"];
        assert!(Selection::new(root, Patterns::default()).wanted.whole);
    }
}
