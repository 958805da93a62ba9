//! Reading and writing the fixed-size records of a store, field by field, big-endian.

use venti_proto::Score;

/// Why bytes are not the record that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The record starts with something else.
    #[error("magic {found:#010x}, expected {expected:#010x} ({what})")]
    Magic {
        /// The record that was expected.
        what: &'static str,
        /// The four bytes that are there.
        found: u32,
        /// The four bytes that such a record starts with.
        expected: u32,
    },
    /// The record was changed, or belongs to another store.
    #[error("{what} has checksum {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// The record.
        what: &'static str,
        /// The checksum that is stored.
        found: u32,
        /// The checksum of the bytes that are there.
        expected: u32,
    },
    /// The record was written for another place.
    #[error("{what} says that it belongs to {field} {found}, found it at {expected}")]
    Misplaced {
        /// The record.
        what: &'static str,
        /// Which part of the place differs.
        field: &'static str,
        /// Where it says it belongs.
        found: u32,
        /// Where it is.
        expected: u32,
    },
    /// A field has a value that no such record has.
    #[error("{what} has {field} {found}, which is not possible")]
    Field {
        /// The record.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// There are fewer bytes than the record has.
    #[error("{what} has {expected} bytes, only {found} are there")]
    Short {
        /// The record.
        what: &'static str,
        /// Bytes that are there.
        found: usize,
        /// Bytes in the record.
        expected: usize,
    },
}

/// The store's identity, which every checksum in its log is bound to: bytes that another store
/// left on the same disk do not pass for this one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity([u8; 16]);

impl StoreIdentity {
    /// Takes sixteen random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> StoreIdentity {
        StoreIdentity(bytes)
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// CRC-32C over the identity and then `bytes`.
    #[must_use]
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.0), bytes)
    }
}

/// Thirty-two hexadecimal digits.
impl std::fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes fields off the front of a record.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
    expected: usize,
    found: usize,
}

impl<'a> Fields<'a> {
    /// A record of `expected` bytes at the front of `bytes`.
    pub(crate) fn new(
        what: &'static str,
        bytes: &'a [u8],
        expected: usize,
    ) -> Result<Fields<'a>, FormatError> {
        match bytes.get(..expected) {
            Some(rest) => Ok(Fields { what, rest, expected, found: bytes.len() }),
            None => Err(FormatError::Short { what, found: bytes.len(), expected }),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((array, rest)) = self.rest.split_first_chunk() else {
            let Fields { what, expected, found, .. } = *self;
            return Err(FormatError::Short { what, found, expected });
        };
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn score(&mut self) -> Result<Score, FormatError> {
        self.array().map(Score::from_bytes)
    }

    pub(crate) fn magic(&mut self, expected: u32) -> Result<(), FormatError> {
        let found = self.u32()?;
        let what = self.what;
        if found == expected { Ok(()) } else { Err(FormatError::Magic { what, found, expected }) }
    }

    pub(crate) fn place(&mut self, field: &'static str, expected: u32) -> Result<(), FormatError> {
        let found = self.u32()?;
        let what = self.what;
        if found == expected {
            return Ok(());
        }
        Err(FormatError::Misplaced { what, field, found, expected })
    }

    pub(crate) fn zeros(&mut self, count: usize) -> Result<(), FormatError> {
        for _ in 0..count {
            let found = self.u8()?;
            if found != 0 {
                return Err(self.impossible("padding", u64::from(found)));
            }
        }
        Ok(())
    }

    pub(crate) const fn impossible(&self, field: &'static str, found: u64) -> FormatError {
        FormatError::Field { what: self.what, field, found }
    }

    /// Every byte must have been taken.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let left = self.rest.len() as u64;
        if left == 0 { Ok(()) } else { Err(self.impossible("bytes left over", left)) }
    }
}

/// Puts fields into a record one after another.
pub(crate) struct Record<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Record<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Record<'a> {
        Record { bytes, filled: 0 }
    }

    pub(crate) fn put(&mut self, field: &[u8]) -> &mut Record<'a> {
        self.bytes[self.filled..self.filled + field.len()].copy_from_slice(field);
        self.filled += field.len();
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Record<'a> {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Record<'a> {
        self.put(&value.to_be_bytes())
    }

    /// Zeros up to the last four bytes, which become the checksum of all before them.
    pub(crate) fn seal(&mut self, checksum: impl FnOnce(&[u8]) -> u32) {
        let filled = self.filled;
        self.seal_after(filled, checksum);
    }

    /// The same where `filled` bytes are there already.
    pub(crate) fn seal_after(&mut self, filled: usize, checksum: impl FnOnce(&[u8]) -> u32) {
        let end = self.bytes.len() - CHECKSUM_SIZE;
        self.bytes[filled..end].fill(0);
        let checksum = checksum(&self.bytes[..end]);
        self.bytes[end..].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Bytes of the CRC-32C at the end of every record.
pub(crate) const CHECKSUM_SIZE: usize = 4;

/// Compares the last four of `bytes` with the checksum of the others.
pub(crate) fn check(
    what: &'static str,
    bytes: &[u8],
    checksum: impl FnOnce(&[u8]) -> u32,
) -> Result<(), FormatError> {
    let Some((rest, stored)) = bytes.split_last_chunk::<CHECKSUM_SIZE>() else {
        return Err(FormatError::Short { what, found: bytes.len(), expected: CHECKSUM_SIZE });
    };
    let (found, expected) = (u32::from_be_bytes(*stored), checksum(rest));
    if found == expected { Ok(()) } else { Err(FormatError::Checksum { what, found, expected }) }
}
