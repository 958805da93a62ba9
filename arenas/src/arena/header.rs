//! The first 512 bytes of an arena file.

use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of the header. The rest of it is zero and checksummed too.
pub const ARENA_HEADER_SIZE: usize = 512;

const ARENA_MAGIC: u32 = 0x5641_726e; // "VArn"
const WHAT: &str = "arena header";

/// What an arena says of itself from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaHeader {
    /// The store that it belongs to.
    pub store: StoreIdentity,
    /// Its number, which its file name has too.
    pub number: u32,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
}

/// Why an arena's header is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is damaged, or no header.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A later program wrote it.
    #[error("format version {found}, this program knows versions up to {FORMAT_VERSION}")]
    Newer {
        /// The version that it has.
        found: u32,
    },
}

impl ArenaHeader {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; ARENA_HEADER_SIZE] {
        let mut bytes = [0; ARENA_HEADER_SIZE];
        Record::new(&mut bytes)
            .u32(ARENA_MAGIC)
            .u32(FORMAT_VERSION)
            .put(self.store.as_bytes())
            .u32(self.number)
            .u64(self.created)
            .seal(crc32c::crc32c);
        bytes
    }

    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<ArenaHeader, HeaderError> {
        let mut fields = Fields::new(WHAT, bytes, ARENA_HEADER_SIZE)?;
        fields.magic(ARENA_MAGIC)?;
        check(WHAT, &bytes[..ARENA_HEADER_SIZE], crc32c::crc32c)?;
        let found = fields.u32()?;
        if found > FORMAT_VERSION {
            return Err(HeaderError::Newer { found });
        }
        let store = StoreIdentity::new(fields.array()?);
        let header = ArenaHeader { store, number: fields.u32()?, created: fields.u64()? };
        fields.zeros(ARENA_HEADER_SIZE - (4 + 4 + 16 + 4 + 8) - CHECKSUM_SIZE)?;
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_there_and_back_and_every_flip_is_noticed() {
        let header = ArenaHeader { store: StoreIdentity::new([9; 16]), number: 4, created: 77 };
        let mut bytes = header.encode();
        assert_eq!(ArenaHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(ArenaHeader::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let header = ArenaHeader { store: StoreIdentity::new([9; 16]), number: 4, created: 77 };
        let mut bytes = header.encode();
        bytes[7] = 2;
        let end = bytes.len() - CHECKSUM_SIZE;
        let checksum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(
            ArenaHeader::decode(&bytes).unwrap_err().to_string(),
            "format version 2, this program knows versions up to 1"
        );
    }
}
