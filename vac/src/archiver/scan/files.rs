//! What the walk does with anything but a directory: decides what has to be read.

use std::collections::hash_map::Entry as Slot;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use venti_proto::MAX_STREAM_SIZE;
use venti_proto::hash_tree::{depth_of, pointer_size_for};

use super::super::chunk::{
    CHUNK_CONTENT, Change, Event, Failure, FileEvent, FileResult, Kept, Piece, Work,
};
use super::super::describe::holes_of;
use super::super::error::ArchiveError;
use super::super::old_entry::{OldEntry, PlainFile};
use super::super::options::Trust;
use super::super::reader::{extended_of, failure_of};
use super::super::settle::settle;
use super::super::sources::StoredStream;
use super::Scanner;
use crate::walk::{Attributes, Directory, FileKind, find_data};

impl Scanner<'_> {
    /// A stream that was stored before the walk.
    pub(super) fn meet_stream(&mut self, name: &CStr, stream: StoredStream) {
        let old = self.find_old(name);
        let change = match old.as_ref().map(OldEntry::content) {
            None => Change::New,
            Some(Some(content)) if content.score == stream.entry.score => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        self.shared.file_met(&self.path, change);
        let result = FileResult { holes: Some(Vec::new()), ..FileResult::default() };
        let name = self.chunk.keep_name(name);
        let (work, attributes) = (Work::Reuse(stream.entry), stream.attributes);
        let event = FileEvent { name, directory: 0, attributes, work, change, result };
        self.chunk.events.push(Event::File(Box::new(event)));
    }

    pub(super) fn meet_file(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        attributes: Attributes,
        old: Option<OldEntry>,
    ) -> Result<(), ArchiveError> {
        if !self.fits(&attributes) {
            self.fail(Failure::TooLarge);
            return Ok(());
        }
        let existed = old.is_some();
        let is_trusted = self.options.old.is_some_and(|old| old.trust != Trust::Nothing);
        if is_trusted
            && let Some(OldEntry::Plain(file)) = &old
            && let Some(kept) = self.keeps(file, &attributes)
        {
            self.shared.file_met(&self.path, Change::Unchanged);
            self.chunk.kept.push(kept);
            self.chunk.events.push(Event::Kept);
            return Ok(());
        }
        let content = old.as_ref().and_then(OldEntry::content);
        let before = content.map(|entry| entry.score).filter(|_| !is_trusted);
        let reused = old
            .filter(|_| is_trusted)
            .and_then(|old| old.into_file().ok())
            .and_then(|old| old.reuse(&attributes, self.options.block_size));
        let anew = || (work_for(attributes.kind), FileResult { before, ..FileResult::default() });
        let (mut work, result) = reused.unwrap_or_else(anew);
        let change = match (&work, existed) {
            (Work::Reuse(_) | Work::ReuseContent(_), _) => Change::Unchanged,
            (_, true) => Change::Changed,
            (_, false) => Change::New,
        };
        let linked = attributes.kind == FileKind::Regular && attributes.links > 1;
        if linked && !matches!(work, Work::Reuse(_)) && self.seen_before(&attributes) {
            work = Work::Linked;
        }
        self.shared.file_met(&self.path, change);
        if matches!(work, Work::Read) && attributes.size > CHUNK_CONTENT {
            return self.meet_large(directory, name, change, result);
        }
        if matches!(work, Work::Read) {
            self.chunk.content += attributes.size;
        }
        self.file_event(directory, name, attributes, work, change, result);
        Ok(())
    }

    /// What is kept of a file if its entry in the older archive is what it would be now.
    fn keeps(&mut self, file: &PlainFile, attributes: &Attributes) -> Option<Kept> {
        let entry = file.entry()?;
        let content = file.reuse(&entry, attributes, self.options.block_size)?;
        let same = file.bytes().len() <= self.largest_entry
            && self.describer.describes(&entry, attributes);
        same.then(|| Kept { file: file.clone(), content, qid: entry.qid })
    }

    /// Whether the format can hold a file of this size in blocks of this size.
    fn fits(&self, attributes: &Attributes) -> bool {
        let block_size = self.options.block_size;
        let depth = depth_of(attributes.size, pointer_size_for(block_size), block_size);
        attributes.kind != FileKind::Regular
            || (attributes.size <= MAX_STREAM_SIZE && depth.is_some())
    }

    /// Whether another name of this file came before; else this one is remembered.
    pub(super) fn seen_before(&mut self, attributes: &Attributes) -> bool {
        let others = attributes.links - 1;
        match self.linked.entry(attributes.identity) {
            Slot::Vacant(vacant) => {
                vacant.insert(others);
                false
            }
            Slot::Occupied(mut occupied) => {
                *occupied.get_mut() = occupied.get().saturating_sub(1);
                if *occupied.get() == 0 {
                    occupied.remove();
                }
                true
            }
        }
    }

    /// A file too large for one chunk: it is opened here and read in pieces.
    pub(super) fn meet_large(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        change: Change,
        mut result: FileResult,
    ) -> Result<(), ArchiveError> {
        let opened = directory
            .open_file(name)
            .and_then(|file| Ok((Attributes::of_open(&file)?, Arc::new(file))));
        let (attributes, file) = match opened {
            Ok((attributes, _)) if attributes.kind != FileKind::Regular => {
                self.fail(Failure::Vanished);
                return Ok(());
            }
            Ok((attributes, file)) => (attributes, file),
            Err(errno) => {
                self.fail(failure_of(errno));
                return Ok(());
            }
        };
        settle(&attributes);
        self.pieces(&file, &attributes)?;
        extended_of(&file, &mut result);
        result.holes = holes_of(&file, &attributes);
        self.file_event(directory, name, attributes, Work::Pieces(file), change, result);
        Ok(())
    }

    /// Splits a file into pieces, and leaves out the holes of a sparse one.
    pub(super) fn pieces(
        &mut self,
        file: &Arc<OwnedFd>,
        attributes: &Attributes,
    ) -> Result<(), ArchiveError> {
        let block_size = u64::from(self.options.block_size);
        let piece_size = CHUNK_CONTENT / block_size * block_size;
        let mut offset = 0;
        while offset < attributes.size {
            if attributes.may_have_holes() {
                // Where the system can not tell, there may be data: it is read.
                let data =
                    find_data(file, offset).map_or(offset, |data| data.unwrap_or(attributes.size));
                let blocks = data.saturating_sub(offset) / block_size;
                if blocks > 0 {
                    self.chunk.events.push(Event::Hole(blocks));
                    offset += blocks * block_size;
                    continue;
                }
            }
            let length = piece_size.min(attributes.size - offset);
            self.chunk.events.push(Event::Piece(Piece {
                file: Arc::clone(file),
                offset,
                length: usize::try_from(length).unwrap_or(usize::MAX),
                leaves: Vec::new(),
                short: false,
                failure: None,
            }));
            self.chunk.needs_reading = true;
            self.chunk.content += length;
            offset += length;
            if self.chunk.is_full() {
                self.next_chunk()?;
            }
        }
        Ok(())
    }
}

fn work_for(kind: FileKind) -> Work {
    match kind {
        FileKind::Regular => Work::Read,
        FileKind::SymbolicLink => Work::ReadLink,
        FileKind::BlockDevice | FileKind::CharacterDevice => Work::Device,
        FileKind::Fifo | FileKind::Socket | FileKind::Directory => Work::Nothing,
    }
}
