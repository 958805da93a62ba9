//! Writes what the walk met into chunks, and hands them on.

use std::ffi::CStr;
use std::sync::Arc;

use super::super::chunk::{Change, EnterEvent, Event, Failure, FileEvent, FileResult, Work};
use super::super::error::{ArchiveError, Problem, ProblemKind};
use super::super::old::{OldDirectory, OldStreams};
use super::super::old_entry::OldEntry;
use super::Scanner;
use crate::format::Gap;
use crate::walk::{Attributes, Directory, Extended};

impl<'a> Scanner<'a> {
    pub(super) fn file_event(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        attributes: Attributes,
        work: Work,
        change: Change,
        result: FileResult,
    ) {
        let needs_reader = !matches!(work, Work::Reuse(_) | Work::Linked | Work::Pieces(_));
        self.chunk.needs_reading |= needs_reader;
        let looked_up = needs_reader || matches!(work, Work::Linked);
        let directory = if looked_up { self.chunk.keep_directory(directory) } else { 0 };
        let name = self.chunk.keep_name(name);
        let event = FileEvent { name, directory, attributes, work, change, result };
        self.chunk.events.push(Event::File(Box::new(event)));
    }

    pub(super) fn enter_event(
        &mut self,
        name: &CStr,
        attributes: Option<Attributes>,
        extended: Extended,
    ) {
        let name = self.chunk.keep_name(name);
        let event = EnterEvent { name, attributes, extended };
        self.chunk.events.push(Event::Enter(Box::new(event)));
    }

    pub(super) fn base_event(&mut self) {
        self.chunk.events.push(Event::Base(self.path.clone()));
    }

    pub(super) fn path_with_slash(&mut self) {
        if !self.path.is_empty() && !self.path.ends_with(b"/") {
            self.path.push(b'/');
        }
    }

    pub(super) fn find_old(&mut self, name: &CStr) -> Option<OldEntry> {
        match self.stack.last_mut()?.old.as_mut()?.find(name.to_bytes()) {
            Ok(found) => found,
            Err(detail) => {
                self.left_out(ProblemKind::OldDamaged(detail));
                None
            }
        }
    }

    pub(super) fn open_old(&mut self, streams: Option<OldStreams>) -> Option<OldDirectory<'a>> {
        match self.old?.open_directory(streams?) {
            Ok(directory) => Some(directory),
            Err(detail) => {
                self.left_out(ProblemKind::OldDamaged(detail));
                None
            }
        }
    }

    /// Reports what could not be read, in the directory that the walk is in.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.chunk.events.push(Event::Gap(Gap::Incomplete));
        self.shared
            .report(&Problem { path: self.path.clone(), kind: ProblemKind::Failed(failure) });
    }

    pub(super) fn left_out(&self, kind: ProblemKind) {
        self.shared.report(&Problem { path: self.path.clone(), kind });
    }

    /// Hands the chunk on and waits for an empty one: so the walk is never far ahead.
    pub(super) fn next_chunk(&mut self) -> Result<(), ArchiveError> {
        self.hand_on()?;
        self.chunk = self.free.recv().map_err(|_| ArchiveError::Interrupted)?;
        self.chunk.sequence = self.sequence;
        self.sequence += 1;
        self.shared.check()
    }

    pub(super) fn hand_on(&mut self) -> Result<(), ArchiveError> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.events.is_empty() {
            return Ok(());
        }
        let channel = if chunk.needs_reading { &self.to_readers } else { &self.to_assembler };
        channel.send(chunk).map_err(|_| ArchiveError::Interrupted)
    }
}
