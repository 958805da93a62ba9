//! Starts the threads of the archiver and holds what they share.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use venti_proto::{BlockStore, Score};

use super::ahead::Ahead;
use super::assembler::{Assembler, Finished};
use super::chunk::{Change, Chunk, Failure};
use super::describe::FileSystemNumbers;
use super::error::{ArchiveError, Problem, ProblemKind};
use super::old::OldReader;
use super::options::{BLOCK_SIZES, OldArchive, Options, Source, Trust};
use super::pace::Pace;
use super::progress::{Counts, Progress, add};
use super::reader::{Reader, failure_of};
use super::scan::{Channels, Scanner};
use super::select::Selection;
use super::sink::Sink;
use super::sources::{SourcePath, StoredStream, top_of};
use super::stdin::StoreStream;
use crate::walk::{Attributes, Directory};

/// Chunks that go round, for every reader: enough that none waits for another.
const CHUNKS_PER_READER: usize = 6;

/// Hears of what happens while it happens, from several threads.
pub trait Observer: Send + Sync {
    /// Something is missing, incomplete or left out.
    fn problem(&self, problem: &Problem);

    /// The walk met a file, by its path. Called for every file: it should be quick.
    fn file(&self, path: &[u8], change: Change) {
        let _ = (path, change);
    }

    /// If the run ends here without a word, the next one can compare with this archive of what
    /// was met so far. It is durable.
    fn checkpoint(&self, resume: Score) {
        let _ = resume;
    }
}

/// An archive that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Score of the root block: what `vac:` shows.
    pub root: Score,
    /// What was done.
    pub counts: Counts,
    /// Whether something is missing or incomplete: exit code 3.
    pub incomplete: bool,
}

/// What the threads of one run share.
pub(super) struct Shared {
    pub(super) progress: Arc<Progress>,
    observer: Arc<dyn Observer>,
    /// The first error that ends the run.
    error: Mutex<Option<ArchiveError>>,
    lost: Mutex<bool>,
    failed: AtomicBool,
    /// Whether the store is asked for blocks before they are sent.
    pub(super) probe: bool,
}

impl Shared {
    pub(super) fn new(
        progress: &Arc<Progress>,
        observer: Arc<dyn Observer>,
        probe: bool,
    ) -> Shared {
        Shared {
            progress: Arc::clone(progress),
            observer,
            error: Mutex::new(None),
            lost: Mutex::new(false),
            failed: AtomicBool::new(false),
            probe,
        }
    }

    pub(super) fn report(&self, problem: &Problem) {
        let counters = &self.progress.counters;
        match problem.kind {
            ProblemKind::Failed(_) | ProblemKind::MergeClash => add(&counters.failed, 1),
            ProblemKind::Torn => add(&counters.torn, 1),
            ProblemKind::ExtendedAttribute { .. } | ProblemKind::OldDamaged(_) => {}
            _ => add(&counters.left_out, 1),
        }
        *self.lost.lock() |= problem.is_loss();
        self.observer.problem(problem);
    }

    pub(super) fn file_met(&self, path: &[u8], change: Change) {
        self.observer.file(path, change);
    }

    pub(super) fn checkpoint(&self, resume: Score) {
        self.observer.checkpoint(resume);
    }

    /// Whether to go on.
    pub(super) fn check(&self) -> Result<(), ArchiveError> {
        let stops = self.progress.is_stopping() || self.has_failed();
        if stops { Err(ArchiveError::Interrupted) } else { Ok(()) }
    }

    /// Whether the run can not be brought to an end.
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends the run: the first caller's error is the one that is returned.
    fn fail(&self, error: ArchiveError) {
        let mut first = self.error.lock();
        // A thread that stops because another one failed has nothing to add.
        if first.is_none() || matches!(*first, Some(ArchiveError::Interrupted)) {
            *first = Some(error);
        }
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// Makes an archive of `sources` in `store`. It is durable when this returns.
///
/// # Errors
/// Any [`ArchiveError`]: there is no archive then.
pub fn archive(
    store: &dyn BlockStore,
    sources: Vec<Source>,
    options: &Options,
    progress: &Arc<Progress>,
    observer: Arc<dyn Observer>,
) -> Result<Outcome, ArchiveError> {
    if !BLOCK_SIZES.contains(&options.block_size) {
        return Err(ArchiveError::BlockSize(options.block_size));
    }
    let shared = Shared::new(progress, observer, options.probe);
    let prepared = store_streams(store, sources, options, &shared)?;
    let mut finished = run(store, &prepared, options, &shared);
    if matches!(finished, Err(ArchiveError::StaleHint)) {
        progress.counters.reset();
        *shared.lost.lock() = false;
        shared.failed.store(false, Ordering::Relaxed);
        let detail = "blocks of it are not in the store any more: everything is read again";
        let kind = ProblemKind::OldDamaged(detail.to_owned());
        shared.observer.problem(&Problem { path: Vec::new(), kind });
        // What was only a hint leaves no trace; else it is what the new archive follows.
        let old = options.old.filter(|old| old.trust != Trust::Hint);
        let old = old.map(|old| OldArchive { trust: Trust::Nothing, ..old });
        let options = Options { old, ..options.clone() };
        finished = run(store, &prepared, &options, &shared);
    }
    let root = finished?.root;
    store.sync()?;
    if progress.is_stopping() {
        return Err(ArchiveError::Stopped { resume: root });
    }
    for path in options.exclusions.chosen.iter().flat_map(|chosen| chosen.missing()) {
        let kind = ProblemKind::Failed(Failure::Vanished);
        shared.report(&Problem { path: path.to_vec(), kind });
    }
    let incomplete = *shared.lost.lock();
    Ok(Outcome { root, counts: progress.counters.counts(), incomplete })
}

/// Sources of which the streams were stored.
struct Prepared {
    paths: Vec<SourcePath>,
    streams: Vec<(CString, StoredStream)>,
}

/// Reads the streams among the sources; the paths are left.
fn store_streams(
    store: &dyn BlockStore,
    sources: Vec<Source>,
    options: &Options,
    shared: &Shared,
) -> Result<Prepared, ArchiveError> {
    let pace = Pace::new(options.upload_rate);
    let mut paths = Vec::new();
    let mut streams = Vec::new();
    for source in sources {
        match source {
            Source::Path(path) => paths.push(SourcePath { real: path.clone(), shown: path }),
            Source::Snapshot { real, shown } => paths.push(SourcePath { real, shown }),
            Source::Stream { name, modified, stream } => {
                let sink = Sink::new(store, shared, &pace);
                let mut storing = StoreStream::new(sink, shared, options.block_size);
                streams.push(storing.store(name, modified, stream)?);
            }
        }
    }
    Ok(Prepared { paths, streams })
}

/// Files in a snapshot have the identity of those that it was taken of.
fn identify_snapshot(path: &SourcePath, numbers: &FileSystemNumbers) {
    let Some((copy, _)) = directory_of(&path.real) else { return };
    let Some((_, original)) = directory_of(&path.shown) else { return };
    numbers.stands_for(copy.identity.device, &original);
}

/// The directory that a path is or is in, if it can be looked at.
fn directory_of(path: &std::path::Path) -> Option<(Attributes, Directory)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    [path, parent.unwrap_or(".".as_ref())].into_iter().find_map(|path| {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let directory = Directory::open_path(&path).ok()?;
        Some((Attributes::of_open(&directory).ok()?, directory))
    })
}

/// The older archive, if there is one that can be read.
fn open_old<'a>(
    store: &'a dyn BlockStore,
    options: &Options,
) -> Result<Option<OldReader<'a>>, ArchiveError> {
    let Some(old) = options.old else { return Ok(None) };
    match OldReader::open(store, old.root, options.dump.as_ref()) {
        Ok(reader) => Ok(Some(reader)),
        Err(_) if old.trust == Trust::Hint => Ok(None),
        Err(error) => Err(error),
    }
}

fn run(
    store: &dyn BlockStore,
    prepared: &Prepared,
    options: &Options,
    shared: &Shared,
) -> Result<Finished, ArchiveError> {
    let pace = Pace::new(options.upload_rate);
    let mut missing = Vec::new();
    let top = top_of(&prepared.paths, &prepared.streams, &mut missing)?;
    for (path, errno) in missing {
        shared.report(&Problem { path, kind: ProblemKind::Failed(failure_of(errno)) });
    }
    let numbers = FileSystemNumbers::default();
    prepared.paths.iter().filter(|path| path.real != path.shown).for_each(|path| {
        identify_snapshot(path, &numbers);
    });
    let old = open_old(store, options)?;
    let chunks = options.readers.max(1) * CHUNKS_PER_READER;
    let (give_back, free) = bounded(chunks);
    (0..chunks)
        .try_for_each(|_| give_back.send(Chunk::default()))
        .map_err(|_| ArchiveError::Interrupted)?;
    let (to_readers, reader_queue) = bounded::<Chunk>(chunks);
    let (to_assembler, assembler_queue) = unbounded::<Chunk>();
    let counters = &shared.progress.counters;
    let new_reader = |_| {
        let sink = Sink::new(store, shared, &pace);
        Mutex::new(Reader::new(sink, counters, options.block_size))
    };
    let readers: Vec<_> = (0..options.readers.max(1)).map(new_reader).collect();
    let selection = Selection::new(&options.exclusions);
    let ahead = Ahead::new(&selection, shared, options.walkers);
    std::thread::scope(|scope| {
        for reader in &readers {
            let (queue, done) = (reader_queue.clone(), to_assembler.clone());
            scope.spawn(move || read_chunks(reader, shared, &queue, &done));
        }
        drop(reader_queue);
        let sink = Sink::new(store, shared, &pace);
        let old = old.as_ref();
        let assembler = Assembler::new(sink, store, shared, options, &numbers, old, &readers);
        let assembling =
            scope.spawn(move || assemble(assembler, shared, &assembler_queue, &give_back));
        let channels = Channels { free, to_readers, to_assembler };
        let prefetching = old.map(|old| old.start(scope));
        let walking = ahead.start(scope);
        let mut scanner = Scanner::new(store, options, &ahead, old, &numbers, channels);
        if let Err(error) = scanner.run(top) {
            shared.fail(error);
        }
        drop(scanner);
        drop((prefetching, walking));
        let finished = assembling.join().map_err(|_| ArchiveError::Interrupted);
        match shared.error.lock().take() {
            Some(error) => Err(error),
            None => finished?.ok_or(ArchiveError::Interrupted),
        }
    })
}

fn read_chunks(
    reader: &Mutex<Reader<'_>>,
    shared: &Shared,
    queue: &Receiver<Chunk>,
    done: &Sender<Chunk>,
) {
    for mut chunk in queue {
        // After a failure the chunks still go round, so that nobody waits for ever.
        if !shared.has_failed()
            && let Err(error) = reader.lock().process(&mut chunk)
        {
            shared.fail(error.into());
        }
        if done.send(chunk).is_err() {
            return;
        }
    }
    if let Err(error) = reader.lock().finish() {
        shared.fail(error.into());
    }
}

/// Takes the chunks in their order, whatever order they come in.
fn assemble(
    mut assembler: Assembler<'_>,
    shared: &Shared,
    queue: &Receiver<Chunk>,
    give_back: &Sender<Chunk>,
) -> Option<Finished> {
    let mut waiting: std::collections::BTreeMap<u64, Chunk> = std::collections::BTreeMap::new();
    let mut next = 0;
    for chunk in queue {
        waiting.insert(chunk.sequence, chunk);
        while let Some(mut chunk) = waiting.remove(&next) {
            next += 1;
            if !shared.has_failed()
                && let Err(error) = assembler.take(&mut chunk)
            {
                shared.fail(error);
            }
            chunk.clear();
            // The walk may have ended early and wants no more chunks.
            let _ = give_back.send(chunk);
        }
    }
    if shared.has_failed() {
        return None;
    }
    match assembler.finish() {
        Ok(finished) => Some(finished),
        Err(error) => {
            shared.fail(error);
            None
        }
    }
}
