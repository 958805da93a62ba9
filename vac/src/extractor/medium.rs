//! Makes many files of a few blocks each with two calls to the store: one for all their pointer
//! blocks, one for all their blocks of content, each of which is written to its own file from
//! where it arrived. File by file, both calls would be waits for a few blocks only.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::ftruncate;
use venti_proto::hash_tree::{Leaf, LeafWalk};
use venti_proto::{BlockRequest, StoreError};

use super::attributes::Made;
use super::batch::{Task, create};
use super::large::write_leaf;
use super::place::Construction;
use super::session::Session;
use super::zeros::Holes;
use super::{ExtractError, attributes, batch, place};
use crate::format::FileKind;
use crate::reader::ReadError;

/// Bytes of a file that can be made together with others.
pub(super) const LARGEST: u64 = 2 << 20;

/// Whether the file has one level of pointer blocks, and is not compared with what is there.
pub(super) fn is_medium(session: &Session<'_>, task: &Task<'_>) -> bool {
    let content = task.node.content();
    let compared = session.options.differences && !task.directory.fresh;
    content.depth == 1
        && content.size <= LARGEST
        && task.node.kind() == FileKind::Regular
        && !compared
}

/// A file whose blocks are known.
struct Planned<'t, 's> {
    task: &'t Task<'s>,
    path: Vec<u8>,
    name: CString,
    /// Without the zeros.
    leaves: Vec<Leaf>,
    /// Start and end of runs of zeros, which are holes or not.
    zeros: Vec<(u64, u64)>,
    holes: Holes,
}

/// A file under construction.
struct Open<'p> {
    construction: Construction<'p>,
    file: OwnedFd,
    made: Made,
    /// Where the file ends by what was written.
    end: u64,
    /// Start and end of zeros that blocks were cut by.
    zeros: Vec<(u64, u64)>,
    failure: Option<ExtractError>,
}

/// Makes files for which [`is_medium`] holds. Problems are reported, each with its file.
pub(super) fn make_all(session: &Session<'_>, tasks: &mut [Task<'_>]) {
    read_pointers(tasks.iter_mut());
    let planned = plan(session, tasks);
    if session.stopped() {
        return;
    }
    let mut started = Vec::with_capacity(planned.len());
    for plan in &planned {
        session.observer.entry(&plan.path, &plan.task.node);
        match start(session, plan) {
            Ok(open) => started.push((plan, open)),
            Err(error) => session.problem(&plan.path, &error),
        }
    }
    write_content(session, &mut started);
    for (plan, open) in started {
        session.check(&plan.path, finish(session, plan, open));
    }
}

/// Reads the pointer blocks of all files of which they were not read before, with one call to the
/// store.
pub(super) fn read_pointers<'a, 's: 'a>(tasks: impl IntoIterator<Item = &'a mut Task<'s>>) {
    let missing = tasks.into_iter().filter(|task| task.walk.is_none());
    let mut reading = Vec::new();
    let mut requests = Vec::new();
    for task in missing {
        let walk = LeafWalk::new(task.node.content());
        let request = walk.as_ref().ok().and_then(LeafWalk::top_request);
        task.walk = Some(Box::new(walk.map_err(ReadError::from)));
        if let Some(request) = request {
            requests.push(request);
            reading.push(task);
        }
    }
    let Some(store) = reading.first().map(|task| Arc::clone(task.node.store())) else { return };
    store.read(&requests, &mut |position, block| {
        let Some(walk) = reading[position].walk.as_deref_mut() else { return };
        let taken = match (walk.as_mut(), block) {
            (Ok(walk), Ok(block)) => walk.take_top(block).map_err(ReadError::from),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(_), _) => return,
        };
        if let Err(error) = taken {
            *walk = Err(error);
        }
    });
}

/// The block that comes first in the file, if its pointer block was read.
pub(super) fn first_block(task: &Task<'_>) -> Option<BlockRequest> {
    let mut walk = task.walk.as_deref()?.as_ref().ok()?.clone();
    let mut leaves = Vec::new();
    // Zeros are one leaf, however many.
    walk.next_leaves(&**task.node.store(), 2, &mut leaves).ok()?;
    let first = leaves.iter().find(|leaf| !leaf.is_hole())?;
    Some(BlockRequest { score: first.score, block_type: task.node.content().kind.leaf_type() })
}

/// Finds the blocks of all files.
fn plan<'t, 's>(session: &Session<'_>, tasks: &'t mut [Task<'s>]) -> Vec<Planned<'t, 's>> {
    let mut planned = Vec::with_capacity(tasks.len());
    for task in tasks {
        let path = task.path();
        match leaves_of(task) {
            Ok((name, mut leaves)) => {
                let zeros = leaves.extract_if(.., |leaf| leaf.is_hole());
                let zeros = zeros.map(|leaf| (leaf.offset, leaf.offset + leaf.length)).collect();
                let holes = Holes::of(&task.node);
                planned.push(Planned { task, path, name, leaves, zeros, holes });
            }
            Err(error) => session.problem(&path, &error),
        }
    }
    planned
}

fn leaves_of(task: &mut Task<'_>) -> Result<(CString, Vec<Leaf>), ExtractError> {
    let name = place::c_name(task.node.name())?;
    let mut leaves = Vec::new();
    let walk = match task.walk.take() {
        Some(walk) => *walk,
        None => LeafWalk::new(task.node.content()).map_err(ReadError::from),
    };
    // The only pointer block is there: nothing is read, and what it holds bounds the leaves.
    walk?.next_leaves(&**task.node.store(), usize::MAX, &mut leaves).map_err(ReadError::from)?;
    Ok((name, leaves))
}

fn start<'p>(session: &Session<'_>, plan: &'p Planned<'_, '_>) -> Result<Open<'p>, ExtractError> {
    let directory = &plan.task.directory;
    let mut construction = Construction::new(directory.as_fd(), &plan.name, directory.fresh)?;
    let (file, made) = create(session, &mut construction, plan.task)?;
    Ok(Open { construction, file, made, end: 0, zeros: Vec::new(), failure: None })
}

/// Reads the blocks of all files with one call to the store.
fn write_content(session: &Session<'_>, started: &mut [(&Planned<'_, '_>, Open<'_>)]) {
    let Some((first, _)) = started.first() else { return };
    let store = first.task.node.store().clone();
    let count = started.iter().map(|(plan, _)| plan.leaves.len()).sum();
    let mut requests = Vec::with_capacity(count);
    let mut places = Vec::with_capacity(count);
    for (position, (plan, _)) in started.iter().enumerate() {
        let block_type = plan.task.node.content().kind.leaf_type();
        requests.extend(plan.leaves.iter().map(|l| BlockRequest { score: l.score, block_type }));
        places.extend(plan.leaves.iter().map(|leaf| (position, *leaf)));
    }
    store.read(&requests, &mut |position, block| {
        let (file, leaf) = places[position];
        let (plan, open) = &mut started[file];
        if open.failure.is_none() {
            open.failure = write(session, plan, open, &leaf, block).err();
        }
    });
}

fn write(
    session: &Session<'_>,
    plan: &Planned<'_, '_>,
    open: &mut Open<'_>,
    leaf: &Leaf,
    block: Result<&[u8], StoreError>,
) -> Result<(), ExtractError> {
    let written = write_leaf(open.file.as_fd(), &plan.task.node, &plan.holes, leaf, block)?;
    open.end = open.end.max(leaf.offset + written);
    if written < leaf.length {
        open.zeros.push((leaf.offset + written, leaf.offset + leaf.length));
    }
    session.wrote(written);
    Ok(())
}

fn finish(
    session: &Session<'_>,
    plan: &Planned<'_, '_>,
    open: Open<'_>,
) -> Result<(), ExtractError> {
    let node = &plan.task.node;
    if let Some(failure) = open.failure {
        return Err(failure);
    }
    if open.end != node.size() {
        ftruncate(&open.file, node.size()).map_err(ExtractError::system("set the size"))?;
    }
    for (start, end) in plan.zeros.iter().chain(&open.zeros) {
        plan.holes.fill(session, open.file.as_fd(), *start, *end)?;
    }
    attributes::apply_open(session, open.file.as_fd(), &plan.path, node, open.made);
    batch::finish(session, open.construction, &open.file, &plan.path, node, open.made)
}
