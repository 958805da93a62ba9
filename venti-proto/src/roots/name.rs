//! The names under which roots are recorded. They become names of directories, so they are
//! checked once, here, and a [`HostName`] is known to be safe as one.

use std::fmt;
use std::str::FromStr;

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

impl ArchiveName {
    /// The name for an archive of these paths if none is given: `-` for `/`, `usr-local` for
    /// `/usr/local`, several joined by commas; cut at 255 bytes.
    #[must_use]
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> ArchiveName {
        let mut name = String::new();
        for (position, path) in paths.into_iter().enumerate() {
            if position > 0 {
                name.push(',');
            }
            match path.trim_matches('/') {
                "" | "." => name.push('-'),
                path => name.extend(path.chars().map(|c| match c {
                    '/' => '-',
                    c if c.is_control() => '?',
                    c => c,
                })),
            }
        }
        let mut length = name.len().min(MAX_NAME);
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        name.truncate(length);
        if check(&name).is_err() {
            name.insert(0, '-');
            name.truncate(MAX_NAME);
        }
        ArchiveName(name)
    }
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
        let name = |paths: &[&str]| ArchiveName::of_paths(paths.iter().copied()).0;
        assert_eq!(name(&["/"]), "-");
        assert_eq!(name(&["/usr/local/"]), "usr-local");
        assert_eq!(name(&["/etc", "home"]), "etc,home");
        assert_eq!(name(&[".."]), "-..");
        assert_eq!(name(&[]), "-");
        assert_eq!(name(&["é".repeat(200).as_str()]).len(), 254);
        assert!(check(&name(&["a\nb"])).is_ok());
    }
}
