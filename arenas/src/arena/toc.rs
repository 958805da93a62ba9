//! The table of contents of a sealed arena: what each clump holds, in the order of the log.
//!
//! It is cut into pages with a checksum each, so that any slice can be read and believed alone:
//! the index is rebuilt from whole tables, and one page is the neighbours of one block.

use venti_proto::{BlockType, Score};

use crate::Location;
use crate::clump::{ClumpInfo, Codec, DIGEST_SIZE, Digest};
use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

pub(super) const TOC_MAGIC: u32 = 0x5654_6f63; // "VToc"
const WHAT: &str = "page of a table of contents";

/// Bytes of a page.
pub const TOC_PAGE_SIZE: usize = 4096;

/// Magic, arena, page number, entries.
const PAGE_HEADER_SIZE: usize = 4 + 4 + 4 + 4;

/// Score, digest, offset, both sizes, type, codec, 2 zeros.
const ENTRY_SIZE: usize = Score::SIZE + DIGEST_SIZE + 4 + 2 * 4 + 1 + 1 + 2;
const _: () = assert!(ENTRY_SIZE == 52);

/// Entries in a page that is full.
pub const TOC_PAGE_ENTRIES: usize = (TOC_PAGE_SIZE - PAGE_HEADER_SIZE - CHECKSUM_SIZE) / ENTRY_SIZE;
const _: () = assert!(TOC_PAGE_ENTRIES == 78);

const PADDING: usize =
    TOC_PAGE_SIZE - PAGE_HEADER_SIZE - CHECKSUM_SIZE - TOC_PAGE_ENTRIES * ENTRY_SIZE;

/// One clump of a table of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TocEntry {
    /// Bytes from the start of the arena file to the clump's header.
    pub offset: u32,
    /// What the clump holds.
    pub info: ClumpInfo,
}

/// One page whose checksum was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TocPage {
    /// Its place in the table, from 0.
    pub number: u32,
    /// In the order of the log.
    pub entries: Vec<TocEntry>,
}

/// Pages that a table of `clumps` entries has.
#[must_use]
pub const fn toc_pages(clumps: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "78")]
    const ENTRIES: u32 = TOC_PAGE_ENTRIES as u32;
    clumps.div_ceil(ENTRIES)
}

impl TocPage {
    /// Writes page `number` of `arena` with `entries`, at most 78, into 4096 bytes.
    pub(crate) fn encode(
        store: &StoreIdentity,
        arena: u32,
        number: u32,
        entries: &[TocEntry],
        bytes: &mut [u8],
    ) {
        let mut record = Record::new(bytes);
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        record.u32(TOC_MAGIC).u32(arena).u32(number).u32(count);
        for TocEntry { offset, info } in entries {
            record
                .put(info.score.as_bytes())
                .put(info.digest.as_bytes())
                .u32(*offset)
                .u32(info.stored)
                .u32(info.size)
                .put(&[info.block_type.wire(), info.codec.number(), 0, 0]);
        }
        record.seal(|bytes| store.checksum(bytes));
    }

    /// Reads page `number` of `arena`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        store: &StoreIdentity,
        arena: u32,
        number: u32,
        bytes: &[u8],
    ) -> Result<TocPage, FormatError> {
        let page = TocPage::decode_any(store, arena, bytes)?;
        if page.number == number {
            return Ok(page);
        }
        let (found, expected) = (page.number, number);
        Err(FormatError::Misplaced { what: WHAT, field: "page", found, expected })
    }

    /// Reads whichever page of `arena` is there.
    pub(super) fn decode_any(
        store: &StoreIdentity,
        arena: u32,
        bytes: &[u8],
    ) -> Result<TocPage, FormatError> {
        let mut fields = Fields::new(WHAT, bytes, TOC_PAGE_SIZE)?;
        fields.magic(TOC_MAGIC)?;
        check(WHAT, &bytes[..TOC_PAGE_SIZE], |bytes| store.checksum(bytes))?;
        fields.place("arena", arena)?;
        let (number, count) = (fields.u32()?, fields.u32()? as usize);
        if count > TOC_PAGE_ENTRIES {
            return Err(fields.impossible("number of entries", count as u64));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(TocEntry::decode(&mut fields)?);
        }
        fields.zeros((TOC_PAGE_ENTRIES - count) * ENTRY_SIZE + PADDING)?;
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(TocPage { number, entries })
    }
}

impl TocEntry {
    /// Where the clump is.
    #[must_use]
    pub const fn location(&self, arena: u32) -> Location {
        Location { arena, offset: self.offset }
    }

    fn decode(fields: &mut Fields<'_>) -> Result<TocEntry, FormatError> {
        let (score, digest) = (fields.score()?, Digest::from_bytes(fields.array()?));
        let (offset, stored, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (number, codec) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let block_type =
            BlockType::from_wire(number).map_err(|_| fields.impossible("type", number.into()))?;
        let codec =
            Codec::from_number(codec).ok_or_else(|| fields.impossible("codec", codec.into()))?;
        let info = ClumpInfo { score, block_type, codec, stored, size, digest };
        info.check_sizes(fields)?;
        Ok(TocEntry { offset, info })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_there_and_back_full_and_not() {
        let store = StoreIdentity::new([1; 16]);
        let entry = |number: u32| TocEntry {
            offset: number * 100,
            info: ClumpInfo {
                score: Score::of(&number.to_be_bytes()),
                block_type: BlockType::DATA,
                codec: Codec::Raw,
                stored: number,
                size: number,
                digest: Digest::of(&number.to_be_bytes()),
            },
        };
        for count in [0, 1, 77, 78] {
            let entries: Vec<TocEntry> = (0..count).map(entry).collect();
            let mut bytes = vec![0xff; TOC_PAGE_SIZE];
            TocPage::encode(&store, 3, 9, &entries, &mut bytes);
            let page = TocPage::decode(&store, 3, 9, &bytes).unwrap();
            assert_eq!(page, TocPage { number: 9, entries });
            assert!(TocPage::decode(&store, 3, 8, &bytes).is_err());
            assert!(TocPage::decode(&store, 4, 9, &bytes).is_err());
        }
        assert_eq!([0, 1, 78, 79].map(toc_pages), [0, 1, 1, 2]);
    }
}
