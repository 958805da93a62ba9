//! Globs as rsync and git have them.
//!
//! `*` is any characters but `/`, `?` one of them, `**` any characters at all, `[a-z]` one of a
//! class, `[!a-z]` or `[^a-z]` one outside, `{a,b}` either, `\x` x itself. A `/` at the start
//! binds the glob to the top, as `./` does; one at the end lets it match directories only. Without
//! either, it matches the last components of a path.
//!
//! A character is one of UTF-8. Names need not be that: a byte that is not stands for itself, in
//! globs as in names, and counts as a character.

use std::borrow::Cow;

use regex::{RegexSet, RegexSetBuilder};

use super::PatternError;

/// Characters that no name uses stand for bytes that are no text.
const STRAY_BYTES: u32 = 0x0010_fe00;

/// One glob, as a regular expression for a whole path.
pub(super) struct Glob {
    pub(super) regex: String,
    /// It is bound to the top.
    pub(super) is_anchored: bool,
    /// It matches directories only.
    pub(super) only_directories: bool,
}

/// Globs that are tried together.
#[derive(Clone, Debug, Default)]
pub(super) struct Globs {
    sources: Vec<String>,
    compiled: RegexSet,
}

impl Globs {
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    pub(super) fn add(&mut self, regex: &str) -> Result<(), PatternError> {
        self.sources.push(regex.to_owned());
        let compiled = RegexSetBuilder::new(&self.sources).dot_matches_new_line(true).build();
        self.compiled = compiled.map_err(|error| PatternError::Glob {
            glob: regex.to_owned(),
            detail: format!("is not understood: {error}"),
        })?;
        Ok(())
    }

    pub(super) fn match_path(&self, path: &[u8]) -> bool {
        !self.sources.is_empty() && self.compiled.is_match(&as_text(path))
    }
}

/// Bytes as text, from which they can be told again.
pub(super) fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let stray = |byte: &u8| char::from_u32(STRAY_BYTES + u32::from(*byte));
        text.extend(chunk.invalid().iter().filter_map(stray));
    }
    Cow::Owned(text)
}

impl Glob {
    pub(super) fn parse(glob: &str) -> Result<Glob, PatternError> {
        let refuse = |detail: &str| {
            let glob = glob.to_owned();
            Err(PatternError::Glob { glob, detail: detail.to_owned() })
        };
        let mut rest = glob;
        let mut is_anchored = false;
        while let Some(after) = rest.strip_prefix("./").or_else(|| rest.strip_prefix('/')) {
            (rest, is_anchored) = (after, true);
        }
        let only_directories = rest.ends_with('/');
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() {
            return refuse("matches nothing");
        }
        let mut regex = String::from(if is_anchored { "^" } else { "^(?:.*/)?" });
        match translate(rest, &mut regex) {
            Ok(()) => regex.push('$'),
            Err(detail) => return refuse(detail),
        }
        Ok(Glob { regex, is_anchored, only_directories })
    }
}

/// Writes the regular expression of a glob, or says what is wrong with it.
fn translate(glob: &str, regex: &mut String) -> Result<(), &'static str> {
    let mut rest = glob;
    let mut open = 0_usize;
    let mut starts_component = true;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = after;
        match first {
            '*' if after.starts_with('*') => {
                rest = after.trim_start_matches('*');
                match rest.strip_prefix('/').filter(|_| starts_component) {
                    // Also no directory at all.
                    Some(below) => {
                        rest = below;
                        regex.push_str("(?:.*/)?");
                        continue;
                    }
                    None => regex.push_str(".*"),
                }
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => class(&mut rest, regex)?,
            '{' => {
                open += 1;
                regex.push_str("(?:");
            }
            ',' if open > 0 => regex.push('|'),
            '}' if open > 0 => {
                open -= 1;
                regex.push(')');
            }
            '\\' => {
                let escaped = after.chars().next().ok_or("ends in a backslash")?;
                rest = &after[escaped.len_utf8()..];
                push_literal(escaped, regex);
            }
            other => push_literal(other, regex),
        }
        starts_component = first == '/';
    }
    if open > 0 { Err("has a { that is not closed") } else { Ok(()) }
}

fn push_literal(character: char, regex: &mut String) {
    regex.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}

/// Translates a class up to its `]`, which is taken off `rest` too. A slash is in no class.
fn class(rest: &mut &str, regex: &mut String) -> Result<(), &'static str> {
    let not_closed = "has a [ that is not closed";
    let negated = rest.strip_prefix(['!', '^']);
    *rest = negated.unwrap_or(rest);
    regex.push_str(if negated.is_some() { "[^/" } else { "[" });
    let mut is_first = true;
    loop {
        let first = rest.chars().next().ok_or(not_closed)?;
        let after = &rest[first.len_utf8()..];
        *rest = after;
        match first {
            ']' if !is_first => break,
            '[' if after.starts_with(':') => {
                let end = after.find(":]").ok_or(not_closed)? + 2;
                regex.push('[');
                regex.push_str(&after[..end]);
                *rest = &after[end..];
            }
            '-' if !is_first && !after.starts_with(']') => regex.push('-'),
            '\\' => {
                let escaped = after.chars().next().ok_or(not_closed)?;
                *rest = &after[escaped.len_utf8()..];
                push_in_class(escaped, regex);
            }
            other => push_in_class(other, regex),
        }
        is_first = false;
    }
    regex.push_str(if negated.is_some() { "]" } else { "&&[^/]]" });
    Ok(())
}

fn push_in_class(character: char, regex: &mut String) {
    if character.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        let mut globs = Globs::default();
        globs.add(&Glob::parse(glob).unwrap().regex).unwrap();
        globs.match_path(path.as_bytes())
    }

    #[test]
    fn globs_as_rsync_and_git_have_them() {
        for (glob, path) in [
            ("*.o", "a/b.o"),
            ("?", "a/\u{e9}"),
            ("**/x", "x"),
            ("/a/**/z", "a/z"),
            ("/a/**/z", "a/b/c/z"),
            ("/a/**", "a/b/c"),
            ("/a**z", "ab/cz"),
            ("[!a-c]x", "dx"),
            ("[^a-c]x", "\u{e9}x"),
            ("[]x]", "]"),
            ("[[:digit:]]", "7"),
            ("[a-]", "-"),
            ("{one,t*o}.c", "d/two.c"),
            ("\\*", "*"),
            ("a.b", "a.b"),
            (".*", "d/.profile"),
            ("new\nline", "new\nline"),
        ] {
            assert!(matches(glob, path), "{glob} should match {path}");
        }
        for (glob, path) in [
            ("*.o", "a.o/b"),
            ("/*.o", "a/b.o"),
            ("??", "\u{e9}"),
            ("/a/*", "a/b/c"),
            ("/a/**", "a"),
            ("[!a]", "/"),
            ("[a-c]x", "dx"),
            ("\\*", "x"),
            ("a.b", "axb"),
            ("b", "ab"),
        ] {
            assert!(!matches(glob, path), "{glob} should not match {path}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        assert_eq!(as_text(b"a\xffb").chars().count(), 3);
        assert_ne!(as_text(b"\xff"), as_text(b"\xfe"));
        assert_ne!(as_text(b"\xff"), as_text("\u{fffd}".as_bytes()));
    }
}
