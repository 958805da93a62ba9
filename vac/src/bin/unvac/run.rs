//! Opens store and archive, does what the options say, and finds the exit code.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context;
use jiff::tz::TimeZone;
use vac::causes::in_words;
use vac::estimate::Amount;
use vac::extractor::{
    Difference, ExtractError, ExtractOptions, Observer, Selection, TarWriter, Visitor, restore,
    verify, visit,
};
use vac::reader::{Archive, Node};
use vac::score_file;
use vac::signals::heed;
use vac::store::{self, Access, OpenOptions};
use vac::walk::Patterns;
use venti_proto::Score;
use venti_proto::roots::{RootLog, RootQuery};

use crate::arguments::Arguments;
use crate::list::{Lister, Printer};
use crate::report::Reporter;

/// Nothing was restored.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// Something is missing or differs.
const INCOMPLETE: u8 = 3;
/// The target may not be written to.
const NOT_ALLOWED: u8 = 12;
const INTERRUPTED: u8 = 130;

/// Runs the program and returns its exit code.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::new(AtomicBool::new(false));
    let Arguments { json, verbose, no_progress, .. } = *arguments;
    let reporter = Reporter::new(json, verbose, no_progress, Arc::clone(&interrupted));
    if let Err(error) = heed(&[Arc::clone(&stop), Arc::clone(&interrupted)]) {
        reporter.error(&format!("can not catch signals: {error}"), FAILED);
        return FAILED;
    }
    match open_and_run(arguments, &reporter, &stop) {
        _ if interrupted.load(Relaxed) => {
            reporter.error("interrupted", INTERRUPTED);
            INTERRUPTED
        }
        Ok(code) => code,
        Err((error, code)) => {
            reporter.error(&in_words(error.as_ref()), code);
            code
        }
    }
}

/// An error, and the exit code that it makes.
type Failure = (anyhow::Error, u8);

fn with_code(code: u8) -> impl Fn(anyhow::Error) -> Failure {
    move |error| (error, code)
}

fn open_and_run(
    arguments: &Arguments,
    reporter: &Reporter,
    stop: &AtomicBool,
) -> Result<u8, Failure> {
    let name = arguments.archive.as_deref().unwrap_or_default();
    let score = score_file::parse(name).map_err(|error| (error.into(), USAGE))?;
    let (excluded, included) = (patterns(&arguments.exclude)?, patterns(&arguments.include)?);
    let paths = arguments.files.iter().map(|file| file.as_bytes());
    let selection = Selection::new(paths, excluded).only(included);
    let connections = usize::from(arguments.connections);
    let options = OpenOptions { access: Access::Read, connections };
    let opened = store::open(arguments.store.as_deref(), options).map_err(|error| {
        let code = error.exit_code();
        (error.into(), code)
    })?;
    let archive = Archive::open(Arc::clone(&opened.blocks), score)
        .with_context(|| format!("can not open the archive {name}"))
        .map_err(with_code(FAILED))?;
    if reporter.progress().is_shown() && selection.is_everything() {
        expect_all(&*opened.roots, score, reporter);
    }
    let done = run_on(arguments, reporter, stop, &archive, &selection);
    drop(archive);
    opened.close().map_err(|error| (error.into(), FAILED))?;
    done
}

/// Finds out how much is to be restored, if the archive is one that was recorded.
fn expect_all(roots: &dyn RootLog, score: Score, reporter: &Reporter) {
    // Only the time that is left is not shown without it.
    let _ = roots.each(&RootQuery::default(), &mut |record| {
        if record.root.score != score {
            return true;
        }
        reporter.progress().expect(Amount { files: record.root.files, bytes: record.root.bytes });
        false
    });
}

/// An error of the directory that was named, and its exit code.
fn of_target(error: ExtractError, target: &Path) -> Failure {
    use rustix::io::Errno;
    let denied = matches!(
        error,
        ExtractError::System { errno: Errno::ACCESS | Errno::PERM | Errno::ROFS, .. }
    );
    let code = if denied { NOT_ALLOWED } else { FAILED };
    (anyhow::Error::from(error).context(target.display().to_string()), code)
}

fn patterns(globs: &[OsString]) -> Result<Patterns, Failure> {
    let mut patterns = Patterns::default();
    for glob in globs {
        patterns.exclude_glob(glob).map_err(|error| (error.into(), USAGE))?;
    }
    Ok(patterns)
}

fn run_on(
    arguments: &Arguments,
    reporter: &Reporter,
    stop: &AtomicBool,
    archive: &Archive,
    selection: &Selection,
) -> Result<u8, Failure> {
    if arguments.list || arguments.stdout || arguments.tar {
        return write_stream(arguments, reporter, archive, selection);
    }
    if arguments.verify || arguments.dry_run {
        return compare(arguments, reporter, stop, archive, selection);
    }
    let (root, target) = (archive.root(), arguments.target());
    // What is made gets the mode that the archive says.
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let cleared_umask = Some(umask.as_raw_mode());
    let options = ExtractOptions { cleared_umask, ..arguments.options() };
    let summary = restore(root, target, selection, &options, reporter, stop)
        .map_err(|error| of_target(error, target))?;
    reporter.summary(&summary, arguments.statistics);
    Ok(summary.exit_code())
}

/// Writes a listing, contents or a tar stream to standard output.
fn write_stream(
    arguments: &Arguments,
    reporter: &Reporter,
    archive: &Archive,
    selection: &Selection,
) -> Result<u8, Failure> {
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let (root, limits) = (archive.root(), arguments.options().limits);
    let written = if arguments.list {
        let (long, zone) = (arguments.verbose, TimeZone::system());
        let mut lister = Lister { to: &mut out, long, zone, observer: reporter };
        visit(root, selection, &limits, &mut lister)
    } else if arguments.tar {
        let mut tar = TarWriter::new(&mut out, reporter);
        visit(root, selection, &limits, &mut tar).and_then(|()| tar.finish())
    } else {
        let mut printer = Printer { to: &mut out, selection, observer: reporter };
        visit(root, selection, &limits, &mut printer)
    };
    let flushed = written.map_err(anyhow::Error::from).and_then(|()| Ok(out.flush()?));
    flushed.map_err(with_code(FAILED))?;
    Ok(reporter.exit_code())
}

/// Says how the directory differs, or what a restore would do.
fn compare(
    arguments: &Arguments,
    reporter: &Reporter,
    stop: &AtomicBool,
    archive: &Archive,
    selection: &Selection,
) -> Result<u8, Failure> {
    let mut differs = false;
    let mut tell = |path: &[u8], difference: Difference| {
        if arguments.verify {
            differs = true;
            reporter.action(difference.name(), path);
        } else if difference != Difference::Extra {
            let action = if difference == Difference::Missing { "make" } else { "change" };
            reporter.action(action, path);
        } else if arguments.delete {
            reporter.action("remove", path);
        }
    };
    let mut problem = |path: &[u8], error: &ExtractError| reporter.problem(path, error);
    let options = arguments.options();
    let (root, target) = (archive.root(), arguments.target());
    if arguments.dry_run && would_be_made(target) {
        let mut newcomer = Newcomer(reporter);
        visit(root, selection, &options.limits, &mut newcomer)
            .map_err(|error| (error.into(), FAILED))?;
        return Ok(reporter.exit_code());
    }
    verify(root, target, selection, &options, stop, &mut tell, &mut problem)
        .map_err(|error| of_target(error, target))?;
    Ok(match reporter.exit_code() {
        0 if differs => INCOMPLETE,
        code => code,
    })
}

/// Whether a restore would make the directory: it is not there, and the one above it is.
fn would_be_made(target: &Path) -> bool {
    let above = target.parent().filter(|above| !above.as_os_str().is_empty());
    let is_absent = std::fs::symlink_metadata(target)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    is_absent && above.unwrap_or(Path::new(".")).is_dir()
}

/// Says of everything that it would be made.
struct Newcomer<'a>(&'a Reporter);

impl Visitor for Newcomer<'_> {
    fn enter(&mut self, path: &[u8], _: &Node) -> Result<(), ExtractError> {
        self.0.action("make", path);
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.0.stopped()
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        self.0.problem(path, error);
    }
}
