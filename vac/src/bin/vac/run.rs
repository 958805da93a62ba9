//! One run of vac: from the options to the exit status.

use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use vac::archiver::{
    ArchiveError, Change, Checkpoints, DumpDay, Observer, OldArchive, Options, Outcome, Problem,
    Progress, Source, StreamSource, Trust, archive,
};
use vac::causes::in_words;
use vac::estimate::Amount;
use vac::reader::Archive;
use vac::score_file;
use vac::signals::heed;
use vac::store::{Access, OpenOptions, OpenStoreError, OpenedStore};
use vac::walk::{FileSystems, Moment};
use venti_proto::{Score, StoreError};

use crate::arguments::Arguments;
use crate::memory::Memory;
use crate::recording::Recording;
use crate::report::{Reporter, Style};
use crate::snapshot::{Snapshots, Wanted};
use crate::{hooks, lists, snapshot, streams};

pub(crate) const FAILED: u8 = 1;
const USAGE: u8 = 2;
const INCOMPLETE: u8 = 3;
const NO_STORE: u8 = 10;
pub(crate) const NOT_ALLOWED: u8 = 12;
const INTERRUPTED: u8 = 130;

/// How long an archive may be worked at before it is kept how far it is.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(120);

/// Why there is no archive, with the exit status that says so.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) error: anyhow::Error,
}

/// Errors that say nothing else are of this sort.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { code: FAILED, error }
    }
}

pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure { code: USAGE, error: error.into() }
}

/// Does everything, and returns the exit status.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let reporter = Arc::new(Reporter::new(Style {
        json: arguments.json,
        verbose: arguments.verbose,
        changed_only: arguments.quick,
        statistics: arguments.statistics,
        no_progress: arguments.no_progress,
    }));
    let options = match options_of(arguments) {
        Ok(options) => options,
        Err(failure) => {
            // Nothing was begun that --post would have to undo.
            reporter.error(&in_words(failure.error.as_ref()), failure.code);
            return failure.code;
        }
    };
    let done = prepare_and_archive(arguments, options, &reporter);
    let (mut code, score) = match &done {
        Ok(outcome) => {
            let code = if outcome.incomplete { INCOMPLETE } else { 0 };
            (code, Some(format!("vac:{}", outcome.root)))
        }
        Err(failure) => (failure.code, None),
    };
    if let Err(failure) = &done {
        reporter.error(&in_words(failure.error.as_ref()), failure.code);
    }
    if let Err(error) = hooks::after(arguments.post.as_deref(), code, score.as_deref()) {
        reporter.note(&in_words(error.as_ref()));
        code = if code == 0 { INCOMPLETE } else { code };
    }
    code
}

fn prepare_and_archive(
    arguments: &Arguments,
    mut options: Options,
    reporter: &Arc<Reporter>,
) -> Result<Outcome, Failure> {
    let progress = Arc::new(Progress::default());
    heed(&[progress.stop_flag()]).context("signals")?;
    hooks::before(arguments.pre.as_deref())?;
    // Only now: the command may have mounted something.
    options.exclusions.file_systems = file_systems_of(arguments);
    let mut snapshots = Snapshots::default();
    let sources = sources_of(arguments, &mut options, &mut snapshots, reporter)?;
    options.exclusions.patterns.exclude_glob(snapshot::NAMES.as_ref()).context("--snapshot")?;
    let store = open_store(arguments, reporter)?;
    if let Some(directory) = store.directory() {
        options.exclusions.directories.push(directory);
        options.exclusions.directories.extend(snapshots.twins(directory));
    }
    options.probe = !arguments.no_probe && store.directory().is_none();
    let recording = Recording::new(arguments)?;
    take_named_archive(arguments, &mut options, &store, &recording)?;
    let memory = memory_of(arguments, options.block_size).map(Arc::new);
    let last = recording.last(&store);
    if let Some(last) = &last {
        reporter.expect(Amount { files: last.files, bytes: last.bytes });
    }
    // It only saves time: an archive that was lost is none to compare with.
    let is_there = |score: &Score| Archive::open(Arc::clone(&store.blocks), *score).is_ok();
    let recorded = || last.map(|last| last.score).filter(is_there);
    let hint = match &memory {
        Some(memory) => memory.hint(&store.blocks, options.block_size, recorded),
        None if arguments.no_cache || options.old.is_some() => None,
        None => recorded(),
    };
    if let Some(root) = hint {
        options.old = Some(OldArchive { root, trust: Trust::Hint });
    }
    options.checkpoints = memory
        .as_ref()
        .map(|_| Checkpoints { bytes: arguments.checkpoint, interval: CHECKPOINT_INTERVAL });
    raise_file_limit();
    let watcher = Watcher { reporter: Arc::clone(reporter), memory: memory.clone() };
    let made = archive_in_background(&store, sources, options, &progress, watcher);
    match (&memory, &made) {
        (Some(memory), Ok(outcome)) => memory.remember(outcome.root),
        (Some(memory), Err(ArchiveError::Stopped { resume })) => {
            memory.remember_unfinished(*resume);
        }
        _ => {}
    }
    if let Err(error) = snapshots.remove() {
        reporter.note(&format!("a snapshot is left, the next run removes it: {error:#}"));
    }
    let outcome = made.map_err(|error| Failure { code: code_of(&error), error: error.into() })?;
    record_and_print(arguments, &recording, &store, &outcome, reporter)?;
    reporter.summary(&outcome);
    store.close().context("closing the store")?;
    Ok(outcome)
}

/// Compares with the archive that `-d` or `-a` names.
fn take_named_archive(
    arguments: &Arguments,
    options: &mut Options,
    store: &OpenedStore,
    recording: &Recording,
) -> Result<(), Failure> {
    let trust = if arguments.quick { Trust::Attributes } else { Trust::Nothing };
    if let Some(old) = &arguments.diff {
        let root = match old.as_str() {
            "latest" => recording.newest_of_host(store)?,
            old => score_file::parse(old).map_err(usage)?,
        };
        options.old = Some(OldArchive { root, trust });
    }
    if let Some(path) = &arguments.archive {
        options.dump = Some(today());
        if path.exists() {
            let root = score_file::read(path).map_err(anyhow::Error::from)?;
            options.old = Some(OldArchive { root, trust });
        }
    }
    Ok(())
}

/// Where the last archive of the same files is remembered, if that is of any use.
fn memory_of(arguments: &Arguments, block_size: u32) -> Option<Memory> {
    if arguments.no_cache || arguments.diff.is_some() || arguments.archive.is_some() {
        return None;
    }
    let environment = std::env::var("venti").ok();
    let store = arguments.store.as_ref().or(environment.as_ref())?;
    Memory::of(store, &arguments.files, block_size)
}

/// Shows what happens, and remembers how far the archive is.
struct Watcher {
    reporter: Arc<Reporter>,
    memory: Option<Arc<Memory>>,
}

impl Observer for Watcher {
    fn problem(&self, problem: &Problem) {
        self.reporter.problem(problem);
    }

    fn file(&self, path: &[u8], change: Change) {
        self.reporter.file(path, change);
    }

    fn checkpoint(&self, resume: Score) {
        if let Some(memory) = &self.memory {
            memory.remember_unfinished(resume);
        }
        self.reporter.checkpoint(resume);
    }
}

/// Archives on a thread of its own while this one shows how far it is.
fn archive_in_background(
    store: &OpenedStore,
    sources: Vec<Source>,
    options: Options,
    progress: &Arc<Progress>,
    watcher: Watcher,
) -> Result<Outcome, ArchiveError> {
    let reporter = Arc::clone(&watcher.reporter);
    let (sender, receiver) = mpsc::channel();
    let worker = {
        let (blocks, progress) = (Arc::clone(&store.blocks), Arc::clone(progress));
        std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            let outcome = archive(&*blocks, sources, &options, &progress, Arc::new(watcher));
            // Nobody listens only if the program ends anyway.
            let _ = sender.send(());
            outcome
        })
    };
    let worker =
        worker.map_err(|error| ArchiveError::Stream { name: "a thread".to_owned(), error })?;
    reporter.follow(progress, &|tick| {
        !matches!(receiver.recv_timeout(tick), Err(mpsc::RecvTimeoutError::Timeout))
    });
    worker.join().unwrap_or(Err(ArchiveError::Interrupted))
}

fn code_of(error: &ArchiveError) -> u8 {
    match error {
        ArchiveError::Interrupted | ArchiveError::Stopped { .. } => INTERRUPTED,
        ArchiveError::SameName { .. } | ArchiveError::BlockSize(_) => USAGE,
        ArchiveError::Store(StoreError::Connection { .. }) => NO_STORE,
        _ => FAILED,
    }
}

/// Prints the score also of an archive that can not be recorded: it is safe, and then the score is
/// all that leads to it.
fn record_and_print(
    arguments: &Arguments,
    recording: &Recording,
    store: &OpenedStore,
    outcome: &Outcome,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let recorded = recording.record(store, outcome, reporter);
    print_score(arguments, outcome)?;
    recorded
}

/// The score, where it was asked for: on standard output as the last line.
fn print_score(arguments: &Arguments, outcome: &Outcome) -> Result<(), Failure> {
    if let Some(path) = &arguments.output {
        return Ok(score_file::write(path, outcome.root).map_err(anyhow::Error::from)?);
    }
    if let Some(path) = &arguments.archive {
        score_file::write(path, outcome.root).map_err(anyhow::Error::from)?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "vac:{}", outcome.root)
        .and_then(|()| out.flush())
        .context("can not write the score to standard output")?;
    Ok(())
}

fn open_store(arguments: &Arguments, reporter: &Reporter) -> Result<OpenedStore, Failure> {
    let connections = usize::from(arguments.connections);
    let options = OpenOptions { access: Access::Write, connections };
    let store = vac::store::open(arguments.store.as_deref(), options).map_err(
        |error: OpenStoreError| Failure { code: error.exit_code(), error: error.into() },
    )?;
    if store.is_new {
        reporter.note("made a new store");
    }
    Ok(store)
}

/// Every directory that waits for a reader is open: as many as the system lets us have.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Not being allowed to is no harm: the archiver manages with the usual thousand.
    let _ = setrlimit(Resource::Nofile, raised);
}

fn options_of(arguments: &Arguments) -> Result<Options, Failure> {
    let mut options = Options::default();
    let size = arguments.block_size;
    let in_range = u32::try_from(size).ok().filter(|s| vac::archiver::BLOCK_SIZES.contains(s));
    options.block_size =
        in_range.ok_or_else(|| usage(anyhow::anyhow!("-b {size}: expected 512 to 57344 bytes")))?;
    options.merge = arguments.merge;
    options.access_times = arguments.atime;
    options.upload_rate = arguments.limit_upload;
    if let Some(readers) = arguments.readers {
        options.readers = readers.into();
    }
    let exclusions = &mut options.exclusions;
    exclusions.one_file_system = arguments.one_file_system;
    exclusions.caches = arguments.exclude_caches;
    exclusions.larger_than = arguments.exclude_larger_than;
    exclusions.if_present =
        arguments.exclude_if_present.iter().map(|name| name.clone().into_vec()).collect();
    for pattern in &arguments.exclude_patterns {
        exclusions.patterns.exclude(pattern).map_err(usage)?;
    }
    for path in &arguments.exclude_files {
        let content =
            std::fs::read(path).with_context(|| format!("can not read {}", path.display()));
        let name = path.display().to_string();
        exclusions.patterns.exclude_file(&name, &content.map_err(usage)?).map_err(usage)?;
    }
    if let Ok(present) = std::env::current_dir() {
        exclusions.patterns.set_present_directory(&present);
    }
    for glob in &arguments.exclude {
        exclusions.patterns.exclude_glob(glob).map_err(usage)?;
    }
    Ok(options)
}

/// What is mounted, and what of it is entered.
fn file_systems_of(arguments: &Arguments) -> FileSystems {
    let mut mounted = FileSystems::of_this_process();
    arguments.exclude_fs.iter().for_each(|kind| mounted.exclude(kind));
    arguments.include_fs.iter().for_each(|kind| mounted.include(kind));
    mounted
}

fn sources_of(
    arguments: &Arguments,
    options: &mut Options,
    snapshots: &mut Snapshots,
    reporter: &Reporter,
) -> Result<Vec<Source>, Failure> {
    let (paths, chosen) = lists::sources(arguments).map_err(usage)?;
    options.exclusions.chosen = chosen.map(Arc::new);
    let wanted = Wanted {
        usage: arguments.snapshot,
        one_file_system: arguments.one_file_system,
        mounted: &options.exclusions.file_systems,
        note: &|text| reporter.note(text),
    };
    let mut sources = snapshots.take(paths, &wanted)?;
    if let Some(name) = &arguments.stdin {
        let stream: Box<dyn StreamSource> = match &arguments.command {
            Some(command) => Box::new(streams::Program::start(command).context("--command")?),
            None => Box::new(streams::StandardInput(std::io::stdin())),
        };
        let name = name.as_encoded_bytes().to_vec();
        sources.push(Source::Stream { name, modified: now(), stream });
    }
    if sources.is_empty() {
        return Err(usage(anyhow::anyhow!("nothing to archive: the list of files is empty")));
    }
    Ok(sources)
}

/// The day, as this machine's clock and time zone have it.
fn today() -> DumpDay {
    let today = jiff::Zoned::now().date();
    DumpDay {
        year: today.year().unsigned_abs(),
        month: today.month().unsigned_abs(),
        day: today.day().unsigned_abs(),
        modified: now(),
    }
}

/// The time, for what has none of its own.
fn now() -> Moment {
    let now = jiff::Timestamp::now();
    Moment {
        seconds: now.as_second(),
        nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
    }
}
