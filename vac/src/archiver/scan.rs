//! The walk: meets every name in the order of the archive and writes it into chunks.
//!
//! The tree is walked depth first without recursion. A directory's names are listed and sorted at
//! once; its children are looked up one by one, compared with the older archive, which is read in
//! the same order, and what has to be read is left to the readers.
//!
//! A directory stays open as long as the walk is below it, but of a long path only the last
//! [`OPEN_LEVELS`] are: the others are opened again through `..` and are checked to be the same.

mod directories;
mod emit;
mod files;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rustix::io::Errno;
use venti_proto::BlockStore;

use super::chunk::{Chunk, Event};
use super::describe::FileSystemNumbers;
use super::error::{ArchiveError, ProblemKind};
use super::merge::{Merged, Merger};
use super::old::{OldDirectory, OldFile, OldReader};
use super::options::Options;
use super::reader::failure_of;
use super::run::Shared;
use super::select::{Crossing, Selection};
use super::sources::{Origin, Top, TopName};
use crate::format::name_order;
use crate::walk::{Attributes, Directory, Extended, FileKind, Identity, NameList};

/// Directories of the present path that are kept open.
const OPEN_LEVELS: usize = 64;

/// One directory of the present path.
struct Level<'a> {
    directory: Option<Arc<Directory>>,
    attributes: Option<Attributes>,
    names: Names,
    next: usize,
    old: Option<OldDirectory<'a>>,
    merged: Merged,
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

impl Names {
    fn get(&self, position: usize) -> Option<&CStr> {
        match self {
            Names::Listed(names) => names.get(position),
            Names::Top(names) => names.get(position).map(|top| top.name.as_c_str()),
        }
    }
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
    merger: Option<Merger<'a>>,
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
        store: &'a dyn BlockStore,
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
            merger: options.merge.then(|| Merger::new(store)),
            numbers,
        }
    }

    /// Walks everything below `top`. Whatever can not be read is reported and left out.
    pub(super) fn run(&mut self, top: Top) -> Result<(), ArchiveError> {
        match self.walk(top) {
            Err(ArchiveError::Interrupted) => {}
            Err(error) => return Err(error),
            Ok(()) => return self.hand_on(),
        }
        // Asked to stop: what was met so far is brought to an end, for the next time to go on.
        self.chunk.events.push(Event::Abandon);
        for _ in self.stack.drain(..) {
            self.chunk.events.push(Event::Leave);
        }
        self.hand_on()
    }

    fn walk(&mut self, top: Top) -> Result<(), ArchiveError> {
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
        Ok(())
    }

    /// Meets one name of the directory that the walk is in, or leaves it.
    fn step(&mut self) -> Result<(), ArchiveError> {
        let Some(level) = self.stack.last_mut() else { return Ok(()) };
        self.path.truncate(level.path_length);
        let position = level.next;
        if let Some(first) = level.merged.files.front() {
            let order =
                level.names.get(position).map(|n| name_order(&first.dir.name, n.to_bytes()));
            if order.is_none_or(Ordering::is_le) {
                self.meet_merged(order == Some(Ordering::Equal));
                return Ok(());
            }
        }
        level.next += 1;
        if level.names.get(position).is_some_and(|name| level.merged.taken.contains(name)) {
            return Ok(());
        }
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

    /// The next file of an archive that is merged into this directory.
    fn meet_merged(&mut self, clashes: bool) {
        let Some(file) = self.stack.last_mut().and_then(|l| l.merged.files.pop_front()) else {
            return;
        };
        self.path.extend_from_slice(&file.dir.name);
        let twice = |next: &OldFile| next.dir.name == file.dir.name;
        let followed = self.stack.last().and_then(|l| l.merged.files.front()).is_some_and(twice);
        if clashes || followed {
            self.left_out(ProblemKind::MergeClash);
        } else {
            self.chunk.events.push(Event::Merged(Box::new(file)));
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
}
