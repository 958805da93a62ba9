//! `fossil-lite bisect`: the first dump with which a command fails.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use fossil_lite::date::When;
use fossil_lite::dump::{Dump, Tree};
use fossil_lite::past::{Ended, Found, Missing, find, meant, run_in_past};
use fossil_lite::program::{Failure, Source, system};
use jiff::Timestamp;
use serde_json::{Value, json};
use signal_hook::consts::{
    SIGABRT, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTERM,
    SIGTRAP,
};
use vac::shown::{put_bytes, put_path};
use venti_proto::roots::HostName;

use crate::bisect_log::{Log, Verdict};

/// Exit status of a command that can not say whether it is good or bad.
const SKIP: u8 = 125;

const EXAMPLES: &str = "\
EXAMPLES
  Which upgrade broke the build?

    $ fossil-lite bisect --good 2004/0601 --bad yesterday /lib/libc.a -- sh ~/test
    fossil-lite: 2004/0601 Good
    ...
    ... is the first bad dump, 2004/1231 the last good one

  The same again is answered from the log:

    $ fossil-lite bisect --good 2004/0601 --bad yesterday /lib/libc.a -- sh ~/test
    ... is the first bad dump, 2004/1231 the last good one";

/// Find the first dump with which a command fails
///
/// Runs COMMAND with each FILE as it was in a dump between the good and the bad date, half of
/// those that are left at a time, until the first is found with which it fails. A status of 125
/// says nothing about a dump, and a command that is interrupted ends it all. What was found is written to the log, and taken from there when the
/// same is run again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// The dump on or before this date is good
    #[arg(long, value_name = "DATE")]
    good: String,

    /// The dump on or before this date is bad
    #[arg(long, value_name = "DATE")]
    bad: String,

    /// What was found so far
    #[arg(long, value_name = "FILE", default_value = "fossil-lite-bisect.log")]
    log: PathBuf,

    /// Files and directories to be as they were
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = arguments.source.host()?;
    let tree = arguments.source.open(None)?;
    let now = Timestamp::now().to_zoned(tree.catalogue().time_zone());
    let dumps = tree.catalogue().dumps(&host)?;
    let Some(first) = dumps.first() else { return Err(Missing::Host { host }.into()) };
    let position = |date: &str| -> Result<usize, Failure> {
        let when = When::parse(date, &now)?;
        let included = dumps.partition_point(|dump| when.includes(dump.name, dump.time()));
        let missing = || Missing::Dump { host: host.clone(), when, first: first.name };
        included.checked_sub(1).ok_or_else(|| missing().into())
    };
    let (good, bad) = (position(&arguments.good)?, position(&arguments.bad)?);
    if good >= bad {
        let detail = format!(
            "the good dump {} is not before the bad one {}",
            dumps[good].name, dumps[bad].name
        );
        return Err(Failure::Usage { detail });
    }
    let log = Log::open(&arguments.log, about(arguments, &host)?)?;
    let mut bisection = Bisection { arguments, tree: &tree, host: &host, log };
    bisection.narrow(&dumps[good..=bad])
}

/// Everything that a verdict depends on, but the dump: a log of anything else is of no use.
fn about(arguments: &Arguments, host: &HostName) -> Result<Value, Failure> {
    let here = std::env::current_dir().map_err(system("can not find the working directory"))?;
    let store = match arguments.source.named() {
        Some(store) if store.contains('/') => here.join(store),
        store => PathBuf::from(store.unwrap_or_default()),
    };
    let path = |path: &OsStr| {
        let mut value = json!({});
        put_path(&mut value, path.as_bytes());
        value
    };
    let files = arguments.files.iter().map(|file| path(here.join(file).as_os_str()));
    let words = arguments.command.iter().map(|word| {
        let mut value = json!({});
        put_bytes(&mut value, "word", word.as_bytes());
        value
    });
    Ok(json!({
        "host": host.as_str(),
        "store": store.to_string_lossy(),
        "directory": path(here.as_os_str()),
        "files": files.collect::<Vec<_>>(),
        "command": words.collect::<Vec<_>>(),
    }))
}

/// The signal by which somebody wants an end of it, and which so says nothing about the dump. A
/// command that crashes is bad; one that a shell has run is judged by what that says of it.
fn interruption(ended: &Ended) -> Option<i32> {
    const OF_ITS_OWN: [i32; 7] = [SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP];
    const BY_SOMEBODY: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL];
    let said = || BY_SOMEBODY.into_iter().find(|signal| 128 + signal == i32::from(ended.code));
    let killed_by = ended.killed_by.filter(|signal| !OF_ITS_OWN.contains(signal));
    ended.signal.or(killed_by).or_else(said)
}

struct Bisection<'a> {
    arguments: &'a Arguments,
    tree: &'a Arc<Tree>,
    host: &'a HostName,
    log: Log,
}

impl Bisection<'_> {
    /// The first of the dumps is to be good, the last bad.
    fn narrow(&mut self, dumps: &[Arc<Dump>]) -> Result<u8, Failure> {
        let (mut good, mut bad) = (0, dumps.len() - 1);
        for (position, expected) in [(good, Verdict::Good), (bad, Verdict::Bad)] {
            let found = self.verdict(&dumps[position])?;
            if found != expected {
                let name = dumps[position].name;
                eprintln!("fossil-lite: {name} is {found:?}, expected {expected:?}");
                return Ok(1);
            }
        }
        let mut unknown = Vec::new();
        loop {
            let middle = (good + bad) / 2;
            let between = (good + 1..bad).filter(|position| !unknown.contains(position));
            let Some(next) = between.min_by_key(|position| position.abs_diff(middle)) else {
                break;
            };
            match self.verdict(&dumps[next])? {
                Verdict::Good => good = next,
                Verdict::Bad => bad = next,
                Verdict::Unknown => unknown.push(next),
            }
        }
        let (last, first) = (dumps[good].name, dumps[bad].name);
        let exact = bad == good + 1;
        let line = match exact {
            true => format!("{first} is the first bad dump, {last} the last good one\n"),
            false => format!("the first bad dump is after {last}, and {first} at the latest\n"),
        };
        std::io::stdout().write_all(line.as_bytes()).map_err(system("standard output"))?;
        Ok(if exact { 0 } else { 3 })
    }

    fn verdict(&mut self, dump: &Arc<Dump>) -> Result<Verdict, Failure> {
        if let Some(known) = self.log.known(dump.name) {
            return Ok(known);
        }
        let verdict = match self.pairs(dump)? {
            None => Verdict::Unknown,
            Some(pairs) => {
                let ended = run_in_past(self.tree, &pairs, &self.arguments.command)?;
                if let Some(signal) = interruption(&ended) {
                    return Err(Failure::Interrupted { signal });
                }
                match ended.code {
                    0 => Verdict::Good,
                    SKIP => Verdict::Unknown,
                    _ => Verdict::Bad,
                }
            }
        };
        eprintln!("fossil-lite: {} {verdict:?}", dump.name);
        self.log.add(dump.name, verdict)?;
        Ok(verdict)
    }

    /// The files as they were; `None` if one was not there.
    fn pairs(&self, dump: &Arc<Dump>) -> Result<Option<Vec<(PathBuf, Found)>>, Failure> {
        let mut pairs = Vec::new();
        for file in &self.arguments.files {
            let path = meant(file).map_err(system(file.display().to_string()))?;
            let bytes = path.as_os_str().as_bytes();
            match find(self.tree, self.host, &When::Dump(dump.name), bytes, true)? {
                Ok(found) => pairs.push((path, found)),
                Err(missing) => {
                    eprintln!("fossil-lite: {missing}");
                    return Ok(None);
                }
            }
        }
        Ok(Some(pairs))
    }
}
