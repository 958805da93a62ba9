//! Visits an archive in its own order, one file after another: for listings, streams and
//! comparisons.

use std::collections::VecDeque;

use super::selection::Wanted;
use super::{ExtractError, Limits, Selection};
use crate::reader::{Child, DirectoryScan, Node, ReadError};

/// Is given what [`visit`] meets.
pub trait Visitor {
    /// A file or directory, before what is in it.
    ///
    /// # Errors
    /// Whatever ends the visit.
    fn enter(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError>;

    /// A directory, after what is in it. `whole`: every name of it was visited.
    ///
    /// # Errors
    /// Whatever ends the visit.
    fn leave(&mut self, _path: &[u8], _node: &Node, _whole: bool) -> Result<(), ExtractError> {
        Ok(())
    }

    /// Whether the visit is to end here.
    fn stopped(&self) -> bool {
        false
    }

    /// Something that could not be read or is refused. The visit goes on.
    fn problem(&mut self, path: &[u8], error: &ExtractError);
}

/// A directory that is being visited.
struct Level<'w> {
    /// Bytes of the path that are this directory's.
    path_length: usize,
    node: Node,
    /// Names that were read and not visited.
    children: VecDeque<(Child, Option<&'w Wanted>)>,
    /// Where the rest is read from; `None` if only chosen names are wanted.
    scan: Option<DirectoryScan>,
    whole: bool,
    /// Whether the visitor knows of it.
    entered: bool,
}

/// Visits everything that is selected below `root`. The root itself is only left, not entered; a
/// directory that is only on the way is left out if nothing below it is selected.
///
/// # Errors
/// Those of the visitor, [`ExtractError::Interrupted`] if that wants an end, and
/// [`ExtractError::Limit`] when the archive is larger than allowed.
pub fn visit(
    root: &Node,
    selection: &Selection,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), ExtractError> {
    let mut path = Vec::new();
    let mut entries = 0;
    let mut levels = Vec::new();
    levels.extend(open(root, &path, Some(&selection.wanted), visitor));
    while let Some(level) = levels.last_mut() {
        if visitor.stopped() {
            return Err(ExtractError::Interrupted);
        }
        path.truncate(level.path_length);
        let Some((child, wanted)) = level.next(&path, visitor) else {
            if level.entered {
                visitor.leave(&path, &level.node, level.whole)?;
            }
            levels.pop();
            continue;
        };
        let (node, depth) = match child {
            Ok(node) => (node, levels.len() as u64),
            Err(bad) => {
                level.whole = false;
                push_name(&mut path, &bad.name);
                visitor.problem(&path, &bad.error.into());
                continue;
            }
        };
        push_name(&mut path, node.name());
        if let Err(error) = check(&node, &path, depth, limits) {
            visitor.problem(&path, &error);
            continue;
        }
        if !selection.keeps(&path, node.is_directory()) {
            continue;
        }
        entries += 1;
        if entries > limits.entries {
            let (what, option) = ("the number of names", "--max-entries");
            return Err(ExtractError::Limit {
                what,
                found: entries,
                limit: limits.entries,
                option,
            });
        }
        let entered = !(node.is_directory() && selection.is_on_the_way(&path));
        if entered {
            enter_waiting(&mut levels, &path, visitor)?;
            visitor.enter(&path, &node)?;
        }
        if node.is_directory() {
            let level = open(&node, &path, wanted, visitor);
            levels.extend(level.map(|level| Level { entered, ..level }));
        }
    }
    Ok(())
}

/// Tells the visitor of the directories that something was selected in just now.
fn enter_waiting(
    levels: &mut [Level<'_>],
    path: &[u8],
    visitor: &mut dyn Visitor,
) -> Result<(), ExtractError> {
    let first = levels.iter().rposition(|level| level.entered).map_or(0, |last| last + 1);
    for level in &mut levels[first..] {
        visitor.enter(&path[..level.path_length], &level.node)?;
        level.entered = true;
    }
    Ok(())
}

fn open<'w>(
    node: &Node,
    path: &[u8],
    wanted: Option<&'w Wanted>,
    visitor: &mut dyn Visitor,
) -> Option<Level<'w>> {
    let (path_length, node) = (path.len(), node.clone());
    let mut level = Level {
        path_length,
        node,
        children: VecDeque::new(),
        scan: None,
        whole: true,
        entered: true,
    };
    match wanted {
        Some(wanted) if !wanted.whole => {
            level.whole = false;
            for (name, below) in &wanted.names {
                match find(&level.node, name, below) {
                    Ok(child) => level.children.push_back((Ok(child), Some(below))),
                    Err(error) => {
                        let mut path = path.to_vec();
                        push_name(&mut path, name);
                        visitor.problem(&path, &error);
                    }
                }
            }
        }
        _ => match level.node.children() {
            Ok(scan) => level.scan = Some(scan),
            Err(error) => {
                visitor.problem(path, &error.into());
                return None;
            }
        },
    }
    Some(level)
}

/// The child with a wanted name.
pub(super) fn find(node: &Node, name: &[u8], below: &Wanted) -> Result<Node, ExtractError> {
    let missing = ExtractError::NotStored { what: "a file of this name" };
    let child = node.lookup(name)?.ok_or(missing)?;
    if !below.whole && !child.is_directory() {
        return Err(ReadError::NotADirectory.into());
    }
    Ok(child)
}

impl<'w> Level<'w> {
    fn next(
        &mut self,
        path: &[u8],
        visitor: &mut dyn Visitor,
    ) -> Option<(Child, Option<&'w Wanted>)> {
        while self.children.is_empty() {
            let scan = self.scan.as_mut()?;
            let mut batch = Vec::new();
            match scan.next_batch(&mut batch) {
                Ok(true) => {}
                Ok(false) => self.scan = None,
                Err(error) => {
                    self.whole = false;
                    self.scan = None;
                    visitor.problem(path, &error.into());
                }
            }
            self.children.extend(batch.into_iter().map(|child| (child, None)));
        }
        self.children.pop_front()
    }
}

fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn check(node: &Node, path: &[u8], depth: u64, limits: &Limits) -> Result<(), ExtractError> {
    node.metadata().checked_name().map_err(ReadError::from)?;
    let checks = [
        ("the path's length", path.len() as u64, limits.path, "--max-path"),
        ("the depth", depth, limits.depth, "--max-depth"),
    ];
    for (what, found, limit, option) in checks {
        if found > limit {
            return Err(ExtractError::Limit { what, found, limit, option });
        }
    }
    Ok(())
}
