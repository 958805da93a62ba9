//! Reads the table of contents of a sealed arena: all of it, or the part around one clump.

use std::sync::Arc;

use crate::arena::{Footer, TOC_PAGE_ENTRIES, TOC_PAGE_SIZE, TocEntry, TocPage, toc_pages};
use crate::disk::{DiskError, DiskFile, read_exact_at};
use crate::fields::{FormatError, StoreIdentity};

/// Pages that are read at once and enter the fingerprint cache as one group: 312 blocks.
const GROUP_PAGES: u32 = 4;
/// Pages that are read at once when all are wanted.
const PAGES_AT_ONCE: u32 = 256;

/// Why a table of contents, or a part of it, is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TocError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("{found} entries, the footer says {expected}")]
    Count { found: usize, expected: u32 },
    #[error("the pages are not those that the footer was made for")]
    Digest,
}

/// The table of contents of one arena.
#[derive(Debug)]
pub(super) struct TocReader {
    file: Arc<dyn DiskFile>,
    store: StoreIdentity,
    footer: Footer,
}

impl TocReader {
    pub(super) fn new(file: Arc<dyn DiskFile>, store: StoreIdentity, footer: Footer) -> TocReader {
        TocReader { file, store, footer }
    }

    /// Every entry, proved by the footer's digest.
    pub(super) fn all(&self) -> Result<Vec<TocEntry>, TocError> {
        let mut entries = Vec::with_capacity(self.footer.clumps as usize);
        let mut hasher = blake3::Hasher::new();
        let pages = toc_pages(self.footer.clumps);
        let mut page = 0;
        let mut buffer = Vec::new();
        while page < pages {
            let count = PAGES_AT_ONCE.min(pages - page);
            self.read_pages(page, count, &mut buffer)?;
            hasher.update(&buffer);
            self.decode(page, &buffer, &mut entries)?;
            page += count;
        }
        let expected = self.footer.clumps;
        if entries.len() != expected as usize {
            return Err(TocError::Count { found: entries.len(), expected });
        }
        if *hasher.finalize().as_bytes() != self.footer.toc_digest {
            return Err(TocError::Digest);
        }
        Ok(entries)
    }

    /// The number and the entries of the group that has the clump at `offset`, or would have it.
    /// Clumps have much the same size, so their place in the table can be guessed.
    pub(super) fn group_at(&self, offset: u32) -> Result<(u32, Vec<TocEntry>), TocError> {
        let groups = toc_pages(self.footer.clumps).div_ceil(GROUP_PAGES).max(1);
        let (mut low, mut high) = (0, groups - 1);
        let guess = u64::from(offset) * u64::from(groups) / u64::from(self.footer.log_end.max(1));
        let mut group = u32::try_from(guess).unwrap_or(0).clamp(low, high);
        loop {
            let entries = self.group(group)?;
            let first = entries.first().map_or(0, |entry| entry.offset);
            let last = entries.last().map_or(u32::MAX, |entry| entry.offset);
            if offset < first && group > low {
                high = group - 1;
                // A near miss is a neighbour; anything else is halved.
                group = if group - low > 2 { group - 1 - (group - 1 - low) / 2 } else { high };
            } else if offset > last && group < high {
                low = group + 1;
                group = if high - group > 2 { low + (high - low) / 2 } else { low };
            } else {
                return Ok((group, entries));
            }
        }
    }

    /// The entry of the clump at `offset`, if there is one.
    pub(super) fn entry_at(&self, offset: u32) -> Result<Option<TocEntry>, TocError> {
        let (_, entries) = self.group_at(offset)?;
        Ok(entries.into_iter().find(|entry| entry.offset == offset))
    }

    fn group(&self, group: u32) -> Result<Vec<TocEntry>, TocError> {
        let first = group * GROUP_PAGES;
        let pages = toc_pages(self.footer.clumps).saturating_sub(first).min(GROUP_PAGES);
        let (mut buffer, mut entries) = (Vec::new(), Vec::new());
        self.read_pages(first, pages, &mut buffer)?;
        self.decode(first, &buffer, &mut entries)?;
        Ok(entries)
    }

    fn read_pages(&self, first: u32, count: u32, buffer: &mut Vec<u8>) -> Result<(), DiskError> {
        buffer.resize(count as usize * TOC_PAGE_SIZE, 0);
        let start = u64::from(self.footer.log_end) + u64::from(first) * TOC_PAGE_SIZE as u64;
        read_exact_at(&*self.file, buffer, start)
    }

    fn decode(
        &self,
        first: u32,
        bytes: &[u8],
        entries: &mut Vec<TocEntry>,
    ) -> Result<(), FormatError> {
        entries.reserve(bytes.len() / TOC_PAGE_SIZE * TOC_PAGE_ENTRIES);
        for (number, page) in (first..).zip(bytes.chunks_exact(TOC_PAGE_SIZE)) {
            let page = TocPage::decode(&self.store, self.footer.number, number, page)?;
            entries.extend(page.entries);
        }
        Ok(())
    }
}
