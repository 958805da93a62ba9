//! What the walk does with a directory: enters it, or says why not.

use std::ffi::CStr;
use std::sync::Arc;

use super::super::chunk::Event;
use super::super::error::{ArchiveError, Problem, ProblemKind};
use super::super::merge::Merged;
use super::super::old::{OldDirectory, OldStreams};
use super::super::reader::failure_of;
use super::super::select::Crossing;
use super::super::sources::Origin;
use super::{Level, Names, OPEN_LEVELS, Scanner};
use crate::format::name_order;
use crate::walk::{Attributes, Directory, Extended, NameList};

impl<'a> Scanner<'a> {
    pub(super) fn meet_directory(
        &mut self,
        parent: &Arc<Directory>,
        name: &CStr,
        attributes: Attributes,
        crossing: Crossing,
    ) -> Result<(), ArchiveError> {
        let old = self.find_old(name).and_then(|old| old.streams());
        let opened = parent.open_child(name);
        let left_out = match crossing {
            Crossing::LeftOut(kind) => Some(ProblemKind::FileSystem(kind)),
            Crossing::Same | Crossing::Entered => match &opened {
                Ok(directory) => self.selection.leaves_out_content(directory, &attributes),
                Err(_) => None,
            },
        };
        if let Some(reason) = left_out {
            // The directory itself is kept, so that there is something to mount on.
            self.left_out(reason);
            self.enter_event(name, Some(attributes), Extended::default());
            self.chunk.events.push(Event::Leave);
            return Ok(());
        }
        match opened {
            Ok(directory) => self.enter(name, Arc::new(directory), attributes, old),
            Err(errno) => {
                self.fail(failure_of(errno));
                self.enter_event(name, Some(attributes), Extended::default());
                self.chunk.events.push(Event::Leave);
            }
        }
        self.shared.check()
    }

    /// Enters a directory that is open.
    pub(super) fn enter(
        &mut self,
        name: &CStr,
        directory: Arc<Directory>,
        attributes: Attributes,
        old: Option<OldStreams>,
    ) {
        self.numbers.learn(attributes.identity.device, &directory);
        let mut errors = Vec::new();
        let extended = Extended::of_open(&directory, &mut errors);
        self.enter_event(name, Some(attributes), extended);
        for error in errors {
            self.shared.report(&Problem::extended(&self.path, &error));
        }
        let names = match directory.list(&mut self.list_buffer) {
            Ok(mut names) => {
                names.sort_by(name_order);
                names
            }
            Err(errno) => {
                self.fail(failure_of(errno));
                NameList::default()
            }
        };
        self.path_with_slash();
        self.shared.progress.set_current(&self.path);
        let old = self.open_old(old);
        self.push_level(Some(directory), Some(attributes), Names::Listed(names), old);
    }

    pub(super) fn push_level(
        &mut self,
        directory: Option<Arc<Directory>>,
        attributes: Option<Attributes>,
        names: Names,
        old: Option<OldDirectory<'a>>,
    ) {
        let merged = self.find_archives(directory.as_deref(), &names);
        let path_length = self.path.len();
        let below = match self.stack.last() {
            // Below an argument that is a directory, the path starts behind its name.
            Some(Level { names: Names::Top(_), .. }) | None => path_length,
            Some(level) => level.below,
        };
        let next = 0;
        self.stack.push(Level {
            directory,
            attributes,
            names,
            next,
            old,
            merged,
            path_length,
            below,
        });
        if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS)
            && let Some(level) = self.stack.get_mut(far)
        {
            level.directory = None;
        }
    }

    /// Archives among the names of a directory, if they are to be merged.
    pub(super) fn find_archives(&mut self, directory: Option<&Directory>, names: &Names) -> Merged {
        let mut merged = Merged::default();
        let Some(merger) = &mut self.merger else { return merged };
        match (names, directory) {
            (Names::Listed(names), Some(directory)) => {
                (0..names.len())
                    .filter_map(|position| names.get(position))
                    .for_each(|name| merger.take(directory, name, &mut merged));
            }
            (Names::Top(names), _) => {
                for name in names {
                    if let Origin::In(parent) = &name.origin {
                        merger.take(parent, &name.name, &mut merged);
                    }
                }
            }
            (Names::Listed(_), None) => {}
        }
        merged.sort();
        merged
    }
}
