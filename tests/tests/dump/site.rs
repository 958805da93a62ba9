//! A real server, and hosts that it has dumps of, made at the times that a test wants.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::dated_store::DatedStore;
use crate::support::programs::program;
use crate::support::server::Server;

/// Files of the hosts, from the root on, while dumps are made of them.
pub(super) struct Hosts {
    files: PathBuf,
    store: DatedStore,
}

impl Hosts {
    /// Writes a file, and makes the directories that it is in.
    pub(super) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.files.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.files.join(from), self.files.join(to)).unwrap();
    }

    /// Makes a dump of all files, so many seconds after 1970.
    pub(super) fn dump(&self, host: &str, seconds: u64) {
        let entries = fs::read_dir(&self.files).unwrap();
        self.store.dump(host, seconds, entries.map(|entry| entry.unwrap().path()));
    }

    pub(super) fn dump_lost(&self, host: &str, seconds: u64) {
        self.store.dump_lost(host, seconds);
    }
}

/// The server, and a machine that has nothing but the programs.
pub(super) struct Site {
    directory: TempDir,
    server: Option<Server>,
}

impl Site {
    /// A store that cuts days in this time zone, with what `make` does.
    pub(super) fn new(zone: &str, make: impl FnOnce(&Hosts)) -> Site {
        let directory = TempDir::new().unwrap();
        let (files, store) = (directory.path().join("files"), directory.path().join("store"));
        fs::create_dir(&files).unwrap();
        let hosts = Hosts { files, store: DatedStore::new(&store, zone) };
        make(&hosts);
        hosts.store.close();
        let mut site = Site { directory, server: None };
        site.serve(&[]);
        site
    }

    /// Starts the server, again too.
    pub(super) fn serve(&mut self, extra: &[&str]) {
        self.server = None;
        let mut server = Server::start(&self.path("store"), extra);
        drop(server.client());
        self.server = Some(server);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn run(&self, name: &str, arguments: &[&OsStr]) -> Output {
        let mut command = Command::new(program(name));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.path("cache")).env_remove("DUMP");
        command.env("venti", format!("unix!{}", self.path("store.socket").display()));
        // Nobody asks in which zone the machine is that asks.
        command.env("TZ", "America/New_York");
        command.output().unwrap()
    }

    /// What a program prints and says, which must end with `code`.
    pub(super) fn says(&self, code: i32, words: &[&str]) -> (String, String) {
        let arguments: Vec<&OsStr> = words[1..].iter().map(OsStr::new).collect();
        let output = self.run(words[0], &arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words:?}: {out}{err}");
        (out, err)
    }
}
