//! A run that is read: its filters and fences in memory, its pages on the disk.
//!
//! Everything that stays in memory was checked at open; a page is checked whenever it is read.
//! Pages are read with `read_at` and not mapped: mapped pages count as the server's memory (all of
//! a run after enough lookups at random), a bad sector would be a signal instead of an error, and
//! a lookup that finds its page in the system's cache costs about a microsecond either way
//! (`examples/index_20m.rs` measures both).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SealedArena;
use super::entry::{KEY_SIZE, RawKey, filter_key, prefix};
use super::error::Damage;
use super::filter::Filter;
use super::layout::{HEADER_PAGES, RunHeader, SEGMENT_SIZE, SegmentRow, page_offset};
use super::manifest::RunRecord;
use super::page::{self, PAGE_ENTRIES, PAGE_SIZE, Page, RunIdentity};
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::names;

/// A sorted immutable file of entries.
pub(super) struct Run {
    /// What the manifest says of it.
    pub(super) record: RunRecord,
    identity: RunIdentity,
    file: Arc<dyn DiskFile>,
    segments: Vec<Segment>,
    /// Bytes of the file.
    pub(super) file_length: u64,
    entries: u64,
    /// Set when a page did not verify: nothing of it is believed any more.
    damaged: AtomicBool,
}

/// What memory holds of a segment.
struct Segment {
    row: SegmentRow,
    /// The first eight bytes of the first score of each page.
    fences: Box<[u64]>,
    filter: Filter,
}

impl Run {
    /// Opens and checks everything of a run but its pages.
    pub(super) fn open(disk: &dyn Disk, record: RunRecord) -> Result<Run, Damage> {
        let file = disk.open(&names::run(record.number), OpenMode::Read)?;
        let identity = record.identity();
        let mut page = [0; PAGE_SIZE];
        read_exact_at(&*file, &mut page, 0)?;
        let header = RunHeader::decode(&page, identity)?;
        let file_length = file.len()?;
        if file_length != header.file_length() {
            let expected = header.file_length();
            return Err(Damage::Length { part: "run", found: file_length, expected });
        }
        let rows = read_table(&*file, &header)?;
        check_rows(&header, &rows)?;
        let segments = rows.into_iter().map(|row| Segment::read(&*file, identity, row));
        let segments = segments.collect::<Result<_, _>>()?;
        let entries = header.entries;
        let damaged = AtomicBool::new(false);
        Ok(Run { record, identity, file, segments, file_length, entries, damaged })
    }

    /// Entries in the run.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether a page did not verify since it was opened.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Remembers that nothing of it is to be believed any more.
    pub(super) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Remembers and logs that a page did not verify.
    pub(super) fn report_damage(&self, damage: &Damage) {
        tracing::warn!(run = self.record.number, %damage, "index run is damaged, dropping it");
        self.mark_damaged();
    }

    /// What every page is bound to.
    pub(super) fn identity(&self) -> RunIdentity {
        self.identity
    }

    /// The page on which `key` is if the run has it; `None` if the run surely has it not.
    pub(super) fn page_for(&self, key: &RawKey) -> Option<u32> {
        let behind = self.segments.partition_point(|segment| segment.row.first <= *key);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        if !segment.filter.may_hold(filter_key(key)) {
            return None;
        }
        Some(segment.page_for(key))
    }

    /// The page before `page`, if that may hold `key` too because eight bytes do not tell them
    /// apart: only when `page` starts with just these bytes.
    pub(super) fn previous_page_for(&self, page: u32, key: &RawKey) -> Option<u32> {
        let behind = self.segments.partition_point(|segment| segment.row.first_page <= page);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        let at = page.checked_sub(segment.row.first_page)?;
        let same = segment.fences.get(at as usize) == Some(&prefix(key));
        (same && at > 0).then(|| page - 1)
    }

    /// Reads and checks one page.
    pub(super) fn read_page(&self, number: u32, buffer: &mut Page) -> Result<(), Damage> {
        read_exact_at(&*self.file, buffer, page_offset(u64::from(number)))?;
        page::verify(buffer, self.identity, u64::from(number))?;
        Ok(())
    }

    /// Reads and checks one page if it is in the system's memory; whether it is.
    pub(super) fn read_cached_page(&self, number: u32, buffer: &mut Page) -> Result<bool, Damage> {
        let offset = page_offset(u64::from(number));
        // A failure is met again, and reported, by the read that waits.
        let read = self.file.read_cached_at(buffer, offset).ok().flatten();
        if read != Some(PAGE_SIZE) {
            return Ok(false);
        }
        page::verify(buffer, self.identity, u64::from(number))?;
        Ok(true)
    }

    /// Says that a page will be read soon.
    pub(super) fn will_need(&self, number: u32) {
        self.file.will_need(page_offset(u64::from(number)), PAGE_SIZE as u64);
    }

    /// Reads pages that follow each other, unchecked.
    pub(super) fn read_pages(&self, number: u32, buffer: &mut [u8]) -> Result<(), Damage> {
        Ok(read_exact_at(&*self.file, buffer, page_offset(u64::from(number)))?)
    }

    /// The ranges of pages that hold entries, in the order of their keys: first page and count.
    pub(super) fn page_ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.segments.iter().map(|segment| (segment.row.first_page, segment.row.pages))
    }

    /// Bytes that the run occupies in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let summaries = self.segments.iter().map(|segment| {
            size_of::<Segment>()
                + size_of_val(&*segment.fences)
                + size_of_val(segment.filter.fingerprints())
        });
        size_of::<Run>()
            + self.record.covered.len() * size_of::<SealedArena>()
            + summaries.sum::<usize>()
    }
}

impl Segment {
    /// Reads and checks fences and filter.
    fn read(
        file: &dyn DiskFile,
        identity: RunIdentity,
        row: SegmentRow,
    ) -> Result<Segment, Damage> {
        // check_rows has bounded both lengths by the file's.
        let fences_length = row.pages as usize * 8;
        let mut summary = vec![0; fences_length + row.filter.length as usize];
        read_exact_at(file, &mut summary, page_offset(row.summary_page()))?;
        let expected = page::checksum(identity, row.summary_page(), &summary);
        if row.summary_checksum != expected {
            return Err(Damage::Checksum {
                part: "fences and filter",
                page: row.summary_page(),
                found: row.summary_checksum,
                expected,
            });
        }
        let (fences, fingerprints) = summary.split_at(fences_length);
        let fences = fences.as_chunks().0.iter().map(|fence| u64::from_be_bytes(*fence)).collect();
        Ok(Segment { row, fences, filter: Filter::from_parts(row.filter, fingerprints)? })
    }

    /// The last page that can hold `key`.
    fn page_for(&self, key: &RawKey) -> u32 {
        let behind = self.fences.partition_point(|fence| *fence <= prefix(key));
        let page = u32::try_from(behind.saturating_sub(1)).unwrap_or(u32::MAX);
        self.row.first_page.saturating_add(page)
    }
}

fn read_table(file: &dyn DiskFile, header: &RunHeader) -> Result<Vec<SegmentRow>, Damage> {
    let length = header.segments as usize * SEGMENT_SIZE;
    let mut table = vec![0; length];
    let page = u64::from(header.table_page);
    read_exact_at(file, &mut table, page_offset(page))?;
    let expected = page::checksum(header.identity, page, &table);
    if header.table_checksum != expected {
        let found = header.table_checksum;
        return Err(Damage::Checksum { part: "table", page, found, expected });
    }
    table.as_chunks().0.iter().map(SegmentRow::decode).collect()
}

/// Segments follow each other without a gap, have as many entries as their pages can hold, and
/// their keys ascend.
fn check_rows(header: &RunHeader, rows: &[SegmentRow]) -> Result<(), Damage> {
    let wrong = |field, found| Err(Damage::Field { part: "segment", field, found });
    let mut next_page = u64::from(HEADER_PAGES);
    let mut entries = 0;
    let mut last: Option<[u8; KEY_SIZE]> = None;
    for row in rows {
        if u64::from(row.first_page) != next_page {
            return wrong("first page", u64::from(row.first_page));
        }
        let pages_needed = u64::from(row.entries).div_ceil(PAGE_ENTRIES as u64);
        if row.entries == 0 || u64::from(row.pages) != pages_needed {
            return wrong("pages", u64::from(row.pages));
        }
        if last.is_some_and(|last| last >= row.first) {
            return wrong("first key", prefix(&row.first));
        }
        row.filter.check()?;
        last = Some(row.first);
        next_page = row.end_page();
        entries += u64::from(row.entries);
    }
    if next_page != u64::from(header.table_page) {
        return wrong("table page", u64::from(header.table_page));
    }
    if entries != header.entries {
        return wrong("entries", header.entries);
    }
    Ok(())
}
