//! A machine whose files are archived into a store in a directory, and the programs run on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arenas::{Environment, OpenError, Store, StoreOptions};
use jiff::Timestamp;
use vac::archiver::{Observer, Options, Problem, Source, archive};
use venti_proto::Score;
use venti_proto::roots::{ArchiveName, Completeness, NewRoot, RootLog};

/// A clock that is set, and the identity of a store.
#[derive(Default)]
struct Clock(AtomicU64);

impl Environment for Clock {
    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn identity(&self) -> std::io::Result<[u8; 16]> {
        Ok([9; 16])
    }
}

/// A host, one of its archives, and whether that is complete.
pub(crate) type About<'a> = (&'a str, &'a str, Completeness);

struct Silent;

impl Observer for Silent {
    fn problem(&self, problem: &Problem) {
        panic!("{problem:?}");
    }
}

/// A directory of today whose files were archived, and the store that they are in.
pub(crate) struct Machine {
    pub(crate) place: tempfile::TempDir,
}

/// Opens a store for writing. Another test that starts a program at this moment holds the lock of
/// the store before, through the copy of this process that becomes that program: for an instant.
fn open(path: &Path, clock: &Arc<Clock>) -> Store {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let environment = Arc::clone(clock) as _;
        let options = StoreOptions { create: true, environment, ..StoreOptions::default() };
        match Store::open_path(path, options) {
            Err(OpenError::Busy) if Instant::now() < limit => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// What a program did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(place.path().join("home")).unwrap();
        Machine { place }
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.place.path().join("home").join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.place.path().join("store")
    }

    /// Archives the home directory, under the path that it has, as the dump of `moby`.
    pub(crate) fn dump(&self, time: &str) -> Score {
        self.dump_as(("moby", "-", Completeness::Complete), time)
    }

    /// Archives it as this archive of this host.
    pub(crate) fn dump_as(&self, about: About<'_>, time: &str) -> Score {
        let home = self.place.path().join("home");
        let stage = tempfile::tempdir_in(self.place.path()).unwrap();
        let staged = stage.path().join(home.strip_prefix("/").unwrap());
        fs::create_dir_all(staged.parent().unwrap()).unwrap();
        // Not copied: copies would be other files.
        fs::rename(&home, &staged).unwrap();
        let entries = fs::read_dir(stage.path()).unwrap();
        let sources = entries.map(|entry| Source::Path(entry.unwrap().path())).collect();
        let score = self.record_as(about, time, |store| {
            let (options, progress) = (Options::default(), Arc::default());
            archive(store, sources, &options, &progress, Arc::new(Silent)).unwrap().root
        });
        fs::rename(&staged, &home).unwrap();
        score
    }

    /// Archives these paths, as the dump of a host under this name.
    pub(crate) fn archive(
        &self,
        time: &str,
        host: &str,
        name: &ArchiveName,
        paths: Vec<PathBuf>,
    ) -> Score {
        self.record_as((host, name.as_str(), Completeness::Complete), time, |store| {
            let sources = paths.into_iter().map(Source::Path).collect();
            let (options, progress) = (Options::default(), Arc::default());
            archive(store, sources, &options, &progress, Arc::new(Silent)).unwrap().root
        })
    }

    /// Records as a dump of `moby` what is made in the store.
    pub(crate) fn record(&self, time: &str, make: impl FnOnce(&Store) -> Score) -> Score {
        self.record_as(("moby", "-", Completeness::Complete), time, make)
    }

    fn record_as(
        &self,
        (host, archive_name, completeness): About<'_>,
        time: &str,
        make: impl FnOnce(&Store) -> Score,
    ) -> Score {
        let clock = Arc::new(Clock::default());
        let time: Timestamp = time.parse().unwrap();
        clock.0.store(u64::try_from(time.as_millisecond()).unwrap(), Ordering::SeqCst);
        let store = open(&self.store(), &clock);
        let log = store.roots_log("Europe/Berlin", clock).unwrap();
        let score = make(&store);
        let root = NewRoot {
            host: host.parse().unwrap(),
            archive: archive_name.parse().unwrap(),
            score,
            bytes: 100,
            files: 10,
            completeness,
        };
        log.record(&root).unwrap();
        drop(log);
        store.close().unwrap();
        score
    }

    /// Makes a store that nothing was ever archived to.
    pub(crate) fn make_store(&self) {
        open(&self.store(), &Arc::default()).close().unwrap();
    }

    /// A program with these arguments, on this machine.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("venti", self.store()).env("TZ", "Europe/Berlin");
        command.env("XDG_CACHE_HOME", self.place.path().join("cache")).env_remove("DUMP");
        command
    }

    /// Flips a bit of these bytes in the store, wherever it has them.
    pub(crate) fn damage(&self, bytes: &[u8]) {
        let mut found = 0;
        for entry in fs::read_dir(self.store().join("arenas")).unwrap() {
            let path = entry.unwrap().path();
            let mut arena = fs::read(&path).unwrap();
            let places: Vec<usize> = arena
                .windows(bytes.len())
                .enumerate()
                .filter_map(|(place, window)| (window == bytes).then_some(place))
                .collect();
            for place in &places {
                arena[*place] ^= 1;
            }
            found += places.len();
            fs::write(&path, arena).unwrap();
        }
        assert!(found > 0, "the store has these bytes nowhere");
    }

    /// A program where every user may run it.
    pub(crate) fn copy_of(&self, program: &str) -> String {
        let copy = self.place.path().join(Path::new(program).file_name().unwrap());
        if !copy.exists() {
            fs::copy(program, &copy).unwrap();
        }
        copy.to_str().unwrap().to_owned()
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        Ran::from(self.command(program, arguments).output().unwrap())
    }

    pub(crate) fn yesterday(&self, arguments: &[&str]) -> Ran {
        let program = env!("CARGO_BIN_EXE_yesterday");
        self.run(program, &[&["--host", "moby"], arguments].concat())
    }

    pub(crate) fn hist(&self, arguments: &[&str]) -> Ran {
        self.run(env!("CARGO_BIN_EXE_hist"), &[&["--host", "moby"], arguments].concat())
    }

    pub(crate) fn fossil(&self, arguments: &[&str]) -> Ran {
        self.run(env!("CARGO_BIN_EXE_fossil-lite"), arguments)
    }

    /// Two dumps of a profile that changes, a file that goes, and one that comes.
    pub(crate) fn with_history() -> (Machine, String) {
        let machine = Machine::new();
        let profile = machine.home("profile");
        fs::write(&profile, "one\n").unwrap();
        fs::set_permissions(&profile, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(machine.home("gone"), "gone\n").unwrap();
        fs::create_dir(machine.home("directory")).unwrap();
        fs::write(machine.home("directory/inside"), "inside\n").unwrap();
        symlink("directory", machine.home("link")).unwrap();
        machine.dump("2004-06-11T03:00:00Z");
        fs::write(&profile, "two\n").unwrap();
        fs::remove_file(machine.home("gone")).unwrap();
        fs::write(machine.home("new"), "new\n").unwrap();
        machine.dump("2004-12-31T03:00:00Z");
        fs::write(&profile, "three\n").unwrap();
        let profile = profile.to_str().unwrap().to_owned();
        (machine, profile)
    }
}
