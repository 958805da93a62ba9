//! From a score to the root directory.

use std::sync::Arc;

use venti_proto::hash_tree::read_range;
use venti_proto::{
    BlockRequest, BlockStore, BlockType, Entry, Presence, Root, Score, StoreError, StreamKind,
};

use super::{Node, ReadError};
use crate::format::MetaBlock;

/// An open archive.
#[derive(Clone)]
pub struct Archive {
    score: Score,
    root: Arc<Root>,
    top: Node,
}

impl Archive {
    /// Opens the archive that `score` leads to.
    ///
    /// # Errors
    /// [`ReadError::Root`] or [`ReadError::Kind`] if the score leads to something else, and
    /// whatever reading the root directory's entry gives.
    pub fn open(store: Arc<dyn BlockStore>, score: Score) -> Result<Archive, ReadError> {
        let block = store
            .read_block(score, BlockType::ROOT)
            .map_err(|error| explain(store.as_ref(), score, error))?;
        let root = Root::decode(&block).map_err(|source| ReadError::Root { score, source })?;
        if root.kind != b"vac" {
            let kind = String::from_utf8_lossy(&root.kind).into_owned();
            return Err(ReadError::Kind { score, kind });
        }
        let [content, meta, own] = top_entries(store.as_ref(), root.score)?;
        let malformed = |detail: &str| ReadError::Top { score: root.score, detail: detail.into() };
        if content.kind != StreamKind::Directory || meta.kind != StreamKind::Data {
            return Err(malformed("its entries are not of a directory"));
        }
        // The root's own entry is the only one in its block.
        let mut block = vec![0; usize::try_from(own.data_size.min(1 << 16)).unwrap_or(0)];
        read_range(store.as_ref(), &own, 0, &mut block)?;
        let block = MetaBlock::parse(&block)?;
        if block.is_empty() {
            return Err(malformed("the root directory has no entry of its own"));
        }
        let top = Node::root(store, block.entry(0)?, content, meta)?;
        Ok(Archive { score, root: Arc::new(root), top })
    }

    /// The score that the archive was opened by.
    #[must_use]
    pub fn score(&self) -> Score {
        self.score
    }

    /// The root block: the archive's block size and the score of the archive before it.
    #[must_use]
    pub fn root_block(&self) -> &Root {
        &self.root
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.top
    }
}

/// Says what is stored under the score, if it is something else than a root.
fn explain(store: &dyn BlockStore, score: Score, error: StoreError) -> ReadError {
    let StoreError::NotFound { .. } = error else { return error.into() };
    let others = [BlockType::DATA, BlockType::DIRECTORY].into_iter();
    let pointers = (0..=6).filter_map(BlockType::pointer);
    let requests: Vec<_> =
        others.chain(pointers).map(|block_type| BlockRequest { score, block_type }).collect();
    // If nothing is known of the others, what is known is that the root is not there.
    let presence = store.probe(&requests).unwrap_or_default();
    match requests.iter().zip(presence).find(|(_, presence)| *presence == Presence::Present) {
        Some((request, _)) => ReadError::NotARoot { score, found: request.block_type },
        None => error.into(),
    }
}

/// The three entries above the root directory.
fn top_entries(store: &dyn BlockStore, score: Score) -> Result<[Entry; 3], ReadError> {
    let mut block = store.read_block(score, BlockType::DIRECTORY)?;
    let malformed = |detail: &str| ReadError::Top { score, detail: detail.into() };
    let entry = |block: &[u8], number: usize| {
        let bytes = block.get(number * Entry::SIZE..(number + 1) * Entry::SIZE);
        let decoded = Entry::decode(bytes.unwrap_or(&[0; Entry::SIZE]));
        decoded.map_err(|source| ReadError::Top { score, detail: source.to_string() })
    };
    let full = block.len().max(3 * Entry::SIZE);
    block.resize(full, 0);
    // Fossil puts the three into a stream of their own, and its entry here.
    if let (Some(first), None) = (entry(&block, 0)?, entry(&block, 2)?) {
        if first.kind != StreamKind::Directory {
            return Err(malformed("it has one entry, and that is not of a directory"));
        }
        block = vec![0; 3 * Entry::SIZE];
        read_range(store, &first, 0, &mut block)?;
    }
    match [entry(&block, 0)?, entry(&block, 1)?, entry(&block, 2)?] {
        [Some(content), Some(meta), Some(own)] => Ok([content, meta, own]),
        _ => Err(malformed("one of its three entries is not in use")),
    }
}
