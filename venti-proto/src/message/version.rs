//! The versions of the protocol that are spoken here.

use std::fmt;
use std::str::FromStr;

/// A version of the protocol, the better one greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `02`: lengths of 2 bytes (venti(7)).
    V02,
    /// `04`: lengths of 4 bytes (venti(7), last paragraph).
    V04,
    /// `x1`: framed as 04, and our own messages may be used (docs/protocol.md).
    X1,
}

impl Version {
    /// Every version, best first: the order in which they are offered.
    pub const ALL: [Version; 3] = [Version::X1, Version::V04, Version::V02];

    /// The name in the version line and in the hello.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Version::V02 => "02",
            Version::V04 => "04",
            Version::X1 => "x1",
        }
    }

    /// Bytes of the length field before each message.
    #[must_use]
    pub const fn length_size(self) -> usize {
        match self {
            Version::V02 => 2,
            Version::V04 | Version::X1 => 4,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// A token that names no version known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a protocol version; 02, 04 and x1 are known")]
pub struct ParseVersionError {
    /// The token.
    pub found: String,
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(token: &str) -> Result<Version, ParseVersionError> {
        Version::ALL
            .into_iter()
            .find(|version| version.token() == token)
            .ok_or_else(|| ParseVersionError { found: token.to_owned() })
    }
}
