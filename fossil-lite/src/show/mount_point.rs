//! The directory that a tree is mounted on: free, in use, or left behind by a process that was
//! killed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::program::{Failure, system};

/// Checks that nothing is mounted there. What a process that was killed left behind is taken away,
/// and said so.
pub(super) fn free(at: &Path) -> Result<(), Failure> {
    let shown = at.display().to_string();
    if is_dead(at) {
        unmount(at).map_err(system(format!(
            "the mount on {shown} is dead, for its process was killed, and can not be unmounted"
        )))?;
        eprintln!("{shown}: replacing a dead mount, whose process was killed");
    }
    let metadata = std::fs::metadata(at).map_err(system(shown.clone()))?;
    if !metadata.is_dir() {
        return Err(Failure::Usage { detail: format!("{shown} is not a directory") });
    }
    let parent = std::fs::metadata(at.join("..")).map_err(system(shown.clone()))?;
    if parent.dev() != metadata.dev() {
        return Err(Failure::Busy { detail: format!("something is mounted on {shown} already") });
    }
    Ok(())
}

/// How often a mount is asked again that ends while it is asked: more often than a process has
/// connections to the kernel for one mount, each of which ends by itself.
const ASKED: usize = 100;

/// Whether nobody answers for what is mounted there, whatever the kernel remembers of it.
fn is_dead(at: &Path) -> bool {
    let ask = || statx(CWD, at, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS).err();
    // Who was waiting for the process when it was killed hears that the connection was aborted,
    // all others that there is none.
    let mut answers = std::iter::repeat_with(ask).take(ASKED);
    answers.find(|answer| *answer != Some(Errno::CONNABORTED)) == Some(Some(Errno::NOTCONN))
}

/// Which file system is mounted there, as far as the kernel knows without asking for it.
pub(super) fn device(at: &Path) -> Option<(u32, u32)> {
    let found = statx(CWD, at, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some((found.stx_dev_major, found.stx_dev_minor))
}

/// Takes a mount away, from under whoever is in there too. Those who are not root ask fusermount.
pub(crate) fn unmount(at: &Path) -> io::Result<()> {
    let refused = match rustix::mount::unmount(at, UnmountFlags::DETACH) {
        Ok(()) => return Ok(()),
        Err(errno) => io::Error::from(errno),
    };
    if refused.kind() != io::ErrorKind::PermissionDenied {
        return Err(refused);
    }
    let by_helper = ["fusermount3", "fusermount"].iter().any(|program| {
        let mut command = Command::new(program);
        command.args(["-u", "-z", "--"]).arg(at).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    if by_helper { Ok(()) } else { Err(refused) }
}
