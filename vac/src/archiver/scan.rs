//! The walk: meets every name in the order of the archive and writes it into chunks.
//!
//! The tree is walked depth first without recursion. A directory's names are listed and sorted at
//! once; its children are looked up one by one, compared with the older archive, which is read in
//! the same order, and what has to be read is left to the readers.
//!
//! A directory stays open as long as the walk is below it, but of a long path only the last
//! [`OPEN_LEVELS`] are: the others are opened again through `..` and are checked to be the same.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rustix::io::Errno;

use super::chunk::{
    CHUNK_CONTENT, Change, Chunk, EnterEvent, Event, Failure, FileEvent, FileResult, Piece, Work,
};
use super::describe::{FileSystemNumbers, holes_of};
use super::error::{ArchiveError, Problem, ProblemKind};
use super::old::{OldDirectory, OldFile, OldReader, OldStreams};
use super::options::Options;
use super::reader::failure_of;
use super::run::Shared;
use super::select::{Crossing, Selection};
use super::sources::{Origin, StoredStream, Top, TopName};
use crate::format::name_order;
use crate::walk::{Attributes, Directory, Extended, FileKind, Identity, NameList, find_data};

/// Directories of the present path that are kept open.
const OPEN_LEVELS: usize = 64;

/// One directory of the present path.
struct Level<'a> {
    directory: Option<Arc<Directory>>,
    attributes: Option<Attributes>,
    names: Names,
    next: usize,
    old: Option<OldDirectory<'a>>,
    /// Length of the path of this directory in [`Scanner::path`], with a slash if there is one.
    path_length: usize,
    /// Where the part of the path below the archived directory starts.
    below: usize,
}

/// What is in a directory.
enum Names {
    Listed(NameList),
    /// The arguments: every name has a directory of its own.
    Top(Vec<TopName>),
}

/// The state of the walk.
pub(super) struct Scanner<'a> {
    options: &'a Options,
    shared: &'a Shared,
    selection: Selection<'a>,
    old: Option<&'a OldReader<'a>>,
    free: Receiver<Chunk>,
    to_readers: Sender<Chunk>,
    to_assembler: Sender<Chunk>,
    chunk: Chunk,
    sequence: u64,
    stack: Vec<Level<'a>>,
    path: Vec<u8>,
    list_buffer: Vec<u8>,
    /// Files with more names to come, and how many.
    linked: HashMap<Identity, u32>,
    numbers: &'a FileSystemNumbers,
}

/// Where the chunks of a [`Scanner`] come from and go to.
pub(super) struct Channels {
    pub(super) free: Receiver<Chunk>,
    pub(super) to_readers: Sender<Chunk>,
    pub(super) to_assembler: Sender<Chunk>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(
        options: &'a Options,
        shared: &'a Shared,
        old: Option<&'a OldReader<'a>>,
        numbers: &'a FileSystemNumbers,
        channels: Channels,
    ) -> Scanner<'a> {
        Scanner {
            options,
            shared,
            selection: Selection::new(&options.exclusions),
            old,
            free: channels.free,
            to_readers: channels.to_readers,
            to_assembler: channels.to_assembler,
            chunk: Chunk::default(),
            sequence: 0,
            stack: Vec::new(),
            path: Vec::new(),
            list_buffer: Vec::new(),
            linked: HashMap::new(),
            numbers,
        }
    }

    /// Walks everything below `top`. Whatever can not be read is reported and left out.
    pub(super) fn run(&mut self, top: Top) -> Result<(), ArchiveError> {
        self.next_chunk()?;
        let old = self.old.and_then(OldReader::top);
        match top {
            Top::Directory { directory, attributes, path } => {
                self.path = path;
                self.path_with_slash();
                self.base_event();
                self.enter(c"/", Arc::new(directory), attributes, old);
            }
            Top::Names(names) => {
                self.enter_event(c"/", None, Extended::default());
                let old = self.open_old(old);
                self.push_level(None, None, Names::Top(names), old);
            }
        }
        while !self.stack.is_empty() {
            if self.chunk.is_full() {
                self.next_chunk()?;
            }
            self.step()?;
        }
        self.hand_on()
    }

    /// Meets one name of the directory that the walk is in, or leaves it.
    fn step(&mut self) -> Result<(), ArchiveError> {
        let Some(level) = self.stack.last_mut() else { return Ok(()) };
        let position = level.next;
        level.next += 1;
        self.path.truncate(level.path_length);
        match &level.names {
            Names::Listed(names) => {
                let Some(name) = names.get(position).map(CStr::to_owned) else {
                    return self.leave();
                };
                let Some(directory) = level.directory.clone() else { return Ok(()) };
                self.path.extend_from_slice(name.to_bytes());
                self.meet(&directory, &name)
            }
            Names::Top(names) => {
                let Some(name) = names.get(position).cloned() else { return self.leave() };
                level.below = name.prefix.len();
                self.path.clear();
                self.path.extend_from_slice(&name.prefix);
                self.base_event();
                self.path.extend_from_slice(name.name.to_bytes());
                match &name.origin {
                    Origin::In(parent) => self.meet(parent, &name.name),
                    Origin::Stored(stream) => {
                        self.meet_stream(&name.name, *stream);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Goes back to the parent, which may have to be opened again.
    fn leave(&mut self) -> Result<(), ArchiveError> {
        let Some(left) = self.stack.pop() else { return Ok(()) };
        self.chunk.events.push(Event::Leave);
        let Some(parent) = self.stack.last_mut() else { return Ok(()) };
        if parent.directory.is_some() || matches!(parent.names, Names::Top(_)) {
            return Ok(());
        }
        let reopened = match (&left.directory, &parent.attributes) {
            (Some(left), Some(attributes)) => left.open_parent(attributes),
            _ => Err(Errno::STALE),
        };
        match reopened {
            Ok(directory) => parent.directory = Some(Arc::new(directory)),
            Err(errno) => {
                // What is left of the directory can not be reached any more.
                parent.next = usize::MAX;
                let length = parent.path_length;
                self.path.truncate(length);
                self.fail(failure_of(errno));
            }
        }
        Ok(())
    }

    /// Decides what is done about a name.
    fn meet(&mut self, directory: &Arc<Directory>, name: &CStr) -> Result<(), ArchiveError> {
        let below = self.stack.last().map_or(0, |level| level.below).min(self.path.len());
        if !self.selection.keeps_name(&self.path, below) {
            self.left_out(ProblemKind::Excluded);
            return Ok(());
        }
        let attributes = match directory.attributes_of(name) {
            Ok(attributes) => attributes,
            Err(errno) => {
                self.fail(failure_of(errno));
                return Ok(());
            }
        };
        let parent = self.stack.last().and_then(|level| level.attributes);
        let crossing = self.selection.crossing(parent.as_ref(), &attributes);
        if attributes.kind == FileKind::Directory {
            return self.meet_directory(directory, name, attributes, crossing);
        }
        if let Crossing::LeftOut(kind) = crossing {
            self.left_out(ProblemKind::FileSystem(kind));
            return Ok(());
        }
        if !self.selection.keeps_size(&attributes) {
            self.left_out(ProblemKind::TooLarge);
            return Ok(());
        }
        let old = self.find_old(name);
        self.meet_file(directory, name, attributes, old)
    }

    /// A stream that was stored before the walk.
    fn meet_stream(&mut self, name: &CStr, stream: StoredStream) {
        let old = self.find_old(name);
        let change = match old.map(|old| old.content) {
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

    fn meet_directory(
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
    fn enter(
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

    fn push_level(
        &mut self,
        directory: Option<Arc<Directory>>,
        attributes: Option<Attributes>,
        names: Names,
        old: Option<OldDirectory<'a>>,
    ) {
        let path_length = self.path.len();
        let below = match self.stack.last() {
            // Below an argument that is a directory, the path starts behind its name.
            Some(Level { names: Names::Top(_), .. }) | None => path_length,
            Some(level) => level.below,
        };
        self.stack.push(Level { directory, attributes, names, next: 0, old, path_length, below });
        if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS)
            && let Some(level) = self.stack.get_mut(far)
        {
            level.directory = None;
        }
    }

    fn meet_file(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        attributes: Attributes,
        old: Option<OldFile>,
    ) -> Result<(), ArchiveError> {
        let existed = old.is_some();
        let reused = old.and_then(|old| self.reusable(&attributes, old));
        let (mut work, result) =
            reused.unwrap_or_else(|| (work_for(attributes.kind), FileResult::default()));
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
            return self.meet_large(directory, name, change);
        }
        if matches!(work, Work::Read) {
            self.chunk.content += attributes.size;
        }
        self.file_event(directory, name, attributes, work, change, result);
        Ok(())
    }

    /// Whether another name of this file came before; else this one is remembered.
    fn seen_before(&mut self, attributes: &Attributes) -> bool {
        let others = attributes.links - 1;
        match self.linked.entry(attributes.identity) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(others);
                false
            }
            std::collections::hash_map::Entry::Occupied(mut occupied) => {
                *occupied.get_mut() = occupied.get().saturating_sub(1);
                if *occupied.get() == 0 {
                    occupied.remove();
                }
                true
            }
        }
    }

    /// Whether the older archive's content of a file can be taken.
    fn reusable(&self, attributes: &Attributes, old: OldFile) -> Option<(Work, FileResult)> {
        let trusted = self.options.old.is_some_and(|old| old.trust_attributes);
        if trusted { old.reuse(attributes, self.options.block_size) } else { None }
    }

    /// A file too large for one chunk: it is opened here and read in pieces.
    fn meet_large(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        change: Change,
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
        self.pieces(&file, &attributes)?;
        let mut result = FileResult::default();
        result.extended = Extended::of_open(&file, &mut result.extended_errors);
        result.holes = holes_of(&file, &attributes);
        self.file_event(directory, name, attributes, Work::Pieces(file), change, result);
        Ok(())
    }

    /// Splits a file into pieces, and leaves out the holes of a sparse one.
    fn pieces(&mut self, file: &Arc<OwnedFd>, attributes: &Attributes) -> Result<(), ArchiveError> {
        let block_size = u64::from(self.options.block_size);
        let piece_size = CHUNK_CONTENT / block_size * block_size;
        let mut offset = 0;
        while offset < attributes.size {
            if attributes.may_have_holes() {
                let data = find_data(file, offset).unwrap_or(attributes.size);
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

    fn file_event(
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
        let directory = if needs_reader { self.chunk.keep_directory(directory) } else { 0 };
        let name = self.chunk.keep_name(name);
        let event = FileEvent { name, directory, attributes, work, change, result };
        self.chunk.events.push(Event::File(Box::new(event)));
    }

    fn enter_event(&mut self, name: &CStr, attributes: Option<Attributes>, extended: Extended) {
        let name = self.chunk.keep_name(name);
        let event = EnterEvent { name, attributes, extended };
        self.chunk.events.push(Event::Enter(Box::new(event)));
    }

    fn base_event(&mut self) {
        self.chunk.events.push(Event::Base(self.path.clone()));
    }

    fn path_with_slash(&mut self) {
        if !self.path.is_empty() && !self.path.ends_with(b"/") {
            self.path.push(b'/');
        }
    }

    fn find_old(&mut self, name: &CStr) -> Option<OldFile> {
        match self.stack.last_mut()?.old.as_mut()?.find(name.to_bytes()) {
            Ok(found) => found,
            Err(detail) => {
                self.left_out(ProblemKind::OldDamaged(detail));
                None
            }
        }
    }

    fn open_old(&mut self, streams: Option<OldStreams>) -> Option<OldDirectory<'a>> {
        match self.old?.open_directory(streams?) {
            Ok(directory) => Some(directory),
            Err(detail) => {
                self.left_out(ProblemKind::OldDamaged(detail));
                None
            }
        }
    }

    fn fail(&self, failure: Failure) {
        self.shared
            .report(&Problem { path: self.path.clone(), kind: ProblemKind::Failed(failure) });
    }

    fn left_out(&self, kind: ProblemKind) {
        self.shared.report(&Problem { path: self.path.clone(), kind });
    }

    /// Hands the chunk on and waits for an empty one: so the walk is never far ahead.
    fn next_chunk(&mut self) -> Result<(), ArchiveError> {
        self.hand_on()?;
        self.chunk = self.free.recv().map_err(|_| ArchiveError::Interrupted)?;
        self.chunk.sequence = self.sequence;
        self.sequence += 1;
        self.shared.check()
    }

    fn hand_on(&mut self) -> Result<(), ArchiveError> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.events.is_empty() {
            return Ok(());
        }
        let channel = if chunk.needs_reading { &self.to_readers } else { &self.to_assembler };
        channel.send(chunk).map_err(|_| ArchiveError::Interrupted)
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
