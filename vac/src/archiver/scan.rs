//! The walk: meets every name in the order of the archive and writes it into chunks.
//!
//! The tree is walked depth first without recursion. A directory's names are listed and sorted at
//! once and looked up some hundred at a time, by walkers that are ahead of the walk or, if none has
//! begun, here. They are compared with the older archive, which is read in the same order, and
//! what has to be read is left to the readers.
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

use super::ahead::{Ahead, Called, Listing, Looked, Opened, Run};
use super::chunk::{Chunk, Event};
use super::describe::{Describer, FileSystemNumbers};
use super::error::{ArchiveError, ProblemKind};
use super::merge::{Merged, Merger};
use super::old::{OldDirectory, OldReader};
use super::old_entry::OldFile;
use super::options::Options;
use super::reader::failure_of;
use super::run::Shared;
use super::select::{Crossing, Judgement, Selection};
use super::sources::{Origin, Top, TopName};
use crate::format::{Gap, MetaBlockBuilder, name_order};
use crate::walk::{Attributes, Directory, Extended, FileKind, Identity, NameList};

/// Directories of the present path that are kept open.
const OPEN_LEVELS: usize = 64;

/// One directory of the present path.
struct Level<'a> {
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
    Listed {
        /// Of the listing, however often it is opened.
        number: u64,
        names: Arc<NameList>,
        /// The open directory; none while the walk is far below.
        listing: Option<Arc<Listing>>,
        /// The names that were looked up last.
        run: Option<Arc<Run>>,
    },
    /// The arguments: every name has a directory of its own.
    Top(Vec<TopName>),
}

impl Names {
    fn get(&self, position: usize) -> Option<&CStr> {
        match self {
            Names::Listed { names, .. } => names.get(position),
            Names::Top(names) => names.get(position).map(|top| top.name.as_c_str()),
        }
    }
}

/// The state of the walk.
pub(super) struct Scanner<'a> {
    options: &'a Options,
    shared: &'a Shared,
    selection: &'a Selection<'a>,
    ahead: &'a Ahead<'a>,
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
    describer: Describer<'a>,
    /// The largest entry that fits into a meta block.
    largest_entry: usize,
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
        ahead: &'a Ahead<'a>,
        old: Option<&'a OldReader<'a>>,
        numbers: &'a FileSystemNumbers,
        channels: Channels,
    ) -> Scanner<'a> {
        Scanner {
            options,
            shared: ahead.shared(),
            selection: ahead.selection(),
            ahead,
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
            describer: Describer::new(numbers, options.access_times),
            largest_entry: MetaBlockBuilder::new(options.block_size).largest_entry(),
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
            self.chunk.events.push(Event::Gap(Gap::Incomplete));
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
                let listed = self.list(Opened { directory, attributes });
                self.enter(c"/", *listed, old);
            }
            Top::Names(names) => {
                self.enter_event(c"/", None, Extended::default());
                let old = self.open_old(old);
                self.push_level(None, Names::Top(names), old);
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
            Names::Listed { names, .. } if position >= names.len() => self.leave(),
            Names::Listed { .. } => self.meet_listed(position),
            Names::Top(names) => {
                let Some(name) = names.get(position).cloned() else { return self.leave() };
                level.below = name.prefix.len();
                self.path.clear();
                self.path.extend_from_slice(&name.prefix);
                self.base_event();
                self.path.extend_from_slice(name.name.to_bytes());
                match &name.origin {
                    Origin::In(parent) => self.meet_argument(parent, &name.name),
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
            self.chunk.events.push(Event::Gap(Gap::Incomplete));
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
        let Names::Listed { number, listing: above @ None, names, .. } = &mut parent.names else {
            return Ok(());
        };
        let reopened = match (&left.names, &parent.attributes) {
            (Names::Listed { listing: Some(left), .. }, Some(attributes)) => {
                left.directory.open_parent(attributes).map(|found| (found, *attributes))
            }
            _ => Err(Errno::STALE),
        };
        match reopened {
            Ok((directory, attributes)) => {
                let path = self.path.get(..parent.path_length).unwrap_or_default().to_vec();
                let called = Called { number: *number, path, below: parent.below };
                let opened = Opened { directory, attributes };
                *above = Some(Arc::new(Listing::new(called, opened, Arc::clone(names))));
            }
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

    /// Meets a name of the directory that the walk is in.
    fn meet_listed(&mut self, position: usize) -> Result<(), ArchiveError> {
        let Some((run, looked)) = self.look_up(position) else { return Ok(()) };
        let Some(name) = run.listing.names.get(position) else { return Ok(()) };
        self.path.extend_from_slice(name.to_bytes());
        match looked {
            Looked::Found(attributes) if attributes.kind == FileKind::Directory => {
                let ready = |ahead: &Ahead<'_>| ahead.directory(&run, position);
                self.meet_directory(&run.listing.directory, name, attributes, ready)
            }
            Looked::Found(attributes) => self.meet_other(&run.listing.directory, name, attributes),
            Looked::NotChosen => Ok(()),
            Looked::Excluded => {
                self.left_out(ProblemKind::Excluded);
                Ok(())
            }
            Looked::Failed(errno) => {
                self.fail(failure_of(errno));
                Ok(())
            }
        }
    }

    /// The run that has this position of the directory that the walk is in.
    fn look_up(&mut self, position: usize) -> Option<(Arc<Run>, Looked)> {
        let Names::Listed { listing, run, .. } = &mut self.stack.last_mut()?.names else {
            return None;
        };
        if let Some(run) = run
            && let Some(looked) = run.looked(position)
        {
            return Some((Arc::clone(run), looked));
        }
        let next = self.ahead.run(listing.as_ref()?, position);
        let looked = next.looked(position)?;
        *run = Some(Arc::clone(&next));
        Some((next, looked))
    }

    /// Meets what the user named.
    fn meet_argument(&mut self, parent: &Arc<Directory>, name: &CStr) -> Result<(), ArchiveError> {
        let below = self.stack.last().map_or(0, |level| level.below).min(self.path.len());
        match self.selection.judge(&self.path, below) {
            Judgement::Kept => {}
            Judgement::NotChosen => return Ok(()),
            Judgement::Excluded => {
                self.left_out(ProblemKind::Excluded);
                return Ok(());
            }
        }
        match parent.attributes_of(name) {
            Ok(attributes) if !self.selection.keeps_kind(&self.path, below, attributes.kind) => {
                self.left_out(ProblemKind::Excluded);
                Ok(())
            }
            Ok(attributes) if attributes.kind == FileKind::Directory => {
                self.meet_directory(parent, name, attributes, |_| None)
            }
            Ok(attributes) => self.meet_other(parent, name, attributes),
            Err(errno) => {
                self.fail(failure_of(errno));
                Ok(())
            }
        }
    }

    /// Meets anything but a directory.
    fn meet_other(
        &mut self,
        directory: &Arc<Directory>,
        name: &CStr,
        attributes: Attributes,
    ) -> Result<(), ArchiveError> {
        if let Crossing::LeftOut(kind) = self.crossing(&attributes) {
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

    /// Whether what has these attributes is in another file system than the present directory.
    fn crossing(&self, child: &Attributes) -> Crossing {
        let parent = self.stack.last().and_then(|level| level.attributes);
        self.selection.crossing(parent.as_ref(), child)
    }
}
