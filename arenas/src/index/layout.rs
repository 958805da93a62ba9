//! The fixed parts of a run file: its header and its table of segments.
//!
//! docs/store-format.md, "Index run", has the byte tables. Both structures are written and read
//! field by field in the same order, and reading consumes every byte or fails.

use super::entry::{KEY_SIZE, RawKey};
use super::error::Damage;
use super::filter::FilterParameters;
use super::page::{PAGE_SIZE, Page, RunIdentity, seal_whole, verify_whole};

/// `vRunIdx1`.
const MAGIC: u64 = u64::from_be_bytes(*b"vRunIdx1");

/// Bytes of a segment's row in the table.
pub(super) const SEGMENT_SIZE: usize = KEY_SIZE + 3 + 4 * 4 + 8 + 4 * 4;
const _: () = assert!(SEGMENT_SIZE == 64);

/// Pages before the first segment: the header's.
pub(super) const HEADER_PAGES: u32 = 1;

/// The first page of a run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunHeader {
    pub(super) identity: RunIdentity,
    /// Entries in all segments.
    pub(super) entries: u64,
    /// Rows of the table.
    pub(super) segments: u32,
    /// The page at which the table starts: everything before belongs to segments.
    pub(super) table_page: u32,
    /// CRC-32C of the rows, bound to `table_page`.
    pub(super) table_checksum: u32,
}

/// One segment: a contiguous range of keys with fences and a filter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentRow {
    /// The first entry's score and type.
    pub(super) first: RawKey,
    /// Where its pages start; its fences and fingerprints follow them.
    pub(super) first_page: u32,
    pub(super) pages: u32,
    pub(super) entries: u32,
    /// CRC-32C of fences and fingerprints, bound to the page at which they start.
    pub(super) summary_checksum: u32,
    pub(super) filter: FilterParameters,
}

impl RunHeader {
    /// The whole first page.
    pub(super) fn encode(&self) -> Page {
        let mut page = [0; PAGE_SIZE];
        let mut fields = Writer { rest: &mut page };
        fields.put(MAGIC.to_be_bytes());
        fields.put(self.identity.0);
        fields.put(self.entries.to_be_bytes());
        fields.put(self.segments.to_be_bytes());
        fields.put(self.table_page.to_be_bytes());
        fields.put(self.table_checksum.to_be_bytes());
        seal_whole(&mut page, self.identity, 0);
        page
    }

    /// Reads the first page of what should be run `expected`.
    pub(super) fn decode(page: &Page, expected: RunIdentity) -> Result<RunHeader, Damage> {
        let mut fields = Reader { rest: page };
        let magic = u64::from_be_bytes(fields.take()?);
        if magic != MAGIC {
            return Err(Damage::Magic { part: "run", found: magic, expected: MAGIC });
        }
        let identity = RunIdentity(fields.take()?);
        if identity != expected {
            return Err(Damage::OtherRun);
        }
        verify_whole(page, identity, 0)?;
        Ok(RunHeader {
            identity,
            entries: u64::from_be_bytes(fields.take()?),
            segments: u32::from_be_bytes(fields.take()?),
            table_page: u32::from_be_bytes(fields.take()?),
            table_checksum: u32::from_be_bytes(fields.take()?),
        })
    }

    /// Bytes of the table's rows.
    pub(super) fn table_length(&self) -> u64 {
        u64::from(self.segments) * SEGMENT_SIZE as u64
    }

    /// Bytes of the whole file.
    pub(super) fn file_length(&self) -> u64 {
        page_offset(u64::from(self.table_page)) + whole_pages(self.table_length())
    }
}

impl SegmentRow {
    /// The bytes of the row.
    pub(super) fn encode(&self) -> [u8; SEGMENT_SIZE] {
        let mut row = [0; SEGMENT_SIZE];
        let mut fields = Writer { rest: &mut row };
        fields.put(self.first);
        fields.put([0; 3]);
        fields.put(self.first_page.to_be_bytes());
        fields.put(self.pages.to_be_bytes());
        fields.put(self.entries.to_be_bytes());
        fields.put(self.summary_checksum.to_be_bytes());
        fields.put(self.filter.seed.to_be_bytes());
        fields.put(self.filter.window.to_be_bytes());
        fields.put(self.filter.reach.to_be_bytes());
        fields.put(self.filter.length.to_be_bytes());
        row
    }

    /// Reads a row whose checksum was checked.
    pub(super) fn decode(row: &[u8; SEGMENT_SIZE]) -> Result<SegmentRow, Damage> {
        let mut fields = Reader { rest: row };
        let first = fields.take()?;
        let _padding: [u8; 3] = fields.take()?;
        let decoded = SegmentRow {
            first,
            first_page: u32::from_be_bytes(fields.take()?),
            pages: u32::from_be_bytes(fields.take()?),
            entries: u32::from_be_bytes(fields.take()?),
            summary_checksum: u32::from_be_bytes(fields.take()?),
            filter: FilterParameters {
                seed: u64::from_be_bytes(fields.take()?),
                window: u32::from_be_bytes(fields.take()?),
                reach: u32::from_be_bytes(fields.take()?),
                length: u32::from_be_bytes(fields.take()?),
            },
        };
        Ok(decoded)
    }

    /// The page at which fences and fingerprints start.
    pub(super) fn summary_page(&self) -> u64 {
        u64::from(self.first_page) + u64::from(self.pages)
    }

    /// Bytes of the fences, eight a page.
    pub(super) fn fences_length(&self) -> u64 {
        u64::from(self.pages) * 8
    }

    /// The first page behind the segment.
    pub(super) fn end_page(&self) -> u64 {
        let summary = self.fences_length() + u64::from(self.filter.length);
        self.summary_page() + whole_pages(summary) / PAGE_SIZE as u64
    }
}

/// Where page `number` starts, in bytes.
pub(super) fn page_offset(number: u64) -> u64 {
    number.saturating_mul(PAGE_SIZE as u64)
}

/// `length` rounded up to whole pages, in bytes.
pub(super) fn whole_pages(length: u64) -> u64 {
    length.next_multiple_of(PAGE_SIZE as u64)
}

/// Puts fields one after another. What does not fit is a mistake of the caller's sizes: the
/// constants next to each structure say how much there is.
pub(super) struct Writer<'a> {
    pub(super) rest: &'a mut [u8],
}

impl Writer<'_> {
    pub(super) fn put<const N: usize>(&mut self, field: [u8; N]) {
        let rest = std::mem::take(&mut self.rest);
        if let Some((place, rest)) = rest.split_first_chunk_mut::<N>() {
            *place = field;
            self.rest = rest;
        }
    }
}

/// Takes fields one after another.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let length = self.rest.len() as u64;
        let short = Damage::Length { part: "structure", found: length, expected: N as u64 };
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(short)?;
        self.rest = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: RunIdentity = RunIdentity([3; 16]);

    #[test]
    fn header_comes_back_and_no_flipped_bit_passes() {
        let header = RunHeader {
            identity: IDENTITY,
            entries: 1 << 40,
            segments: 5,
            table_page: 77,
            table_checksum: 0x1234_5678,
        };
        let mut page = header.encode();
        assert_eq!(RunHeader::decode(&page, IDENTITY).unwrap(), header);
        assert_eq!(header.file_length(), 78 * 4096);
        for bit in 0..PAGE_SIZE * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(RunHeader::decode(&page, IDENTITY).is_err(), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn row_comes_back() {
        let row = SegmentRow {
            first: [9; KEY_SIZE],
            first_page: 1,
            pages: 1000,
            entries: 127_000,
            summary_checksum: 0x9abc_def0,
            filter: FilterParameters { seed: 1 << 60, window: 64, reach: 640, length: 768 },
        };
        assert_eq!(SegmentRow::decode(&row.encode()).unwrap(), row);
        assert_eq!(row.summary_page(), 1001);
        assert_eq!(row.end_page(), 1001 + 3);
    }
}
