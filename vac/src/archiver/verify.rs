//! Asks the store whether it still has the content that is taken over from an older archive.
//!
//! What is asked for is the block at the top of each file, and of a large file all of its pointer
//! blocks: they lie among its data, one for every few megabytes. A store that lost a part of its
//! log has lost some of these, too. Where it lost a single block, reading the file says so.

use venti_proto::{BlockRequest, BlockStore, BlockType, Entry, Presence, Score, StoreError};

use super::error::ArchiveError;

/// Blocks that are asked for at once.
const AT_ONCE: usize = 4096;

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

    /// Asks for the block at the top of a stream and for its pointer blocks, soon.
    ///
    /// # Errors
    /// [`ArchiveError::StaleHint`] if a block is not there, [`ArchiveError::Store`].
    pub(super) fn check(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let Some(top_type) = entry.top_type() else { return Ok(()) };
        if !self.wanted {
            return Ok(());
        }
        self.ask(entry.score, top_type)?;
        if entry.depth < 2 {
            return Ok(());
        }
        let mut pointers = vec![(entry.depth, entry.score)];
        while let Some((depth, score)) = pointers.pop() {
            // What is below depth 1 is data.
            let Some(type_below) = depth.checked_sub(2).and_then(BlockType::pointer) else {
                continue;
            };
            for child in self.children(score, depth)? {
                self.ask(child, type_below)?;
                pointers.push((depth - 1, child));
            }
        }
        Ok(())
    }

    /// Reads what a pointer block points to that is so far above the data.
    fn children(&self, score: Score, depth: u8) -> Result<Vec<Score>, ArchiveError> {
        let block_type = depth.checked_sub(1).and_then(BlockType::pointer);
        let Some(block_type) = block_type.filter(|_| score != Score::ZERO) else {
            return Ok(Vec::new());
        };
        let block = self.store.read_block(score, block_type).map_err(|error| match error {
            StoreError::NotFound { .. } | StoreError::Damaged { .. } => ArchiveError::StaleHint,
            error => ArchiveError::Store(error),
        })?;
        Ok(block.as_chunks().0.iter().copied().map(Score::from_bytes).collect())
    }

    fn ask(&mut self, score: Score, block_type: BlockType) -> Result<(), ArchiveError> {
        if score == Score::ZERO {
            return Ok(());
        }
        self.requests.push(BlockRequest { score, block_type });
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
