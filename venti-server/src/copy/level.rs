//! The levels of a copy's stack: blocks that were read, and the children that they lead to.

use std::vec::IntoIter;

use venti_proto::{BlockRequest, BlockType, Entry, Root, Score, StreamKind};

/// What a block is in a tree: its type, and what the pointer blocks above it lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeKind {
    /// The type that it is stored under.
    pub block_type: BlockType,
    /// What the leaves below hold. Of no use for roots.
    pub leaves: StreamKind,
}

impl NodeKind {
    /// The top of an archive.
    pub const ROOT: NodeKind =
        NodeKind { block_type: BlockType::ROOT, leaves: StreamKind::Directory };

    /// Whether nothing is below.
    #[must_use]
    pub fn is_leaf(self) -> bool {
        self.block_type == BlockType::DATA
    }

    /// What is one level below a pointer block.
    fn below(self) -> NodeKind {
        let level = self.block_type.pointer_level().unwrap_or(0);
        let below = level.checked_sub(1).and_then(BlockType::pointer);
        NodeKind { block_type: below.unwrap_or(self.leaves.leaf_type()), ..self }
    }
}

/// Where in its level a score was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Which of the level's blocks.
    block: usize,
    /// Byte in that block at which the score starts.
    offset: usize,
}

/// A block that is to be copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) score: Score,
    pub(super) kind: NodeKind,
    /// `None` for the root.
    pub(super) found: Option<Place>,
}

impl Node {
    pub(super) fn request(&self) -> BlockRequest {
        BlockRequest { score: self.score, block_type: self.kind.block_type }
    }
}

/// A block that was read and is to be written once everything below it is.
#[derive(Debug)]
pub(super) struct ReadBlock {
    pub(super) node: Node,
    pub(super) data: Vec<u8>,
}

/// Blocks, and their children that were not read yet.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) blocks: Vec<ReadBlock>,
    children: IntoIter<Node>,
}

impl Level {
    /// The level above the root.
    pub(super) fn top(score: Score, kind: NodeKind) -> Level {
        let root = Node { score, kind, found: None };
        Level { blocks: Vec::new(), children: vec![root].into_iter() }
    }

    /// The level with `blocks` and all their children. Tells `malformed` of blocks that are not
    /// what their types say.
    pub(super) fn below(
        blocks: Vec<ReadBlock>,
        malformed: &mut dyn FnMut(BlockRequest, &str),
    ) -> Level {
        let mut children = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            let mut found = Found { block: number, children: &mut children };
            if let Err(detail) = found.look_in(block) {
                malformed(block.node.request(), &detail);
            }
        }
        Level { blocks, children: children.into_iter() }
    }

    /// The next children, at most `count`.
    pub(super) fn take(&mut self, count: usize) -> Vec<Node> {
        self.children.by_ref().take(count).collect()
    }

    /// Writes another score into a block. Zeros that storing cut off are put back if needed.
    pub(super) fn patch(&mut self, place: Place, score: Score) {
        if let Some(block) = self.blocks.get_mut(place.block) {
            let end = place.offset + Score::SIZE;
            if block.data.len() < end {
                block.data.resize(end, 0);
            }
            block.data[place.offset..end].copy_from_slice(score.as_bytes());
        }
    }
}

/// Children that are being gathered.
struct Found<'a> {
    block: usize,
    children: &'a mut Vec<Node>,
}

/// Byte at which the score starts in an entry of 40 bytes.
const ENTRY_SCORE: usize = Entry::SIZE - Score::SIZE;
/// Byte at which the score of the directory starts in a root.
const ROOT_SCORE: usize = Root::SIZE - Score::SIZE - 2 - Score::SIZE;
/// Byte at which the score of the previous root starts in a root.
const ROOT_PREVIOUS: usize = Root::SIZE - Score::SIZE;

impl Found<'_> {
    fn look_in(&mut self, block: &ReadBlock) -> Result<(), String> {
        let kind = block.node.kind;
        match kind.block_type {
            BlockType::ROOT => self.look_in_root(&block.data),
            BlockType::DIRECTORY => self.look_in_directory(&block.data),
            _ => {
                for (number, bytes) in block.data.chunks_exact(Score::SIZE).enumerate() {
                    self.push(bytes, number * Score::SIZE, kind.below());
                }
                match block.data.len() % Score::SIZE {
                    0 => Ok(()),
                    rest => Err(format!("{rest} bytes after the last score of a pointer block")),
                }
            }
        }
    }

    fn look_in_root(&mut self, data: &[u8]) -> Result<(), String> {
        Root::decode(data).map_err(|error| error.to_string())?;
        let directory =
            NodeKind { block_type: BlockType::DIRECTORY, leaves: StreamKind::Directory };
        self.push(&data[ROOT_PREVIOUS..], ROOT_PREVIOUS, NodeKind::ROOT);
        self.push(&data[ROOT_SCORE..ROOT_SCORE + Score::SIZE], ROOT_SCORE, directory);
        Ok(())
    }

    fn look_in_directory(&mut self, data: &[u8]) -> Result<(), String> {
        let mut problem = Ok(());
        for (number, bytes) in data.chunks(Entry::SIZE).enumerate() {
            // Storing cuts zeros off the end of a block, so the last entry may be short.
            let mut whole = [0; Entry::SIZE];
            whole[..bytes.len()].copy_from_slice(bytes);
            match Entry::decode(&whole) {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    let Some(block_type) = entry.top_type() else { continue };
                    let kind = NodeKind { block_type, leaves: entry.kind };
                    let offset = number * Entry::SIZE + ENTRY_SCORE;
                    self.push(&whole[ENTRY_SCORE..], offset, kind);
                }
                Err(error) => problem = Err(format!("entry {number}: {error}")),
            }
        }
        problem
    }

    fn push(&mut self, bytes: &[u8], offset: usize, kind: NodeKind) {
        let Ok(bytes) = <[u8; Score::SIZE]>::try_from(bytes) else { return };
        let score = Score::from_bytes(bytes);
        if score != Score::ZERO && bytes != [0; Score::SIZE] {
            let found = Some(Place { block: self.block, offset });
            self.children.push(Node { score, kind, found });
        }
    }
}
