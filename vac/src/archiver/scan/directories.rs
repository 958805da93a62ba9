//! What the walk does with a directory: enters it, or says why not.

use std::ffi::CStr;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::ahead::{Ahead, Listed, Opened};
use super::super::chunk::Event;
use super::super::error::{ArchiveError, Problem, ProblemKind};
use super::super::merge::Merged;
use super::super::old::{OldDirectory, OldStreams};
use super::super::reader::failure_of;
use super::super::select::Crossing;
use super::super::sources::Origin;
use super::{Level, Names, OPEN_LEVELS, Scanner};
use crate::format::Gap;
use crate::walk::{Attributes, Directory, Extended};

impl<'a> Scanner<'a> {
    /// Enters a directory, or writes down why not. `ready` gives what a walker found there.
    pub(super) fn meet_directory(
        &mut self,
        parent: &Directory,
        name: &CStr,
        looked_up: Attributes,
        ready: impl FnOnce(&Ahead<'_>) -> Option<Result<Box<Listed>, Errno>>,
    ) -> Result<(), ArchiveError> {
        let old = self.find_old(name).and_then(|old| old.streams());
        // What is not entered is not touched: the server of a network file system may be gone.
        if let Crossing::LeftOut(kind) = self.crossing(&looked_up) {
            self.enter_nothing(name, looked_up, ProblemKind::FileSystem(kind));
            return self.shared.check();
        }
        let opened = match ready(self.ahead) {
            Some(listed) => listed,
            None => match Opened::open(parent, name) {
                Err(errno) => Err(errno),
                Ok(opened) => match self.crossing(&opened.attributes) {
                    Crossing::Same | Crossing::Entered => Ok(self.list(opened)),
                    // Mounted after it was looked up.
                    Crossing::LeftOut(kind) => {
                        let reason = ProblemKind::FileSystem(kind);
                        self.enter_nothing(name, opened.attributes, reason);
                        return self.shared.check();
                    }
                },
            },
        };
        match opened.map(|listed| *listed) {
            Ok(Listed { left_out: Some(reason), attributes, .. }) => {
                self.enter_nothing(name, attributes, reason);
            }
            Ok(listed) => self.enter(name, listed, old),
            Err(errno) => {
                self.enter_nothing(name, looked_up, ProblemKind::Failed(failure_of(errno)));
            }
        }
        self.shared.check()
    }

    /// Lists a directory on this thread.
    pub(super) fn list(&mut self, opened: Opened) -> Box<Listed> {
        let length = self.path.len();
        self.path_with_slash();
        let below = self.below();
        let listed = self.ahead.list(opened, &self.path, below, &mut self.list_buffer);
        self.path.truncate(length);
        listed
    }

    /// Keeps a directory without its content, so that there is something to mount on.
    fn enter_nothing(&mut self, name: &CStr, attributes: Attributes, reason: ProblemKind) {
        let failed = matches!(reason, ProblemKind::Failed(_));
        self.left_out(reason);
        self.enter_event(name, Some(attributes), Extended::default());
        let gap = if failed { Gap::Incomplete } else { Gap::LeftOut };
        self.chunk.events.push(Event::Gap(gap));
        self.chunk.events.push(Event::Leave);
    }

    /// Enters a directory that was listed.
    pub(super) fn enter(&mut self, name: &CStr, listed: Listed, old: Option<OldStreams>) {
        let Listed { attributes, extended, extended_errors, failure, listing, first, .. } = listed;
        self.numbers.learn(attributes.identity.device, &listing.directory);
        self.enter_event(name, Some(attributes), extended);
        for error in extended_errors {
            self.shared.report(&Problem::extended(&self.path, &error));
        }
        if let Some(errno) = failure {
            self.fail(failure_of(errno));
        }
        self.path_with_slash();
        self.shared.progress.set_current(&self.path);
        let old = self.open_old(old);
        let (number, names) = (listing.number, Arc::clone(&listing.names));
        let names = Names::Listed { number, names, listing: Some(listing), run: first };
        self.push_level(Some(attributes), names, old);
    }

    /// Where the part of the path below the archived directory starts, for what is in the
    /// directory of this path.
    fn below(&self) -> usize {
        match self.stack.last() {
            // Below an argument that is a directory, the path starts behind its name.
            Some(Level { names: Names::Top(_), .. }) | None => self.path.len(),
            Some(level) => level.below,
        }
    }

    pub(super) fn push_level(
        &mut self,
        attributes: Option<Attributes>,
        names: Names,
        old: Option<OldDirectory<'a>>,
    ) {
        let merged = self.find_archives(&names);
        let (path_length, below) = (self.path.len(), self.below());
        self.stack.push(Level { attributes, names, next: 0, old, merged, path_length, below });
        if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS)
            && let Some(Level { names: Names::Listed { listing, run, .. }, .. }) =
                self.stack.get_mut(far)
        {
            (*listing, *run) = (None, None);
        }
    }

    /// Archives among the names of a directory, if they are to be merged.
    pub(super) fn find_archives(&mut self, names: &Names) -> Merged {
        let mut merged = Merged::default();
        let Some(merger) = &mut self.merger else { return merged };
        match names {
            Names::Listed { names, listing: Some(listing), .. } => {
                (0..names.len())
                    .filter_map(|position| names.get(position))
                    .for_each(|name| merger.take(&listing.directory, name, &mut merged));
            }
            Names::Top(names) => {
                for name in names {
                    if let Origin::In(parent) = &name.origin {
                        merger.take(parent, &name.name, &mut merged);
                    }
                }
            }
            Names::Listed { listing: None, .. } => {}
        }
        merged.sort();
        merged
    }
}
