//! A gap: the place of a write that never arrived, closed by recovery or after a failed write.
//!
//! Bytes that do not parse and lie before a mark are corruption. A hole that a crash or a full
//! disk left between valid clumps is not, and gets this header so that no later scan calls it so.

use crate::Location;
use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

pub(super) const GAP_MAGIC: u32 = 0x5647_6170; // "VGap"
const WHAT: &str = "gap header";

/// Magic, place, length, four zeros, checksum. No record is smaller, so it fits wherever one was.
pub const GAP_HEADER_SIZE: usize = 4 + 2 * 4 + 4 + 4 + CHECKSUM_SIZE;
const _: () = assert!(GAP_HEADER_SIZE == 24);

/// A stretch of the log that holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Bytes to skip, this header included.
    pub length: u32,
}

impl Gap {
    /// The bytes of the header at `place`.
    #[must_use]
    pub fn encode(&self, store: &StoreIdentity, place: Location) -> [u8; GAP_HEADER_SIZE] {
        let mut bytes = [0; GAP_HEADER_SIZE];
        Record::new(&mut bytes)
            .u32(GAP_MAGIC)
            .u32(place.arena)
            .u32(place.offset)
            .u32(self.length)
            .seal(|bytes| store.checksum(bytes));
        bytes
    }

    /// Reads the header at the front of `bytes`, which were found at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        store: &StoreIdentity,
        place: Location,
        bytes: &[u8],
    ) -> Result<Gap, FormatError> {
        let mut fields = Fields::new(WHAT, bytes, GAP_HEADER_SIZE)?;
        fields.magic(GAP_MAGIC)?;
        check(WHAT, &bytes[..GAP_HEADER_SIZE], |bytes| store.checksum(bytes))?;
        fields.place("arena", place.arena)?;
        fields.place("offset", place.offset)?;
        let length = fields.u32()?;
        let too_short = (length as usize) < GAP_HEADER_SIZE;
        if too_short || place.offset.checked_add(length).is_none() {
            return Err(fields.impossible("length", length.into()));
        }
        fields.zeros(4)?;
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(Gap { length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_goes_there_and_back_and_every_flip_is_noticed() {
        let store = StoreIdentity::new([1; 16]);
        let place = Location { arena: 1, offset: 1000 };
        let mut bytes = Gap { length: 24 }.encode(&store, place);
        assert_eq!(Gap::decode(&store, place, &bytes), Ok(Gap { length: 24 }));
        for bit in 0..GAP_HEADER_SIZE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Gap::decode(&store, place, &bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in [0, 23, u32::MAX] {
            let bytes = Gap { length }.encode(&store, place);
            assert!(Gap::decode(&store, place, &bytes).is_err(), "length {length}");
        }
    }
}
