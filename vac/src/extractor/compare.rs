//! Whether what is in the target is what the archive has, so that it need not be written again.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, makedev, openat, readlinkat, statat,
};
use rustix::io::Errno;
use venti_proto::hash_tree::LeafWalk;
use venti_proto::{BlockType, Score, zero_truncated_len};

use super::attributes::{self, Made};
use super::batch::Task;
use super::extended::{self, Changes, wanted_flags};
use super::session::Session;
use super::{ExtractError, place};
use crate::format::FileKind;
use crate::reader::{Node, ReadError};
use crate::walk::Extended;

/// Whether the file is there with the archive's content; then its metadata is put right and
/// nothing else is to be done. Always false unless differences were asked for.
pub(super) fn is_unchanged(session: &Session<'_>, task: &Task<'_>) -> bool {
    if !session.options.differences || task.directory.fresh {
        return false;
    }
    let Ok(name) = place::c_name(task.node.name()) else { return false };
    let parent = task.directory.as_fd();
    let same = match task.node.kind() {
        FileKind::Regular => same_file(session, parent, &name, task),
        _ => same_special(session, parent, &name, task),
    };
    let same = same.unwrap_or(false);
    if same {
        session.found_unchanged(&task.node);
    }
    same
}

/// Opens a regular file for reading, and nothing else: a pipe would wait for its writer.
pub(super) fn open_regular(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    let regular = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
    if regular { Ok(file) } else { Err(Errno::INVAL) }
}

fn same_file(
    session: &Session<'_>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    task: &Task<'_>,
) -> Result<bool, Errno> {
    let file = open_regular(parent, name)?;
    let stat = fstat(&file)?;
    let node = &task.node;
    // A file with several names here may have one in the archive: it is not the same file.
    let links =
        stat.st_nlink > 1 && node.metadata().unix.as_ref().is_some_and(|unix| unix.link.is_none());
    if links || u64::try_from(stat.st_size) != Ok(node.size()) {
        return Ok(false);
    }
    if !same_content(file.as_fd(), node, session.stop).is_ok_and(|same| same) {
        return Ok(false);
    }
    let extended = || Extended::of_open(&file, &mut Vec::new());
    if !same_metadata(session, &stat, node) || !same_extended(session, node, extended) {
        // The other names may be outside of the target: make a file of our own instead.
        if stat.st_nlink > 1 {
            return Ok(false);
        }
        extended::lift_flags(file.as_fd());
        let (path, made) = (task.path(), Made::default());
        attributes::apply_open(session, file.as_fd(), &path, node, made);
        attributes::apply_flags(session, file.as_fd(), &path, node, made);
    }
    Ok(true)
}

/// Whether mode, owner and time are right already.
fn same_metadata(session: &Session<'_>, stat: &Stat, node: &Node) -> bool {
    let vac_dir = node.metadata();
    let (user, group) = session.owners.of(vac_dir, session.options.owners);
    let modified = vac_dir.modified();
    let same_mode =
        node.kind() == FileKind::Symlink || stat.st_mode & 0o7777 == vac_dir.permissions();
    same_mode
        && user.is_none_or(|user| user == stat.st_uid)
        && group.is_none_or(|group| group == stat.st_gid)
        && stat.st_mtime == modified.seconds
        && stat.st_mtime_nsec == u64::from(modified.nanoseconds)
}

/// Whether attributes and flags are right already; what the archive does not tell is.
fn same_extended(session: &Session<'_>, node: &Node, found: impl FnOnce() -> Extended) -> bool {
    if !session.options.attributes {
        return true;
    }
    let Ok(Some(unix)) = node.unix() else { return true };
    let found = found();
    Changes::between(&found.attributes, &unix).is_empty() && found.flags == wanted_flags(&unix)
}

/// Compares by scores: no block of content is read from the archive.
pub(super) fn same_content(
    file: BorrowedFd<'_>,
    node: &Node,
    stop: &AtomicBool,
) -> Result<bool, ExtractError> {
    let mut walk = LeafWalk::new(node.content()).map_err(ReadError::from)?;
    let block_size = (node.content().data_size as usize).min(1 << 20);
    let mut buffer = vec![0; block_size];
    let mut leaves = Vec::new();
    while !walk.is_done() {
        leaves.clear();
        walk.next_leaves(&**node.store(), 1024, &mut leaves).map_err(ReadError::from)?;
        for leaf in &leaves {
            let mut offset = leaf.offset;
            let end = leaf.offset + leaf.length;
            while offset < end {
                if stop.load(Relaxed) {
                    return Err(ExtractError::Interrupted);
                }
                let length = block_size.min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                let read = read_full(file, &mut buffer[..length], offset)
                    .map_err(ExtractError::system("read"))?;
                let stored = zero_truncated_len(BlockType::DATA, &buffer[..read]);
                if read < length || Score::of(&buffer[..stored]) != leaf.score {
                    return Ok(false);
                }
                offset += length as u64;
            }
        }
    }
    Ok(true)
}

/// Reads as much as there is, up to the length of the buffer.
pub(super) fn read_full(
    file: BorrowedFd<'_>,
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// The same for what is no file: links, devices, pipes and sockets.
fn same_special(
    session: &Session<'_>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    task: &Task<'_>,
) -> Result<bool, Errno> {
    let node = &task.node;
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let links =
        stat.st_nlink > 1 && node.metadata().unix.as_ref().is_some_and(|unix| unix.link.is_none());
    if links || FileKind::from_unix(stat.st_mode) != Some(node.kind()) {
        return Ok(false);
    }
    let same = match node.kind() {
        FileKind::Symlink => {
            let target = readlinkat(parent, name, Vec::new())?;
            node.link_target().is_ok_and(|wanted| target.as_bytes() == wanted)
        }
        FileKind::CharDevice | FileKind::BlockDevice => same_device(&stat, node),
        _ => true,
    };
    let extended = || Extended::of_child(parent, name, &mut Vec::new());
    if same && (!same_metadata(session, &stat, node) || !same_extended(session, node, extended)) {
        if stat.st_nlink > 1 {
            return Ok(false);
        }
        attributes::apply_named(session, parent, name, &task.path(), node, Made::default());
    }
    Ok(same)
}

/// Whether a device file stands for the device that the archive has.
pub(super) fn same_device(stat: &Stat, node: &Node) -> bool {
    let wanted = node.device().ok().flatten();
    wanted.is_some_and(|(_, device)| makedev(device.major, device.minor) == stat.st_rdev)
}
