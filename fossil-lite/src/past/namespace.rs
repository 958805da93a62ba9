//! Becomes a command with files of then bound over those of today, in a mount namespace of its own.
//!
//! A process with threads can enter no user namespace, so the program is started once more with a
//! mark in its environment, and becomes the command when all is bound. Whoever is not root does
//! that as the root of a user namespace, which may mount, and goes back to be the user in another
//! one inside of it: the command sees its own user, and has no powers that it had not before.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::keeper;
use crate::program::{Failure, system};

/// Set for a second process of this program, and what it is for.
const MARK: &str = "FOSSIL_LITE_PAST";
const BECOME: &str = "become";

/// Between the files and the command.
const COMMAND: &str = "--";

/// Starts this program again, to become the command. If that fails it writes why to `report`.
pub(super) fn prepare(
    report: &Path,
    binds: &[(PathBuf, &Path)],
    command: &[OsString],
) -> Result<Child, Failure> {
    let mut again = again(BECOME)?;
    again.arg(report);
    for (then, today) in binds {
        again.arg(then).arg(today);
    }
    again.arg(COMMAND).args(command);
    again.spawn().map_err(system("can not start this program again"))
}

/// This program once more, for something else.
pub(super) fn again(mark: &str) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(system("can not find this program"))?;
    let mut again = Command::new(program);
    again.env(MARK, mark);
    Ok(again)
}

/// In the process that [`prepare`] has started, becomes the command; in a [`keeper`], keeps; in any
/// other, does nothing. To be called before there is any thread.
pub fn enter_if_asked() {
    let Some(mark) = std::env::var_os(MARK) else { return };
    if mark == keeper::MARK {
        std::process::exit(keeper::keep().into());
    }
    let mut arguments = std::env::args_os().skip(1);
    // Opened before anything is bound over the directory that it is in.
    let report = arguments.next().map(File::create);
    let Err(why) = enter(arguments);
    if let Some(Ok(mut report)) = report {
        // Whoever reads it takes any status for a failure then.
        let _ = report.write_all(why.as_bytes());
    }
    std::process::exit(1);
}

/// Says what failed.
fn failed<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

fn enter(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, String> {
    let here = std::env::current_dir().ok();
    let user = (geteuid().as_raw(), getegid().as_raw());
    let root = geteuid().is_root();
    let spaces =
        if root { UnshareFlags::NEWNS } else { UnshareFlags::NEWNS | UnshareFlags::NEWUSER };
    unshare(spaces).map_err(failed("can not make a namespace"))?;
    if !root {
        be((0, 0), user)?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|errno| match errno {
        Errno::INVAL => "can not keep mounts apart: / is no mount point here, as in a chroot; \
            mount the root of the chroot on itself first (mount --bind)"
            .to_owned(),
        errno => failed("can not keep mounts apart")(errno),
    })?;
    while let Some(then) = arguments.next().filter(|then| then != COMMAND) {
        let today = arguments.next().unwrap_or_default();
        let shown = Path::new(&today).display();
        mount_bind(&then, &today).map_err(failed(format!("can not bind over {shown}")))?;
    }
    if !root {
        unshare(UnshareFlags::NEWUSER).map_err(failed("can not make a namespace"))?;
        be(user, (0, 0))?;
    }
    // The directory may be one that was bound, or below one: until it is entered anew, relative
    // names lead to the files of today.
    if let Some(here) = here {
        let shown = format!("{} was not there then, or can not be entered", here.display());
        std::env::set_current_dir(here).map_err(failed(shown))?;
    }
    let program = arguments.next().unwrap_or_default();
    let error = Command::new(&program).args(arguments).env_remove(MARK).exec();
    Err(format!("can not run {}: {error}", program.display()))
}

#[expect(deprecated, reason = "only unsharing descriptors is unsafe, which is not asked for")]
fn unshare(spaces: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(spaces)
}

/// In a user namespace that was just made: this process, whose user and group are `outside` in the
/// one around it, has the numbers `inside`.
fn be(inside: (u32, u32), outside: (u32, u32)) -> Result<(), String> {
    // Groups can only be mapped where they can not be dropped.
    write_map("setgroups", "deny")?;
    write_map("uid_map", &format!("{} {} 1", inside.0, outside.0))?;
    write_map("gid_map", &format!("{} {} 1", inside.1, outside.1))
}

fn write_map(name: &str, text: &str) -> Result<(), String> {
    let path = Path::new("/proc/self").join(OsStr::new(name));
    std::fs::write(&path, text).map_err(failed(path.display()))
}
