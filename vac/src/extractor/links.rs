//! Second and further names of files.
//!
//! The first name that the walk meets is made as any file. The others wait until no file is
//! under construction, and are then linked to it: found by its path from the target down, name
//! by name, so that no link of the file system can lead elsewhere.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, linkat, statat};
use rustix::io::Errno;
use venti_proto::Score;

use super::attributes::{self, Made};
use super::batch::Task;
use super::extended::lift_flags_of;
use super::place::Construction;
use super::session::Session;
use super::{ExtractError, compare, place};
use crate::format::Timestamp;
use crate::reader::Node;

/// Names of one file have the same number, in the same of the archives that were put together to
/// this one, and all else that a file has but once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Group {
    space: u64,
    number: u64,
    score: Score,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    modified: Timestamp,
    changed: Option<Timestamp>,
}

/// The names that the walk has met.
#[derive(Default)]
pub(super) struct Links<'s> {
    /// Where the first name of each group is, below the target.
    first: HashMap<Group, Vec<u8>>,
    waiting: Vec<(Task<'s>, Group)>,
}

/// Further names that wait at most: each holds its directory open.
const MOST_WAITING: usize = 400;

impl<'s> Links<'s> {
    /// Takes a further name of a file that was met before; gives back any other task.
    pub(super) fn take(&mut self, task: Task<'s>) -> Option<Task<'s>> {
        let Some(group) = group_of(&task.node) else { return Some(task) };
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.first.entry(group) {
            vacant.insert(task.path());
            return Some(task);
        }
        self.waiting.push((task, group));
        None
    }

    /// Whether the waiting names should be made now.
    pub(super) fn are_many(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Makes the waiting names. No file may be under construction. Gives back those whose first
    /// name is not there: they are to be made as files.
    pub(super) fn make(&mut self, session: &Session<'_>, top: BorrowedFd<'_>) -> Vec<Task<'s>> {
        let mut failed = Vec::new();
        for (task, group) in self.waiting.drain(..) {
            let path = task.path();
            let linked = match self.first.get(&group) {
                Some(first) => link(session, top, first, &task, &path),
                None => Err(ExtractError::system("link")(Errno::NOENT)),
            };
            if linked.is_err() {
                self.first.insert(group, path);
                failed.push(task);
            }
        }
        failed
    }
}

/// The file that this is one of several names of.
pub(super) fn group_of(node: &Node) -> Option<Group> {
    let unix = node.metadata().unix.as_ref().filter(|_| !node.is_directory())?;
    Some(Group {
        space: node.number_space(),
        number: unix.link?.group,
        score: node.content().score,
        size: node.content().size,
        mode: unix.mode,
        owner: (unix.uid, unix.gid),
        modified: unix.modified,
        changed: unix.changed,
    })
}

fn link(
    session: &Session<'_>,
    top: BorrowedFd<'_>,
    first: &[u8],
    task: &Task<'_>,
    path: &[u8],
) -> Result<(), ExtractError> {
    let (above, first_name) = match first.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&first[..slash], &first[slash + 1..]),
        None => (&[][..], first),
    };
    let above = place::open_below(top, above).map_err(ExtractError::system("link"))?;
    let first_name = place::c_name(first_name)?;
    let name = place::c_name(task.node.name())?;
    let parent = task.directory.as_fd();
    // To rename one name of a file to another of its names does nothing, and leaves both.
    if !task.directory.fresh && is_same_file(above.as_fd(), &first_name, parent, &name) {
        session.found_unchanged(&task.node);
        return Ok(());
    }
    let mut construction = Construction::new(parent, &name, task.directory.fresh)?;
    let link = |at: BorrowedFd<'_>, name: &CStr| {
        linkat(&above, first_name.as_c_str(), at, name, AtFlags::empty())
    };
    match construction.make("link", link) {
        // A file that is marked as never to change gets no further name either.
        Err(ExtractError::System { errno: Errno::PERM, .. })
            if lift_flags_of(above.as_fd(), &first_name) =>
        {
            construction.make("link", link)?;
            construction.finish(None, session.options.delete)?;
            let file = compare::open_regular(above.as_fd(), &first_name);
            let file = file.map_err(ExtractError::system("set the inode flags"))?;
            attributes::apply_flags(session, file.as_fd(), path, &task.node, Made::default());
        }
        made => {
            made?;
            construction.finish(None, session.options.delete)?;
        }
    }
    session.observer.entry(path, &task.node);
    session.made(&task.node);
    Ok(())
}

fn is_same_file(a: BorrowedFd<'_>, a_name: &CStr, b: BorrowedFd<'_>, b_name: &CStr) -> bool {
    let identity = |directory: BorrowedFd<'_>, name: &CStr| {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        stat.map(|stat| (stat.st_dev, stat.st_ino))
    };
    let found = identity(a, a_name);
    found.is_some() && found == identity(b, b_name)
}
