//! Goes into the background when what was asked for is there, so that whoever started the program
//! can go on at once and knows whether it failed.
//!
//! A process with threads can not fork, so the program is started once more with a mark in its
//! environment, and passes on what that one says until it is ready.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::program::{Failure, system};

/// What the process in the background says when it is ready.
const READY: &str = "ready";

/// Set for the process in the background.
const BACKGROUND: &str = "FOSSIL_LITE_BACKGROUND";

/// Whether this is the process in the background.
#[must_use]
pub fn is_here() -> bool {
    std::env::var_os(BACKGROUND).is_some()
}

/// Starts this program again with the same arguments, and returns when that one is ready or has
/// failed, with its exit status.
///
/// # Errors
/// If it can not be started.
pub fn start() -> Result<u8, Failure> {
    let failed = "can not go into the background";
    let program = std::env::current_exe().map_err(system(failed))?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(system(failed))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(system(failed))?;
            if line == READY {
                return Ok(0);
            }
            writeln!(std::io::stdout(), "{line}").map_err(system("standard output"))?;
        }
    }
    let status = child.wait().map_err(system(failed))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Says that everything is there, and lets go of whoever waited for that. In the foreground, does
/// nothing.
///
/// # Errors
/// If it can not be said.
pub(super) fn ready() -> Result<(), Failure> {
    if !is_here() {
        return Ok(());
    }
    // A terminal that closes takes nothing with it. Fails only for who leads a session already.
    let _ = rustix::process::setsid();
    // Nor does it keep the file system busy that it was started in.
    rustix::process::chdir("/").map_err(|errno| system("/")(errno.into()))?;
    let said = writeln!(std::io::stdout(), "{READY}");
    said.map_err(system("can not say that everything is there"))?;
    // Whoever waits for the end of what this program says would wait for its own end.
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let nowhere = nowhere.map_err(system("/dev/null"))?;
    rustix::stdio::dup2_stdout(&nowhere)
        .and_then(|()| rustix::stdio::dup2_stderr(&nowhere))
        .map_err(|errno| system("/dev/null")(errno.into()))
}
