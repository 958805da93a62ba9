//! A sync mark: the proof in the log that everything before some offset was durable.
//!
//! It is written after the sync that it tells of, so it becomes durable with the next one. That a
//! mark is missing proves nothing; that one is there proves what it says. This is how recovery
//! tells a torn tail, which may be dropped, from corruption, which may not.

use crate::Location;
use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

pub(super) const MARK_MAGIC: u32 = 0x564d_726b; // "VMrk"
const WHAT: &str = "mark";

/// Magic, place, durable offset, sequence, time, clumps, checksum.
pub const MARK_SIZE: usize = 4 + 2 * 4 + 4 + 8 + 8 + 4 + CHECKSUM_SIZE;
const _: () = assert!(MARK_SIZE == 40);

/// A sync mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Every byte of the arena before this offset was durable when the mark was written. At most
    /// the mark's own offset: what other threads appended meanwhile is not covered.
    pub durable_through: u32,
    /// One more than that of the mark before in this arena.
    pub sequence: u64,
    /// When it was written, in milliseconds since 1970.
    pub time: u64,
    /// Clumps of the arena that start before the durable offset.
    pub clumps: u32,
}

impl Mark {
    /// The bytes of the mark at `place`.
    #[must_use]
    pub fn encode(&self, store: &StoreIdentity, place: Location) -> [u8; MARK_SIZE] {
        let mut bytes = [0; MARK_SIZE];
        Record::new(&mut bytes)
            .u32(MARK_MAGIC)
            .u32(place.arena)
            .u32(place.offset)
            .u32(self.durable_through)
            .u64(self.sequence)
            .u64(self.time)
            .u32(self.clumps)
            .seal(|bytes| store.checksum(bytes));
        bytes
    }

    /// Reads the mark at the front of `bytes`, which were found at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        store: &StoreIdentity,
        place: Location,
        bytes: &[u8],
    ) -> Result<Mark, FormatError> {
        let mut fields = Fields::new(WHAT, bytes, MARK_SIZE)?;
        fields.magic(MARK_MAGIC)?;
        check(WHAT, &bytes[..MARK_SIZE], |bytes| store.checksum(bytes))?;
        fields.place("arena", place.arena)?;
        fields.place("offset", place.offset)?;
        let durable_through = fields.u32()?;
        if durable_through > place.offset {
            return Err(fields.impossible("durable offset", durable_through.into()));
        }
        let mark = Mark {
            durable_through,
            sequence: fields.u64()?,
            time: fields.u64()?,
            clumps: fields.u32()?,
        };
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_there_and_back_and_claims_nothing_behind_itself() {
        let store = StoreIdentity::new([1; 16]);
        let place = Location { arena: 1, offset: 1000 };
        let mark = Mark { durable_through: 1000, sequence: 5, time: 6, clumps: 7 };
        let mut bytes = mark.encode(&store, place);
        assert_eq!(Mark::decode(&store, place, &bytes), Ok(mark));
        for bit in 0..MARK_SIZE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Mark::decode(&store, place, &bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let boast = Mark { durable_through: 1001, ..mark }.encode(&store, place);
        assert!(Mark::decode(&store, place, &boast).is_err());
    }
}
