//! `fossil-lite mount`: the dump as a directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fossil_lite::fuse::{Audience, mount};
use fossil_lite::program::{Failure, Source, system};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Mount the dump
///
/// Shows /HOST/yyyy/mmdd[.n]/... of every host, or with --host the years of that one. Nothing can
/// be changed there. If root mounts it everybody sees what the archived permissions allow;
/// anybody else mounts it for themselves only.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "All hosts:\n\n    venti=backup fossil-lite mount /n/dump\n\n\
    This machine, so that /n/dump/2004/0611 is what it was then:\n\n    \
    venti=backup fossil-lite mount --host $(hostname) /n/dump\n\n\
    The end of it:\n\n    umount /n/dump")]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// Stay in the foreground
    #[arg(short = 'f', long)]
    foreground: bool,

    /// Where
    #[arg(value_name = "DIRECTORY")]
    at: PathBuf,
}

/// What the process in the background says when the dump is there.
const MOUNTED: &str = "mounted";

/// Set for the process in the background.
const BACKGROUND: &str = "FOSSIL_LITE_BACKGROUND";

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if !arguments.foreground {
        return run_in_background();
    }
    let in_background = std::env::var_os(BACKGROUND).is_some();
    let tree = arguments.source.open(arguments.source.host.clone())?;
    free(&arguments.at)?;
    let audience = match rustix::process::geteuid().is_root() {
        true => Audience::Everybody,
        false => Audience::Owner,
    };
    let at = arguments.at.display();
    let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(system("can not take signals"))?;
    let session =
        mount(tree, &arguments.at, audience).map_err(system(format!("can not mount on {at}")))?;
    if in_background {
        // A terminal that closes takes nothing with it.
        let _ = rustix::process::setsid();
        let said = writeln!(std::io::stdout(), "{MOUNTED}");
        said.map_err(system("can not say that it is mounted"))?;
        // Whoever waits for the end of what this program says would wait for that of the mount.
        let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let nowhere = nowhere.map_err(system("/dev/null"))?;
        rustix::stdio::dup2_stdout(&nowhere)
            .and_then(|()| rustix::stdio::dup2_stderr(&nowhere))
            .map_err(|errno| system("/dev/null")(errno.into()))?;
    }
    let directory = arguments.at.clone();
    let wait = move || {
        if signals.forever().next().is_some() {
            // Whoever is in there keeps it until they leave; new visitors find it gone.
            let _ = unmount(&directory, UnmountFlags::DETACH);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map_err(system("can not start a thread"))?;
    session.join().map_err(system(format!("the mount on {at} failed")))?;
    Ok(0)
}

/// Starts this program again, and ends when that one has mounted the dump or failed.
fn run_in_background() -> Result<u8, Failure> {
    let failed = "can not go into the background";
    let program = std::env::current_exe().map_err(system(failed))?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--foreground")
        .env(BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(system(failed))?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut said).map_err(system(failed))?;
    }
    if said.trim() == MOUNTED {
        return Ok(0);
    }
    let status = child.wait().map_err(system(failed))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Checks that nothing is mounted there. What a process that was killed left behind is taken away.
fn free(at: &Path) -> Result<(), Failure> {
    let shown = at.display().to_string();
    let metadata = match std::fs::metadata(at) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            let gone = unmount(at, UnmountFlags::DETACH);
            gone.map_err(|errno| system(format!("can not unmount {shown}"))(errno.into()))?;
            std::fs::metadata(at)
        }
        found => found,
    };
    let metadata = metadata.map_err(system(shown.clone()))?;
    if !metadata.is_dir() {
        return Err(Failure::Usage { detail: format!("{shown} is not a directory") });
    }
    let parent = std::fs::metadata(at.join("..")).map_err(system(shown.clone()))?;
    if parent.dev() != metadata.dev() {
        return Err(Failure::Busy { detail: format!("something is mounted on {shown} already") });
    }
    Ok(())
}
