//! How a field of a message lies on the wire, and how it reads in a transcript.
//!
//! Integers are little-endian, as nowhere else in this project: 9P2000 says so (intro(9p)).
//! Strings are UTF-8 with a length of two bytes in front. Every length is checked against the
//! bytes that are there before anything is allocated.

#![expect(clippy::little_endian_bytes, reason = "9P2000 is little-endian")]

use std::fmt;

use super::text::{self, ParseTextError, Words};
use super::{MAX_WALK, Qid, Stat};

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends inside a field.
    #[error("the message ends {missing} bytes too early")]
    Short {
        /// Bytes that are missing.
        missing: usize,
    },
    /// Bytes follow the last field.
    #[error("{excess} bytes follow the end of the message")]
    Trailing {
        /// How many.
        excess: usize,
    },
    /// The type is none of 9P2000.
    #[error("{found} is not a message type")]
    Type {
        /// The number found.
        found: u8,
    },
    /// A string is not UTF-8 or has a NUL in it.
    #[error("a string is not UTF-8 or contains NUL")]
    String,
    /// More names or qids than one walk takes.
    #[error("a walk of {found} elements, at most {MAX_WALK} are allowed")]
    WalkLength {
        /// The count found.
        found: u16,
    },
    /// The two sizes in front of a stat contradict each other.
    #[error("a stat of {found} bytes in a field of {expected}")]
    StatSize {
        /// The inner size.
        found: usize,
        /// The outer size less its own length.
        expected: usize,
    },
    /// A string is longer than its length can say.
    #[error("a string of {found} bytes, at most 65535 are possible")]
    TooLong {
        /// Bytes in the string.
        found: usize,
    },
}

/// The bytes of a message that were not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(DecodeError::Short { missing: length - self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if something is left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            excess => Err(DecodeError::Trailing { excess }),
        }
    }
}

/// A field of a message.
pub trait Field: Sized {
    /// Appends the field to a message.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the field.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError>;

    /// Prints the field as transcripts have it.
    ///
    /// # Errors
    /// Those of the formatter.
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Reads what [`Field::print`] printed.
    ///
    /// # Errors
    /// What was found instead.
    fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError>;
}

macro_rules! integer_fields {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
                Ok(<$type>::from_le_bytes(from.array()?))
            }

            fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }

            fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
                words.number()
            }
        }
    )*};
}

integer_fields!(u8 u16 u32 u64);

/// `s[2]` and as many bytes. Longer strings than that are cut at a character when encoded: no
/// name or error text of ours comes near.
impl Field for String {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut length = self.len().min(usize::from(u16::MAX));
        while !self.is_char_boundary(length) {
            length -= 1;
        }
        let Ok(count) = u16::try_from(length) else { return };
        count.encode(out);
        out.extend_from_slice(&self.as_bytes()[..length]);
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let length = u16::decode(from)?;
        match std::str::from_utf8(from.take(usize::from(length))?) {
            Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(DecodeError::String),
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::print_quoted(self, f)
    }

    fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
        words.quoted()
    }
}

/// `count[4]` and as many bytes.
impl Field for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        let Ok(count) = u32::try_from(self.len()) else { return };
        count.encode(out);
        out.extend_from_slice(self);
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let length = u32::decode(from)?;
        Ok(from.take(length as usize)?.to_vec())
    }

    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::print_bytes(self, f)
    }

    fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
        words.bytes()
    }
}

/// The lists of a walk: `n[2]` and as many elements, at most [`MAX_WALK`].
macro_rules! walk_fields {
    ($($type:ty)*) => {$(
        impl Field for Vec<$type> {
            fn encode(&self, out: &mut Vec<u8>) {
                let Ok(count) = u16::try_from(self.len()) else { return };
                count.encode(out);
                self.iter().for_each(|element| element.encode(out));
            }

            fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
                let found = u16::decode(from)?;
                if usize::from(found) > MAX_WALK {
                    return Err(DecodeError::WalkLength { found });
                }
                (0..found).map(|_| <$type>::decode(from)).collect()
            }

            fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[")?;
                for (position, element) in self.iter().enumerate() {
                    if position > 0 {
                        f.write_str(" ")?;
                    }
                    element.print(f)?;
                }
                f.write_str("]")
            }

            fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
                words.expect('[')?;
                let mut elements = Vec::new();
                while !words.accept(']') {
                    elements.push(<$type>::parse(words)?);
                }
                Ok(elements)
            }
        }
    )*};
}

walk_fields!(String Qid);

/// `type[1] version[4] path[8]`
impl Field for Qid {
    fn encode(&self, out: &mut Vec<u8>) {
        self.kind.encode(out);
        self.version.encode(out);
        self.path.encode(out);
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let kind = u8::decode(from)?;
        let version = u32::decode(from)?;
        Ok(Qid { kind, version, path: u64::decode(from)? })
    }

    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:x} {} {:x})", self.path, self.version, self.kind)
    }

    fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
        words.expect('(')?;
        let path = words.hexadecimal()?;
        let version = words.number()?;
        let kind = words.hexadecimal()?;
        words.expect(')')?;
        let kind = u8::try_from(kind).map_err(|_| words.unexpected("a qid type"))?;
        Ok(Qid { kind, version, path })
    }
}

/// `n[2] stat[n]`: the stat has its own size in front again.
impl Field for Box<Stat> {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        0u16.encode(out);
        self.encode_stat(out);
        let Ok(size) = u16::try_from(out.len() - start - 2) else { return };
        out[start..start + 2].copy_from_slice(&size.to_le_bytes());
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let size = u16::decode(from)?;
        let mut inside = Cursor::new(from.take(usize::from(size))?);
        let stat = Stat::decode_stat(&mut inside)?;
        inside.finish()?;
        Ok(Box::new(stat))
    }

    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print_stat(f)
    }

    fn parse(words: &mut Words<'_>) -> Result<Self, ParseTextError> {
        Stat::parse_stat(words).map(Box::new)
    }
}
