//! The first line each way: `venti-04:02-comment\n`.

use crate::Version;

/// The most bytes of a version line, the line feed included: the original's limit.
pub const MAX_VERSION_LINE: usize = 1023;

const PREFIX: &[u8] = b"venti-";

/// The line that offers `versions`, best first.
#[must_use]
pub fn greeting(versions: &[Version]) -> String {
    let tokens: Vec<_> = versions.iter().map(|version| version.token()).collect();
    format!("venti-{}-venti\n", tokens.join(":"))
}

/// Why bytes are no version line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionLineError {
    /// A byte that can not be there: not the next one of `venti-`, or not printable ASCII.
    #[error("not a version line: byte {found:#04x} at position {position}")]
    Byte {
        /// Counted from 0.
        position: usize,
        /// The byte.
        found: u8,
    },
    /// No line feed where one must have come.
    #[error("a version line has at most {MAX_VERSION_LINE} bytes")]
    TooLong,
}

/// What the other side offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionLine {
    /// The versions among them that are known here, in the other side's order.
    pub versions: Vec<Version>,
    /// The list as it was sent.
    pub offered: String,
}

impl VersionLine {
    /// Takes a version line off the front of `input`. `None` if it has not ended yet: then
    /// `input` is as it was, and what is there may become a version line.
    ///
    /// # Errors
    /// [`VersionLineError`] at the first byte that is wrong, so that whoever speaks another
    /// protocol is not waited for.
    pub fn receive(input: &mut &[u8]) -> Result<Option<VersionLine>, VersionLineError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let line = &input[..end.unwrap_or(input.len())];
        for (position, &found) in line.iter().take(MAX_VERSION_LINE).enumerate() {
            let expected = PREFIX.get(position).is_none_or(|byte| *byte == found);
            if !expected || !matches!(found, b' '..=0x7f) {
                return Err(VersionLineError::Byte { position, found });
            }
        }
        if line.len() >= MAX_VERSION_LINE {
            return Err(VersionLineError::TooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let Some(rest) = line.strip_prefix(PREFIX) else {
            return Err(VersionLineError::Byte { position: end, found: b'\n' });
        };
        *input = &input[end + 1..];
        let rest = String::from_utf8_lossy(rest);
        let offered = rest.split_once('-').map_or(&*rest, |(versions, _comment)| versions);
        let versions = offered.split(':').filter_map(|token| token.parse().ok()).collect();
        Ok(Some(VersionLine { versions, offered: offered.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(mut bytes: &[u8]) -> Result<Option<(Vec<Version>, usize)>, VersionLineError> {
        let line = VersionLine::receive(&mut bytes)?;
        Ok(line.map(|line| (line.versions, bytes.len())))
    }

    #[test]
    fn versions_are_taken_from_the_list_and_not_from_the_comment() {
        use Version::{V02, V04, X1};
        assert_eq!(greeting(&[X1, V04, V02]), "venti-x1:04:02-venti\n");
        assert_eq!(receive(b"venti-x1:04:02-venti\nab"), Ok(Some((vec![X1, V04, V02], 2))));
        assert_eq!(receive(b"venti-02:03:04-libventi\n"), Ok(Some((vec![V02, V04], 0))));
        assert_eq!(receive(b"venti-02\n"), Ok(Some((vec![V02], 0))));
        assert_eq!(receive(b"venti-99-04\n"), Ok(Some((vec![], 0))));
        assert_eq!(receive(b"venti-\n"), Ok(Some((vec![], 0))));
    }

    #[test]
    fn a_wrong_byte_is_noticed_at_once() {
        let byte = |position, found| Err(VersionLineError::Byte { position, found });
        assert_eq!(receive(b""), Ok(None));
        assert_eq!(receive(b"venti-0"), Ok(None));
        assert_eq!(receive(b"G"), byte(0, b'G'));
        assert_eq!(receive(b"venti\n"), byte(5, b'\n'));
        assert_eq!(receive(b"venti-04\r\n"), byte(8, b'\r'));
        assert_eq!(receive(b"venti-\x80"), byte(6, 0x80));
        let mut long = b"venti-04-".to_vec();
        long.resize(MAX_VERSION_LINE - 1, b'x');
        assert_eq!(receive(&long), Ok(None));
        long.push(b'\n');
        assert_eq!(receive(&long), Ok(Some((vec![Version::V04], 0))));
        long.pop();
        long.push(b'x');
        assert_eq!(receive(&long), Err(VersionLineError::TooLong));
    }
}
