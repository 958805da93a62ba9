//! What the examples remember: two hosts that were dumped since 2004, and their files of today.
//!
//! The library was good until the end of 2004. A letter is gone and a draft got another name
//! since; the last dump is of yesterday noon.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arenas::{Environment, Store, StoreOptions, SystemEnvironment};
use tempfile::TempDir;
use vac::archiver::{Observer, Options, Problem, Source, archive};
use venti_proto::roots::{Completeness, NewRoot, RootLog};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// A clock that is set.
#[derive(Default)]
struct Clock(AtomicU64);

impl Environment for Clock {
    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn identity(&self) -> std::io::Result<[u8; 16]> {
        Ok([4; 16])
    }
}

struct Strict;

impl Observer for Strict {
    fn problem(&self, problem: &Problem) {
        panic!("{problem:?}");
    }
}

/// A directory with today's files and the store.
pub(super) struct Past {
    directory: TempDir,
}

impl Past {
    pub(super) fn new() -> Past {
        let past = Past { directory: TempDir::new().expect("a directory") };
        let clock = Arc::new(Clock::default());
        let environment = Arc::clone(&clock) as _;
        let options = StoreOptions { create: true, environment, ..StoreOptions::default() };
        let store = Store::open_path(&past.path().join("store"), options).expect("a store");
        let log = store.roots_log("UTC", Arc::clone(&clock) as _).expect("a log");
        let dump = |host: &str, seconds: u64| {
            clock.0.store(seconds * 1000, Ordering::SeqCst);
            past.dump(&store, &log, host);
        };
        fs::create_dir_all(past.at("usr/lib")).expect("a directory");
        fs::create_dir_all(past.at("home/rob/letters")).expect("a directory");
        std::os::unix::fs::symlink("usr/lib", past.at("lib")).expect("a link");
        past.write("home/rob/test", "grep -q good /lib/libc.a\n");
        past.write("home/rob/draft", "as ever\n");
        past.write("home/rob/letters/anna.tex", "Dear Anna\n");
        past.write("home/rob/.profile", "PATH=/bin\n");
        past.write("usr/lib/libc.a", "good 1\n");
        dump("moby", 1_086_058_800);
        past.write("usr/lib/libc.a", "good 2\n");
        dump("moby", 1_086_922_800);
        dump("pequod", 1_086_922_860);
        past.write("usr/lib/libc.a", "good 3\n");
        dump("moby", 1_104_462_000);
        let now = SystemEnvironment.milliseconds() / 1000;
        let noon = now / DAY * DAY + DAY / 2;
        past.write("usr/lib/libc.a", "bad 4\n");
        past.write("home/rob/.profile", "PATH=/bin:/usr/bin\n");
        fs::rename(past.at("home/rob/draft"), past.at("home/rob/notes")).expect("renamed");
        fs::remove_dir_all(past.at("home/rob/letters")).expect("removed");
        dump("moby", noon - 20 * DAY);
        dump("moby", noon - 5 * DAY);
        past.write("usr/lib/libc.a", "bad 5\n");
        dump("moby", noon - DAY);
        past.write("home/rob/.profile", "PATH=/bin:/usr/bin:/usr/games\n");
        drop(log);
        store.close().expect("closed");
        past
    }

    /// `files` and `store` are in it.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join("files").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.at(name), content).expect("written");
    }

    fn dump(&self, store: &Store, log: &dyn RootLog, host: &str) {
        let entries = fs::read_dir(self.at("")).expect("files");
        let sources = entries.map(|entry| Source::Path(entry.expect("a file").path())).collect();
        let (options, progress) = (Options::default(), Arc::default());
        let made = archive(store, sources, &options, &progress, Arc::new(Strict));
        let root = NewRoot {
            host: host.parse().expect("a name"),
            archive: "-".parse().expect("a name"),
            score: made.expect("an archive").root,
            bytes: 1000,
            files: 10,
            completeness: Completeness::Complete,
        };
        log.record(&root).expect("recorded");
    }
}
