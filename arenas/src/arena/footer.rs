//! The last 256 bytes of a sealed arena: what it holds, and its identity.
//!
//! The identity is a digest of the footer, which has the digest of the table of contents, which
//! has the digest of every block: two arenas with one identity hold the same blocks in the same
//! places. That is how an index from another day is found out.

use crate::Location;
use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

pub(super) const FOOTER_MAGIC: u32 = 0x5646_6f74; // "VFot"
const WHAT: &str = "arena footer";

/// Bytes of the footer. What its fields do not fill is zero and checksummed too.
pub const FOOTER_SIZE: usize = 256;

/// Magic, version, store, place, two times, end of the log, clumps, two sums, digest.
const FIELDS_SIZE: usize = 4 + 4 + 16 + 2 * 4 + 2 * 8 + 4 + 4 + 2 * 8 + 32;

/// What is known of a sealed arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The arena's number.
    pub number: u32,
    /// Where the footer starts, and the table of contents ends.
    pub offset: u32,
    /// When the arena was made, in milliseconds since 1970.
    pub created: u64,
    /// When it was sealed, in milliseconds since 1970.
    pub sealed: u64,
    /// Where the last record of the log ends, and the table of contents starts.
    pub log_end: u32,
    /// Clumps in the arena, and entries in its table of contents.
    pub clumps: u32,
    /// Bytes of all blocks.
    pub block_bytes: u64,
    /// Bytes of all payloads.
    pub stored_bytes: u64,
    /// BLAKE3 of the pages of the table of contents.
    pub toc_digest: [u8; 32],
}

impl Footer {
    fn fields(&self, store: &StoreIdentity, bytes: &mut [u8]) {
        Record::new(bytes)
            .u32(FOOTER_MAGIC)
            .u32(super::FORMAT_VERSION)
            .put(store.as_bytes())
            .u32(self.number)
            .u32(self.offset)
            .u64(self.created)
            .u64(self.sealed)
            .u32(self.log_end)
            .u32(self.clumps)
            .u64(self.block_bytes)
            .u64(self.stored_bytes)
            .put(&self.toc_digest);
    }

    /// The arena's identity: first sixteen bytes of the BLAKE3 of the footer's fields.
    #[must_use]
    pub fn identity(&self, store: &StoreIdentity) -> [u8; 16] {
        let mut bytes = [0; FIELDS_SIZE];
        self.fields(store, &mut bytes);
        let mut identity = [0; 16];
        identity.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
        identity
    }

    /// The bytes of the footer.
    #[must_use]
    pub fn encode(&self, store: &StoreIdentity) -> [u8; FOOTER_SIZE] {
        let mut bytes = [0; FOOTER_SIZE];
        self.fields(store, &mut bytes[..FIELDS_SIZE]);
        let end = FIELDS_SIZE + 16;
        bytes[FIELDS_SIZE..end].copy_from_slice(&self.identity(store));
        Record::new(&mut bytes).seal_after(end, |bytes| store.checksum(bytes));
        bytes
    }

    /// Reads the footer at the front of `bytes`, which were found at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        store: &StoreIdentity,
        place: Location,
        bytes: &[u8],
    ) -> Result<Footer, FormatError> {
        let mut fields = Fields::new(WHAT, bytes, FOOTER_SIZE)?;
        fields.magic(FOOTER_MAGIC)?;
        check(WHAT, &bytes[..FOOTER_SIZE], |bytes| store.checksum(bytes))?;
        let version = fields.u32()?;
        if version > super::FORMAT_VERSION {
            return Err(fields.impossible("version", version.into()));
        }
        if fields.array::<16>()? != *store.as_bytes() {
            return Err(fields.impossible("store", 0));
        }
        fields.place("arena", place.arena)?;
        fields.place("offset", place.offset)?;
        let footer = Footer {
            number: place.arena,
            offset: place.offset,
            created: fields.u64()?,
            sealed: fields.u64()?,
            log_end: fields.u32()?,
            clumps: fields.u32()?,
            block_bytes: fields.u64()?,
            stored_bytes: fields.u64()?,
            toc_digest: fields.array()?,
        };
        let toc_size = u64::from(super::toc_pages(footer.clumps)) * super::TOC_PAGE_SIZE as u64;
        if u64::from(footer.log_end) + toc_size != u64::from(place.offset) {
            return Err(fields.impossible("end of the log", footer.log_end.into()));
        }
        fields.array::<16>()?;
        fields.zeros(FOOTER_SIZE - FIELDS_SIZE - 16 - CHECKSUM_SIZE)?;
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_goes_there_and_back_and_every_flip_is_noticed() {
        let store = StoreIdentity::new([1; 16]);
        let place = Location { arena: 2, offset: 5000 + 4096 };
        let footer = Footer {
            number: 2,
            offset: place.offset,
            created: 1,
            sealed: 2,
            log_end: 5000,
            clumps: 78,
            block_bytes: 3,
            stored_bytes: 4,
            toc_digest: [5; 32],
        };
        let mut bytes = footer.encode(&store);
        assert_eq!(Footer::decode(&store, place, &bytes), Ok(footer));
        for bit in 0..FOOTER_SIZE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&store, place, &bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let longer = Footer { clumps: 79, ..footer }.encode(&store);
        assert!(Footer::decode(&store, place, &longer).is_err());
    }
}
