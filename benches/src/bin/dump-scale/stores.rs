//! Makes the stores: in this process, with a clock that is set from day to day.
//!
//! A server's clock is nobody's to set. Only who opens a store in process passes one in, as this
//! program does, to have years of dumps within seconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use arenas::roots_log::RootsLog;
use arenas::{Environment, Store, StoreOptions, SystemEnvironment};
use vac::archiver::{Observer, Options, Problem, Progress, Source, archive};
use venti_proto::Score;
use venti_proto::roots::{Completeness, NewRoot, RootLog};

use crate::great;

/// Dumps of the host [`CHRONICLE`], one a day.
pub(crate) const DAYS: u64 = 1000;
/// The other hosts.
pub(crate) const HOSTS: u64 = 50;
/// Dumps of each of them, on the last days.
const DUMPS_OF_EACH: u64 = 20;
/// A file has this many versions among [`DAYS`] dumps.
pub(crate) const VERSIONS: u64 = 12;
/// The host with a dump of every day.
pub(crate) const CHRONICLE: &str = "chronicle";
/// The host with a dump of real files.
pub(crate) const REAL: &str = "real";
/// The host with one great directory.
pub(crate) const GREAT: &str = "great";

/// Changes [`VERSIONS`] times, in directories in which another file changes every day.
pub(crate) const BUSY: &str = "/usr/glenda/lib/profile";
/// Changes [`VERSIONS`] times, in directories in which nothing else ever changes.
pub(crate) const QUIET: &str = "/sys/src/libc/notes";
/// A file of one megabyte.
pub(crate) const MEGABYTE: &str = "/tmp/megabyte";

/// 2002-01-01 03:00 UTC, in seconds since 1970.
const FIRST_DAY: u64 = 1_009_854_000;
const SECONDS_IN_A_DAY: u64 = 86_400;

/// A clock that is set.
#[derive(Debug, Default)]
struct Calendar(AtomicU64);

impl Environment for Calendar {
    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn identity(&self) -> std::io::Result<[u8; 16]> {
        SystemEnvironment.identity()
    }
}

/// A store that is being filled.
struct Filled {
    store: Store,
    log: RootsLog,
    calendar: Arc<Calendar>,
}

struct Silent;

impl Observer for Silent {
    fn problem(&self, _: &Problem) {}
}

impl Filled {
    fn open(path: &Path) -> Result<Filled> {
        let calendar = Arc::new(Calendar::default());
        let environment: Arc<dyn Environment> = Arc::clone(&calendar) as _;
        let options = StoreOptions {
            create: true,
            environment: Arc::clone(&environment),
            ..StoreOptions::default()
        };
        let store = Store::open_path(path, options)?;
        let log = store.roots_log("UTC", environment)?;
        Ok(Filled { store, log, calendar })
    }

    fn set_day(&self, day: u64) {
        let seconds = FIRST_DAY + day * SECONDS_IN_A_DAY;
        self.calendar.0.store(seconds * 1000, Ordering::SeqCst);
    }

    fn archive(&self, sources: Vec<Source>) -> Result<Score> {
        let (options, progress) = (Options::default(), Arc::<Progress>::default());
        Ok(archive(&self.store, sources, &options, &progress, Arc::new(Silent))?.root)
    }

    /// Archives what is in a directory as all files of a host.
    fn dump(&self, host: &str, top: &Path) -> Result<()> {
        let entries = fs::read_dir(top)?.collect::<std::io::Result<Vec<_>>>()?;
        let sources = entries.iter().map(|entry| Source::Path(entry.path())).collect();
        self.record(host, self.archive(sources)?)
    }

    fn record(&self, host: &str, score: Score) -> Result<()> {
        let (bytes, files, completeness) = (0, 0, Completeness::Complete);
        let (host, archive) = (host.parse()?, "-".parse()?);
        self.log.record(&NewRoot { host, archive, score, bytes, files, completeness })?;
        Ok(())
    }

    fn close(self) -> Result<()> {
        drop(self.log);
        self.store.close().context("closing the store")
    }
}

/// The store of all figures but one: [`DAYS`] dumps of one host, [`HOSTS`] with some each, a dump
/// of real files, and one with a directory of so many entries.
pub(crate) fn make_hosts(path: &Path, real: &[PathBuf], entries: u64) -> Result<()> {
    let filled = Filled::open(path)?;
    let tree = tempfile::tempdir_in(path.parent().unwrap_or(path))?;
    let top = tree.path();
    make_tree(top)?;
    for day in 0..DAYS {
        filled.set_day(day);
        change_tree(top, day)?;
        filled.dump(CHRONICLE, top)?;
        if day + DUMPS_OF_EACH < DAYS {
            continue;
        }
        for host in 0..HOSTS {
            fs::write(top.join("etc/hostname"), format!("host{host:02}\n"))?;
            filled.dump(&format!("host{host:02}"), top)?;
        }
    }
    let sources = real.iter().cloned().map(Source::Path).collect();
    filled.record(REAL, filled.archive(sources)?)?;
    filled.record(GREAT, great::archive(&filled.store, entries)?)?;
    filled.close()
}

/// A store with so many roots, of [`HOSTS`] hosts in turn, all of one small archive.
pub(crate) fn make_roots(path: &Path, roots: u64) -> Result<()> {
    let filled = Filled::open(path)?;
    let tree = tempfile::tempdir_in(path.parent().unwrap_or(path))?;
    fs::write(tree.path().join("file"), "content\n")?;
    let score = filled.archive(vec![Source::Path(tree.path().join("file"))])?;
    for number in 0..roots {
        filled.set_day(number / HOSTS);
        filled.record(&format!("host{:02}", number % HOSTS), score)?;
    }
    filled.close()
}

fn make_tree(top: &Path) -> Result<()> {
    for directory in ["usr/glenda/lib", "sys/src/libc", "bin", "etc", "tmp"] {
        fs::create_dir_all(top.join(directory))?;
    }
    for number in 0..20 {
        fs::write(top.join(format!("bin/program{number}")), format!("{number}\n").repeat(500))?;
        fs::write(top.join(format!("sys/src/libc/{number}.c")), format!("{number}\n"))?;
        fs::write(top.join(format!("usr/glenda/lib/{number}")), format!("{number}\n"))?;
    }
    let mut megabyte = vec![0; 1 << 20];
    venti_benches::random::Random::new(1).fill(&mut megabyte);
    fs::write(below(top, MEGABYTE), megabyte)?;
    Ok(())
}

fn change_tree(top: &Path, day: u64) -> Result<()> {
    fs::write(top.join("usr/glenda/lib/daily"), format!("day {day}\n"))?;
    if day.is_multiple_of(DAYS.div_ceil(VERSIONS)) {
        let version = format!("version of day {day}\n");
        fs::write(below(top, BUSY), &version)?;
        fs::write(below(top, QUIET), version)?;
    }
    Ok(())
}

fn below(top: &Path, path: &str) -> PathBuf {
    top.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_as_many_versions_as_promised() {
        let tree = tempfile::tempdir().expect("a directory");
        make_tree(tree.path()).expect("a tree");
        let mut versions = std::collections::BTreeSet::new();
        for day in 0..DAYS {
            change_tree(tree.path(), day).expect("changed");
            versions.insert(fs::read(below(tree.path(), BUSY)).expect("a file"));
        }
        assert_eq!(versions.len() as u64, VERSIONS);
    }
}
