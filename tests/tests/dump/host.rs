//! A host whose files change, the programs on it, and what it knows of its dumps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::programs::program;
use crate::support::server::Server;

/// Files of the host.
pub(super) const FILES: usize = 40;

/// How often something is looked for, 10 ms apart: a minute, for a loaded machine.
const TRIES: usize = 6000;

/// A dump that is in the log of roots.
struct Recorded {
    score: String,
    /// `2004/0611`, as its directory is called.
    name: String,
    /// What it must be equal to.
    copy: PathBuf,
}

pub(super) struct Host {
    directory: TempDir,
    recorded: Vec<Recorded>,
    /// How often the files changed.
    changes: usize,
}

/// A mount that runs in the foreground; killed when dropped.
pub(super) struct Mount(Child);

impl Mount {
    pub(super) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn terminate(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
        assert!(self.0.wait().expect("a child").success(), "the mount ends well");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What a test that failed left mounted would keep the directory.
        let _ =
            Command::new("umount").arg("-l").arg(self.mount_point()).stderr(Stdio::null()).status();
    }
}

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if happened() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}

impl Host {
    pub(super) fn new() -> Host {
        let directory = TempDir::new().expect("a directory");
        for name in ["tree/below", "mount", "copies"] {
            fs::create_dir_all(directory.path().join(name)).expect("a directory");
        }
        Host { directory, recorded: Vec::new(), changes: 0 }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn mount_point(&self) -> PathBuf {
        self.at("mount")
    }

    pub(super) fn start_server(&self) -> Server {
        let mut server = Server::start(&self.at("store"), &["--time-zone", "UTC"]);
        drop(server.client());
        server
    }

    /// A program that finds the server, and keeps to itself what it remembers.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.args(arguments).env("XDG_CACHE_HOME", self.at("cache")).stdin(Stdio::null());
        command.env("venti", format!("unix!{}", self.at("store.socket").display()));
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().expect("the program runs")
    }

    /// The content of a file after so many changes: it does not compress, and each change is one
    /// of every third file.
    pub(super) fn content(file: usize, changes: usize) -> Vec<u8> {
        let version = changes.saturating_sub((changes + 3 - file % 3) % 3);
        let mut seed = (version * FILES + file + 1) as u64;
        let step = |_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            u8::try_from(seed & 0xff).expect("a byte")
        };
        (0..60_000 + 1000 * file).map(step).collect()
    }

    /// Where a file is: half of them are in a directory.
    pub(super) fn name(file: usize) -> String {
        let directory = if file.is_multiple_of(2) { "" } else { "below/" };
        format!("{directory}file{file}")
    }

    pub(super) fn change(&mut self) {
        self.changes += 1;
        for file in 0..FILES {
            let path = self.at("tree").join(Host::name(file));
            let content = Host::content(file, self.changes);
            if fs::read(&path).ok().as_deref() != Some(&content) {
                fs::write(path, content).expect("written");
            }
        }
    }

    /// Starts archiving what is there now.
    pub(super) fn archive(&self) -> Child {
        let mut vac = self.command("vac", &["--host", "moby", "--no-progress", "."]);
        vac.current_dir(self.at("tree")).stdout(Stdio::null()).stderr(Stdio::null());
        vac.spawn().expect("vac starts")
    }

    /// Looks what was recorded of the files as they are now, and returns how many dumps there are.
    pub(super) fn look_at_log(&mut self) -> usize {
        let output = self.run("venti", &["roots", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let roots = text.lines().map(|line| serde_json::from_str(line).expect("json"));
        let mut roots: Vec<serde_json::Value> = roots.collect();
        // The newest came first.
        roots.reverse();
        let field =
            |root: &serde_json::Value, name: &str| root[name].as_str().expect("text").to_owned();
        for (known, root) in self.recorded.iter().zip(&roots) {
            assert_eq!(known.score, field(root, "score"), "the log goes on where it was");
        }
        let days: Vec<String> =
            roots.iter().map(|root| field(root, "time")[..10].to_owned()).collect();
        for number in self.recorded.len()..roots.len() {
            let copy = self.at("copies").join(number.to_string());
            let copied = Command::new("cp").arg("-a").args([&self.at("tree"), &copy]).status();
            assert!(copied.expect("cp runs").success());
            let before = days[..number].iter().filter(|day| **day == days[number]).count();
            let mut name = days[number].replacen('-', "/", 1).replace('-', "");
            if before > 0 {
                name += &format!(".{before}");
            }
            assert_eq!(field(&roots[number], "dump"), name);
            self.recorded.push(Recorded { score: field(&roots[number], "score"), name, copy });
        }
        assert_eq!(self.recorded.len(), roots.len(), "no dump is lost");
        roots.len()
    }

    /// Mounts the dump, over whatever a killed mount left.
    pub(super) fn mount(&self) -> Mount {
        let at = self.mount_point();
        let arguments = ["mount", "--foreground", "--host", "moby"];
        let mut command = self.command("fossil-lite", &arguments);
        let mount = Mount(command.arg(&at).stderr(Stdio::null()).spawn().expect("it starts"));
        wait_until("the dump is mounted", || {
            fs::read_dir(&at).is_ok_and(|mut entries| entries.next().is_some())
        });
        mount
    }

    /// Compares a dump in the mount with what was archived.
    pub(super) fn compare_mounted(&self, number: usize) {
        let Recorded { name, copy, .. } = &self.recorded[number];
        wait_until("the dump appears", || self.mount_point().join(name).exists());
        self.compare(&self.mount_point().join(name), copy);
    }

    /// Restores a dump and compares it with what was archived.
    fn compare_restored(&self, number: usize) {
        let Recorded { score, copy, .. } = &self.recorded[number];
        let target = TempDir::new_in(self.directory.path()).expect("a directory");
        let path = target.path().to_str().expect("text");
        let output = self.run("unvac", &["-C", path, &format!("vac:{score}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.compare(target.path(), copy);
    }

    fn compare(&self, found: &Path, expected: &Path) {
        let output = Command::new("diff").arg("-r").args([found, expected]).output();
        let output = output.expect("diff runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Every dump is whole, restored and in the mount.
    pub(super) fn compare_all(&self) {
        for number in 0..self.recorded.len() {
            self.compare_restored(number);
            self.compare_mounted(number);
        }
    }
}
