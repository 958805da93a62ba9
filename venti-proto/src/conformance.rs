//! What every store must do, in one suite: call [`check`] from a test of each implementation.
//!
//! The blocks are made up from a seed, so that a store which keeps what earlier runs wrote can be
//! checked again with another seed.

use std::thread;

use crate::{
    BlockBatch, BlockRequest, BlockStore, BlockType, HashedBatch, MAX_BLOCK_SIZE, Presence, Score,
    StoreError,
};

/// What a store did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: expected {expected}, found {found}")]
pub struct Violation {
    /// What every store must do.
    pub rule: &'static str,
    /// What it should have done.
    pub expected: String,
    /// What it did.
    pub found: String,
}

type Outcome = Result<(), Violation>;

/// Checks every rule on `store`, with blocks made up from `seed`.
///
/// # Errors
/// The first [`Violation`].
pub fn check(store: &dyn BlockStore, seed: u64) -> Outcome {
    nothing_is_allowed(store)?;
    the_block_of_no_bytes_is_always_there(store)?;
    sizes_are_kept(store, seed)?;
    the_type_is_part_of_the_address(store, seed)?;
    duplicates_are_one_block(store, seed)?;
    a_block_too_large_is_refused(store)?;
    many_requests_are_each_answered_once(store, seed)?;
    places_are_of_stored_blocks(store, seed)?;
    threads_do_not_disturb_each_other(store, seed)
}

fn violation(rule: &'static str, expected: &str, found: impl std::fmt::Debug) -> Violation {
    Violation { rule, expected: expected.to_owned(), found: format!("{found:?}") }
}

fn succeeds<T>(rule: &'static str, result: Result<T, StoreError>) -> Result<T, Violation> {
    result.map_err(|error| violation(rule, "success", error))
}

/// Bytes that no other seed and number gives: a generator of Marsaglia, run past its start.
fn bytes(seed: u64, number: u64, size: usize) -> Vec<u8> {
    let mut state = (seed << 32 ^ number << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_be_bytes());
    }
    data.truncate(size);
    data
}

fn batch(blocks: impl IntoIterator<Item = (BlockType, Vec<u8>)>) -> HashedBatch {
    let mut batch = BlockBatch::default();
    for (block_type, data) in blocks {
        batch.push(block_type, &data);
    }
    batch.hash()
}

fn reads(
    rule: &'static str,
    store: &dyn BlockStore,
    request: BlockRequest,
    expected: &Result<Vec<u8>, StoreError>,
) -> Outcome {
    let found = store.read_block(request.score, request.block_type);
    if found == *expected {
        return Ok(());
    }
    let short = |result: &Result<Vec<u8>, StoreError>| match result {
        Ok(data) => format!("{} bytes with score {}", data.len(), Score::of(data)),
        Err(error) => error.to_string(),
    };
    Err(Violation { rule, expected: short(expected), found: short(&found) })
}

/// Every block of the batch is read back and present.
fn is_stored(rule: &'static str, store: &dyn BlockStore, batch: &HashedBatch) -> Outcome {
    for block in batch.iter() {
        reads(rule, store, (&block).into(), &Ok(block.data().to_vec()))?;
    }
    let requests: Vec<_> = batch.iter().map(|block| BlockRequest::from(&block)).collect();
    let presence = succeeds(rule, store.probe(&requests))?;
    if presence != vec![Presence::Present; requests.len()] {
        return Err(violation(rule, "every block present", presence));
    }
    Ok(())
}

fn nothing_is_allowed(store: &dyn BlockStore) -> Outcome {
    const RULE: &str = "batches and requests may be empty";
    succeeds(RULE, store.write(&BlockBatch::default().hash()))?;
    succeeds(RULE, store.sync())?;
    let presence = succeeds(RULE, store.probe(&[]))?;
    let mut delivered = presence.len();
    store.read(&[], &mut |_, _| delivered += 1);
    if delivered == 0 { Ok(()) } else { Err(violation(RULE, "no answers", delivered)) }
}

fn the_block_of_no_bytes_is_always_there(store: &dyn BlockStore) -> Outcome {
    const RULE: &str = "the block of no bytes is always there, whatever its type";
    for block_type in [BlockType::DATA, BlockType::DIRECTORY, BlockType::ROOT] {
        let request = BlockRequest { score: Score::ZERO, block_type };
        reads(RULE, store, request, &Ok(Vec::new()))?;
        let presence = succeeds(RULE, store.probe(&[request]))?;
        if presence != [Presence::Present] {
            return Err(violation(RULE, "present", presence));
        }
        succeeds(RULE, store.write(&batch([(block_type, Vec::new())])))?;
    }
    succeeds(RULE, store.sync())
}

fn sizes_are_kept(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "blocks of every size are read back, before a sync and after it";
    let sizes = [1, 2, 19, 300, 511, 512, 513, 8191, 8192, 8193, 32768, MAX_BLOCK_SIZE];
    let random = sizes.map(|size| (BlockType::DATA, bytes(seed, size as u64, size)));
    let mut plain = sizes.map(|size| (BlockType::DATA, vec![b'a'; size]));
    for ((_, data), size) in plain.iter_mut().zip(sizes) {
        let mark = bytes(seed, 0, 8.min(size));
        data[..mark.len()].copy_from_slice(&mark);
    }
    let blocks = batch(random.into_iter().chain(plain));
    succeeds(RULE, store.write(&blocks))?;
    is_stored(RULE, store, &blocks)?;
    succeeds(RULE, store.sync())?;
    is_stored(RULE, store, &blocks)
}

fn the_type_is_part_of_the_address(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "the same bytes under two types are two blocks";
    let data = bytes(seed, 1000, 700);
    let blocks = batch([(BlockType::DIRECTORY, data.clone())]);
    succeeds(RULE, store.write(&blocks))?;
    let score = blocks.scores()[0];
    let types = (0..=u8::MAX).filter_map(|number| BlockType::from_wire(number).ok());
    let others: Vec<_> = types.filter(|other| *other != BlockType::DIRECTORY).collect();
    for &block_type in &others {
        let missing = Err(StoreError::NotFound { score, block_type });
        reads(RULE, store, BlockRequest { score, block_type }, &missing)?;
    }
    let every = batch(others.into_iter().map(|block_type| (block_type, data.clone())));
    succeeds(RULE, store.write(&every))?;
    is_stored(RULE, store, &every)?;
    is_stored(RULE, store, &blocks)
}

fn duplicates_are_one_block(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "a block may be written again, in one batch and in another";
    let twice = |number: u64| (BlockType::DATA, bytes(seed, 2000 + number % 5, 4000));
    let blocks = batch((0..50).map(twice));
    for _ in 0..2 {
        succeeds(RULE, store.write(&blocks))?;
        is_stored(RULE, store, &blocks)?;
        succeeds(RULE, store.sync())?;
    }
    Ok(())
}

fn a_block_too_large_is_refused(store: &dyn BlockStore) -> Outcome {
    const RULE: &str = "a block of more than 56 KiB is refused, and the store goes on";
    let large = batch([(BlockType::DATA, vec![7; MAX_BLOCK_SIZE + 1])]);
    let refused = store.write(&large).and_then(|()| store.sync());
    if !matches!(refused, Err(StoreError::TooLarge { .. })) {
        return Err(violation(RULE, "TooLarge", refused));
    }
    // A failure may be reported by the write, and by the sync after it again.
    let _ = store.sync();
    succeeds(RULE, store.write(&batch([(BlockType::DATA, b"small".to_vec())])))?;
    succeeds(RULE, store.sync())
}

fn many_requests_are_each_answered_once(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "of many requests each is answered exactly once";
    let blocks = batch((3000..3500).map(|n| (BlockType::DATA, bytes(seed, n, 900))));
    succeeds(RULE, store.write(&blocks))?;
    let missing =
        |n| BlockRequest { score: Score::of(&bytes(seed, n, 901)), block_type: BlockType::DATA };
    let stored = blocks.iter().map(|block| BlockRequest::from(&block));
    let requests: Vec<_> = stored.flat_map(|request| [request, missing(3000)]).collect();
    let mut answers = vec![0; requests.len()];
    let mut wrong = None;
    store.read(&requests, &mut |position, found| {
        answers[position] += 1;
        let BlockRequest { score, block_type } = requests[position];
        let right = match &found {
            Ok(data) => position % 2 == 0 && Score::of(data) == score,
            Err(error) => *error == StoreError::NotFound { score, block_type } && position % 2 == 1,
        };
        if !right {
            wrong = Some(violation(RULE, "the block that was asked for", (position, found)));
        }
    });
    if let Some(violation) = wrong {
        return Err(violation);
    }
    if answers.iter().any(|count| *count != 1) {
        return Err(violation(RULE, "one answer each", answers));
    }
    let presence = succeeds(RULE, store.probe(&requests))?;
    let expected = |position| [Presence::Present, Presence::Absent][position % 2];
    match presence.iter().enumerate().find(|(position, found)| **found != expected(*position)) {
        Some(found) => Err(violation(RULE, "every second block present", found)),
        None => Ok(()),
    }
}

fn places_are_of_stored_blocks(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "a store that has places has one for every stored block, and no other";
    // More than one message may ask for.
    let data = |number: u64| (BlockType::DATA, bytes(seed, 10_000 + number, 100));
    let blocks = batch((0..2500).map(data));
    succeeds(RULE, store.write(&blocks))?;
    succeeds(RULE, store.sync())?;
    let mut requests: Vec<_> = blocks.iter().map(|block| BlockRequest::from(&block)).collect();
    let absent = BlockRequest { score: Score::of(b"nobody wrote this"), ..requests[0] };
    requests.push(absent);
    let Some(places) = store.places(&requests) else { return Ok(()) };
    let known: std::collections::HashSet<_> = places.iter().flatten().collect();
    let expected = (requests.len(), blocks.len(), None);
    let found = (places.len(), known.len(), places.last().copied().flatten());
    if found != expected {
        return Err(violation(RULE, &format!("{expected:?}"), found));
    }
    Ok(())
}

fn threads_do_not_disturb_each_other(store: &dyn BlockStore, seed: u64) -> Outcome {
    const RULE: &str = "several threads may use a store at once";
    let work = |thread: u64| {
        for round in 0..8 {
            // Half of the blocks are the same in every thread.
            let start = 10_000 + round * 100;
            let number = move |n: u64| if n.is_multiple_of(2) { n } else { n + thread * 100_000 };
            let blocks = batch((start..start + 40).map(|n| {
                (BlockType::DATA, bytes(seed, number(n), 50 + usize::from(n.to_be_bytes()[7]) * 30))
            }));
            succeeds(RULE, store.write(&blocks))?;
            is_stored(RULE, store, &blocks)?;
            succeeds(RULE, store.sync())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
        let results = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(violation(RULE, "no panic", "a panic")))
        });
        results.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deliver, MemoryStore};

    #[test]
    fn the_store_in_memory_conforms() {
        let store = MemoryStore::new();
        assert_eq!(check(&store, 1), Ok(()));
        assert_eq!(check(&store, 2), Ok(()), "again, with other blocks");
    }

    /// Forgets what kind of block it was given.
    struct Typeless(MemoryStore);

    impl BlockStore for Typeless {
        fn write(&self, blocks: &HashedBatch) -> Result<(), StoreError> {
            self.0.write(&batch(blocks.iter().map(|b| (BlockType::DATA, b.data().to_vec()))))
        }

        fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
            let block_type = BlockType::DATA;
            let typeless = |r: &BlockRequest| BlockRequest { score: r.score, block_type };
            self.0.read(&requests.iter().map(typeless).collect::<Vec<_>>(), deliver);
        }

        fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
            self.0.probe(requests)
        }

        fn sync(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn a_store_that_does_not_conform_is_found_out() {
        let violation = check(&Typeless(MemoryStore::new()), 1).unwrap_err();
        assert!(violation.rule.contains("two types"), "{violation}");
    }
}
