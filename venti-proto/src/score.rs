//! The address of a block: the SHA-1 of its bytes.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

use crate::sha1_lanes;

/// The SHA-1 of a block's bytes, and so its address (venti(7)).
///
/// An address is not a proof: chosen-prefix collisions of SHA-1 are public, and a store compares
/// a stronger digest before it believes that two blocks with one score are one block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score([u8; Score::SIZE]);

impl Score {
    /// Bytes in a score.
    pub const SIZE: usize = 20;

    /// The score of the block of no bytes, which stands for any run of zeros.
    pub const ZERO: Score = Score([
        0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18,
        0x90, 0xaf, 0xd8, 0x07, 0x09,
    ]);

    /// Computes the score of `data`.
    #[must_use]
    pub fn of(data: &[u8]) -> Score {
        Score(Sha1::digest(data).into())
    }

    /// Computes the scores of all `blocks`, in order, into `scores`: several times as fast as one
    /// after another where the processor has wide vectors. Stops at the end of the shorter.
    pub fn of_all<'a>(blocks: impl Iterator<Item = &'a [u8]>, scores: &mut [Score]) {
        sha1_lanes::hash_all(blocks, scores);
    }

    /// Takes 20 bytes that are already known to be a score, from the wire or from a disk.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Score::SIZE]) -> Score {
        Score(bytes)
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Score::SIZE] {
        &self.0
    }
}

/// Lower-case hexadecimal, 40 digits, as every program of Venti prints it.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Score({self})")
    }
}

/// What is wrong with a text that should be a score.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseScoreError {
    /// The number of digits after the optional `name:` is not 40.
    #[error("a score has 40 hexadecimal digits, {found:?} has {length}")]
    Length {
        /// The text as given.
        found: String,
        /// Its length without the prefix, in bytes.
        length: usize,
    },
    /// One of the 40 characters is not a hexadecimal digit.
    #[error("{digit:?} in {found:?} is not a hexadecimal digit")]
    Digit {
        /// The text as given.
        found: String,
        /// The first offender.
        digit: char,
    },
}

/// Reads 40 hexadecimal digits of either case, after an optional `word:` (as in `vac:`).
impl FromStr for Score {
    type Err = ParseScoreError;

    fn from_str(text: &str) -> Result<Score, ParseScoreError> {
        let digits = text.rsplit_once(':').map_or(text, |(_, digits)| digits);
        if let Some(digit) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(ParseScoreError::Digit { found: text.to_owned(), digit });
        }
        if digits.len() != 2 * Score::SIZE {
            let length = digits.len();
            return Err(ParseScoreError::Length { found: text.to_owned(), length });
        }
        let mut bytes = [0; Score::SIZE];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = hex_value(pair[0]) << 4 | hex_value(pair[1]);
        }
        Ok(Score(bytes))
    }
}

/// The value of an ASCII hexadecimal digit that was checked to be one.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_score_of_nothing() {
        assert_eq!(Score::of(b""), Score::ZERO);
    }

    #[test]
    fn text_goes_there_and_back() {
        let score = Score::of(b"hello venti\n");
        assert_eq!(score.to_string(), "46bc3b9a3f81c11d49eff12f52b561d1de748d5b");
        assert_eq!(format!("vac:{score}").parse(), Ok(score));
        assert_eq!(score.to_string().to_uppercase().parse(), Ok(score));
    }

    #[test]
    fn wrong_text_says_what_is_wrong() {
        let short = "vac:46bc".parse::<Score>().unwrap_err();
        assert_eq!(short.to_string(), "a score has 40 hexadecimal digits, \"vac:46bc\" has 4");
        let letter = "46bx".parse::<Score>().unwrap_err();
        assert_eq!(letter.to_string(), "'x' in \"46bx\" is not a hexadecimal digit");
    }
}
