//! Keeps blocks by score: a block never changes, so what is kept never becomes stale.
//!
//! Least recently used blocks go first, approximately: a block that was used since the hand came
//! by last gets another round. Several shards, each with its own lock, which is never held while
//! the store behind is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, StoreError};

const SHARDS: usize = 16;

/// What a block costs besides its bytes.
const OVERHEAD: usize = 128;

/// A store with some of its blocks in memory.
pub struct BlockCache {
    store: Arc<dyn BlockStore>,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    blocks: HashMap<BlockRequest, Kept>,
    /// Every key of `blocks` once.
    round: VecDeque<BlockRequest>,
    bytes: usize,
    limit: usize,
}

struct Kept {
    data: Arc<[u8]>,
    used: bool,
}

impl BlockCache {
    /// Keeps at most about `limit` bytes.
    #[must_use]
    pub fn new(store: Arc<dyn BlockStore>, limit: usize) -> BlockCache {
        let shard = || Mutex::new(Shard { limit: limit / SHARDS, ..Shard::default() });
        BlockCache { store, shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }

    fn shard(&self, request: &BlockRequest) -> &Mutex<Shard> {
        &self.shards[usize::from(request.score.as_bytes()[0]) % SHARDS]
    }
}

impl Shard {
    fn get(&mut self, request: &BlockRequest) -> Option<Arc<[u8]>> {
        let kept = self.blocks.get_mut(request)?;
        kept.used = true;
        Some(Arc::clone(&kept.data))
    }

    fn put(&mut self, request: BlockRequest, data: &[u8]) {
        if self.blocks.contains_key(&request) {
            return;
        }
        self.bytes += data.len() + OVERHEAD;
        self.blocks.insert(request, Kept { data: data.into(), used: false });
        self.round.push_back(request);
        while self.bytes > self.limit
            && let Some(oldest) = self.round.pop_front()
        {
            match self.blocks.get_mut(&oldest) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    self.round.push_back(oldest);
                }
                Some(kept) => {
                    self.bytes -= kept.data.len() + OVERHEAD;
                    self.blocks.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

impl BlockStore for BlockCache {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        let mut missing = Vec::new();
        for (position, request) in requests.iter().enumerate() {
            let kept = self.shard(request).lock().get(request);
            match kept {
                Some(data) => deliver(position, Ok(&data)),
                None => missing.push(position),
            }
        }
        let wanted: Vec<_> = missing.iter().map(|position| requests[*position]).collect();
        if wanted.is_empty() {
            return;
        }
        self.store.read(&wanted, &mut |position, block| {
            if let (Ok(data), Some(request)) = (&block, wanted.get(position)) {
                self.shard(request).lock().put(*request, data);
            }
            if let Some(position) = missing.get(position) {
                deliver(*position, block);
            }
        });
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venti_proto::{BlockBatch, BlockType, MemoryStore, Score};

    #[test]
    fn kept_blocks_outlive_the_store_and_the_least_used_go() {
        let store = Arc::new(MemoryStore::new());
        let mut batch = BlockBatch::default();
        for number in 0..2000u32 {
            batch.push(BlockType::DATA, &[&number.to_be_bytes()[..], &[1; 1000]].concat());
        }
        let batch = batch.hash();
        store.write(&batch).unwrap();
        let cache = BlockCache::new(Arc::clone(&store) as _, 500 * (1004 + OVERHEAD));
        let request = |score: &Score| BlockRequest { score: *score, block_type: BlockType::DATA };
        let requests: Vec<_> = batch.scores().iter().map(request).collect();
        let favourite = requests[0];
        for request in &requests {
            cache.read_block(request.score, request.block_type).unwrap();
            cache.read_block(favourite.score, favourite.block_type).unwrap();
        }
        requests.iter().for_each(|request| assert!(store.forget(request)));
        let kept =
            |request: &&BlockRequest| cache.read_block(request.score, request.block_type).is_ok();
        assert!(kept(&&favourite), "what is used stays");
        let count = requests.iter().filter(kept).count();
        assert!((300..=500).contains(&count), "{count} blocks are kept");
    }
}
