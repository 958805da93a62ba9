//! Makes a file of many blocks, a window of them at a time, each written where it belongs as it
//! arrives. Holes are left out: the file is sparse there.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{fstatvfs, ftruncate};
use venti_proto::hash_tree::{Leaf, LeafWalk, TreeError};
use venti_proto::{BlockRequest, BlockType, MAX_BLOCK_SIZE, Score, StoreError, zero_truncated_len};

use super::batch::{Task, create, finish};
use super::place::Construction;
use super::session::Session;
use super::zeros::Holes;
use super::{ExtractError, attributes, compare, place};
use crate::format::FileKind;
use crate::reader::{Node, ReadError};

/// Bytes that one call to the store asks for.
const WINDOW: u32 = 4 << 20;

/// Makes one large file and reports what goes wrong.
pub(super) fn make(session: &Session<'_>, task: &Task<'_>) {
    if compare::is_unchanged(session, task) {
        return;
    }
    let path = task.path();
    session.observer.entry(&path, &task.node);
    session.check(&path, make_one(session, task, &path));
}

fn make_one(session: &Session<'_>, task: &Task<'_>, path: &[u8]) -> Result<(), ExtractError> {
    let node = &task.node;
    if node.kind() != FileKind::Regular {
        let (what, size, limit) = ("what is no file", node.size(), 4096);
        return Err(ReadError::TooLarge { what, size, limit }.into());
    }
    let name = place::c_name(node.name())?;
    let parent = task.directory.as_fd();
    check_space(parent, node)?;
    let mut construction = Construction::new(parent, &name, task.directory.fresh)?;
    let (file, made) = create(session, &mut construction, task)?;
    ftruncate(&file, node.size()).map_err(ExtractError::system("set the size"))?;
    let old = session.options.differences && !task.directory.fresh;
    let old = if old { compare::open_regular(parent, &name).ok() } else { None };
    write_content(session, file.as_fd(), node, old.as_ref().map(AsFd::as_fd))?;
    attributes::apply_open(session, file.as_fd(), path, node, made);
    finish(session, construction, &file, path, node, made)
}

fn write_content(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    node: &Node,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), ExtractError> {
    let mut walk = LeafWalk::new(node.content()).map_err(ReadError::from)?;
    let holes = Holes::of(node);
    let limit = (WINDOW / node.content().data_size.max(1)).clamp(1, 4096) as usize;
    let mut leaves = Vec::new();
    while !walk.is_done() {
        if session.stopped() {
            return Err(ExtractError::NotPossible { what: "interrupted" });
        }
        leaves.clear();
        walk.next_leaves(&**node.store(), limit, &mut leaves).map_err(ReadError::from)?;
        for leaf in leaves.extract_if(.., |leaf| leaf.is_hole()) {
            holes.fill(session, file, leaf.offset, leaf.offset + leaf.length)?;
        }
        if let Some(old) = old {
            copy_unchanged(session, file, node, &holes, old, &mut leaves)?;
        }
        write_window(session, file, node, &holes, &leaves)?;
    }
    Ok(())
}

/// Copies the blocks that the file that is there has at their place, and takes them off the list.
fn copy_unchanged(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    node: &Node,
    holes: &Holes,
    old: BorrowedFd<'_>,
    leaves: &mut Vec<Leaf>,
) -> Result<(), ExtractError> {
    let mut buffer = vec![0; (node.content().data_size as usize).min(MAX_BLOCK_SIZE)];
    let mut failure = None;
    leaves.retain(|leaf| {
        let length = usize::try_from(leaf.length).unwrap_or(usize::MAX).min(buffer.len());
        let block = &mut buffer[..length];
        if compare::read_full(old, block, leaf.offset) != Ok(length) {
            return true;
        }
        let stored = zero_truncated_len(BlockType::DATA, block);
        if Score::of(&block[..stored]) != leaf.score {
            return true;
        }
        let written = holes
            .write_around(file, &block[..stored], leaf.offset)
            .and_then(|()| fill_tail(session, file, holes, leaf, stored as u64));
        failure = failure.take().or(written.err());
        false
    });
    failure.map_or(Ok(()), Err)
}

fn write_window(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    node: &Node,
    holes: &Holes,
    leaves: &[Leaf],
) -> Result<(), ExtractError> {
    let block_type = node.content().kind.leaf_type();
    let requests: Vec<_> =
        leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect();
    let mut failure = None;
    node.store().read(&requests, &mut |position, block| {
        let leaf = &leaves[position];
        let written = write_leaf(file, node, holes, leaf, block)
            .and_then(|count| fill_tail(session, file, holes, leaf, count));
        failure = failure.take().or(written.err());
    });
    failure.map_or(Ok(()), Err)
}

/// Counts what was written of a leaf, and gives space to the zeros that it was cut by.
fn fill_tail(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    holes: &Holes,
    leaf: &Leaf,
    written: u64,
) -> Result<(), ExtractError> {
    session.wrote(written);
    if written == leaf.length {
        return Ok(());
    }
    holes.fill(session, file, leaf.offset + written, leaf.offset + leaf.length)
}

/// Writes a block where it belongs, and returns how many bytes that were.
pub(super) fn write_leaf(
    file: BorrowedFd<'_>,
    node: &Node,
    holes: &Holes,
    leaf: &Leaf,
    block: Result<&[u8], StoreError>,
) -> Result<u64, ExtractError> {
    let block = block.map_err(ReadError::from)?;
    let expected = node.content().data_size;
    if block.len() > expected as usize {
        let (score, block_type) = (leaf.score, node.content().kind.leaf_type());
        let found = block.len();
        let error = TreeError::TooLong { score, block_type, found, expected };
        return Err(ReadError::Tree(error).into());
    }
    let length = block.len().min(usize::try_from(leaf.length).unwrap_or(usize::MAX));
    holes.write_around(file, &block[..length], leaf.offset)?;
    Ok(length as u64)
}

/// Refuses a file that can not fit before anything is written. Only a file larger than the free
/// space is looked at closer: it may be mostly holes.
fn check_space(parent: BorrowedFd<'_>, node: &Node) -> Result<(), ExtractError> {
    let Ok(system) = fstatvfs(parent) else { return Ok(()) };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if node.size() <= free {
        return Ok(());
    }
    let holes = Holes::of(node);
    let mut walk = LeafWalk::new(node.content()).map_err(ReadError::from)?;
    let (mut needed, mut leaves) = (0, Vec::new());
    while !walk.is_done() {
        leaves.clear();
        walk.next_leaves(&**node.store(), 4096, &mut leaves).map_err(ReadError::from)?;
        let space = |leaf: &Leaf| match leaf.is_hole() {
            true => holes.space(leaf.offset, leaf.offset + leaf.length),
            false => leaf.length,
        };
        needed += leaves.iter().map(space).sum::<u64>();
        if needed > free {
            return Err(ExtractError::NoSpace { needed, free });
        }
    }
    Ok(())
}
