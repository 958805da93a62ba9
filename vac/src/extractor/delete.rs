//! Removes from a directory what the archive does not have there, and what a crash left.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{AtFlags, Dir, FileType, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

use super::open_directory::OpenDirectory;
use super::session::Session;
use super::{ExtractError, Selection, place};

/// Removes every name of the directory that the archive does not have there, whole trees too.
/// What patterns leave out is left alone.
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
    for (name, file_type) in names {
        let path = directory.path_of(name.to_bytes());
        if directory.has_claimed(name.to_bytes())
            || name.to_bytes().starts_with(ours.as_bytes())
            || !selection.chooses(&path, file_type == FileType::Directory)
        {
            continue;
        }
        session.observer.removed(&path);
        session.counts.removed.fetch_add(1, Relaxed);
        let removed = if file_type == FileType::Directory {
            remove_tree(directory.as_fd(), &name)
        } else {
            unlinkat(directory, name.as_c_str(), AtFlags::empty())
        };
        session.check(&path, removed.map_err(ExtractError::system("remove")));
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

/// Names and kinds; a kind that the listing does not tell counts as no directory.
fn names_of(directory: BorrowedFd<'_>) -> Result<Vec<(std::ffi::CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// Removes a directory with everything below it. No link is followed, and the way down is kept
/// in memory instead of on the stack.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let top = place::open_directory(parent, name)?;
    let mut open: Vec<(OwnedFd, std::ffi::CString)> = vec![(top, name.to_owned())];
    while let Some((directory, _)) = open.last() {
        let mut below = None;
        for (name, file_type) in names_of(directory.as_fd())? {
            if file_type != FileType::Directory {
                unlinkat(directory, name.as_c_str(), AtFlags::empty())?;
            } else if below.is_none() {
                below = Some(name);
            }
        }
        if let Some(name) = below {
            let child = place::open_directory(directory.as_fd(), &name)?;
            open.push((child, name));
        } else if let Some((_, name)) = open.pop() {
            let above = open.last().map_or(parent, |(directory, _)| directory.as_fd());
            unlinkat(above, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}
