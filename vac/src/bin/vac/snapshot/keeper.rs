//! Removes a snapshot when the run that took it is dead.
//!
//! A second process of this program holds the other end of a pipe that only the run can write to.
//! However the run ends, the pipe ends with it, and what is left of the snapshot is removed. It has
//! a process group of its own, so that what the keyboard sends to the run does not reach it.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// The process, seen from the run. Dropped, it ends.
pub(super) struct Keeper(Child);

impl Keeper {
    /// Starts it for the snapshot in `container`, which the run holds locked.
    pub(super) fn start(container: &Path) -> anyhow::Result<Keeper> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut command = Command::new(program);
        command.arg("--keep-snapshot").arg(container).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Keeper(command.spawn().context("a process that keeps the snapshot")?))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // What it could not remove is removed by the next run.
        let _ = self.0.wait();
    }
}

/// What the process does. Returns its exit status, which nobody asks for.
pub(crate) fn keep(container: &Path) -> u8 {
    let mut byte = [0];
    while std::io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
    let Ok(directory) = File::open(container) else { return 0 };
    let removed = flock(&directory, FlockOperation::NonBlockingLockExclusive)
        .map_err(anyhow::Error::from)
        .and_then(|()| super::remove_container(container));
    u8::from(removed.is_err())
}
