//! A store that forgets everything when the process ends: for tests.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{
    BlockRequest, BlockStore, Deliver, HashedBatch, MAX_BLOCK_SIZE, Presence, Score, StoreError,
};

/// Blocks in a map. The block of no bytes is always there, as in every store.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: Mutex<HashMap<BlockRequest, Vec<u8>>>,
}

impl MemoryStore {
    /// A store without blocks.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// How many blocks are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.lock().len()
    }

    /// Whether no block is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loses a block, which no real store does: to test what its readers do then. Returns
    /// whether it was there.
    pub fn forget(&self, request: &BlockRequest) -> bool {
        self.blocks.lock().remove(request).is_some()
    }
}

impl BlockStore for MemoryStore {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        let mut blocks = self.blocks.lock();
        for block in batch.iter() {
            let (size, limit) = (block.data().len(), MAX_BLOCK_SIZE);
            if size > limit {
                return Err(StoreError::TooLarge { size, limit });
            }
            let stored =
                blocks.entry(BlockRequest::from(&block)).or_insert_with(|| block.data().to_vec());
            if stored != block.data() {
                return Err(StoreError::Collision { score: block.score() });
            }
        }
        Ok(())
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        for (position, request) in requests.iter().enumerate() {
            let BlockRequest { score, block_type } = *request;
            let block = self.blocks.lock().get(request).cloned();
            match block {
                Some(block) => deliver(position, Ok(&block)),
                None if score == Score::ZERO => deliver(position, Ok(&[])),
                None => deliver(position, Err(StoreError::NotFound { score, block_type })),
            }
        }
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        let blocks = self.blocks.lock();
        let presence = |request: &BlockRequest| {
            if request.score == Score::ZERO || blocks.contains_key(request) {
                Presence::Present
            } else {
                Presence::Absent
            }
        };
        Ok(requests.iter().map(presence).collect())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockBatch, BlockType};

    #[test]
    fn what_is_written_is_read_under_its_type_only() {
        let store = MemoryStore::new();
        let mut batch = BlockBatch::default();
        batch.push(BlockType::DATA, b"hello");
        let batch = batch.hash();
        store.write(&batch).unwrap();
        let score = batch.scores()[0];
        assert_eq!(store.read_block(score, BlockType::DATA), Ok(b"hello".to_vec()));
        assert_eq!(
            store.read_block(score, BlockType::ROOT),
            Err(StoreError::NotFound { score, block_type: BlockType::ROOT })
        );
        let wanted =
            [BlockType::DATA, BlockType::ROOT].map(|block_type| BlockRequest { score, block_type });
        assert_eq!(store.probe(&wanted), Ok(vec![Presence::Present, Presence::Absent]));
    }
}
