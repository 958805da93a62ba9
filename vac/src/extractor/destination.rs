//! Where the walk is in the target: in a directory that is open, or in one that is made once
//! there is something to be made in it.
//!
//! With patterns of what to restore, most directories hold nothing that is wanted. They are
//! walked without being made; the first file that is kept makes all that lead to it.

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use super::open_directory::OpenDirectory;
use super::session::Session;
use super::{ExtractError, place};
use crate::reader::Node;

/// A directory of the target.
#[derive(Clone)]
pub(super) enum Destination<'s> {
    Open(Arc<OpenDirectory<'s>>),
    Waiting(Rc<Waiting<'s>>),
}

/// A directory that nothing was made in yet.
pub(super) struct Waiting<'s> {
    /// The directory that it is in; none only while it is dropped.
    above: Option<Destination<'s>>,
    node: Node,
    path: Vec<u8>,
    depth: u64,
    /// Names that the archive has here, as far as they were met.
    names: RefCell<HashSet<Vec<u8>>>,
    /// What became of it: none if it could not be made, which was reported.
    made: OnceCell<Option<Arc<OpenDirectory<'s>>>>,
}

impl<'s> Destination<'s> {
    /// A directory in this one that is to wait.
    pub(super) fn waiting(self, node: Node) -> Destination<'s> {
        let (path, depth) = (self.path_of(node.name()), self.depth() + 1);
        let (names, made) = (RefCell::default(), OnceCell::new());
        Destination::Waiting(Rc::new(Waiting { above: Some(self), node, path, depth, names, made }))
    }

    pub(super) fn path(&self) -> &[u8] {
        match self {
            Destination::Open(directory) => &directory.path,
            Destination::Waiting(waiting) => &waiting.path,
        }
    }

    /// The path of a name in this directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let slash: &[u8] = if self.path().is_empty() { b"" } else { b"/" };
        [self.path(), slash, name].concat()
    }

    pub(super) fn depth(&self) -> u64 {
        match self {
            Destination::Open(directory) => directory.depth,
            Destination::Waiting(waiting) => waiting.depth,
        }
    }

    /// See [`OpenDirectory::claim`].
    pub(super) fn claim(&self, name: &[u8]) -> Result<(), ExtractError> {
        let waiting = match self {
            Destination::Open(directory) => return directory.claim(name),
            Destination::Waiting(waiting) => waiting,
        };
        match waiting.made.get() {
            Some(Some(directory)) => directory.claim(name),
            _ if waiting.names.borrow_mut().insert(name.to_vec()) => Ok(()),
            _ => Err(ExtractError::Duplicate),
        }
    }

    /// The directory, which is made now if it was waiting, with those that it is in. None if
    /// that does not succeed, which is reported once.
    pub(super) fn open(&self, session: &Session<'_>) -> Option<Arc<OpenDirectory<'s>>> {
        let mut unmade = Vec::new();
        let mut at = self;
        let mut parent = loop {
            match at {
                Destination::Open(directory) => break Arc::clone(directory),
                Destination::Waiting(waiting) => {
                    if let Some(made) = waiting.made.get() {
                        break made.clone()?;
                    }
                    unmade.push(waiting);
                    at = waiting.above.as_ref()?;
                }
            }
        };
        for waiting in unmade.into_iter().rev() {
            let made = waiting.make(session, &parent);
            parent = waiting.made.get_or_init(|| made).clone()?;
        }
        Some(parent)
    }

    /// The directory, if it was made or was in the target before.
    pub(super) fn open_if_there(&self, session: &Session<'_>) -> Option<Arc<OpenDirectory<'s>>> {
        let mut names = Vec::new();
        let mut at = self;
        let above = loop {
            match at {
                Destination::Open(directory) => break directory,
                Destination::Waiting(waiting) => {
                    if let Some(made) = waiting.made.get() {
                        break made.as_ref()?;
                    }
                    names.push(waiting.node.name());
                    at = waiting.above.as_ref()?;
                }
            }
        };
        names.reverse();
        place::open_below(above.as_fd(), &names.join(&b'/')).ok()?;
        self.open(session)
    }
}

impl<'s> Waiting<'s> {
    fn make(
        &self,
        session: &Session<'_>,
        parent: &OpenDirectory<'s>,
    ) -> Option<Arc<OpenDirectory<'s>>> {
        session.observer.entry(&self.path, &self.node);
        match parent.child(self.node.name(), Some(self.node.clone())) {
            Ok(directory) => {
                session.made(&self.node);
                // What it has was noted here; in a directory that was there that counts.
                self.names.take().iter().for_each(|name| directory.note(name));
                Some(directory)
            }
            Err(error) => {
                session.problem(&self.path, &error);
                None
            }
        }
    }
}

/// One after another: the way down may be deeper than the stack.
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(Destination::Waiting(waiting)) = above {
            above = Rc::try_unwrap(waiting).ok().and_then(|mut waiting| waiting.above.take());
        }
    }
}
