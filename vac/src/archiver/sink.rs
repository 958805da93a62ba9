//! Where blocks go: batches that are hashed and written once they are large enough.
//!
//! Every thread has a sink of its own, so that nothing is handed over block by block and nobody
//! waits for a lock: what a store has to do under a lock it does by the batch.

use venti_proto::hash_tree::TreeTooDeep;
use venti_proto::{
    BlockBatch, BlockRequest, BlockStore, BlockType, HashedBatch, Presence, Score, StoreError,
};

use super::known::KnownBlocks;
use super::pace::Pace;
use super::progress::{Counters, add};
use super::run::Shared;

/// Bytes at which a batch is written.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// A thread's way to the store.
pub(super) struct Sink<'a> {
    store: &'a dyn BlockStore,
    counters: &'a Counters,
    pace: &'a Pace,
    /// Pointer and directory blocks: their scores are needed at once, so they are hashed alone
    /// and only sent together.
    blocks: BlockBatch,
    probing: Probing,
}

/// Whether asking for blocks before sending them pays off.
struct Probing {
    wanted: bool,
    /// Batches to be sent without asking.
    skip: u32,
}

impl Probing {
    /// A probe costs about a tenth of sending a block: with fewer hits than one in ten it is
    /// better to send, and to ask again later.
    fn learn(&mut self, asked: usize, present: usize) {
        if present * 10 < asked {
            self.skip = 32;
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.wanted && self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        due
    }
}

impl<'a> Sink<'a> {
    pub(super) fn new(store: &'a dyn BlockStore, shared: &'a Shared, pace: &'a Pace) -> Self {
        let counters = &shared.progress.counters;
        let probing = Probing { wanted: shared.probe, skip: 0 };
        Sink { store, counters, pace, blocks: BlockBatch::default(), probing }
    }

    /// The batch that tree writers append to; to be followed by [`Sink::flush_if_large`].
    pub(super) fn blocks(&mut self) -> &mut BlockBatch {
        &mut self.blocks
    }

    /// Adds one block and returns its score.
    pub(super) fn add(&mut self, block_type: BlockType, block: &[u8]) -> Score {
        self.blocks.push(block_type, block);
        Score::of(block)
    }

    /// Writes what was added if it is enough for a batch.
    pub(super) fn flush_if_large(&mut self) -> Result<(), StoreError> {
        if self.blocks.bytes() < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.blocks.is_empty() {
            return Ok(());
        }
        let hashed = std::mem::take(&mut self.blocks).hash();
        self.write(&hashed)?;
        self.blocks = hashed.recycle();
        Ok(())
    }

    /// Writes what was added, but not the blocks that the store is known to have; unless `now`,
    /// only if it is enough for a batch.
    pub(super) fn flush_unknown(
        &mut self,
        known: Option<&KnownBlocks>,
        now: bool,
    ) -> Result<(), StoreError> {
        if self.blocks.is_empty() || !(now || self.blocks.bytes() >= BATCH_BYTES) {
            return Ok(());
        }
        let mut hashed = std::mem::take(&mut self.blocks).hash();
        if let Some(known) = known {
            let before = hashed.bytes();
            known.ask(|is_known| hashed.retain(|block| !is_known(&block.score())));
            add(&self.counters.bytes_known, (before - hashed.bytes()) as u64);
        }
        self.write(&hashed)?;
        self.blocks = hashed.recycle();
        Ok(())
    }

    /// Writes a batch of content: without the blocks that the store says it has, if it is
    /// asked. Those are then gone from the batch.
    pub(super) fn write_content(&mut self, batch: &mut HashedBatch) -> Result<(), StoreError> {
        if self.probing.is_due() && !batch.is_empty() {
            let requests: Vec<BlockRequest> =
                batch.iter().map(|block| BlockRequest::from(&block)).collect();
            let mut presence = self.store.probe(&requests)?.into_iter();
            let (blocks, bytes) = (batch.len(), batch.bytes());
            batch.retain(|_| presence.next() != Some(Presence::Present));
            self.probing.learn(blocks, blocks - batch.len());
            add(&self.counters.bytes_known, (bytes - batch.bytes()) as u64);
        }
        self.write(batch)
    }

    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.pace.wait_for(batch.bytes());
        self.store.write(batch)?;
        add(&self.counters.bytes_sent, batch.bytes() as u64);
        add(&self.counters.blocks_sent, batch.len() as u64);
        Ok(())
    }
}

/// Why storing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SinkError {
    Store(StoreError),
    TooDeep(TreeTooDeep),
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> SinkError {
        SinkError::Store(error)
    }
}

impl From<TreeTooDeep> for SinkError {
    fn from(error: TreeTooDeep) -> SinkError {
        SinkError::TooDeep(error)
    }
}
