//! What the examples remember: two hosts that were dumped since 2004, and their files of today.
//!
//! The library was good until the end of 2004. A letter is gone and a draft got another name
//! since; the last dump is of yesterday noon.

use std::fs;
use std::path::{Path, PathBuf};

use arenas::{Environment, SystemEnvironment};
use tempfile::TempDir;

use crate::support::dated_store::DatedStore;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// A directory with today's files and the store.
pub(super) struct Past {
    directory: TempDir,
}

impl Past {
    pub(super) fn new() -> Past {
        let past = Past { directory: TempDir::new().expect("a directory") };
        let store = DatedStore::new(&past.path().join("store"), "UTC");
        let dump = |host: &str, seconds: u64| {
            let entries = fs::read_dir(past.at("")).expect("files");
            store.dump(host, seconds, entries.map(|entry| entry.expect("a file").path()));
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
        store.close();
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
}
