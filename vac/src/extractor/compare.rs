//! Whether what is in the target is what the archive has, so that it need not be written again.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use venti_proto::hash_tree::LeafWalk;
use venti_proto::{BlockType, Score, zero_truncated_len};

use super::attributes::{self, Made};
use super::batch::Task;
use super::place;
use super::session::Session;
use crate::format::FileKind;
use crate::reader::Node;

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
        FileKind::Symlink => same_link(session, parent, &name, task),
        _ => Ok(false),
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
    if !same_content(file.as_fd(), node)? {
        return Ok(false);
    }
    if !same_metadata(session, &stat, node) {
        // The other names may be outside of the target: make a file of our own instead.
        if stat.st_nlink > 1 {
            return Ok(false);
        }
        attributes::apply_open(session, file.as_fd(), &task.path(), node, Made::default());
    }
    Ok(true)
}

/// Whether mode, owner and time are right already, and nothing else is to be set.
fn same_metadata(session: &Session<'_>, stat: &rustix::fs::Stat, node: &Node) -> bool {
    let vac_dir = node.metadata();
    let plain = vac_dir.unix.as_ref().is_none_or(|unix| {
        unix.xattrs.is_empty() && unix.external.is_none() && unix.inode_flags.unwrap_or(0) == 0
    });
    let (user, group) = session.owners.of(vac_dir, session.options.owners);
    let modified = vac_dir.modified();
    plain
        && stat.st_mode & 0o7777 == vac_dir.permissions()
        && user.is_none_or(|user| user == stat.st_uid)
        && group.is_none_or(|group| group == stat.st_gid)
        && stat.st_mtime == modified.seconds
        && stat.st_mtime_nsec == u64::from(modified.nanoseconds)
}

/// Compares by scores: no block of content is read from the archive.
pub(super) fn same_content(file: BorrowedFd<'_>, node: &Node) -> Result<bool, Errno> {
    let Ok(mut walk) = LeafWalk::new(node.content()) else { return Ok(false) };
    let block_size = (node.content().data_size as usize).min(1 << 20);
    let mut buffer = vec![0; block_size];
    let mut leaves = Vec::new();
    while !walk.is_done() {
        leaves.clear();
        if walk.next_leaves(&**node.store(), 1024, &mut leaves).is_err() {
            return Ok(false);
        }
        for leaf in &leaves {
            let mut offset = leaf.offset;
            let end = leaf.offset + leaf.length;
            while offset < end {
                let length = block_size.min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                let read = read_full(file, &mut buffer[..length], offset)?;
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

fn same_link(
    session: &Session<'_>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    task: &Task<'_>,
) -> Result<bool, Errno> {
    let target = readlinkat(parent, name, Vec::new())?;
    let wanted = task.node.link_target().map_err(|_| Errno::IO)?;
    if target.as_bytes() != wanted {
        return Ok(false);
    }
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let modified = task.node.metadata().modified();
    if stat.st_mtime != modified.seconds || stat.st_mtime_nsec != u64::from(modified.nanoseconds) {
        attributes::apply_named(session, parent, name, &task.path(), &task.node, Made::default());
    }
    Ok(true)
}
