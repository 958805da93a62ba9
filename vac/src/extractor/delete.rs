//! Removes from a directory what the archive does not have there, and what a crash left.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{AtFlags, Dir, FileType, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

use super::open_directory::OpenDirectory;
use super::session::Session;
use super::{ExtractError, Selection, extended, place};
use crate::format::Gap;

/// Removes every name of the directory that the archive does not have there, whole trees too.
/// What patterns leave out is left alone, and so is everything of a directory that the archive
/// has not as it was, or where another file system is mounted.
pub(super) fn remove_others(
    session: &Session<'_>,
    directory: &OpenDirectory<'_>,
    selection: &Selection,
) {
    let ours = format!("{}{}-", place::TEMPORARY_PREFIX, std::process::id());
    let names = match names_of(directory.as_fd()) {
        Ok(names) => names,
        Err(errno) => {
            let error = ExtractError::system("list the directory")(errno);
            return session.problem(&directory.path, &error);
        }
    };
    let mut others = names.into_iter().filter(|(name, file_type)| {
        let path = directory.path_of(name.to_bytes());
        !directory.has_claimed(name.to_bytes())
            && !name.to_bytes().starts_with(ours.as_bytes())
            && selection.chooses(&path, *file_type == FileType::Directory)
    });
    let what = match directory.gap {
        // It was meant to be left out: what is there is nothing to speak of.
        Some(Gap::LeftOut) => return,
        Some(Gap::Incomplete) => Some("removing what may have been there: it was not all archived"),
        None if place::mount_of(directory.as_fd()) != session.mount => {
            Some("removing what the archive does not have: another file system is mounted here")
        }
        None => None,
    };
    if let Some(what) = what {
        if others.next().is_some() {
            session.problem(&directory.path, &ExtractError::NotPossible { what });
        }
        return;
    }
    for (name, file_type) in others {
        let path = directory.path_of(name.to_bytes());
        session.observer.removed(&path);
        session.counts.removed.fetch_add(1, Relaxed);
        let removed = if file_type == FileType::Directory {
            remove_tree(directory.as_fd(), &name)
        } else {
            unlink(directory.as_fd(), &name, AtFlags::empty())
        };
        let what = "removing it: another file system is mounted in it";
        let removed = removed.map_err(|errno| match errno {
            Errno::XDEV | Errno::BUSY => ExtractError::NotPossible { what },
            errno => ExtractError::system("remove")(errno),
        });
        session.check(&path, removed);
    }
}

/// Removes a name, also if it or its directory is marked as never to change.
pub(super) fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    match unlinkat(directory, name, flags) {
        Err(Errno::PERM) => {
            let lifted = extended::lift_flags(directory).is_some();
            if extended::lift_flags_of(directory, name) || lifted {
                unlinkat(directory, name, flags)
            } else {
                Err(Errno::PERM)
            }
        }
        removed => removed,
    }
}

/// Removes files under construction that a restore left when it was killed: those with the number
/// of a process that is no more, or of this one, which has made nothing here yet. What can not be
/// removed stays: its name tells what it is.
pub(super) fn remove_stale(directory: BorrowedFd<'_>) {
    let Ok(names) = names_of(directory) else { return };
    for (name, file_type) in names {
        if file_type != FileType::Directory && place::maker_of(&name).is_some_and(is_gone) {
            let _ = unlinkat(directory, name.as_c_str(), AtFlags::empty());
        }
    }
}

fn is_gone(process: Pid) -> bool {
    process == getpid() || test_kill_process(process) == Err(Errno::SRCH)
}

/// Names and kinds.
fn names_of(directory: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            let file_type = match entry.file_type() {
                // Not every file system tells.
                FileType::Unknown => {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    FileType::from_raw_mode(statat(directory, entry.file_name(), flags)?.st_mode)
                }
                told => told,
            };
            names.push((entry.file_name().to_owned(), file_type));
        }
    }
    Ok(names)
}

/// Removes a directory with everything below it, also what is immutable. No link is followed.
///
/// # Errors
/// [`io::ErrorKind::CrossesDevices`] if another file system is mounted in it, which is not entered;
/// or what the system says. What was come to before that is removed.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let above = CString::new(parent.unwrap_or(Path::new(".")).as_os_str().as_bytes())?;
    let name = CString::new(path.file_name().unwrap_or_default().as_bytes())?;
    let above = place::open_target(&above)?;
    remove_tree(above.as_fd(), &name).map_err(|errno| match errno {
        // A file that something is mounted on.
        Errno::BUSY => Errno::XDEV.into(),
        errno => errno.into(),
    })
}

/// A directory of which only directories are left.
struct Emptied {
    directory: OwnedFd,
    name: CString,
    below: Vec<CString>,
}

impl Emptied {
    fn new(parent: BorrowedFd<'_>, name: CString) -> Result<Emptied, Errno> {
        let directory = place::open_same_mount(parent, &name)?;
        let mut below = Vec::new();
        for (name, file_type) in names_of(directory.as_fd())? {
            match file_type {
                FileType::Directory => below.push(name),
                _ => unlink(directory.as_fd(), &name, AtFlags::empty())?,
            }
        }
        Ok(Emptied { directory, name, below })
    }
}

/// Removes a directory with everything below it. No link is followed, no mount is entered, and the
/// way down is kept in memory instead of on the stack.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mut open = vec![Emptied::new(parent, name.to_owned())?];
    while let Some(last) = open.last_mut() {
        if let Some(name) = last.below.pop() {
            let child = Emptied::new(last.directory.as_fd(), name)?;
            open.push(child);
        } else if let Some(Emptied { name, .. }) = open.pop() {
            let above = open.last().map_or(parent, |last| last.directory.as_fd());
            unlink(above, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}
