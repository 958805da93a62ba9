//! What to leave out, by name: the patterns of the original, and globs as elsewhere.
//!
//! The original's patterns (`-e`, `-x`) match the whole path as it is walked from the argument:
//! `*` any characters but `/`, `?` one of them, neither a dot at the start of a component; `...`
//! any characters at all; `[a-z]` one of a class, `[~a-z]` one outside. The earliest pattern that
//! matches decides, and may say `include`. Globs (`--exclude`, see [`super::globs`]) are tried after
//! them.
//!
//! Matching walks all positions of the pattern at once, so that no pattern takes more time than
//! its length times that of the path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::globs::{Glob, Globs, as_text};

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte but `/`; not `.` where a component starts.
    Any { starts_component: bool },
    /// Any run of bytes but `/`, of none too; not starting with `.` where a component starts.
    Run { starts_component: bool },
    /// Any run of bytes.
    Everything,
    /// A byte in (or, negated, outside) these inclusive ranges.
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

/// One compiled pattern of the original's kind.
#[derive(Clone, Debug)]
struct Rule {
    tokens: Vec<Token>,
    /// Whether a match keeps the file or leaves it out.
    include: bool,
}

/// Everything the user said about what to leave out by name.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    rules: Vec<Rule>,
    globs: Globs,
    /// Those of them that may also be meant from the root directory on.
    absolute: Globs,
    /// Globs that only match directories.
    directories: Globs,
    absolute_directories: Globs,
    /// Where the program runs.
    present: Vec<u8>,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A class that is not closed, is empty, or has a `/` in it.
    #[error("pattern {pattern:?} has a [class] that is not closed, is empty or contains '/'")]
    Class {
        /// The pattern as given.
        pattern: String,
    },
    /// A line of an exclude file that is neither a comment nor a rule.
    #[error("{file}:{line}: found {found:?}, expected \"include PATTERN\" or \"exclude PATTERN\"")]
    Line {
        /// Name of the file.
        file: String,
        /// Number of the line, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// A glob that does not parse, or that can match nothing.
    #[error("the glob {glob:?} {detail}")]
    Glob {
        /// The glob as given.
        glob: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Patterns {
    /// Adds a pattern of the original's kind that leaves out what it matches (`-e`).
    ///
    /// # Errors
    /// [`PatternError::Class`].
    pub fn exclude(&mut self, pattern: &OsStr) -> Result<(), PatternError> {
        let tokens = compile(pattern.as_bytes())?;
        self.rules.push(Rule { tokens, include: false });
        Ok(())
    }

    /// Adds the rules of an exclude file (`-x`): lines of `include PATTERN` or `exclude PATTERN`,
    /// blank lines and lines that start with `#`. `file` is its name for messages.
    ///
    /// # Errors
    /// Any [`PatternError`] but `Glob`.
    pub fn exclude_file(&mut self, file: &str, content: &[u8]) -> Result<(), PatternError> {
        for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii_end();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (pattern, include) = match (line.strip_prefix(b"include "), line) {
                (Some(pattern), _) => (Some(pattern), true),
                (None, line) => (line.strip_prefix(b"exclude "), false),
            };
            let pattern = pattern.ok_or_else(|| PatternError::Line {
                file: file.to_owned(),
                line: number + 1,
                found: String::from_utf8_lossy(line).into_owned(),
            })?;
            self.rules.push(Rule { tokens: compile(pattern)?, include });
        }
        Ok(())
    }

    /// Adds a glob that leaves out what it matches (`--exclude`), as rsync and git have them.
    ///
    /// # Errors
    /// [`PatternError::Glob`].
    pub fn exclude_glob(&mut self, glob: &OsStr) -> Result<(), PatternError> {
        let glob = Glob::parse(&as_text(glob.as_bytes()))?;
        let (anywhere, absolute) = if glob.only_directories {
            (&mut self.directories, &mut self.absolute_directories)
        } else {
            (&mut self.globs, &mut self.absolute)
        };
        if glob.is_anchored {
            absolute.add(&glob.regex)?;
        }
        anywhere.add(&glob.regex)
    }

    /// Says where paths that do not start with a slash start, for globs that do.
    pub fn set_present_directory(&mut self, path: &Path) {
        self.present = path.as_os_str().as_bytes().to_vec();
    }

    /// Whether nothing is left out by name: then no path needs to be put together.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.globs.is_empty() && self.directories.is_empty()
    }

    /// Whether the file is kept, whatever it is. `path` is the path from the argument on, as the
    /// user gave it; `below` is the part of it below the archived directory.
    #[must_use]
    pub fn keeps(&self, path: &[u8], below: &[u8]) -> bool {
        match self.rules.iter().find(|rule| matches(&rule.tokens, path)) {
            Some(rule) => rule.include,
            None => !self.matches(&self.globs, &self.absolute, path, below),
        }
    }

    /// Whether the directory is kept, if [`Patterns::keeps`] says that anything of this name is.
    #[must_use]
    pub fn keeps_directory(&self, path: &[u8], below: &[u8]) -> bool {
        self.directories.is_empty()
            || self.rules.iter().any(|rule| matches(&rule.tokens, path))
            || !self.matches(&self.directories, &self.absolute_directories, path, below)
    }

    fn matches(&self, globs: &Globs, absolute: &Globs, path: &[u8], below: &[u8]) -> bool {
        globs.match_path(below) || (!absolute.is_empty() && absolute.match_path(&self.rooted(path)))
    }

    /// The path from the root directory on, without the slash at the start.
    fn rooted(&self, path: &[u8]) -> Vec<u8> {
        let start = if path.starts_with(b"/") { &b""[..] } else { &self.present };
        let mut names: Vec<&[u8]> = Vec::new();
        for name in start.split(|b| *b == b'/').chain(path.split(|b| *b == b'/')) {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        names.join(&b'/')
    }
}

fn compile(pattern: &[u8]) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut starts_component = true;
    let mut rest = pattern;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let token = match first {
            b'.' if after.starts_with(b"..") => {
                rest = &after[2..];
                Token::Everything
            }
            b'*' => Token::Run { starts_component },
            b'?' => Token::Any { starts_component },
            b'[' => class(&mut rest).ok_or_else(|| PatternError::Class {
                pattern: String::from_utf8_lossy(pattern).into_owned(),
            })?,
            byte => Token::Byte(byte),
        };
        starts_component = token == Token::Byte(b'/');
        tokens.push(token);
    }
    Ok(tokens)
}

/// Reads a class up to its `]`, which is taken off `rest` too.
fn class(rest: &mut &[u8]) -> Option<Token> {
    let end = rest.iter().position(|byte| *byte == b']')?;
    let (inside, after) = (&rest[..end], &rest[end + 1..]);
    let (negated, mut inside) = match inside.strip_prefix(b"~") {
        Some(inside) => (true, inside),
        None => (false, inside),
    };
    if inside.is_empty() || inside.contains(&b'/') {
        return None;
    }
    let mut ranges = Vec::new();
    while let Some((&low, tail)) = inside.split_first() {
        let (high, tail) = match tail {
            [b'-', high, tail @ ..] => (*high, tail),
            tail => (low, tail),
        };
        ranges.push((low, high));
        inside = tail;
    }
    *rest = after;
    Some(Token::Class { negated, ranges })
}

/// Whether the tokens match all of `path`. `reached[i]` says that the first `i` tokens may have
/// matched what was read so far.
fn matches(tokens: &[Token], path: &[u8]) -> bool {
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    skip_runs(tokens, &mut reached);
    let mut previous = b'/';
    for &byte in path {
        let mut next = vec![false; tokens.len() + 1];
        for (position, token) in tokens.iter().enumerate().filter(|(p, _)| reached[*p]) {
            let hidden = byte == b'.' && (previous == b'/');
            match token {
                Token::Byte(wanted) => next[position + 1] |= *wanted == byte,
                Token::Any { starts_component } => {
                    next[position + 1] |= byte != b'/' && !(hidden && *starts_component);
                }
                Token::Run { starts_component } => {
                    next[position] |= byte != b'/' && !(hidden && *starts_component);
                }
                Token::Everything => next[position] = true,
                Token::Class { negated, ranges } => {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
                    next[position + 1] |= inside != *negated;
                }
            }
        }
        skip_runs(tokens, &mut next);
        reached = next;
        previous = byte;
    }
    reached[tokens.len()]
}

/// A run may also match nothing.
fn skip_runs(tokens: &[Token], reached: &mut [bool]) {
    for (position, token) in tokens.iter().enumerate() {
        if reached[position] && matches!(token, Token::Run { .. } | Token::Everything) {
            reached[position + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, path: &str) -> bool {
        matches(&compile(pattern.as_bytes()).unwrap(), path.as_bytes())
    }

    #[test]
    fn the_original_s_patterns() {
        for (pattern, path) in [
            ("usr/*.o", "usr/a.o"),
            ("usr/*", "usr/"),
            ("...*.o", "a/b/c.o"),
            (".../core", "usr/x/.y/core"),
            ("a?c", "abc"),
            ("a.*", "a.b"),
            ("[a-c]x[~0-9]", "bxz"),
            ("*", "name"),
            ("a*b*c*d", "aXbXcXd"),
            (".*", ".profile"),
        ] {
            assert!(matched(pattern, path), "{pattern} should match {path}");
        }
        for (pattern, path) in [
            ("usr/*.o", "usr/b/a.o"),
            ("*", ".hidden"),
            ("a/?x", "a/.x"),
            ("a", "ab"),
            ("[~0-9]", "5"),
            ("a?c", "a/c"),
        ] {
            assert!(!matched(pattern, path), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let path = "a".repeat(4000);
        assert!(!matched(&"*a".repeat(200), &format!("{path}b")));
    }

    #[test]
    fn the_earliest_rule_decides() {
        let mut patterns = Patterns::default();
        let rules = b"# keep the list\ninclude usr/keep.o\n\nexclude usr/*.o  \n";
        patterns.exclude_file("rules", rules).unwrap();
        patterns.exclude(OsStr::new("usr/keep.o")).unwrap();
        assert!(patterns.keeps(b"usr/keep.o", b"keep.o"));
        assert!(!patterns.keeps(b"usr/lose.o", b"lose.o"));
        assert!(patterns.keeps(b"usr/other", b"other"));
    }

    fn excluding(globs: &[&[u8]]) -> Patterns {
        let mut patterns = Patterns::default();
        globs.iter().for_each(|glob| patterns.exclude_glob(OsStr::from_bytes(glob)).unwrap());
        patterns
    }

    #[test]
    fn globs_match_names_or_paths() {
        let patterns = excluding(&[b"*.tmp", b"/cache", b"build/out", b"./top"]);
        assert!(!patterns.keeps(b"home/a/b.tmp", b"a/b.tmp"));
        assert!(!patterns.keeps(b"home/.b.tmp", b".b.tmp"));
        assert!(!patterns.keeps(b"home/cache", b"cache"));
        assert!(patterns.keeps(b"home/a/cache", b"a/cache"));
        assert!(!patterns.keeps(b"home/a/build/out", b"a/build/out"));
        assert!(!patterns.keeps(b"home/top", b"top"));
        assert!(patterns.keeps(b"home/a/top", b"a/top"));
    }

    #[test]
    fn a_slash_at_the_end_means_directories() {
        let patterns = excluding(&[b"out/", b"/a/b/"]);
        for path in [&b"x/out"[..], b"a/b"] {
            assert!(patterns.keeps(path, path));
            assert!(!patterns.keeps_directory(path, path));
        }
        assert!(patterns.keeps_directory(b"x/a/b", b"x/a/b"));
    }

    #[test]
    fn a_slash_at_the_start_also_means_the_root() {
        let mut patterns = excluding(&[b"/srv/home/cache", b"/srv/home/logs/"]);
        patterns.set_present_directory(Path::new("/srv"));
        assert!(!patterns.keeps(b"/srv/home/cache", b"cache"));
        assert!(!patterns.keeps(b"home/cache", b"cache"));
        assert!(!patterns.keeps(b"./x/../home/cache", b"cache"));
        assert!(patterns.keeps(b"other/cache", b"cache"));
        assert!(!patterns.keeps_directory(b"home/logs", b"logs"));
    }

    #[test]
    fn bytes_that_are_no_text_match() {
        let patterns = excluding(&[b"bad\xff*", b"x?y"]);
        assert!(!patterns.keeps(b"bad\xff\xfe", b"bad\xff\xfe"));
        assert!(patterns.keeps(b"bad\xfe", b"bad\xfe"));
        assert!(!patterns.keeps(b"x\xffy", b"x\xffy"));
        assert!(!patterns.keeps("x\u{e9}y".as_bytes(), "x\u{e9}y".as_bytes()));
    }

    #[test]
    fn bad_patterns_say_where() {
        let mut patterns = Patterns::default();
        let error = patterns.exclude_file("list", b"\n# x\nomit this\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "list:3: found \"omit this\", expected \"include PATTERN\" or \"exclude PATTERN\""
        );
        for bad in ["a[b", "a[]", "a[x/y]"] {
            assert!(patterns.exclude(OsStr::new(bad)).is_err(), "{bad}");
        }
        for bad in ["a{b", "a[b", "", "/", "//", "./", ".//", "[z-a]", "a\\"] {
            assert!(patterns.exclude_glob(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
