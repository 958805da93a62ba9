//! One process in the past: a command that finds the versions of then in the place of today's.
//!
//! The dump is mounted for the time of the command, in a directory that nobody else enters. The
//! command gets a mount namespace of its own (unshare(1)) in which each file of then is bound over
//! that of today; nothing else is changed, for nobody else anything.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::Found;
use crate::FileError;
use crate::dump::Tree;
use crate::fuse::{Audience, mount};
use crate::program::{Failure, system};

/// Binds pairs of then and today up to `--`, says so by making a file, and becomes the command.
const BIND: &str = r#"
bound=$1
shift
while [ "$1" != -- ]; do
    mount --bind "$1" "$2" || exit
    shift 2
done
shift
: >"$bound" || exit
exec "$@"
"#;

/// Runs the command, or a shell, with each file of then bound over the path of today that stands
/// with it, and returns its exit status.
///
/// # Errors
/// If the dump can not be mounted, or the files not be bound: the command is not run then.
pub fn run_in_past(
    tree: &Arc<Tree>,
    pairs: &[(PathBuf, Found)],
    command: &[OsString],
) -> Result<u8, Failure> {
    let place = tempfile::tempdir().map_err(system("can not make a directory"))?;
    let (directory, bound) = (place.path().join("dump"), place.path().join("bound"));
    std::fs::create_dir(&directory).map_err(system("can not make a directory"))?;
    let root = rustix::process::geteuid().is_root();
    let audience = if root { Audience::Everybody } else { Audience::Owner };
    let session =
        mount(Arc::clone(tree), &directory, audience).map_err(system("can not mount the dump"))?;
    let mut unshare = Command::new("unshare");
    if !root {
        // Only root of a name space of users mounts in it.
        unshare.arg("--map-root-user");
    }
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", BIND, "sh"]);
    unshare.arg(&bound);
    for (path, found) in pairs {
        let then = directory
            .join(found.file.host().as_str())
            .join(found.dump.name.to_string())
            .join(std::ffi::OsStr::from_bytes(&found.file.path()));
        unshare.arg(then).arg(path);
    }
    unshare.arg("--");
    if !root {
        // In one more, the user is who they were.
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        unshare.args(["unshare", "--user", &format!("--map-user={}", user.as_raw())]);
        unshare.args([&format!("--map-group={}", group.as_raw()), "--"]);
    }
    match command {
        [] => unshare.arg(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())),
        command => unshare.args(command),
    };
    let status = unshare.status().map_err(system("can not run unshare(1)"));
    session.umount_and_join().map_err(system("can not unmount the dump"))?;
    let status = status?;
    if !bound.exists() {
        let detail = "the files of then could not be put in the place of today's".to_owned();
        return Err(FileError::Io { detail }.into());
    }
    let code = status.code().or_else(|| {
        std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal)
    });
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
