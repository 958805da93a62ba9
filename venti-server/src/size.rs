//! Sizes as people write them: `256m`, `1.5g`, `4096`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, read from text with an optional unit of powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// Not a whole number with at most a unit behind it.
    #[error("{found:?} is not a size: expected a whole number and k, m, g or t, such as 256m")]
    Syntax {
        /// The text as given.
        found: String,
    },
    /// More than 64 bits of bytes.
    #[error("{found:?} is more bytes than any machine has")]
    TooLarge {
        /// The text as given.
        found: String,
    },
}

const UNITS: [(char, u32); 4] = [('t', 40), ('g', 30), ('m', 20), ('k', 10)];

impl FromStr for Size {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Size, ParseSizeError> {
        let lower = text.trim().to_ascii_lowercase();
        let bare = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| bare.strip_suffix(*unit).map(|digits| (digits, *shift)))
            .unwrap_or((bare, 0));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseSizeError::Syntax { found: text.to_owned() });
        }
        let too_large = || ParseSizeError::TooLarge { found: text.to_owned() };
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        number.checked_mul(1 << shift).map(Size).ok_or_else(too_large)
    }
}

/// With the largest unit that divides it: what is printed reads back as the same number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in UNITS {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A size for people: three digits and a unit, `1.46 GB` (powers of 1000).
#[must_use]
pub fn human(bytes: u64) -> String {
    const NAMES: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut scale = 1_u64;
    let mut name = 0;
    while name + 1 < NAMES.len() && bytes / scale >= 1000 {
        scale *= 1000;
        name += 1;
    }
    if name == 0 {
        return format!("{bytes} {}", NAMES[name]);
    }
    let whole = bytes / scale;
    let hundredths = bytes % scale * 100 / scale;
    match whole {
        0..=9 => format!("{whole}.{hundredths:02} {}", NAMES[name]),
        10..=99 => format!("{whole}.{} {}", hundredths / 10, NAMES[name]),
        _ => format!("{whole} {}", NAMES[name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("256m", 256 << 20), ("1GiB", 1 << 30), ("8 kb", 0)]
        {
            match text.parse() {
                Ok(Size(found)) => assert_eq!(found, bytes, "{text}"),
                Err(error) => assert_eq!(
                    (text, error),
                    ("8 kb", ParseSizeError::Syntax { found: "8 kb".to_owned() })
                ),
            }
        }
        for wrong in ["", "m", "-1", "1.5g", "0x10", "1e3", "kk"] {
            assert!(matches!(wrong.parse::<Size>(), Err(ParseSizeError::Syntax { .. })), "{wrong}");
        }
        for wrong in ["99999999999999999999", "99999999999t"] {
            assert!(matches!(wrong.parse::<Size>(), Err(ParseSizeError::TooLarge { .. })));
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 256 << 20, 1 << 40, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        assert_eq!(Size(256 << 20).to_string(), "256m");
    }

    #[test]
    fn people_see_three_digits() {
        let seen: Vec<_> = [0, 999, 1000, 14_650, 146_500, 1_465_000_000].map(human).into();
        assert_eq!(seen, ["0 bytes", "999 bytes", "1.00 kB", "14.6 kB", "146 kB", "1.46 GB"]);
    }
}
