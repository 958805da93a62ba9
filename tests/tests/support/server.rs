//! A server of the real program on a Unix socket, alone or under strace.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::programs::program;
use super::raw_client::RawClient;

/// How often a server that starts is asked whether it is there, 10 ms apart: a minute, for a
/// loaded machine.
const TRIES: usize = 6000;

/// Whether there is a strace; without it the tests that need it say so and end.
pub(crate) fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        println!("left out: strace is not installed");
    }
    there
}

/// A running `venti serve`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) socket: PathBuf,
    /// What it says on standard error.
    log: PathBuf,
    /// Locked while it has the store.
    lock: PathBuf,
}

impl Server {
    /// Starts a server on `store` with small arenas, so that tests see them sealed.
    pub(crate) fn start(store: &Path, extra: &[&str]) -> Server {
        Server::spawn(Command::new(program("venti")), store, extra)
    }

    /// Starts it under `strace -f` with these expressions (`-e`).
    pub(crate) fn start_traced(store: &Path, expressions: &[String]) -> Server {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null"]);
        for expression in expressions {
            strace.args(["-e", expression]);
        }
        strace.arg(program("venti"));
        Server::spawn(strace, store, &[])
    }

    fn spawn(mut command: Command, store: &Path, extra: &[&str]) -> Server {
        let socket = store.with_extension("socket");
        let _ = std::fs::remove_file(&socket);
        command.arg("serve").arg(store).args(["--arena-size", "1m", "--listen"]);
        command.arg(format!("unix!{}", socket.display())).args(extra);
        let log = std::fs::File::create(store.with_extension("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.process_group(0).spawn().expect("the server starts");
        let log = store.with_extension("log");
        Server { child, socket, log, lock: store.join("lock") }
    }

    /// Waits until the server answers; `None` when it ended before it did.
    pub(crate) fn connect(&mut self) -> Option<RawClient> {
        for _ in 0..TRIES {
            if let Ok(client) = RawClient::connect(&self.socket) {
                return Some(client);
            }
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return None;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("the server neither answers nor ends");
    }

    /// Connects to a server that must start.
    pub(crate) fn client(&mut self) -> RawClient {
        let said = |log: &Path| std::fs::read_to_string(log).unwrap_or_default();
        self.connect().unwrap_or_else(|| panic!("the server ended: {}", said(&self.log)))
    }

    /// Ends it as a power cut of the process would: no code of it runs any more.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("a child can be waited for")
    }

    /// Under strace the server is a grandchild, so the whole group is killed; and nobody but the
    /// system waits for a grandchild, so what shows that it is gone is its lock.
    fn end(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
        if let Ok(lock) = std::fs::File::open(&self.lock) {
            let _ = rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
