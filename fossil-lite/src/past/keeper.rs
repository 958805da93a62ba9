//! The directory that the dump is mounted in for a command in the past, and who takes it away.
//!
//! A second process of this program makes it, and waits at the end of a pipe that only this process
//! can write to. However this process ends, by `kill -9` too, the pipe ends with it; then the dump
//! is unmounted and the directory removed. It has a process group of its own, so that what the
//! keyboard sends does not reach it, and heeds no signal that can be caught.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::namespace::again;
use crate::program::{Failure, system};
use crate::show::unmount;

/// What the mark in the environment says to the second process.
pub(super) const MARK: &str = "keep";

/// Somebody who mounts there as this process is killed may be done a little later.
const TRIES: usize = 100;

/// The process, seen from this one. Dropped, it ends.
pub(super) struct Keeper {
    process: Child,
    directory: PathBuf,
}

impl Keeper {
    /// Starts it, and waits until it has made the directory.
    pub(super) fn start() -> Result<Keeper, Failure> {
        const FAILED: &str = "can not make a directory";
        let mut command = again(MARK)?;
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().map_err(system(FAILED))?;
        let mut said = Vec::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_until(0, &mut said).map_err(system(FAILED))?;
        }
        let directory = said.pop_if(|byte| *byte == 0).map(|_| OsString::from_vec(said.clone()));
        let keeper = Keeper { process, directory: directory.unwrap_or_default().into() };
        if keeper.directory.as_os_str().is_empty() {
            let why = String::from_utf8_lossy(&said).into_owned();
            return Err(system(FAILED)(io::Error::other(why)));
        }
        Ok(keeper)
    }

    /// Where the dump is to be mounted.
    pub(super) fn mount_point(&self) -> PathBuf {
        mount_point(&self.directory)
    }

    /// Where the process that becomes the command says why it could not.
    pub(super) fn report(&self) -> PathBuf {
        report(&self.directory)
    }

    /// Has everything taken away.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let ended = self.process_ends().and_then(|status| match status.success() {
            true => Ok(()),
            false => Err(Errno::BUSY.into()),
        });
        ended.map_err(system(format!("can not remove {}", self.directory.display())))
    }

    fn process_ends(&mut self) -> io::Result<ExitStatus> {
        drop(self.process.stdin.take());
        self.process.wait()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Who wants to know has asked by now.
        let _ = self.process_ends();
    }
}

fn mount_point(directory: &Path) -> PathBuf {
    directory.join("dump")
}

fn report(directory: &Path) -> PathBuf {
    directory.join("report")
}

/// What the second process does. Returns its exit status.
pub(super) fn keep() -> u8 {
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        // Where they can not be caught they are not ignored: that is all.
        let _ = signal_hook::flag::register(signal, Arc::clone(&ignored));
    }
    let made = tempfile::tempdir().and_then(|directory| {
        std::fs::create_dir(mount_point(directory.path()))?;
        Ok(directory.keep())
    });
    let mut out = io::stdout();
    let said = match &made {
        Ok(directory) => [directory.as_os_str().as_bytes(), &[0]].concat(),
        Err(error) => error.to_string().into_bytes(),
    };
    // Nobody is left to hear it, then.
    let _ = out.write_all(&said).and_then(|()| out.flush());
    let Ok(directory) = made else { return 1 };
    let mut byte = [0];
    while io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
    u8::from(remove(&directory).is_err())
}

/// Never goes into what is mounted.
fn remove(directory: &Path) -> io::Result<()> {
    let at = mount_point(directory);
    for _ in 0..TRIES {
        match std::fs::remove_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => unmount(&at)?,
            _ => break,
        }
    }
    // Only a command that could not be started has left one.
    let _ = std::fs::remove_file(report(directory));
    std::fs::remove_dir(directory)
}
