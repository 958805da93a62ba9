//! The write path: digests, duplicates, compression, and one append a chunk.
//!
//! All of it runs on the caller's thread; only places are given out under a lock. A call returns
//! once its blocks, and the first copies of its duplicates, are written to the page cache, so that
//! any later sync covers them.

use std::cell::Cell;

use venti_proto::{
    BlockRequest, BlockType, HashedBatch, HashedBlock, MAX_BLOCK_SIZE, Score, StoreError,
};

use super::locate::{Answer, Located};
use super::stats::count;
use super::{Shared, Store};
use crate::Location;
use crate::clump::{ClumpInfo, Codec, Digest};
use crate::log::{Appended, Duplicates, Log, OpenFind, Slab};

/// A block as a client sent it: what its score is, the store finds out.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedBlock<'a> {
    /// The type.
    pub block_type: BlockType,
    /// The bytes.
    pub data: &'a [u8],
}

/// Takes the outcome of the block at a position, if it is an error.
type Refuse<'a> = dyn FnMut(usize, StoreError) + 'a;

/// Buffers of one thread, used for chunk after chunk.
#[derive(Default)]
struct Scratch {
    slab: Slab,
    requests: Vec<BlockRequest>,
    open: Vec<Option<OpenFind>>,
    /// For those that are not in an open arena, in order.
    answers: Vec<Answer>,
    digests: Vec<Digest>,
    outcome: Outcome,
}

/// What became of the blocks of a chunk that were not appended.
#[derive(Default)]
struct Outcome {
    /// Duplicates of blocks that may not be written yet.
    waits: Vec<(usize, Location)>,
    collisions: Vec<usize>,
    duplicates: u64,
}

impl Duplicates for Outcome {
    fn duplicate(&mut self, position: usize, location: Location) {
        self.waits.push((position, location));
        self.duplicates += 1;
    }

    fn collision(&mut self, position: usize) {
        self.collisions.push(position);
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Store {
    /// Computes the score of every block and stores those that are not stored yet. `results` gets
    /// one answer for each block, in the same order.
    pub fn write_unverified(
        &self,
        blocks: &[UnverifiedBlock<'_>],
        results: &mut Vec<Result<Score, StoreError>>,
    ) {
        let hashed =
            HashedBlock::hash_all(blocks.iter().map(|block| (block.block_type, block.data)));
        let start = results.len();
        results.extend(hashed.iter().map(|block| Ok(block.score())));
        self.shared().write_blocks(&hashed, &mut |position, error| {
            results[start + position] = Err(error);
        });
    }
}

impl Shared {
    /// Stores a batch; the first error is the answer.
    pub(super) fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        let blocks: Vec<HashedBlock<'_>> = batch.iter().collect();
        let mut first = Ok(());
        self.write_blocks(&blocks, &mut |_, error| {
            if first.is_ok() {
                first = Err(error);
            }
        });
        first
    }

    fn write_blocks(&self, blocks: &[HashedBlock<'_>], refuse: &mut Refuse<'_>) {
        let writable = match &self.log {
            Some(log) => log.health().map(|()| log),
            None => Err(StoreError::ReadOnly { detail: "it was opened read-only".to_owned() }),
        };
        let log = match writable {
            Ok(log) => log,
            Err(error) => {
                (0..blocks.len()).for_each(|position| refuse(position, error.clone()));
                return;
            }
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let mut start = 0;
        while start < blocks.len() {
            let end = chunk_end(blocks, start, self.chunk_bytes);
            let chunk = &blocks[start..end];
            let written = self.write_chunk(log, chunk, &mut scratch, &mut |position, error| {
                refuse(start + position, error);
            });
            if let Err(error) = written {
                (start..end).for_each(|position| refuse(position, error.clone()));
            }
            start = end;
        }
        SCRATCH.set(Some(scratch));
        self.after_append(log);
    }

    /// Stores the blocks of a chunk. An error here is one of all of them.
    fn write_chunk(
        &self,
        log: &Log,
        chunk: &[HashedBlock<'_>],
        scratch: &mut Scratch,
        refuse: &mut Refuse<'_>,
    ) -> Result<(), StoreError> {
        let generation = self.look_up(log, chunk, scratch);
        let Scratch { slab, open, answers, digests, outcome, .. } = scratch;
        slab.clear();
        let mut answers = answers.drain(..);
        for (position, block) in chunk.iter().enumerate() {
            let digest = digests[position];
            let found = match &open[position] {
                Some(OpenFind { location, info, pending }) => Some((*location, *info, *pending)),
                None => match answers.next() {
                    Some(Answer::Found(Located { location, info })) => {
                        Some((location, info, false))
                    }
                    // Without knowing what is stored, nothing can be compared with it.
                    Some(Answer::Unknown(detail)) => {
                        refuse(position, StoreError::Io { detail });
                        continue;
                    }
                    Some(Answer::Absent) | None => None,
                },
            };
            let size = block.data().len();
            match found {
                _ if size > MAX_BLOCK_SIZE => {
                    refuse(position, StoreError::TooLarge { size, limit: MAX_BLOCK_SIZE });
                }
                // The empty block is there without being stored.
                _ if size == 0 => {}
                Some((location, info, pending)) if info.digest == digest => {
                    outcome.duplicates += 1;
                    if pending {
                        outcome.waits.push((position, location));
                    }
                }
                Some(_) => outcome.collisions.push(position),
                None => slab.push(position, unplaced(block, digest), block.data()),
            }
        }
        drop(answers);
        self.append(log, scratch, generation)?;
        let outcome = &mut scratch.outcome;
        for (position, location) in outcome.waits.drain(..) {
            if let Err(error) = log.wait_written(location) {
                refuse(position, error);
            }
        }
        for position in outcome.collisions.drain(..) {
            count(&self.counters.collisions, 1);
            refuse(position, StoreError::Collision { score: chunk[position].score() });
        }
        count(&self.counters.duplicates, outcome.duplicates);
        outcome.duplicates = 0;
        count(&self.counters.blocks_written, chunk.len() as u64);
        let bytes: usize = chunk.iter().map(|block| block.data().len()).sum();
        count(&self.counters.bytes_written, bytes as u64);
        Ok(())
    }

    /// Fills `digests` and `open` for every block, and `answers` for those not open.
    fn look_up(&self, log: &Log, chunk: &[HashedBlock<'_>], scratch: &mut Scratch) -> u64 {
        let Scratch { requests, open, answers, digests, outcome, .. } = scratch;
        *outcome = Outcome::default();
        digests.clear();
        digests.extend(chunk.iter().map(|block| Digest::of(block.data())));
        open.clear();
        let generation = log.find(chunk.iter().map(BlockRequest::from), open);
        requests.clear();
        let absent = chunk.iter().zip(open.iter()).filter(|(_, open)| open.is_none());
        requests.extend(absent.map(|(block, _)| BlockRequest::from(block)));
        self.catalogue.locate(requests, answers);
        generation
    }

    /// Appends the slab, sealing and looking up again as it becomes necessary.
    fn append(
        &self,
        log: &Log,
        scratch: &mut Scratch,
        mut generation: u64,
    ) -> Result<(), StoreError> {
        let Scratch { slab, requests, open, answers, outcome, .. } = scratch;
        while !slab.is_empty() {
            match log.append(slab, generation, outcome)? {
                Appended::Done => {
                    count(&self.counters.clumps, slab.clumps.len() as u64);
                    count(&self.counters.bytes_stored, slab.bytes().len() as u64);
                    break;
                }
                Appended::SealFirst => self.seal(log)?,
                Appended::LookAgain => {
                    requests.clear();
                    requests.extend(slab.clumps.iter().map(|clump| clump.info.request()));
                    open.clear();
                    generation = log.find(requests.iter().copied(), open);
                    self.catalogue.locate(requests, answers);
                    let unknown = answers.iter().find_map(|answer| match answer {
                        Answer::Unknown(detail) => Some(detail.clone()),
                        Answer::Absent | Answer::Found(_) => None,
                    });
                    if let Some(detail) = unknown {
                        return Err(StoreError::Io { detail });
                    }
                    let mut answers = answers.iter();
                    slab.retain(|clump| match answers.next() {
                        None | Some(Answer::Absent | Answer::Unknown(_)) => true,
                        Some(Answer::Found(Located { info, .. })) => {
                            if info.digest == clump.info.digest {
                                outcome.duplicates += 1;
                            } else {
                                outcome.collisions.push(clump.position);
                            }
                            false
                        }
                    });
                }
            }
        }
        Ok(())
    }
}

/// The end of a chunk that begins at `start`: at least one block, at most so many bytes.
fn chunk_end(blocks: &[HashedBlock<'_>], start: usize, most: usize) -> usize {
    let mut bytes = 0;
    let within = blocks[start..].iter().take_while(|block| {
        bytes += block.data().len();
        bytes <= most
    });
    start + within.count().max(1)
}

/// What is known of a block before it is compressed.
fn unplaced(block: &HashedBlock<'_>, digest: Digest) -> ClumpInfo {
    ClumpInfo {
        score: block.score(),
        block_type: block.block_type(),
        codec: Codec::Raw,
        stored: 0,
        size: u32::try_from(block.data().len()).unwrap_or(u32::MAX),
        digest,
    }
}
