//! Finds the records of an arena file one after another, and its way back after bytes that are
//! none.
//!
//! All records start with a `V`, are checksummed and bound to their place, so a search for the
//! next one takes no payload for a header. The file is read once, in order, through a window.

use std::ops::Range;
use std::sync::Arc;

use super::{
    FOOTER_SIZE, Footer, GAP_HEADER_SIZE, Gap, MARK_SIZE, Mark, TOC_PAGE_SIZE, TocPage, footer,
    gap, mark, toc,
};
use crate::Location;
use crate::clump::{CLUMP_HEADER_SIZE, CLUMP_MAGIC, ClumpHeader, MAX_CLUMP_SIZE};
use crate::disk::{DiskFile, DiskResult, read_full_at};
use crate::fields::StoreIdentity;

/// Bytes read at once.
const WINDOW: usize = 1 << 20;
/// First byte of every record.
const FIRST_BYTE: u8 = b'V';
/// What is read alone when the window as a whole can not be: the smallest sector.
const SALVAGE: usize = 512;
/// Bytes that the smallest record needs before it can be recognised.
const LEAST: usize = GAP_HEADER_SIZE;
const _: () = assert!(WINDOW > 2 * MAX_CLUMP_SIZE);

/// A valid record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A block; its payload is all there but was not checked.
    Clump(ClumpHeader),
    /// A sync mark.
    Mark(Mark),
    /// A closed gap.
    Gap(Gap),
    /// A page of a table of contents.
    Toc(TocPage),
    /// The footer of a sealed arena.
    Footer(Footer),
}

/// What a stretch of the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record.
    Record {
        /// Its first byte and the byte behind it.
        extent: Range<u32>,
        /// The record.
        record: Record,
    },
    /// Bytes that are no record, up to the next record or the end of the file.
    Unparseable(Range<u32>),
}

/// Walks through one arena file.
#[derive(Debug)]
pub struct Scanner {
    file: Arc<dyn DiskFile>,
    store: StoreIdentity,
    arena: u32,
    /// Where the next record should start.
    offset: u32,
    /// Where the file ends for this scan.
    end: u32,
    window: Vec<u8>,
    /// File offset of the window's first byte.
    window_start: u32,
    /// Bytes that the disk would not give, and that are taken for zeros.
    unreadable: u64,
}

impl Scanner {
    /// Starts at `offset` and goes on to the end of the file as it is now.
    ///
    /// # Errors
    /// If the length of the file can not be told.
    pub fn new(
        file: Arc<dyn DiskFile>,
        store: StoreIdentity,
        arena: u32,
        offset: u32,
    ) -> DiskResult<Scanner> {
        let end = u32::try_from(file.len()?).unwrap_or(u32::MAX);
        let (window, window_start) = (Vec::new(), offset);
        Ok(Scanner { file, store, arena, offset, end, window, window_start, unreadable: 0 })
    }

    /// Bytes that could not be read so far, and were taken for zeros.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Where the file ends.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// The next stretch, until the end of the file.
    pub fn next_found(&mut self) -> Option<Found> {
        if self.offset >= self.end {
            return None;
        }
        let start = self.offset;
        if let Some((length, record)) = self.record_at(start) {
            self.offset = start + length;
            return Some(Found::Record { extent: start..self.offset, record });
        }
        self.offset = self.next_record_after(start);
        Some(Found::Unparseable(start..self.offset))
    }

    /// The bytes of a stretch that a scan found, for those that need its payload.
    pub fn bytes(&mut self, extent: Range<u32>) -> &[u8] {
        self.window_at(extent.start, (extent.end - extent.start) as usize)
    }

    /// A record that starts at `offset`, and its length.
    fn record_at(&mut self, offset: u32) -> Option<(u32, Record)> {
        let (store, arena, left) = (self.store, self.arena, self.end - offset);
        let place = Location { arena, offset };
        let bytes = self.window_at(offset, TOC_PAGE_SIZE);
        let magic = u32::from_be_bytes(*bytes.first_chunk()?);
        let (length, record) = match magic {
            CLUMP_MAGIC => {
                let header = ClumpHeader::decode(&store, place, bytes).ok()?;
                let length = CLUMP_HEADER_SIZE + header.info.stored as usize;
                (length, Record::Clump(header))
            }
            mark::MARK_MAGIC => (MARK_SIZE, Record::Mark(Mark::decode(&store, place, bytes).ok()?)),
            gap::GAP_MAGIC => {
                let gap = Gap::decode(&store, place, bytes).ok()?;
                (gap.length as usize, Record::Gap(gap))
            }
            toc::TOC_MAGIC => {
                (TOC_PAGE_SIZE, Record::Toc(TocPage::decode_any(&store, arena, bytes).ok()?))
            }
            footer::FOOTER_MAGIC => {
                (FOOTER_SIZE, Record::Footer(Footer::decode(&store, place, bytes).ok()?))
            }
            _ => return None,
        };
        let length = u32::try_from(length).ok()?;
        (length <= left).then_some((length, record))
    }

    /// Where the next record starts behind `start`, or the end of the file.
    fn next_record_after(&mut self, start: u32) -> u32 {
        let mut candidate = start + 1;
        while (candidate as usize) + LEAST <= self.end as usize {
            let bytes = self.window_at(candidate, LEAST);
            let Some(first) = bytes.iter().position(|byte| *byte == FIRST_BYTE) else {
                candidate = candidate.saturating_add(u32::try_from(bytes.len()).unwrap_or(1));
                continue;
            };
            candidate += u32::try_from(first).unwrap_or(0);
            if candidate < self.end && self.record_at(candidate).is_some() {
                return candidate;
            }
            candidate += 1;
        }
        self.end
    }

    /// The bytes from `offset` on: at least `wanted`, unless the file ends before.
    fn window_at(&mut self, offset: u32, wanted: usize) -> &[u8] {
        let in_file = (self.end - offset.min(self.end)) as usize;
        let wanted = wanted.min(in_file);
        let window_end = self.window_start as usize + self.window.len();
        let inside = offset >= self.window_start && offset as usize + wanted <= window_end;
        if !inside {
            self.fill_window(offset, in_file.min(WINDOW.max(wanted)));
        }
        self.window.get((offset - self.window_start) as usize..).unwrap_or(&[])
    }

    fn fill_window(&mut self, offset: u32, length: usize) {
        self.window_start = offset;
        self.window.resize(length, 0);
        match read_full_at(&*self.file, &mut self.window, u64::from(offset)) {
            Ok(found) => self.window.truncate(found),
            Err(_) => self.salvage_window(offset),
        }
    }

    /// Reads piece by piece what can not be read at once.
    fn salvage_window(&mut self, offset: u32) {
        let mut place = u64::from(offset);
        for piece in self.window.chunks_mut(SALVAGE) {
            piece.fill(0);
            let found = read_full_at(&*self.file, piece, place);
            if !matches!(found, Ok(count) if count == piece.len()) {
                self.unreadable += piece.len() as u64;
                piece.fill(0);
            }
            place += piece.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clump::{ClumpInfo, Codec, Digest};
    use crate::disk::{Disk, Fault, FaultPlan, OpenMode, SimDisk, write_all_at};
    use venti_proto::{BlockType, Score};

    const STORE: StoreIdentity = StoreIdentity::new([7; 16]);

    fn clump(offset: u32, block: &[u8]) -> Vec<u8> {
        let size = u32::try_from(block.len()).unwrap();
        let info = ClumpInfo {
            score: Score::of(block),
            block_type: BlockType::DATA,
            codec: Codec::Raw,
            stored: size,
            size,
            digest: Digest::of(block),
        };
        let mut bytes = vec![0; CLUMP_HEADER_SIZE];
        let place = Location { arena: 1, offset };
        ClumpHeader { info, time: 1 }.encode(&STORE, place, &mut bytes);
        bytes.extend_from_slice(block);
        bytes
    }

    fn scan(bytes: &[u8]) -> Vec<String> {
        let disk = SimDisk::new(1);
        let file = disk.open("a", OpenMode::Create).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        let mut scanner = Scanner::new(file, STORE, 1, 0).unwrap();
        let mut found = Vec::new();
        while let Some(next) = scanner.next_found() {
            found.push(match next {
                Found::Record { extent, record: Record::Clump(_) } => format!("clump {extent:?}"),
                Found::Record { extent, record: Record::Mark(_) } => format!("mark {extent:?}"),
                Found::Record { extent, .. } => format!("other {extent:?}"),
                Found::Unparseable(extent) => format!("nothing {extent:?}"),
            });
        }
        found
    }

    #[test]
    fn records_are_found_again_after_bytes_that_are_none() {
        let mut bytes = clump(0, b"first");
        let mark = Mark { durable_through: 77, sequence: 1, time: 2, clumps: 1 };
        bytes.extend(mark.encode(&STORE, Location { arena: 1, offset: 77 }));
        bytes.extend([b'V'; 33]);
        bytes.extend(clump(150, b"second"));
        bytes.extend(clump(0, b"a whole clump that belongs elsewhere"));
        assert_eq!(
            scan(&bytes),
            [
                "clump 0..77",
                "mark 77..117",
                "nothing 117..150",
                "clump 150..228",
                "nothing 228..336"
            ]
        );
    }

    #[test]
    fn a_cut_record_is_none() {
        let whole = clump(0, b"block");
        for length in 1..whole.len() {
            assert_eq!(scan(&whole[..length]), [format!("nothing 0..{length}")]);
        }
    }

    #[test]
    fn a_record_behind_more_than_a_window_of_rubbish_is_found() {
        let mut bytes = vec![b'V'; 3 * WINDOW + 5];
        let start = u32::try_from(bytes.len()).unwrap();
        bytes.extend(clump(start, b"far"));
        let end = start + 75;
        assert_eq!(scan(&bytes), [format!("nothing 0..{start}"), format!("clump {start}..{end}")]);
    }

    #[test]
    fn bytes_that_can_not_be_read_are_counted() {
        let disk = SimDisk::new(1);
        let file = disk.open("a", OpenMode::Create).unwrap();
        write_all_at(&*file, &clump(0, &[5; 10_000]), 0).unwrap();
        let mut scanner = Scanner::new(file, STORE, 1, 0).unwrap();
        disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Io, forever: true }));
        assert_eq!(scanner.next_found(), Some(Found::Unparseable(0..10_072)));
        assert!(scanner.unreadable() >= 10_072);
    }
}
