//! A reader thread: opens, reads, hashes and stores the content of the files of its chunks.
//!
//! All files of a chunk go into one batch. A file is looked at again after it was read: if size,
//! times or identity differ from before, it is read again after a pause, and after some times it
//! is kept as it was read last and marked torn.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::readlinkat;
use rustix::io::Errno;
use venti_proto::hash_tree::HashTreeWriter;
use venti_proto::{BlockBatch, Entry, StoreError};

use super::chunk::{
    CHUNK_CONTENT, Chunk, Event, Failure, FileEvent, FileResult, Piece, Work, name_at,
};
use super::content::{ContentReader, Leaf, push_block};
use super::describe::holes_of;
use super::progress::{Counters, add};
use super::settle::settle;
use super::sink::{BATCH_BYTES, Sink, SinkError};
use super::streams::data_tree;
use crate::walk::{Attributes, Directory, Extended, FileKind, says_vanished};

/// How long to wait before a file that changed is read again: after these it is torn.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(40), Duration::from_millis(200)];

/// Leaves of one file of the chunk, waiting for the batch to be hashed.
struct Pending {
    event: usize,
    first_leaf: usize,
    end_leaf: usize,
    size: u64,
}

/// What a thread keeps from chunk to chunk.
pub(super) struct Reader<'a> {
    sink: Sink<'a>,
    counters: &'a Counters,
    content: ContentReader,
    tree: HashTreeWriter,
    batch: BlockBatch,
    leaves: Vec<Leaf>,
    pending: Vec<Pending>,
    block_size: usize,
}

/// What reading one file came to.
enum Content {
    /// Its leaves are in the batch; this many bytes.
    Leaves(u64),
    /// It is stored already.
    Stored(Entry),
}

impl<'a> Reader<'a> {
    pub(super) fn new(sink: Sink<'a>, counters: &'a Counters, block_size: u32) -> Reader<'a> {
        Reader {
            sink,
            counters,
            content: ContentReader::new(block_size as usize),
            tree: data_tree(block_size),
            batch: BlockBatch::with_capacity(2 * BATCH_BYTES),
            leaves: Vec::new(),
            pending: Vec::new(),
            block_size: block_size as usize,
        }
    }

    /// Does what the chunk asks for. Files that can not be read are no error: their events say
    /// so.
    pub(super) fn process(&mut self, chunk: &mut Chunk) -> Result<(), SinkError> {
        let (names, directories, events) = chunk.parts();
        for position in 0..events.len() {
            if matches!(events[position], Event::Piece(_)) {
                self.store_pending(events)?;
            }
            match &mut events[position] {
                Event::File(file) => {
                    let size = self.read_file(names, directories, file)?;
                    if let Some((first_leaf, size)) = size {
                        let end_leaf = self.leaves.len();
                        self.pending.push(Pending { event: position, first_leaf, end_leaf, size });
                    }
                }
                Event::Piece(piece) => self.read_piece(piece)?,
                Event::Base(_)
                | Event::Enter(_)
                | Event::Gap(_)
                | Event::Leave
                | Event::Abandon
                | Event::Hole(_)
                | Event::Kept
                | Event::Merged(_) => {}
            }
            if self.batch.bytes() >= BATCH_BYTES {
                self.store_pending(events)?;
            }
        }
        self.store_pending(events)
    }

    /// Writes what is left over from the chunks so far.
    pub(super) fn finish(&mut self) -> Result<(), SinkError> {
        Ok(self.sink.flush()?)
    }

    /// Hashes and writes the batch, and makes the entries of the files in it.
    fn store_pending(&mut self, events: &mut [Event]) -> Result<(), SinkError> {
        let mut hashed = std::mem::take(&mut self.batch).hash();
        for file in self.pending.drain(..) {
            for leaf in &self.leaves[file.first_leaf..file.end_leaf] {
                self.tree.push(leaf.score(hashed.scores()), self.sink.blocks())?;
            }
            let entry = self.tree.finish(file.size, self.sink.blocks())?;
            if let Event::File(event) = &mut events[file.event] {
                event.result.entry = Some(entry);
            }
        }
        self.leaves.clear();
        self.sink.write_content(&mut hashed)?;
        self.batch = hashed.recycle();
        Ok(self.sink.flush_if_large()?)
    }

    /// Reads one file's content as its event asks. Returns where its leaves start and its size
    /// if they are waiting in the batch.
    fn read_file(
        &mut self,
        names: &[u8],
        directories: &[Arc<Directory>],
        event: &mut FileEvent,
    ) -> Result<Option<(usize, u64)>, SinkError> {
        let Some(directory) = directories.get(event.directory) else { return Ok(None) };
        let name = name_at(names, event.name);
        let first_leaf = self.leaves.len();
        match &event.work {
            Work::Read => self.read_regular(directory, name, event),
            Work::ReadLink => {
                let target = readlinkat(directory, name, Vec::new());
                special(directory, name, &mut event.result);
                match target {
                    Ok(target) => Ok(Some((first_leaf, self.push_bytes(target.as_bytes())))),
                    Err(errno) => {
                        event.result.failure = Some(failure_of(errno));
                        Ok(None)
                    }
                }
            }
            Work::Device => {
                special(directory, name, &mut event.result);
                let words = device_words(&event.attributes);
                Ok(Some((first_leaf, self.push_bytes(words.as_bytes()))))
            }
            Work::Nothing => {
                special(directory, name, &mut event.result);
                Ok(Some((first_leaf, 0)))
            }
            Work::ReuseContent(entry) => {
                event.result.entry = Some(*entry);
                match directory.open_file(name) {
                    Ok(file) => {
                        extended_of(&file, &mut event.result);
                        event.result.holes = holes_of(&file, &event.attributes);
                    }
                    Err(errno) => event.result.failure = Some(failure_of(errno)),
                }
                Ok(None)
            }
            Work::Reuse(_) | Work::Linked | Work::Pieces(_) => Ok(None),
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        for block in bytes.chunks(self.block_size) {
            self.leaves.push(push_block(block, &mut self.batch));
        }
        bytes.len() as u64
    }

    fn read_regular(
        &mut self,
        directory: &Directory,
        name: &CStr,
        event: &mut FileEvent,
    ) -> Result<Option<(usize, u64)>, SinkError> {
        let file = match directory.open_file(name) {
            Ok(file) => file,
            Err(errno) => {
                event.result.failure = Some(failure_of(errno));
                return Ok(None);
            }
        };
        let first_leaf = self.leaves.len();
        let mut again = PAUSES.iter();
        loop {
            self.leaves.truncate(first_leaf);
            settle(&event.attributes);
            // Not before: a changed attribute changes the file's version, too.
            extended_of(&file, &mut event.result);
            let read = self.read_once(&file, event.attributes.size)?;
            let now = Attributes::of_open(&file);
            let (content, now) = match read.and_then(|content| Ok((content, now?))) {
                Ok((_, now)) if now.kind != FileKind::Regular => {
                    event.result.failure = Some(Failure::Vanished);
                    return Ok(None);
                }
                Ok(both) => both,
                Err(errno) => {
                    event.result.failure = Some(failure_of(errno));
                    return Ok(None);
                }
            };
            let same = now.same_version(&event.attributes) && content.size() == now.size;
            event.attributes = now;
            if !same && let Some(pause) = again.next() {
                std::thread::sleep(*pause);
                continue;
            }
            event.result.torn = !same;
            event.result.holes = holes_of(&file, &event.attributes);
            add(&self.counters.bytes_read, content.size());
            return Ok(match content {
                Content::Leaves(size) => Some((first_leaf, size)),
                Content::Stored(entry) => {
                    event.result.entry = Some(entry);
                    None
                }
            });
        }
    }

    /// Reads a file that should have `size` bytes: into the batch, or, if it has grown too large
    /// for that since the walk, straight into the store.
    fn read_once(
        &mut self,
        file: &OwnedFd,
        size: u64,
    ) -> Result<Result<Content, Errno>, SinkError> {
        if size > CHUNK_CONTENT {
            let mut whole = WholeFile {
                content: &mut self.content,
                tree: &mut self.tree,
                sink: &mut self.sink,
            };
            return Ok(whole.read(file, size)?.map(Content::Stored));
        }
        let read = self.content.read(file, 0, size, &mut self.batch, &mut self.leaves);
        Ok(read.map(Content::Leaves))
    }

    /// Reads and stores one piece; nothing else is waiting in the batch.
    fn read_piece(&mut self, piece: &mut Piece) -> Result<(), SinkError> {
        let Reader { content, batch, leaves, .. } = self;
        let length = piece.length as u64;
        match content.read(&piece.file, piece.offset, length, batch, leaves) {
            Ok(found) => {
                piece.short = found < length;
                add(&self.counters.bytes_read, found);
            }
            Err(errno) => piece.failure = Some(failure_of(errno)),
        }
        let mut hashed = std::mem::take(&mut self.batch).hash();
        piece.leaves.clear();
        piece.leaves.extend(self.leaves.drain(..).map(|leaf| leaf.score(hashed.scores())));
        self.sink.write_content(&mut hashed)?;
        self.batch = hashed.recycle();
        Ok(())
    }
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Content::Leaves(size) => *size,
            Content::Stored(entry) => entry.size,
        }
    }
}

/// Reads a file of any size from one end to the other: for those that did not come out right in
/// pieces, and those that grew.
pub(super) struct WholeFile<'r, 'a> {
    pub(super) content: &'r mut ContentReader,
    pub(super) tree: &'r mut HashTreeWriter,
    pub(super) sink: &'r mut Sink<'a>,
}

impl WholeFile<'_, '_> {
    /// Reads up to `size` bytes.
    pub(super) fn read(
        &mut self,
        file: &OwnedFd,
        size: u64,
    ) -> Result<Result<Entry, Errno>, SinkError> {
        let mut batch = BlockBatch::default();
        let mut leaves = Vec::new();
        let mut done = 0;
        let mut outcome = Ok(());
        while done < size {
            let wanted = (size - done).min(CHUNK_CONTENT);
            let read = self.content.read(file, done, wanted, &mut batch, &mut leaves);
            let mut hashed = batch.hash();
            for leaf in leaves.drain(..) {
                self.tree.push(leaf.score(hashed.scores()), self.sink.blocks())?;
            }
            self.sink.write_content(&mut hashed)?;
            self.sink.flush_if_large()?;
            batch = hashed.recycle();
            match read {
                Ok(found) => done += found,
                Err(errno) => outcome = Err(errno),
            }
            if read != Ok(wanted) {
                break;
            }
        }
        let entry = self.tree.finish(done, self.sink.blocks())?;
        Ok(outcome.map(|()| entry))
    }
}

/// What an error of opening or reading means for the file.
pub(super) fn failure_of(errno: Errno) -> Failure {
    if says_vanished(errno) { Failure::Vanished } else { Failure::Unreadable(errno) }
}

/// Reads what the file has beside its content, in place of what was read before.
pub(super) fn extended_of(file: impl AsFd, result: &mut FileResult) {
    result.extended_errors.clear();
    result.extended = Extended::of_open(file, &mut result.extended_errors);
    result.lacks_extended = !result.extended_errors.is_empty();
}

fn special(directory: &Directory, name: &CStr, result: &mut FileResult) {
    result.extended = Extended::of_child(directory, name, &mut result.extended_errors);
    result.lacks_extended = !result.extended_errors.is_empty();
}

/// What the original stores as the content of a device: a letter, then minor and major number.
fn device_words(attributes: &Attributes) -> String {
    let letter = if attributes.kind == FileKind::BlockDevice { 'b' } else { 'c' };
    format!("{letter} {} {}", attributes.special.minor, attributes.special.major)
}

/// A store that refuses one block refuses the archive.
impl From<SinkError> for super::ArchiveError {
    fn from(error: SinkError) -> super::ArchiveError {
        match error {
            SinkError::Store(error) => super::ArchiveError::Store(error),
            SinkError::TooDeep(error) => super::ArchiveError::TooDeep(error),
        }
    }
}

/// A failed write of a thread's sink.
impl From<StoreError> for super::ArchiveError {
    fn from(error: StoreError) -> super::ArchiveError {
        super::ArchiveError::Store(error)
    }
}
