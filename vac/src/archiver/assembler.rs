//! Puts the archive together: takes the chunks in order and writes the directories.
//!
//! A directory is written while its children come by; of it only two unfinished blocks are in
//! memory, and one such pair for every directory of the present path. Directories are always
//! built anew, also where nothing changed: that costs little, the same tree gives the same
//! blocks, and a block that the older archive has is not sent.

mod checkpoint;

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;
use venti_proto::hash_tree::HashTreeWriter;
use venti_proto::{BlockStore, BlockType, Entry, Root, Score};

use super::chunk::{
    Change, Chunk, EnterEvent, Event, Failure, FileEvent, FileResult, Kept, Piece, Work,
};
use super::content::ContentReader;
use super::describe::{Describer, FileSystemNumbers, dated_directory, holes_of, made_up_directory};
use super::dump::{DumpBase, DumpDay};
use super::error::{ArchiveError, Problem, ProblemKind};
use super::old::OldReader;
use super::old_entry::OldFile;
use super::options::{Options, Trust};
use super::progress::add;
use super::reader::{PAUSES, Reader, WholeFile, extended_of, failure_of};
use super::run::Shared;
use super::settle::settle;
use super::sink::Sink;
use super::streams::{data_tree, directory_writer};
use super::top::push_top;
use super::verify::Verifier;
use crate::format::{
    DirectoryStreams, DirectoryWriter, FormatError, Gap, QidSpace, VacDir, name_order,
};
use crate::walk::{Attributes, Directory, FileKind, Identity};
pub use checkpoint::Checkpoints;
use checkpoint::Due;

/// Permissions of a topmost directory that is made up (as the original has them).
const TOP_PERMISSIONS: u32 = 0o777;

/// A directory that is being written.
#[derive(Clone)]
struct OpenDirectory {
    name: Vec<u8>,
    event: EnterEvent,
    writer: DirectoryWriter,
    gap: Option<Gap>,
    /// Length of the path of its parent, with a slash.
    path_length: usize,
}

/// A file of which more names may come.
struct LinkedFile {
    attributes: Attributes,
    result: FileResult,
    /// Names that may still come.
    others: u32,
}

/// The large file whose pieces come by.
#[derive(Default)]
struct Pieces {
    size: u64,
    short: bool,
    failure: Option<Failure>,
}

/// The top of a finished archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) root: Score,
}

/// The assembling thread.
pub(super) struct Assembler<'a> {
    sink: Sink<'a>,
    shared: &'a Shared,
    options: &'a Options,
    old: Option<&'a OldReader<'a>>,
    describer: Describer<'a>,
    stack: Vec<OpenDirectory>,
    /// Writers that are not in use.
    writers: Vec<DirectoryWriter>,
    tree: HashTreeWriter,
    pieces: Pieces,
    content: ContentReader,
    linked: HashMap<Identity, LinkedFile>,
    /// The path of what comes next, for messages.
    path: Vec<u8>,
    top: Option<(VacDir, DirectoryStreams)>,
    largest_qid: u64,
    verify: Verifier<'a>,
    store: &'a dyn BlockStore,
    /// Their blocks have to be in the store before a checkpoint can name them.
    readers: &'a [Mutex<Reader<'a>>],
    due: Option<Due>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        sink: Sink<'a>,
        store: &'a dyn BlockStore,
        shared: &'a Shared,
        options: &'a Options,
        numbers: &'a FileSystemNumbers,
        old: Option<&'a OldReader<'a>>,
        readers: &'a [Mutex<Reader<'a>>],
    ) -> Assembler<'a> {
        let is_trusted = options.old.is_some_and(|old| old.trust != Trust::Nothing);
        Assembler {
            sink,
            shared,
            options,
            old,
            describer: Describer::new(numbers, options.access_times),
            stack: Vec::new(),
            writers: Vec::new(),
            tree: data_tree(options.block_size),
            pieces: Pieces::default(),
            content: ContentReader::new(options.block_size as usize),
            linked: HashMap::new(),
            path: Vec::new(),
            top: None,
            largest_qid: 0,
            verify: Verifier::new(store, is_trusted),
            store,
            readers,
            due: options.checkpoints.map(Due::new),
        }
    }

    /// Takes the next chunk, and keeps a checkpoint behind it if one is due.
    pub(super) fn take(&mut self, chunk: &mut Chunk) -> Result<(), ArchiveError> {
        let mut events = std::mem::take(&mut chunk.events);
        let mut kept = std::mem::take(&mut chunk.kept);
        let mut next_kept = kept.drain(..);
        for event in events.drain(..) {
            match event {
                Event::Base(path) => self.path = path,
                Event::Enter(event) => self.enter(chunk.name(event.name).to_bytes(), *event),
                Event::Gap(gap) => self.mark(gap),
                Event::Leave => self.leave()?,
                Event::File(event) => {
                    let directory = chunk.directories.get(event.directory).map(Arc::clone);
                    self.file(chunk.name(event.name), directory.as_deref(), *event)?;
                }
                Event::Kept => next_kept.next().map_or(Ok(()), |kept| self.kept(&kept))?,
                Event::Merged(file) => self.merged(*file)?,
                Event::Piece(piece) => self.piece(&piece)?,
                Event::Abandon => {
                    self.pieces = Pieces::default();
                    self.tree.finish(0, self.sink.blocks()).map_err(ArchiveError::TooDeep)?;
                }
                Event::Hole(blocks) => {
                    self.tree
                        .push_zeros(blocks, self.sink.blocks())
                        .map_err(ArchiveError::TooDeep)?;
                    self.pieces.size += blocks * u64::from(self.options.block_size);
                }
            }
        }
        drop(next_kept);
        // Their memory is used again.
        (chunk.events, chunk.kept) = (events, kept);
        self.flush_if_large()?;
        self.checkpoint_if_due()
    }

    fn enter(&mut self, name: &[u8], event: EnterEvent) {
        let writer =
            self.writers.pop().unwrap_or_else(|| directory_writer(self.options.block_size));
        let path_length = self.path.len();
        if !self.stack.is_empty() {
            self.path.extend_from_slice(name);
            self.path.push(b'/');
        }
        self.stack.push(OpenDirectory {
            name: name.to_vec(),
            event,
            writer,
            gap: None,
            path_length,
        });
    }

    /// Notes that the directory that is being written has not everything that it had.
    fn mark(&mut self, gap: Gap) {
        if let Some(directory) = self.stack.last_mut() {
            directory.gap = Some(gap);
        }
    }

    fn leave(&mut self) -> Result<(), ArchiveError> {
        let Some(mut done) = self.stack.pop() else { return Ok(()) };
        let (entry, streams) = self.close(&mut done)?;
        self.path.truncate(done.path_length);
        self.writers.push(done.writer);
        add(&self.shared.progress.counters.directories, 1);
        if self.stack.is_empty() {
            self.top = Some((entry, streams));
            return Ok(());
        }
        self.push(entry, &streams.entries, Some(&streams.meta))
    }

    /// Ends a directory; its writer is then empty.
    fn close(
        &mut self,
        done: &mut OpenDirectory,
    ) -> Result<(VacDir, DirectoryStreams), ArchiveError> {
        let streams = done.writer.finish(self.sink.blocks());
        let streams = streams.map_err(|error| self.format_error(&done.name, error))?;
        let mut entry = match done.event.attributes {
            Some(attributes) => {
                let extended = std::mem::take(&mut done.event.extended);
                self.describer.directory(&done.name, &attributes, extended, streams.names)
            }
            None => made_up_directory(&done.name, TOP_PERMISSIONS, streams.names),
        };
        if let Some(unix) = &mut entry.unix {
            unix.gap = done.gap;
        }
        Ok((entry, streams))
    }

    /// `directory` is where the name is looked up, if anything is still to be read.
    fn file(
        &mut self,
        name: &CStr,
        directory: Option<&Directory>,
        mut event: FileEvent,
    ) -> Result<(), ArchiveError> {
        match &event.work {
            Work::Reuse(entry) => {
                event.result.entry = Some(*entry);
                self.verify.check(entry)?;
            }
            Work::ReuseContent(entry) => self.verify.check(entry)?,
            Work::Linked => self.other_name(name, directory, &mut event)?,
            Work::Pieces(file) => {
                let file = Arc::clone(file);
                self.finish_pieces(&file, &mut event)?;
            }
            Work::Read | Work::ReadLink | Work::Device | Work::Nothing => {}
        }
        if event.attributes.kind == FileKind::Regular
            && event.attributes.links > 1
            && !matches!(event.work, Work::Linked | Work::Reuse(_))
        {
            self.remember_link(&event, event.attributes.links - 1);
        }
        let name = name.to_bytes();
        let Some(entry) = event.result.entry.filter(|_| event.result.failure.is_none()) else {
            let failure = event.result.failure.unwrap_or(Failure::Vanished);
            self.mark(Gap::Incomplete);
            self.report(name, ProblemKind::Failed(failure));
            return Ok(());
        };
        if event.result.torn {
            self.report(name, ProblemKind::Torn);
        }
        for error in std::mem::take(&mut event.result.extended_errors) {
            let path = [&self.path, name].concat();
            self.shared.report(&Problem::extended(&path, &error));
        }
        self.count(&event, &entry);
        let dir = self.describer.file(name, &event.attributes, event.result);
        self.push(dir, &entry, None)
    }

    /// Copies the entry of a file that did not change.
    fn kept(&mut self, kept: &Kept) -> Result<(), ArchiveError> {
        let Kept { file, content, qid } = kept;
        self.verify.check(content)?;
        let counters = &self.shared.progress.counters;
        add(&counters.unchanged, 1);
        add(&counters.bytes_unchanged, content.size);
        self.largest_qid = self.largest_qid.max(*qid);
        let Some(parent) = self.stack.last_mut() else { return Ok(()) };
        parent
            .writer
            .push_copy(file.name(), file.bytes(), content, self.sink.blocks())
            .map_err(|error| self.format_error(file.name(), error))
    }

    fn count(&self, event: &FileEvent, entry: &Entry) {
        let counters = &self.shared.progress.counters;
        let same = event.result.before == Some(entry.score);
        match event.change {
            Change::Changed if same => add(&counters.unchanged, 1),
            Change::New => add(&counters.new, 1),
            Change::Changed => add(&counters.changed, 1),
            Change::Unchanged => {
                add(&counters.unchanged, 1);
                add(&counters.bytes_unchanged, entry.size);
            }
        }
    }

    /// Adds a child to the directory that is being written.
    fn push(
        &mut self,
        dir: VacDir,
        content: &Entry,
        meta: Option<&Entry>,
    ) -> Result<(), ArchiveError> {
        let Some(parent) = self.stack.last_mut() else { return Ok(()) };
        self.largest_qid = self.largest_qid.max(dir.qid);
        let name = dir.name.clone();
        parent
            .writer
            .push(dir, content, meta, self.sink.blocks())
            .map_err(|error| self.format_error(&name, error))
    }

    /// Puts what another archive has into this one.
    fn merged(&mut self, file: OldFile) -> Result<(), ArchiveError> {
        if let Some(space) = file.dir.qid_space {
            self.largest_qid = self.largest_qid.max(space.max);
        }
        match file.content {
            Some(content) => self.push(file.dir, &content, file.meta.as_ref()),
            None => {
                self.report(&file.dir.name, ProblemKind::Failed(Failure::Vanished));
                Ok(())
            }
        }
    }

    /// One more name of a file: it has what was read under the first one. If nothing could be, for
    /// that name has gone, the file is read under this one.
    fn other_name(
        &mut self,
        name: &CStr,
        directory: Option<&Directory>,
        event: &mut FileEvent,
    ) -> Result<(), ArchiveError> {
        let identity = event.attributes.identity;
        let first = self.linked.remove(&identity);
        let others = first.as_ref().map_or(event.attributes.links, |first| first.others);
        let others = others.saturating_sub(1);
        if let Some(first) = first.filter(|first| first.result.failure.is_none()) {
            event.attributes = first.attributes;
            event.result = first.result.clone();
            // Reported once, under the first name.
            event.result.extended_errors.clear();
            if others > 0 {
                self.linked.insert(identity, LinkedFile { others, ..first });
            }
            return Ok(());
        }
        let opened = directory.ok_or(Errno::NOENT).and_then(|directory| directory.open_file(name));
        match opened.and_then(|file| Ok((Attributes::of_open(&file)?, Arc::new(file)))) {
            Ok((now, file)) if now.kind == FileKind::Regular => {
                self.read_again(&file, now, event)?;
            }
            Ok(_) => event.result.failure = Some(Failure::Vanished),
            Err(errno) => event.result.failure = Some(failure_of(errno)),
        }
        if others > 0 {
            self.remember_link(event, others);
        }
        Ok(())
    }

    fn remember_link(&mut self, event: &FileEvent, others: u32) {
        let (attributes, result) = (event.attributes, event.result.clone());
        self.linked.insert(attributes.identity, LinkedFile { attributes, result, others });
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), ArchiveError> {
        self.pieces.short |= piece.short;
        self.pieces.failure = self.pieces.failure.or(piece.failure);
        self.pieces.size += piece.length as u64;
        for leaf in &piece.leaves {
            self.tree.push(*leaf, self.sink.blocks()).map_err(ArchiveError::TooDeep)?;
        }
        Ok(())
    }

    /// The last piece is there: if the file is still what it was, the pieces fit together.
    fn finish_pieces(
        &mut self,
        file: &Arc<OwnedFd>,
        event: &mut FileEvent,
    ) -> Result<(), ArchiveError> {
        let Pieces { size, short, failure } = std::mem::take(&mut self.pieces);
        let entry = self.tree.finish(size, self.sink.blocks()).map_err(ArchiveError::TooDeep)?;
        event.result.entry = Some(entry);
        event.result.failure = failure;
        if failure.is_some() {
            return Ok(());
        }
        match Attributes::of_open(file) {
            Ok(now) if now.same_version(&event.attributes) && !short => Ok(()),
            Ok(now) => self.read_again(file, now, event),
            Err(errno) => {
                event.result.failure = Some(failure_of(errno));
                Ok(())
            }
        }
    }

    /// Reads a large file from one end to the other because it changed meanwhile.
    fn read_again(
        &mut self,
        file: &Arc<OwnedFd>,
        mut before: Attributes,
        event: &mut FileEvent,
    ) -> Result<(), ArchiveError> {
        for pause in PAUSES {
            std::thread::sleep(pause);
            self.shared.check()?;
            settle(&before);
            extended_of(file, &mut event.result);
            let Assembler { content, tree, sink, .. } = self;
            let read = WholeFile { content, tree, sink }.read(file, before.size)?;
            let outcome = read.and_then(|entry| Ok((entry, Attributes::of_open(file)?)));
            let (entry, now) = match outcome {
                Ok(both) => both,
                Err(errno) => {
                    event.result.failure = Some(failure_of(errno));
                    return Ok(());
                }
            };
            add(&self.shared.progress.counters.bytes_read, entry.size);
            event.result.torn = !now.same_version(&before) || entry.size != now.size;
            event.result.entry = Some(entry);
            event.attributes = now;
            if !event.result.torn {
                break;
            }
            before = now;
        }
        event.result.holes = holes_of(file, &event.attributes);
        Ok(())
    }

    fn report(&self, name: &[u8], kind: ProblemKind) {
        self.shared.report(&Problem { path: [&self.path, name].concat(), kind });
    }

    fn format_error(&self, name: &[u8], error: FormatError) -> ArchiveError {
        let path = [&self.path, name].concat();
        ArchiveError::Format { path: String::from_utf8_lossy(&path).into_owned(), error }
    }

    fn flush_if_large(&mut self) -> Result<(), ArchiveError> {
        Ok(self.sink.flush_unknown(self.old.map(OldReader::known), false)?)
    }

    /// Writes the top of the archive: the block of three entries and the root block.
    pub(super) fn finish(mut self) -> Result<Finished, ArchiveError> {
        self.verify.finish()?;
        let Some((dir, streams)) = self.top.take() else { return Err(ArchiveError::Interrupted) };
        Ok(Finished { root: self.write_root(dir, streams)? })
    }

    /// Writes everything above the topmost directory, and what was not written yet.
    fn write_root(
        &mut self,
        dir: VacDir,
        streams: DirectoryStreams,
    ) -> Result<Score, ArchiveError> {
        let (mut dir, streams) = match self.options.dump {
            Some(day) => self.put_into_dump(dir, streams, &day)?,
            None => (dir, streams),
        };
        dir.qid_space = Some(QidSpace { offset: 0, max: self.largest_qid });
        let block_size = self.options.block_size;
        let top = push_top(&dir, &streams, block_size, self.sink.blocks())
            .map_err(|error| self.format_error(b"/", error))?;
        let mut root = Root::vac(top, block_size);
        let is_hint = self.options.old.is_some_and(|old| old.trust == Trust::Hint);
        if let Some(old) = self.old.filter(|_| !is_hint) {
            if old.root().score == top && old.root().block_size == root.block_size {
                // Nothing changed at all: it is the same archive.
                self.sink.flush_unknown(self.old.map(OldReader::known), true)?;
                return Ok(old.score());
            }
            root.previous = old.score();
        }
        let bytes = root.encode().map_err(|error| {
            let error = FormatError::Stream { detail: error.to_string() };
            self.format_error(b"/", error)
        })?;
        let root = self.sink.add(BlockType::ROOT, &bytes);
        self.sink.flush_unknown(self.old.map(OldReader::known), true)?;
        Ok(root)
    }

    /// Adds the finished directory to the hierarchy of days.
    fn put_into_dump(
        &mut self,
        mut dir: VacDir,
        streams: DirectoryStreams,
        day: &DumpDay,
    ) -> Result<(VacDir, DirectoryStreams), ArchiveError> {
        let none = DumpBase::default();
        let base = self.old.map_or(&none, OldReader::dump);
        dir.name = day.free_name(&base.year);
        let made_up = dir.unix.as_ref().is_none_or(|unix| unix.identity.is_none());
        if made_up {
            dir = dated_directory(&dir.name, streams.names, day.modified);
        }
        // The same file has the same qid on each day, and is another file all the same.
        let offset = base.largest_qid.wrapping_add(1);
        let max = offset.wrapping_add(self.largest_qid);
        dir.qid_space = Some(QidSpace { offset, max });
        self.largest_qid = max;
        let added = OldFile::directory(dir, &streams);
        let year = self.directory_of(&base.year, added)?;
        let dir = dated_directory(&day.year_name(), year.names, day.modified);
        let top = self.directory_of(&base.top, OldFile::directory(dir, &year))?;
        Ok((made_up_directory(b"/", TOP_PERMISSIONS, top.names), top))
    }

    /// A directory of these files and one more, which takes the place of its namesake.
    fn directory_of(
        &mut self,
        files: &[OldFile],
        added: OldFile,
    ) -> Result<DirectoryStreams, ArchiveError> {
        let kept = files.iter().filter(|file| file.dir.name != added.dir.name).cloned();
        let mut all: Vec<OldFile> = kept.collect();
        let place = all.partition_point(|f| name_order(&f.dir.name, &added.dir.name).is_lt());
        all.insert(place, added);
        let mut writer = directory_writer(self.options.block_size);
        for file in all {
            let name = file.dir.name.clone();
            let Some(content) = file.content else {
                let detail = "an entry without a stream".to_owned();
                return Err(self.format_error(&name, FormatError::Stream { detail }));
            };
            writer
                .push(file.dir, &content, file.meta.as_ref(), self.sink.blocks())
                .map_err(|error| self.format_error(&name, error))?;
        }
        writer.finish(self.sink.blocks()).map_err(|error| self.format_error(b"", error))
    }
}
