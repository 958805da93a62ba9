//! Writes a run: entries come in order, pages go out in large writes.
//!
//! Memory is bounded by one segment: its filter keys (8 bytes an entry), its fences, and what the
//! filter needs while it is built (about 24 bytes an entry). The header is written last, the file
//! is synced once, and only then may a manifest name it.

use std::io::ErrorKind;
use std::sync::Arc;

use super::entry::{ENTRY_SIZE, KEY_SIZE, RawEntry, RawKey, filter_key, prefix};
use super::error::IndexError;
use super::filter::Filter;
use super::layout::{HEADER_PAGES, RunHeader, SegmentRow, page_offset, whole_pages};
use super::make_directory;
use super::manifest::RunRecord;
use super::page::{self, PAGE_ENTRIES, PAGE_SIZE, Page, RunIdentity};
use crate::disk::{Disk, DiskFile, OpenMode, write_all_at};
use crate::names;

/// Bytes gathered before they are written.
const WRITE_SIZE: usize = 64 * PAGE_SIZE;

/// A run that is being written.
pub(super) struct RunBuilder {
    record: RunRecord,
    identity: RunIdentity,
    file: Arc<dyn DiskFile>,
    /// Whole pages that are not written yet.
    unwritten: Vec<u8>,
    /// Where `unwritten` goes, in bytes.
    written: u64,
    page: Box<Page>,
    /// Entries in `page`.
    page_entries: u16,
    segment: Option<OpenSegment>,
    rows: Vec<SegmentRow>,
    entries: u64,
    last: Option<RawKey>,
}

/// The segment that entries go into.
struct OpenSegment {
    first: RawKey,
    first_page: u32,
    entries: u32,
    fences: Vec<u64>,
    keys: Vec<u64>,
    /// Whether two neighbours had the same eight first bytes.
    repeats: bool,
}

impl RunBuilder {
    /// Makes the file of the run, and the directory if somebody took it away.
    pub(super) fn create(disk: &dyn Disk, record: RunRecord) -> Result<RunBuilder, IndexError> {
        let name = names::run(record.number);
        let file = match disk.open(&name, OpenMode::Create) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_directory(disk)?;
                disk.open(&name, OpenMode::Create)?
            }
            opened => opened?,
        };
        Ok(RunBuilder {
            identity: record.identity(),
            record,
            file,
            unwritten: Vec::with_capacity(WRITE_SIZE),
            written: page_offset(u64::from(HEADER_PAGES)),
            page: Box::new([0; PAGE_SIZE]),
            page_entries: 0,
            segment: None,
            rows: Vec::new(),
            entries: 0,
            last: None,
        })
    }

    /// Adds the next entry. One with the key of the entry before it is left out: the first place
    /// of a block is as good as any.
    pub(super) fn push(&mut self, raw: &RawEntry) -> Result<(), IndexError> {
        let Some(key) = raw.first_chunk::<KEY_SIZE>() else { return Ok(()) };
        if self.last.as_ref().is_some_and(|last| last >= key) {
            return Ok(());
        }
        let same_prefix = self.last.is_some_and(|last| prefix(&last) == prefix(key));
        self.last = Some(*key);
        if self.page_entries == 0 {
            self.begin_page(key)?;
        }
        let at = usize::from(self.page_entries) * ENTRY_SIZE;
        self.page[at..at + ENTRY_SIZE].copy_from_slice(raw);
        self.page_entries += 1;
        self.entries += 1;
        let limit = self.record.segment_entries;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.keys.push(filter_key(key));
        segment.repeats |= same_prefix;
        segment.entries += 1;
        let full = segment.entries >= limit;
        if full {
            self.end_segment()
        } else if usize::from(self.page_entries) == PAGE_ENTRIES {
            self.end_page()
        } else {
            Ok(())
        }
    }

    /// The file that is being written.
    pub(super) fn name(&self) -> String {
        names::run(self.record.number)
    }

    /// Whether the last entry completed a segment: a good place to pause.
    pub(super) fn is_between_segments(&self) -> bool {
        self.segment.is_none()
    }

    /// Makes what was written durable, so that the end of a large run does not find all of it in
    /// memory and hold up everybody else's syncs.
    pub(super) fn sync(&self) -> Result<(), IndexError> {
        Ok(self.file.sync_data()?)
    }

    /// Writes what is left and makes the whole file durable.
    pub(super) fn finish(mut self) -> Result<RunRecord, IndexError> {
        self.end_segment()?;
        self.write_out()?;
        let table: Vec<u8> = self.rows.iter().flat_map(SegmentRow::encode).collect();
        let table_page = self.next_page()?;
        let too_large = IndexError::TooLarge { entries: self.entries };
        let header = RunHeader {
            identity: self.identity,
            entries: self.entries,
            segments: u32::try_from(self.rows.len()).map_err(|_| too_large)?,
            table_page,
            table_checksum: page::checksum(self.identity, u64::from(table_page), &table),
        };
        self.append_padded(&table);
        self.write_out()?;
        write_all_at(&*self.file, &header.encode(), 0)?;
        self.file.sync_data()?;
        Ok(self.record)
    }

    fn begin_page(&mut self, key: &RawKey) -> Result<(), IndexError> {
        let first_page = self.next_page()?;
        let segment = self.segment.get_or_insert_with(|| OpenSegment {
            first: *key,
            first_page,
            entries: 0,
            fences: Vec::new(),
            keys: Vec::new(),
            repeats: false,
        });
        segment.fences.push(prefix(key));
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), IndexError> {
        if self.page_entries == 0 {
            return Ok(());
        }
        let number = u64::from(self.next_page()?);
        page::seal(&mut self.page, self.identity, number, self.page_entries);
        self.page_entries = 0;
        self.unwritten.extend_from_slice(&*self.page);
        if self.unwritten.len() >= WRITE_SIZE { self.write_out() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> Result<(), IndexError> {
        self.end_page()?;
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let filter = Filter::build(&mut segment.keys, segment.repeats);
        let summary_page = u64::from(self.next_page()?);
        let mut summary: Vec<u8> =
            segment.fences.iter().flat_map(|fence| fence.to_be_bytes()).collect();
        summary.extend_from_slice(filter.fingerprints());
        let too_large = IndexError::TooLarge { entries: self.entries };
        self.rows.push(SegmentRow {
            first: segment.first,
            first_page: segment.first_page,
            pages: u32::try_from(segment.fences.len()).map_err(|_| too_large)?,
            entries: segment.entries,
            summary_checksum: page::checksum(self.identity, summary_page, &summary),
            filter: filter.parameters(),
        });
        self.append_padded(&summary);
        self.write_out()
    }

    /// The number of the page that is appended next.
    fn next_page(&self) -> Result<u32, IndexError> {
        let page = (self.written + self.unwritten.len() as u64) / PAGE_SIZE as u64;
        u32::try_from(page).map_err(|_| IndexError::TooLarge { entries: self.entries })
    }

    fn append_padded(&mut self, bytes: &[u8]) {
        self.unwritten.extend_from_slice(bytes);
        let padded = whole_pages(self.unwritten.len() as u64);
        self.unwritten.resize(usize::try_from(padded).unwrap_or(usize::MAX), 0);
    }

    fn write_out(&mut self) -> Result<(), IndexError> {
        write_all_at(&*self.file, &self.unwritten, self.written)?;
        self.written += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }
}
