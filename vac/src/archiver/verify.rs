//! Asks the store whether it still has the content that is taken over from an older archive.
//!
//! Only the block at the top of each file is asked for: a store that lost blocks has lost some
//! of those, too, and where it lost others reading the file says so.

use venti_proto::{BlockRequest, BlockStore, Entry, Presence, Score};

use super::error::ArchiveError;

/// Blocks that are asked for at once.
const AT_ONCE: usize = 512;

/// Gathers questions, if there are to be any.
pub(super) struct Verifier<'a> {
    store: &'a dyn BlockStore,
    wanted: bool,
    requests: Vec<BlockRequest>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(store: &'a dyn BlockStore, wanted: bool) -> Verifier<'a> {
        Verifier { store, wanted, requests: Vec::new() }
    }

    /// Asks for the block at the top of a stream, soon.
    ///
    /// # Errors
    /// [`ArchiveError::StaleHint`] if a block is not there, [`ArchiveError::Store`].
    pub(super) fn check(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let Some(block_type) = entry.top_type() else { return Ok(()) };
        if !self.wanted || entry.score == Score::ZERO {
            return Ok(());
        }
        self.requests.push(BlockRequest { score: entry.score, block_type });
        if self.requests.len() < AT_ONCE { Ok(()) } else { self.finish() }
    }

    /// Asks for what was not asked for yet.
    ///
    /// # Errors
    /// As [`Verifier::check`].
    pub(super) fn finish(&mut self) -> Result<(), ArchiveError> {
        if self.requests.is_empty() {
            return Ok(());
        }
        let presence = self.store.probe(&self.requests)?;
        self.requests.clear();
        let lost = presence.contains(&Presence::Absent);
        if lost { Err(ArchiveError::StaleHint) } else { Ok(()) }
    }
}
