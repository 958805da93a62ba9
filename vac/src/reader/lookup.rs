//! Finds one name of a directory.
//!
//! Where the archive says that its meta blocks as a whole are sorted, they are bisected; elsewhere
//! every block is looked into, as the original does.

use std::cmp::Ordering;

use venti_proto::hash_tree::{Leaf, LeafWalk};
use venti_proto::{BlockRequest, Entry};

use super::directory::{EntryBlocks, extended, join_one};
use super::{Node, ReadError};
use crate::format::{MetaBlock, VacDir};

/// Meta blocks that are read at once where every block has to be looked into.
const SCAN_BLOCKS: usize = 128;

pub(super) fn lookup(directory: &Node, name: &[u8]) -> Result<Option<Node>, ReadError> {
    let meta = directory.meta().ok_or(ReadError::NotADirectory)?;
    let facts = directory.metadata().unix.as_ref().and_then(|unix| unix.directory);
    let found = if facts.is_some_and(|facts| facts.sorted) {
        bisect(directory, meta, name)?
    } else {
        search_all(directory, meta, name)?
    };
    let Some(vac_dir) = found else { return Ok(None) };
    let blocks = EntryBlocks::read(directory, std::slice::from_ref(&vac_dir));
    join_one(directory, vac_dir, &blocks).map(Some).map_err(|bad| bad.error)
}

fn bisect(directory: &Node, meta: &Entry, name: &[u8]) -> Result<Option<VacDir>, ReadError> {
    let size = u64::from(meta.data_size);
    let (mut from, mut to) = (0, meta.size.div_ceil(size));
    let mut leaves = Vec::new();
    while from < to {
        let middle = u64::midpoint(from, to);
        leaves.clear();
        let range = middle * size..(middle + 1) * size;
        LeafWalk::over(meta, range)?.next_leaves(&**directory.store(), 1, &mut leaves)?;
        let Some(leaf) = leaves.first().filter(|leaf| !leaf.is_hole()) else {
            // A sorted directory has no empty blocks: do not rely on what it says.
            return search_all(directory, meta, name);
        };
        let block = directory.store().read_block(leaf.score, meta.kind.leaf_type())?;
        let whole = extended(meta, &block)?;
        let block = MetaBlock::parse(&whole)?;
        if block.is_empty() {
            return search_all(directory, meta, name);
        }
        if block.order(name, block.name(0)?) == Ordering::Less {
            to = middle;
        } else if block.order(name, block.name(block.len() - 1)?) == Ordering::Greater {
            from = middle + 1;
        } else {
            return Ok(block.find(name)?);
        }
    }
    Ok(None)
}

fn search_all(directory: &Node, meta: &Entry, name: &[u8]) -> Result<Option<VacDir>, ReadError> {
    let mut walk = LeafWalk::new(meta)?;
    let mut leaves: Vec<Leaf> = Vec::new();
    let block_type = meta.kind.leaf_type();
    while !walk.is_done() {
        leaves.clear();
        walk.next_leaves(&**directory.store(), SCAN_BLOCKS, &mut leaves)?;
        leaves.retain(|leaf| !leaf.is_hole());
        let requests: Vec<_> =
            leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect();
        let mut found = Ok(None);
        directory.store().read(&requests, &mut |_, block| {
            let one = block.map_err(ReadError::from).and_then(|block| {
                let whole = extended(meta, block)?;
                Ok(MetaBlock::parse(&whole)?.find(name)?)
            });
            // A name that is found counts more than a block that can not be read.
            match (&found, &one) {
                (_, Ok(Some(_))) | (Ok(None), Err(_)) => found = one,
                _ => {}
            }
        });
        match found {
            Ok(None) => {}
            other => return other,
        }
    }
    Ok(None)
}
