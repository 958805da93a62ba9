//! Copying everything that a block leads to from one store to another, as the original's copy
//! does it, but with many requests in flight.
//!
//! Children are written before their parents, so that a block on the destination means that all
//! below it is there too, also after an interrupted copy: that is what fast mode relies on. The
//! walk goes down with an explicit stack of levels. A level holds blocks that were read by one
//! batch, and all their children together, which are read in batches of their own. A batch is
//! large while little memory is in use and shrinks as it fills, so that a wide tree is read
//! hundreds of blocks at a time and a deep one needs little memory. Nothing recurses.

mod level;

use std::collections::HashMap;

use venti_proto::{BlockBatch, BlockRequest, BlockStore, Presence, Score, StoreError};

pub use level::NodeKind;
use level::{Level, Node, ReadBlock};

/// Levels from the root at which a tree is taken for an attack. A file system of any depth that
/// can be typed stays far below.
pub const MAX_DEPTH: usize = 100_000;

/// Bytes of blocks that the walk may keep before it reads one block at a time.
const MEMORY: usize = 64 << 20;

/// What to do about a block that the source can not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReadError {
    /// End with an error: the default.
    Fail,
    /// Leave it out (`-i`); the destination then has blocks with missing children.
    Ignore,
    /// Replace the pointer to it by one to the empty block (`-r`); the root's score changes.
    Rewrite,
}

/// How to copy.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// A block that the destination has is skipped with all below it (`-f`).
    pub fast: bool,
    /// Remember what was copied and never look at it twice (`-m`).
    pub remember: bool,
    /// About blocks that can not be read.
    pub on_read_error: OnReadError,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CopyReport {
    /// Blocks written to the destination.
    pub written: u64,
    /// Bytes in these.
    pub bytes: u64,
    /// Blocks skipped because they were there or copied before.
    pub skipped: u64,
    /// Blocks that could not be read.
    pub unreadable: u64,
    /// Pointers that were rewritten.
    pub rewritten: u64,
}

/// What happens during a copy, for progress and for `-v`.
#[derive(Clone, Copy, Debug)]
pub enum CopyEvent<'a> {
    /// A block was written under this score.
    Written {
        /// Its address.
        block: BlockRequest,
        /// Levels below the root.
        depth: usize,
        /// Bytes in it.
        size: usize,
    },
    /// A block was skipped.
    Skipped {
        /// Its address.
        block: BlockRequest,
        /// Levels below the root.
        depth: usize,
    },
    /// A block could not be read.
    Unreadable {
        /// Its address.
        block: BlockRequest,
        /// Why.
        error: &'a StoreError,
    },
    /// A block is not what its type says; it is copied, and what it leads to may not be.
    Malformed {
        /// Its address.
        block: BlockRequest,
        /// What was found and what was expected.
        detail: &'a str,
    },
}

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source does not have a block, or has it damaged.
    #[error("reading block {} of type {} from the source: {source}", block.score, block.block_type)]
    Read {
        /// Which.
        block: BlockRequest,
        /// Why.
        source: StoreError,
    },
    /// The destination does not take blocks.
    #[error("writing to the destination: {0}")]
    Write(StoreError),
    /// The tree is too deep to be one.
    #[error("block {} lies {MAX_DEPTH} levels below the root: this is no tree of files", block.score)]
    TooDeep {
        /// The first block that is too deep.
        block: BlockRequest,
    },
}

/// A copy under way.
pub struct Copier<'a> {
    source: &'a dyn BlockStore,
    destination: &'a dyn BlockStore,
    options: CopyOptions,
    event: &'a mut dyn FnMut(CopyEvent<'_>),
    /// What was copied, and the score of the copy.
    copied: HashMap<(Score, NodeKind), Score>,
    report: CopyReport,
    /// Bytes of blocks that are kept on the stack.
    held: usize,
    /// Blocks on their way to the destination; kept for its capacity.
    batch: BlockBatch,
}

impl<'a> Copier<'a> {
    /// A copy from `source` to `destination` that tells `event` what it does.
    pub fn new(
        source: &'a dyn BlockStore,
        destination: &'a dyn BlockStore,
        options: CopyOptions,
        event: &'a mut dyn FnMut(CopyEvent<'_>),
    ) -> Copier<'a> {
        Copier {
            source,
            destination,
            options,
            event,
            copied: HashMap::new(),
            report: CopyReport::default(),
            held: 0,
            batch: BlockBatch::default(),
        }
    }

    /// Copies everything below `score`, syncs the destination, and returns the score of the
    /// copy: another one only if pointers were rewritten.
    ///
    /// # Errors
    /// [`CopyError`]; what was written until then stays, and copying again goes on from there.
    pub fn run(mut self, score: Score, kind: NodeKind) -> Result<(Score, CopyReport), CopyError> {
        let mut root = score;
        let mut stack = vec![Level::top(score, kind)];
        while let Some(level) = stack.last_mut() {
            let nodes = level.take(self.batch_size());
            if nodes.is_empty() {
                let blocks = stack.pop().map(|level| level.blocks).unwrap_or_default();
                self.held -= blocks.iter().map(|block| block.data.len()).sum::<usize>();
                let moved = self.write_all(&blocks, stack.len())?;
                for (block, score) in blocks.iter().zip(moved) {
                    self.place(&block.node, score, stack.last_mut(), &mut root);
                }
                continue;
            }
            let depth = stack.len() - 1;
            if let (true, Some(node)) = (depth > MAX_DEPTH, nodes.first()) {
                return Err(CopyError::TooDeep { block: node.request() });
            }
            let nodes = self.skip_known(nodes, depth, stack.last_mut(), &mut root)?;
            let (inner, leaves) = self.read_all(nodes, stack.last_mut(), &mut root)?;
            let moved = self.write_all(&leaves, depth)?;
            debug_assert_eq!(moved.len(), leaves.len());
            if !inner.is_empty() {
                self.held += inner.iter().map(|block| block.data.len()).sum::<usize>();
                let event = &mut self.event;
                stack.push(Level::below(inner, &mut |block, detail| {
                    event(CopyEvent::Malformed { block, detail });
                }));
            }
        }
        self.destination.sync().map_err(CopyError::Write)?;
        Ok((root, self.report))
    }

    /// How many blocks to read at once.
    fn batch_size(&self) -> usize {
        match self.held {
            0..MEMORY => 256,
            _ => 1,
        }
    }

    /// Leaves out what was copied before, and in fast mode what the destination has.
    fn skip_known(
        &mut self,
        mut nodes: Vec<Node>,
        depth: usize,
        mut level: Option<&mut Level>,
        root: &mut Score,
    ) -> Result<Vec<Node>, CopyError> {
        if self.options.remember {
            let mut unknown = Vec::with_capacity(nodes.len());
            for node in nodes {
                match self.copied.get(&(node.score, node.kind)).copied() {
                    None => unknown.push(node),
                    Some(score) => {
                        self.skip(&node, depth);
                        self.place(&node, score, level.as_deref_mut(), root);
                    }
                }
            }
            nodes = unknown;
        }
        if self.options.fast {
            let requests: Vec<_> = nodes.iter().map(Node::request).collect();
            let present = self.destination.probe(&requests).map_err(CopyError::Write)?;
            let mut presence = present.into_iter();
            nodes.retain(|node| {
                let absent = presence.next() != Some(Presence::Present);
                if !absent {
                    self.skip(node, depth);
                }
                absent
            });
        }
        Ok(nodes)
    }

    fn skip(&mut self, node: &Node, depth: usize) {
        self.report.skipped += 1;
        (self.event)(CopyEvent::Skipped { block: node.request(), depth });
    }

    /// Reads the blocks of `nodes`, those that lead further apart from those that do not.
    fn read_all(
        &mut self,
        nodes: Vec<Node>,
        mut level: Option<&mut Level>,
        root: &mut Score,
    ) -> Result<(Vec<ReadBlock>, Vec<ReadBlock>), CopyError> {
        let requests: Vec<_> = nodes.iter().map(Node::request).collect();
        let mut found: Vec<Option<Result<Vec<u8>, StoreError>>> = vec![None; nodes.len()];
        self.source.read(&requests, &mut |position, block| {
            found[position] = Some(block.map(<[u8]>::to_vec));
        });
        let (mut inner, mut leaves) = (Vec::new(), Vec::new());
        for (node, found) in nodes.into_iter().zip(found) {
            let block = node.request();
            match found.unwrap_or(Err(StoreError::NotFound {
                score: block.score,
                block_type: block.block_type,
            })) {
                Ok(data) if node.kind.is_leaf() => leaves.push(ReadBlock { node, data }),
                Ok(data) => inner.push(ReadBlock { node, data }),
                Err(source)
                    if is_final(&source) || self.options.on_read_error == OnReadError::Fail =>
                {
                    return Err(CopyError::Read { block, source });
                }
                Err(error) => {
                    self.report.unreadable += 1;
                    (self.event)(CopyEvent::Unreadable { block, error: &error });
                    if self.options.on_read_error == OnReadError::Rewrite {
                        self.place(&node, Score::ZERO, level.as_deref_mut(), root);
                    }
                }
            }
        }
        Ok((inner, leaves))
    }

    /// Writes blocks whose children are written, and returns the scores that they got.
    fn write_all(&mut self, blocks: &[ReadBlock], depth: usize) -> Result<Vec<Score>, CopyError> {
        let mut batch = std::mem::take(&mut self.batch);
        for block in blocks {
            batch.push(block.node.kind.block_type, &block.data);
        }
        let batch = batch.hash();
        if !batch.is_empty() {
            self.destination.write(&batch).map_err(CopyError::Write)?;
        }
        for (block, written) in blocks.iter().zip(batch.iter()) {
            self.report.written += 1;
            self.report.bytes += block.data.len() as u64;
            if self.options.remember {
                self.copied.insert((block.node.score, block.node.kind), written.score());
            }
            let size = block.data.len();
            (self.event)(CopyEvent::Written { block: BlockRequest::from(&written), depth, size });
        }
        let scores = batch.scores().to_vec();
        self.batch = batch.recycle();
        Ok(scores)
    }

    /// Puts the score that a node has on the destination where the node was found.
    fn place(&mut self, node: &Node, score: Score, level: Option<&mut Level>, root: &mut Score) {
        if score == node.score {
            return;
        }
        match (node.found, level) {
            (Some(place), Some(level)) => {
                level.patch(place, score);
                self.report.rewritten += 1;
            }
            _ => *root = score,
        }
    }
}

/// Whether nothing more can be read after this error.
fn is_final(error: &StoreError) -> bool {
    matches!(error, StoreError::Connection { .. })
}

#[cfg(test)]
mod tests;
