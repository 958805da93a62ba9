//! The names under which roots are recorded. They become names of directories, so they are
//! checked once, here, and a [`HostName`] is known to be safe as one.

use std::fmt;
use std::str::FromStr;

use crate::Score;

/// The most bytes of a name.
const MAX_NAME: usize = 255;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} can not be a name here: {reason}")]
pub struct NameError {
    /// As given.
    pub name: String,
    /// What is wrong.
    pub reason: &'static str,
}

fn check(name: &str) -> Result<(), NameError> {
    let reason = match name {
        "" => "it is empty",
        "." | ".." => "it means a directory",
        _ if name.len() > MAX_NAME => "it is longer than 255 bytes",
        _ if name.contains('/') => "it contains a slash",
        _ if name.chars().any(char::is_control) => "it contains a control character",
        _ => return Ok(()),
    };
    Err(NameError { name: name.to_owned(), reason })
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<$type, NameError> {
                check(name).map(|()| $type(name.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The machine whose files were archived: a directory of the dump.
    HostName
    /// What of the machine was archived, so that the next archive of the same finds this one.
    ArchiveName
}

/// Something that is in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveSource {
    /// A file or directory, which the archive has under the last part of its path: an absolute
    /// path, clean and without its slash at the front. An archive of one directory may also have
    /// its content at the top.
    Path(Vec<u8>),
    /// The content of a directory, which the archive has at its top: `/`, or one of several.
    Content(Vec<u8>),
    /// What has no path: a stream, or what a list names.
    Other(Vec<u8>),
}

/// At the front of what has no path, and in a name that was cut.
const NO_PATH: char = '~';

impl ArchiveName {
    /// The name for an archive of these sources: `-` for `/`, and for others what
    /// `systemd-escape -p` makes of their paths. docs/roots.md has all of it.
    #[must_use]
    pub fn of(sources: &[ArchiveSource]) -> ArchiveName {
        let several = sources.len() > 1;
        let names = sources.iter().map(|source| match source {
            ArchiveSource::Content(path) if several && !path.is_empty() => escape(path) + "-",
            ArchiveSource::Path(path) | ArchiveSource::Content(path) => match path.as_slice() {
                [] => "-".to_owned(),
                path => escape(path),
            },
            ArchiveSource::Other(text) => format!("{NO_PATH}{}", escape(text)),
        });
        let mut name = names.collect::<Vec<_>>().join(",");
        if name.is_empty() {
            name.push(NO_PATH);
        }
        if name.len() > MAX_NAME {
            let rest = Score::of(name.as_bytes()).to_string();
            name.truncate(MAX_NAME - 1 - CUT_DIGITS);
            name.push(NO_PATH);
            name.extend(rest.chars().take(CUT_DIGITS));
        }
        ArchiveName(name)
    }

    /// What is in the archive, as far as its name says it.
    #[must_use]
    pub fn sources(&self) -> Vec<ArchiveSource> {
        let source = |name: &str| match name.strip_suffix('-') {
            Some("") => Some(ArchiveSource::Content(Vec::new())),
            Some(content) => unescape(content).map(ArchiveSource::Content),
            None => unescape(name).map(ArchiveSource::Path),
        };
        self.0.split(',').filter_map(source).collect()
    }
}

/// Digits of a score behind a name that was cut.
const CUT_DIGITS: usize = 16;

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.')
}

fn escape(path: &[u8]) -> String {
    let mut name = String::with_capacity(path.len());
    for (position, byte) in path.iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if position == 0 => name.push_str("\\x2e"),
            byte if is_plain(*byte) => name.push(char::from(*byte)),
            byte => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

/// The path that was escaped so; nothing if no path is.
fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'-' => path.push(b'/'),
            b'\\' => {
                let (digits, behind) = rest.strip_prefix(b"x")?.split_at_checked(2)?;
                path.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = behind;
            }
            byte if is_plain(*byte) => path.push(*byte),
            _ => return None,
        }
    }
    let is_clean = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    path.split(|byte| *byte == b'/').all(is_clean).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "/", "a\0", "a\n", "\u{7f}"] {
            let error = bad.parse::<HostName>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{bad:?} can not be a name")));
        }
        assert!("x".repeat(256).parse::<HostName>().is_err());
        for good in ["moby", "a.b.c", "...", "böhme", "-", &"x".repeat(255)] {
            assert_eq!(good.parse::<HostName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn archives_are_named_after_what_is_in_them() {
        use ArchiveSource::{Content, Other, Path};
        let path = |path: &str| Path(path.into());
        let content = |path: &str| Content(path.into());
        let long = "x".repeat(200);
        for (sources, name) in [
            (vec![content("")], "-"),
            (vec![path("usr/local")], "usr-local"),
            (vec![path("home/an-na/.x")], r"home-an\x2dna-.x"),
            (vec![path(".x")], r"\x2ex"),
            (vec![path("b\u{f6}hme, the second")], r"b\xc3\xb6hme\x2c\x20the\x20second"),
            (vec![path("etc"), path("home")], "etc,home"),
            (vec![path("etc"), content("home/x"), content("")], "etc,home-x-,-"),
            (vec![path(&long), path("etc")], &format!("{long},etc")),
        ] {
            let made = ArchiveName::of(&sources);
            assert_eq!(made.as_str(), name);
            assert!(check(name).is_ok());
            assert_eq!(made.sources(), sources, "{name}");
        }
        // The top of an archive of one directory tells whether it has the content.
        assert_eq!(ArchiveName::of(&[content("home/x")]).as_str(), "home-x");
        assert_eq!(ArchiveName::of(&[Other("db.sql".into())]).as_str(), "~db.sql");
        assert_eq!(ArchiveName::of(&[]).as_str(), "~");
        let cut = |last: &str| ArchiveName::of(&[path(&long), path(&long), path(last)]);
        assert_eq!((cut("a").as_str().len(), cut("a").sources().len()), (255, 1));
        assert_ne!(cut("a"), cut("b"));
    }

    #[test]
    fn names_of_old_that_say_no_path_say_none() {
        for name in ["from list", "~db.sql", "a--b", "-a", "a/b", r"a\x2", r"a\xzz", "..", r"\x2e"]
        {
            assert_eq!(ArchiveName(name.to_owned()).sources(), [], "{name}");
        }
    }
}
