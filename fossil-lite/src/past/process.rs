//! One process in the past: a command that finds the versions of then in the place of today's.
//!
//! The dump is mounted for the time of the command, in a directory that nobody else enters, and that
//! [`super::keeper`] takes away, whatever becomes of this process. The command runs in a mount
//! namespace of its own ([`super::namespace`]) in which each file of then is bound over that of
//! today; nothing else is changed, for nobody else anything.
//!
//! Signals are the command's: this process waits until it has ended, whatever comes, so that the
//! past does not vanish from under it, and takes the mount away then.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Pid, PidfdFlags, Signal, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::keeper::Keeper;
use super::{Found, namespace};
use crate::dump::Tree;
use crate::fuse::{Audience, mount};
use crate::program::{Failure, system};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, or that of a shell for one that a signal has killed.
    pub code: u8,
    /// The signal that has killed it.
    pub killed_by: Option<i32>,
    /// The signal that came to this process meanwhile.
    pub signal: Option<i32>,
}

impl Ended {
    fn new(status: ExitStatus, signal: Option<i32>) -> Ended {
        let killed_by = status.signal();
        let code = status.code().or(killed_by.map(|signal| 128 + signal));
        let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Ended { code, killed_by, signal }
    }

    /// The exit status of a program that ran nothing but the command: who was told to end says
    /// so, but an interrupt is the command's to obey or not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.signal {
            Some(signal @ (SIGTERM | SIGHUP)) => u8::try_from(128 + signal).unwrap_or(1),
            _ => self.code,
        }
    }
}

/// Runs the command, or a shell, with each file of then bound over the path of today that stands
/// with it.
///
/// # Errors
/// If the dump can not be mounted, a file not be bound, or the command not be started.
pub fn run_in_past(
    tree: &Arc<Tree>,
    pairs: &[(PathBuf, Found)],
    command: &[OsString],
) -> Result<Ended, Failure> {
    for (path, found) in pairs {
        check_today(path, found)?;
    }
    let signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP]);
    let signals = signals.map_err(system("can not take signals"))?;
    let keeper = Keeper::start()?;
    let mounted = keeper.mount_point();
    let audience = match rustix::process::geteuid().is_root() {
        true => Audience::Everybody,
        false => Audience::Owner,
    };
    let session =
        mount(Arc::clone(tree), &mounted, audience).map_err(system("can not mount the dump"))?;
    let report = keeper.report();
    let mut binds: Vec<(PathBuf, &Path)> = pairs
        .iter()
        .map(|(path, found)| {
            let dump = mounted.join(found.file.host().as_str()).join(found.dump.name.to_string());
            (dump.join(OsStr::from_bytes(&found.file.path())), path.as_path())
        })
        .collect();
    // One that lies below another is bound over what the other has there.
    binds.sort_by_key(|(_, path)| path.components().count());
    let shell = || vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    let command = if command.is_empty() { shell() } else { command.to_vec() };
    let ended = namespace::prepare(&report, &binds, &command)
        .and_then(|mut child| wait_for(&mut child, signals));
    // Not waited for: what the command has left running would keep it for ever.
    drop(session);
    let failed = std::fs::read_to_string(&report);
    keeper.end()?;
    match failed {
        Ok(detail) if !detail.is_empty() => Err(Failure::Past { detail }),
        _ => ended,
    }
}

/// A file can only be bound over one that is there, and a directory over a directory.
fn check_today(path: &Path, found: &Found) -> Result<(), Failure> {
    let shown = path.display();
    let was_directory = found.file.node().is_directory();
    let detail = match std::fs::metadata(path) {
        Ok(today) if today.is_dir() == was_directory => return Ok(()),
        Ok(_) if was_directory => format!("{shown} is no directory today, as it was then"),
        Ok(_) => format!("{shown} is a directory today, and was none then"),
        Err(error) => format!("{shown} is not there today: {error}"),
    };
    let name = path.parent().unwrap_or(path).display();
    let detail = format!("{detail}; nothing can be bound over it, but over {name}");
    Err(Failure::Past { detail })
}

/// Waits for the command, and passes on to it what comes to this process.
fn wait_for(child: &mut Child, mut signals: Signals) -> Result<Ended, Failure> {
    let failed = "can not wait for the command";
    let command = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .map_err(|errno| system(failed)(errno.into()))?;
    let handle = signals.handle();
    let received = Arc::new(AtomicI32::new(0));
    let last = Arc::clone(&received);
    let pass_on = move || {
        for signal in signals.forever() {
            last.store(signal, Ordering::SeqCst);
            if !came_from_terminal(signal)
                && let Some(signal) = Signal::from_named_raw(signal)
            {
                // It has just ended, then.
                let _ = pidfd_send_signal(&command, signal);
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(pass_on);
    let thread = thread.map_err(system(failed))?;
    let status = child.wait().map_err(system(failed))?;
    handle.close();
    let _ = thread.join();
    let signal = Some(received.load(Ordering::SeqCst)).filter(|signal| *signal != 0);
    Ok(Ended::new(status, signal))
}

/// A key of the terminal sends a signal to everybody in the foreground: the command has it, too.
fn came_from_terminal(signal: i32) -> bool {
    let in_foreground = || {
        let terminal = std::fs::File::open("/dev/tty").ok()?;
        Some(tcgetpgrp(terminal.as_fd()).ok()? == getpgrp())
    };
    matches!(signal, SIGINT | SIGQUIT) && in_foreground().unwrap_or(false)
}
