//! Sealing the arena before the last: its table of contents, its footer, and no write ever again.
//!
//! The log goes on in the next arena meanwhile. Until the footer is durable the exact map stays;
//! the caller enters the arena into the catalogue and the index between [`Log::write_seal`] and
//! [`Log::end_seal`], so that a block is always found in one of them.

use std::sync::Arc;

use venti_proto::StoreError;

use super::{Entries, Log};
use crate::Location;
use crate::arena::{Footer, MARK_SIZE, Mark, TOC_PAGE_ENTRIES, TOC_PAGE_SIZE, TocEntry, TocPage};
use crate::disk::{DiskError, DiskFile, DiskResult, write_all_at};
use crate::names;

/// Pages of a table of contents that are written at once.
const PAGES_AT_ONCE: usize = 256;

/// An arena that is being sealed by the holder of this.
pub(crate) struct SealJob {
    pub(crate) number: u32,
    pub(crate) entries: Arc<Entries>,
    file: Arc<dyn DiskFile>,
    created: u64,
    log_end: u32,
    sequence: u64,
}

impl Log {
    /// Takes on the sealing of the first arena, if it waits for that and nobody else does it.
    ///
    /// # Errors
    /// If the log takes no writes.
    pub(crate) fn begin_seal(&self) -> Result<Option<SealJob>, StoreError> {
        let mut state = self.lock();
        state.healthy()?;
        if state.arenas.len() < 2 || state.sealing {
            return Ok(None);
        }
        state.sealing = true;
        while state.arenas.front().is_some_and(|arena| !arena.pending.is_empty()) {
            self.changed.wait(&mut state);
        }
        let job = state.arenas.front().map(|arena| SealJob {
            number: arena.number,
            entries: Arc::clone(&arena.entries),
            file: Arc::clone(&arena.file),
            created: arena.created,
            log_end: arena.next,
            sequence: arena.sequence,
        });
        Ok(job)
    }

    /// Writes all that makes the arena a sealed one, durably.
    ///
    /// # Errors
    /// If the disk is full, which may pass, or failed, which does not.
    pub(crate) fn write_seal(&self, job: &SealJob) -> Result<Footer, StoreError> {
        self.sync()?;
        let footer = self.write_contents(job).map_err(|error| self.seal_failed(&error))?;
        self.exclusive_sync(|| {
            job.file.sync_data()?;
            self.disk.sync_dir(names::ARENAS)
        })?;
        // Only a guard against accidents: the footer is what makes it sealed.
        if let Err(error) = self.disk.set_read_only(&names::arena(job.number)) {
            tracing::warn!(%error, "sealed arena stays writable");
        }
        Ok(footer)
    }

    /// Lets go of the first arena: sealed, and known elsewhere, or to be tried again.
    pub(crate) fn end_seal(&self, sealed: bool) {
        let mut state = self.lock();
        state.sealing = false;
        if sealed {
            state.arenas.pop_front();
            state.generation += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    fn seal_failed(&self, error: &DiskError) -> StoreError {
        if error.is_full() {
            return StoreError::Io { detail: error.to_string() };
        }
        let failed = self.lock().fail(error);
        self.changed.notify_all();
        failed
    }

    /// Everything in the arena is durable: a last mark says so, and what follows is derived.
    fn write_contents(&self, job: &SealJob) -> DiskResult<Footer> {
        let entries: Vec<TocEntry> = job.entries.iter().copied().collect();
        let clumps = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let now = self.environment.milliseconds();
        let mark =
            Mark { durable_through: job.log_end, sequence: job.sequence + 1, time: now, clumps };
        let place = Location { arena: job.number, offset: job.log_end };
        write_all_at(&*job.file, &mark.encode(&self.store, place), u64::from(job.log_end))?;

        let log_end = u64::from(job.log_end) + MARK_SIZE as u64;
        let (offset, toc_digest) = self.write_toc(job, &entries, log_end)?;
        let sum = |bytes: fn(&TocEntry) -> u32| entries.iter().map(|e| u64::from(bytes(e))).sum();
        let footer = Footer {
            number: job.number,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            created: job.created,
            sealed: now,
            log_end: u32::try_from(log_end).unwrap_or(u32::MAX),
            clumps,
            block_bytes: sum(|entry| entry.info.size),
            stored_bytes: sum(|entry| entry.info.stored),
            toc_digest,
        };
        write_all_at(&*job.file, &footer.encode(&self.store), offset)?;
        Ok(footer)
    }

    /// Returns where the table ends, and its digest.
    fn write_toc(
        &self,
        job: &SealJob,
        entries: &[TocEntry],
        start: u64,
    ) -> DiskResult<(u64, [u8; 32])> {
        let mut hasher = blake3::Hasher::new();
        let mut offset = start;
        let mut pages = entries.chunks(TOC_PAGE_ENTRIES).enumerate();
        let mut buffer = vec![0; PAGES_AT_ONCE * TOC_PAGE_SIZE];
        loop {
            let mut filled = 0;
            for ((number, entries), bytes) in
                pages.by_ref().take(PAGES_AT_ONCE).zip(buffer.chunks_mut(TOC_PAGE_SIZE))
            {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                TocPage::encode(&self.store, job.number, number, entries, bytes);
                filled += TOC_PAGE_SIZE;
            }
            if filled == 0 {
                return Ok((offset, *hasher.finalize().as_bytes()));
            }
            hasher.update(&buffer[..filled]);
            write_all_at(&*job.file, &buffer[..filled], offset)?;
            offset += filled as u64;
        }
    }
}
