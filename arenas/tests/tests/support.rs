//! What the tests of the store share.

use std::sync::Arc;

use arenas::disk::SimDisk;
use arenas::{OpenError, ScriptedEnvironment, Store, StoreOptions};
use venti_proto::{BlockBatch, BlockRequest, BlockStore, BlockType, Score, StoreError};

/// Options for a simulated store: small arenas, and no thread, so that a run can be replayed.
pub(crate) fn small(arena_size: u64) -> StoreOptions {
    StoreOptions {
        create: true,
        arena_size,
        memory: 4 << 20,
        background: false,
        environment: Arc::new(ScriptedEnvironment::new(1_000_000, 7)),
        ..StoreOptions::default()
    }
}

/// Opens a store on a simulated disk.
pub(crate) fn open(disk: &SimDisk, arena_size: u64) -> Result<Store, OpenError> {
    Store::open(Arc::new(disk.clone()), small(arena_size))
}

/// A block that can be told from all others: every other one shrinks when it is compressed.
pub(crate) fn block(number: u64, size: usize) -> Vec<u8> {
    let seed = blake3::hash(&number.to_be_bytes());
    let mut block = vec![0; size];
    if number.is_multiple_of(2) {
        blake3::Hasher::new_keyed(seed.as_bytes()).finalize_xof().fill(&mut block);
    } else {
        for (place, byte) in block.iter_mut().enumerate() {
            *byte = seed.as_bytes()[place % 5];
        }
    }
    block
}

/// Writes blocks as one batch.
pub(crate) fn write(store: &Store, blocks: &[Vec<u8>]) -> Result<(), StoreError> {
    let mut batch = BlockBatch::default();
    for block in blocks {
        batch.push(BlockType::DATA, block);
    }
    store.write(&batch.hash())
}

/// The address of a data block.
pub(crate) fn request(block: &[u8]) -> BlockRequest {
    BlockRequest { score: Score::of(block), block_type: BlockType::DATA }
}

/// Reads data blocks in one call.
pub(crate) fn read(store: &Store, blocks: &[Vec<u8>]) -> Vec<Result<Vec<u8>, StoreError>> {
    let requests: Vec<BlockRequest> = blocks.iter().map(|block| request(block)).collect();
    let mut results = vec![None; blocks.len()];
    store.read(&requests, &mut |position, found| {
        assert!(results[position].is_none(), "delivered twice");
        results[position] = Some(found.map(<[u8]>::to_vec));
    });
    results.into_iter().map(|result| result.expect("delivered")).collect()
}

/// Every one of `blocks` must be read back as it was written.
pub(crate) fn assert_all_there(store: &Store, blocks: &[Vec<u8>]) {
    for (place, (found, expected)) in read(store, blocks).into_iter().zip(blocks).enumerate() {
        match found {
            Ok(found) => assert!(found == *expected, "block {place} has other bytes"),
            Err(error) => panic!("block {place}: {error}"),
        }
    }
}

/// Whether the long suites were asked for: `VENTI_SUITE=long`.
pub(crate) fn long_suite() -> bool {
    std::env::var("VENTI_SUITE").is_ok_and(|suite| suite == "long")
}

/// A seeded source of decisions.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) const fn chance(&mut self, part: usize, whole: usize) -> bool {
        self.below(whole) < part
    }
}

/// The promise: the first `synced` blocks are there, the others whole or absent. Returns the
/// places of those that are there.
pub(crate) fn assert_oracle(
    store: &Store,
    blocks: &[Vec<u8>],
    synced: usize,
    seed: u64,
) -> Vec<usize> {
    let mut kept = Vec::new();
    for (place, (found, expected)) in read(store, blocks).into_iter().zip(blocks).enumerate() {
        match found {
            Ok(found) => {
                assert!(found == *expected, "seed {seed}: block {place} has other bytes");
                kept.push(place);
            }
            Err(StoreError::NotFound { .. }) if place >= synced => {}
            Err(error) => {
                let findings = store.findings();
                panic!("seed {seed}: block {place} of {synced} synced: {error}; {findings:?}")
            }
        }
    }
    kept
}
