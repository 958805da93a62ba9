//! What is handed from the walk to the readers and on to the assembler: some hundred files.
//!
//! The walk writes down what it meets in the order of the archive, in chunks of about a megabyte
//! of content. A reader takes a whole chunk, reads and stores the content of its files and writes
//! the results beside them. The assembler takes the chunks in their order and so sees the tree
//! as one sequence. A fixed number of chunks goes round: that bounds the memory and the files
//! that are open, whatever the tree.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use venti_proto::{Entry, Score};

use super::old_entry::{OldFile, PlainFile};
use crate::format::{Gap, Hole};
use crate::walk::{Attributes, Directory, Extended, ExtendedError};

/// Content that a chunk is filled up to, in bytes. A file larger than this comes in pieces.
pub(super) const CHUNK_CONTENT: u64 = 1 << 20;
/// Events that a chunk is filled up to.
pub(super) const CHUNK_EVENTS: usize = 512;
/// Directories that a chunk keeps open at the most.
pub(super) const CHUNK_DIRECTORIES: usize = 32;

/// Where a name starts in [`Chunk::names`].
pub(super) type NameStart = usize;

/// Consecutive events of the walk, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Its place among the chunks.
    pub(super) sequence: u64,
    pub(super) events: Vec<Event>,
    /// Names of the events, each ended by a zero byte.
    names: Vec<u8>,
    /// Files that are as the older archive has them, in order.
    pub(super) kept: Vec<Kept>,
    /// Directories in which the names of [`FileEvent`]s are looked up.
    pub(super) directories: Vec<Arc<Directory>>,
    /// Bytes of content that a reader will read.
    pub(super) content: u64,
    /// Whether there is anything for a reader to do.
    pub(super) needs_reading: bool,
}

/// One thing that the walk met.
#[derive(Debug)]
pub(super) enum Event {
    /// The paths of what follows in the topmost directory start with this: for messages only.
    Base(Vec<u8>),
    /// A directory starts; what follows is in it, up to its [`Event::Leave`].
    Enter(Box<EnterEvent>),
    /// The directory that is open last has not everything that it had.
    Gap(Gap),
    /// The directory that was entered last ends.
    Leave,
    /// Anything but a directory.
    File(Box<FileEvent>),
    /// The next of [`Chunk::kept`].
    Kept,
    /// A file or directory of another archive, with everything below it.
    Merged(Box<OldFile>),
    /// A part of the large file whose [`FileEvent`] follows its parts.
    Piece(Piece),
    /// The large file whose parts came by last does not come to its end.
    Abandon,
    /// A part of a large file without anything in it, in blocks.
    Hole(u64),
}

/// A file of which nothing changed that is kept: its entry is copied.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: PlainFile,
    pub(super) content: Entry,
    pub(super) qid: u64,
}

/// A directory that starts.
#[derive(Clone, Debug)]
pub(super) struct EnterEvent {
    pub(super) name: NameStart,
    /// None for a topmost directory that is made up of several arguments.
    pub(super) attributes: Option<Attributes>,
    pub(super) extended: Extended,
}

/// What has to be done to know a file's content.
#[derive(Debug)]
pub(super) enum Work {
    /// Read it.
    Read,
    /// Read the target of a symbolic link.
    ReadLink,
    /// The words that describe a device, as the original writes them.
    Device,
    /// There is no content.
    Nothing,
    /// The older archive has it, and everything else that is kept.
    Reuse(Entry),
    /// The older archive has the content, but not the extended attributes.
    ReuseContent(Entry),
    /// Another name of a file that came before.
    Linked,
    /// It came in pieces; this finds out whether they fit together.
    Pieces(Arc<OwnedFd>),
}

/// How a file compares with the older archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not in the older archive, or there is none.
    New,
    /// It is there with other content or attributes.
    Changed,
    /// It is there as it is now.
    Unchanged,
}

/// Anything but a directory, and what a reader found.
#[derive(Debug)]
pub(super) struct FileEvent {
    pub(super) name: NameStart,
    /// Position in [`Chunk::directories`].
    pub(super) directory: usize,
    /// As of the walk, and later as of the reading.
    pub(super) attributes: Attributes,
    pub(super) work: Work,
    pub(super) change: Change,
    pub(super) result: FileResult,
}

/// What a reader found.
#[derive(Clone, Debug, Default)]
pub(super) struct FileResult {
    /// The stream of the content, unless there was a failure.
    pub(super) entry: Option<Entry>,
    pub(super) extended: Extended,
    /// What of that could not be read, as long as it is not reported.
    pub(super) extended_errors: Vec<ExtendedError>,
    /// Whether anything of it could not be read.
    pub(super) lacks_extended: bool,
    /// The content in the older archive, if only the content tells whether the file changed.
    pub(super) before: Option<Score>,
    /// Parts without space on disk; none if that was not found out.
    pub(super) holes: Option<Vec<Hole>>,
    /// Whether the file went on changing while it was read.
    pub(super) torn: bool,
    pub(super) failure: Option<Failure>,
}

/// Why a file is not in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was there when its directory was listed, and then no more, or was something else.
    Vanished,
    /// The system refused to open or read it.
    Unreadable(Errno),
    /// It is larger than the format can say with blocks of this size.
    TooLarge,
}

/// A part of a large file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: Arc<OwnedFd>,
    /// A multiple of the block size.
    pub(super) offset: u64,
    /// Bytes to read; a multiple of the block size, but in the last piece of a file.
    pub(super) length: usize,
    /// The blocks that a reader stored.
    pub(super) leaves: Vec<Score>,
    /// Whether fewer bytes were there.
    pub(super) short: bool,
    pub(super) failure: Option<Failure>,
}

impl Chunk {
    /// Keeps a name and returns where.
    pub(super) fn keep_name(&mut self, name: &CStr) -> NameStart {
        let start = self.names.len();
        self.names.extend_from_slice(name.to_bytes_with_nul());
        start
    }

    /// The name that was kept at `start`.
    pub(super) fn name(&self, start: NameStart) -> &CStr {
        name_at(&self.names, start)
    }

    /// Keeps a directory open for the chunk, once however often it is asked for in a row.
    pub(super) fn keep_directory(&mut self, directory: &Arc<Directory>) -> usize {
        match self.directories.last() {
            Some(last) if Arc::ptr_eq(last, directory) => {}
            _ => self.directories.push(Arc::clone(directory)),
        }
        self.directories.len() - 1
    }

    /// The parts that a reader needs at once: the names, the directories, and the events to fill.
    pub(super) fn parts(&mut self) -> (&[u8], &[Arc<Directory>], &mut [Event]) {
        (&self.names, &self.directories, &mut self.events)
    }

    /// Whether it should be handed on before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.content >= CHUNK_CONTENT
            || self.events.len() >= CHUNK_EVENTS
            || self.directories.len() >= CHUNK_DIRECTORIES
    }

    /// Empties it for the next round; the memory stays.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.kept.clear();
        self.names.clear();
        self.directories.clear();
        self.content = 0;
        self.needs_reading = false;
    }
}

/// The name at `start` of a buffer of names.
pub(super) fn name_at(names: &[u8], start: NameStart) -> &CStr {
    CStr::from_bytes_until_nul(&names[start..]).unwrap_or(c"")
}
