//! Walks the archive, makes the directories, and hands out the rest.
//!
//! What is still to be visited is a stack, so memory is bounded by the depth of the tree times
//! the directories that are read at once; a directory too large to be read at once goes back on
//! the stack after each part. There is no recursion.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use venti_proto::Score;

use super::batch::Task;
use super::destination::Destination;
use super::links::Links;
use super::log_order::LogOrder;
use super::open_directory::OpenDirectory;
use super::selection::{Selection, Wanted};
use super::session::Session;
use super::{ExtractError, delete, medium};
use crate::reader::{Child, DirectoryScan, Node, ReadError, read_small_directories};

/// Directories that are read with one call to the store.
const DIRECTORIES_AT_ONCE: usize = 64;
/// Small files that are read with one call to the store.
const FILES_AT_ONCE: usize = 256;
/// Bytes that they may have together.
const BYTES_AT_ONCE: u64 = 2 << 20;
/// Files of a few blocks that are read together: all of them are open at once.
const MEDIUM_AT_ONCE: usize = 64;
/// Bytes that they may have together.
const MEDIUM_BYTES_AT_ONCE: u64 = 4 << 20;

/// What the workers are given.
pub(super) enum Job<'s> {
    Small(Vec<Task<'s>>),
    Medium(Vec<Task<'s>>),
    Large(Task<'s>),
}

/// Where jobs go, and how to wait until all are done.
pub(super) trait Crew<'s> {
    fn send(&self, job: Job<'s>);
    fn wait(&self);
}

/// What is still to be visited.
enum Pending<'s, 'w> {
    /// A directory that is to be made in `parent` and read.
    Directory { parent: Destination<'s>, node: Node, wanted: Option<&'w Wanted> },
    /// A large directory that was read up to somewhere.
    Scan { directory: Destination<'s>, scan: Box<DirectoryScan>, clean: bool },
}

pub(super) struct Walker<'s, 'w> {
    session: &'s Session<'s>,
    selection: &'w Selection,
    crew: &'w dyn Crew<'s>,
    stack: Vec<Pending<'s, 'w>>,
    order: LogOrder<'s>,
    small: Vec<Task<'s>>,
    small_bytes: u64,
    medium: Vec<Task<'s>>,
    medium_bytes: u64,
    links: Links<'s>,
    /// Names so far.
    entries: u64,
    /// Names so far in directories that were not met before.
    distinct: u64,
    seen: HashSet<(Score, Option<Score>)>,
}

impl<'s, 'w> Walker<'s, 'w> {
    pub(super) fn new(
        session: &'s Session<'s>,
        selection: &'w Selection,
        crew: &'w dyn Crew<'s>,
    ) -> Walker<'s, 'w> {
        Walker {
            session,
            selection,
            crew,
            stack: Vec::new(),
            order: LogOrder::new(),
            small: Vec::new(),
            small_bytes: 0,
            medium: Vec::new(),
            medium_bytes: 0,
            links: Links::default(),
            entries: 0,
            distinct: 0,
            seen: HashSet::new(),
        }
    }

    /// Walks everything that is wanted below `root` into the directory `top`.
    pub(super) fn walk(
        &mut self,
        root: &Node,
        top: Arc<OpenDirectory<'s>>,
        top_fd: BorrowedFd<'_>,
    ) {
        self.enter(Destination::Open(top), root, Some(&self.selection.wanted));
        while !self.stack.is_empty() && !self.session.stopped() {
            self.step();
            if self.links.are_many() {
                self.make_links(top_fd);
            }
        }
        self.stack.clear();
        self.make_links(top_fd);
        self.flush();
        self.crew.wait();
    }

    /// Visits what is on top of the stack.
    fn step(&mut self) {
        if let Some(Pending::Scan { .. }) = self.stack.last() {
            if let Some(Pending::Scan { directory, scan, clean }) = self.stack.pop() {
                self.continue_scan(&directory, scan, clean);
            }
            return;
        }
        let mut directories = Vec::new();
        let mut nodes = Vec::new();
        while nodes.len() < DIRECTORIES_AT_ONCE
            && let Some(Pending::Directory { .. }) = self.stack.last()
            && let Some(Pending::Directory { parent, node, wanted }) = self.stack.pop()
        {
            let Some(directory) = self.make(parent, &node) else { continue };
            if wanted.is_none_or(|wanted| wanted.whole) {
                directories.push(directory);
                nodes.push(node);
            } else {
                self.enter(directory, &node, wanted);
            }
        }
        let mut read = Vec::with_capacity(nodes.len());
        let large = read_small_directories(&nodes, &mut |position, children| {
            read.push((position, children));
        });
        for (position, children) in read {
            let clean = children.iter().all(Result::is_ok);
            self.count(&nodes[position], children.len());
            self.take_children(&directories[position], children);
            self.leave(&directories[position], clean);
        }
        for position in large {
            self.start_scan(directories[position].clone(), &nodes[position]);
        }
    }

    /// Makes a directory, unless that can wait until something is made in it.
    fn make(&self, parent: Destination<'s>, node: &Node) -> Option<Destination<'s>> {
        let path = parent.path_of(node.name());
        if self.selection.has_patterns() && self.selection.is_on_the_way(&path) {
            return Some(parent.waiting(node.clone()));
        }
        let parent = parent.open(self.session)?;
        self.session.observer.entry(&path, node);
        match parent.child(node.name(), Some(node.clone())) {
            Ok(directory) => {
                self.session.made(node);
                Some(Destination::Open(directory))
            }
            Err(error) => {
                self.session.problem(&path, &error);
                None
            }
        }
    }

    /// Visits a directory of which everything, or only some names, are wanted.
    fn enter(&mut self, directory: Destination<'s>, node: &Node, wanted: Option<&'w Wanted>) {
        match wanted {
            Some(wanted) if !wanted.whole => self.choose(&directory, node, wanted),
            _ => self.start_scan(directory, node),
        }
    }

    fn start_scan(&mut self, directory: Destination<'s>, node: &Node) {
        match node.children() {
            Ok(scan) => {
                self.count(node, 0);
                self.stack.push(Pending::Scan { directory, scan: Box::new(scan), clean: true });
            }
            Err(error) => self.session.problem(directory.path(), &error.into()),
        }
    }

    fn continue_scan(
        &mut self,
        directory: &Destination<'s>,
        mut scan: Box<DirectoryScan>,
        mut clean: bool,
    ) {
        let mut children = Vec::new();
        let more = scan.next_batch(&mut children).unwrap_or_else(|error| {
            self.session.problem(directory.path(), &error.into());
            clean = false;
            false
        });
        clean &= children.iter().all(Result::is_ok);
        self.distinct += children.len() as u64;
        if more {
            let directory = directory.clone();
            self.stack.push(Pending::Scan { directory, scan, clean });
        }
        self.take_children(directory, children);
        if !more {
            self.leave(directory, clean);
        }
    }

    /// Looks up only the names that are wanted.
    fn choose(&mut self, directory: &Destination<'s>, node: &Node, wanted: &'w Wanted) {
        for (name, below) in &wanted.names {
            let child = match node.lookup(name) {
                Ok(Some(child)) => child,
                Ok(None) => {
                    let error = ExtractError::NotStored { what: "a file of this name" };
                    self.session.problem(&directory.path_of(name), &error);
                    continue;
                }
                Err(error) => {
                    self.session.problem(&directory.path_of(name), &error.into());
                    continue;
                }
            };
            if !below.whole && !child.is_directory() {
                let error = ExtractError::Read(ReadError::NotADirectory);
                self.session.problem(&directory.path_of(name), &error);
                continue;
            }
            self.take_child(directory, child, Some(below));
        }
    }

    fn take_children(&mut self, directory: &Destination<'s>, children: Vec<Child>) {
        for child in children {
            match child {
                Ok(node) => self.take_child(directory, node, None),
                Err(bad) => {
                    let path = directory.path_of(&bad.name);
                    self.session.problem(&path, &bad.error.into());
                }
            }
        }
    }

    fn take_child(&mut self, directory: &Destination<'s>, node: Node, wanted: Option<&'w Wanted>) {
        if self.session.stopped() {
            return;
        }
        match self.check(directory, &node) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.session.problem(&directory.path_of(node.name()), &error),
        }
        if node.is_directory() {
            let parent = directory.clone();
            return self.stack.push(Pending::Directory { parent, node, wanted });
        }
        let Some(directory) = directory.open(self.session) else { return };
        if let Some(task) = self.links.take(Task { directory, node, walk: None }) {
            self.give(task);
        }
    }

    /// Whether the child is to be made; an error if nothing can be made of it.
    fn check(&mut self, directory: &Destination<'s>, node: &Node) -> Result<bool, ExtractError> {
        let limits = &self.session.options.limits;
        let name = node.metadata().checked_name().map_err(ReadError::from)?;
        if self.selection.has_patterns()
            && !self.selection.keeps(&directory.path_of(name), node.is_directory())
        {
            return Ok(false);
        }
        let length = (directory.path().len() + 1 + name.len()) as u64;
        self.entries += 1;
        let too_many = self.entries > limits.counted_from
            && self.entries / self.distinct.max(1) >= limits.copies;
        let checks = [
            ("the path's length", length, limits.path, "--max-path"),
            ("the depth", directory.depth(), limits.depth, "--max-depth"),
            ("the number of names", self.entries, limits.entries, "--max-entries"),
        ];
        for (what, found, limit, option) in checks {
            if found > limit {
                if option == "--max-entries" {
                    self.give_up();
                }
                return Err(ExtractError::Limit { what, found, limit, option });
            }
        }
        if too_many {
            self.give_up();
            let (what, option) = ("the number of copies of the same directories", "--max-copies");
            let found = self.entries / self.distinct.max(1);
            return Err(ExtractError::Limit { what, found, limit: limits.copies, option });
        }
        directory.claim(name)?;
        Ok(true)
    }

    /// Notes the names of a directory, once for all its copies.
    fn count(&mut self, node: &Node, names: usize) {
        if self.seen.insert((node.content().score, node.meta().map(|meta| meta.score))) {
            self.distinct += names as u64;
        }
    }

    /// Ends the walk: what was started is finished.
    fn give_up(&mut self) {
        self.session.stop.store(true, Relaxed);
    }

    /// Called when all names of a directory are known.
    fn leave(&mut self, directory: &Destination<'s>, clean: bool) {
        if !self.session.options.delete || !clean || self.session.stopped() {
            return;
        }
        let directory = directory.open_if_there(self.session);
        if let Some(directory) = directory.filter(|directory| !directory.fresh) {
            delete::remove_others(self.session, &directory, self.selection);
        }
    }

    fn give(&mut self, task: Task<'s>) {
        if self.order.push(task) {
            self.give_gathered();
        }
    }

    fn give_gathered(&mut self) {
        for task in self.order.take(self.session) {
            self.batch(task);
        }
    }

    fn batch(&mut self, task: Task<'s>) {
        let size = task.node.size();
        if task.is_small() {
            self.small_bytes += size;
            self.small.push(task);
            if self.small.len() >= FILES_AT_ONCE || self.small_bytes >= BYTES_AT_ONCE {
                self.flush_small();
            }
        } else if medium::is_medium(self.session, &task) {
            self.medium_bytes += size;
            self.medium.push(task);
            let full = self.medium_bytes >= MEDIUM_BYTES_AT_ONCE;
            if full || self.medium.len() >= MEDIUM_AT_ONCE {
                self.flush_medium();
            }
        } else {
            self.crew.send(Job::Large(task));
        }
    }

    fn flush(&mut self) {
        self.give_gathered();
        self.flush_small();
        self.flush_medium();
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.crew.send(Job::Small(std::mem::take(&mut self.small)));
        }
        self.small_bytes = 0;
    }

    fn flush_medium(&mut self) {
        if !self.medium.is_empty() {
            self.crew.send(Job::Medium(std::mem::take(&mut self.medium)));
        }
        self.medium_bytes = 0;
    }

    /// Makes further names of files once the first ones are there.
    fn make_links(&mut self, top: BorrowedFd<'_>) {
        while self.links.are_waiting() {
            self.flush();
            self.crew.wait();
            if self.session.stopped() {
                return;
            }
            for task in self.links.make(self.session, top) {
                self.give(task);
            }
        }
    }
}
