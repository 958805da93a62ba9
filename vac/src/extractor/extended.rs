//! How the extended attributes and inode flags of a file that is there differ from those of the
//! archive.
//!
//! Labels and measurements that the system itself gives to files (`security.selinux` and its like)
//! are set where the archive has them, and left alone where it does not.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};
use rustix::fs::{fstat, openat, statat};
use rustix::io::Errno;

use crate::format::{UnixMetadata, Xattr};
use crate::walk::KEPT_FLAGS;

/// Flags with which nothing of a file can be changed, not even its name.
const FIXED: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// `chattr +C`: btrfs takes it of empty files only, and says nothing otherwise.
const NO_COPY_ON_WRITE: u32 = 0x0080_0000;

/// What makes attributes of a file those of the archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes<'u> {
    pub(super) remove: Vec<Vec<u8>>,
    pub(super) set: Vec<&'u Xattr>,
}

impl<'u> Changes<'u> {
    /// For a file that has no attributes.
    pub(super) fn of_new(unix: &'u UnixMetadata) -> Changes<'u> {
        Changes { remove: Vec::new(), set: unix.xattrs.iter().collect() }
    }

    /// For a file that has these attributes.
    pub(super) fn between(found: &[(Vec<u8>, Vec<u8>)], unix: &'u UnixMetadata) -> Changes<'u> {
        let is_wanted = |name: &[u8]| unix.xattrs.iter().any(|wanted| wanted.name == name);
        let extra = found.iter().map(|(name, _)| name);
        let remove = extra.filter(|name| is_removable(name) && !is_wanted(name)).cloned();
        // Of a directory that was not entered the attributes were not read.
        let remove = if unix.gap.is_some() { Vec::new() } else { remove.collect() };
        let is_there = |wanted: &Xattr| {
            found.iter().any(|(name, value)| *name == wanted.name && *value == wanted.value)
        };
        Changes { remove, set: unix.xattrs.iter().filter(|wanted| !is_there(wanted)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

fn is_removable(name: &[u8]) -> bool {
    let prefixes: [&[u8]; 3] = [b"user.", b"trusted.", b"system.posix_acl_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == b"security.capability"
}

/// The flags that the archive has for a file.
pub(super) fn wanted_flags(unix: &UnixMetadata) -> u32 {
    unix.inode_flags.unwrap_or(0) & KEPT_FLAGS
}

/// Gives a file exactly these flags of those that people set; how the file system stores the file
/// is its own affair.
pub(super) fn set_flags(file: BorrowedFd<'_>, wanted: u32) -> Result<(), Errno> {
    let now = match ioctl_getflags(file) {
        Ok(now) => now,
        // No flags on this file system: that is right for a file that had none.
        Err(_) if wanted == 0 => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let flags = IFlags::from_bits_retain(now.bits() & !KEPT_FLAGS | wanted);
    if flags == now { Ok(()) } else { ioctl_setflags(file, flags) }
}

/// Sets those flags that a file must have before it has content.
pub(super) fn set_early_flags(file: BorrowedFd<'_>, wanted: u32) {
    if wanted & NO_COPY_ON_WRITE == 0 {
        return;
    }
    if let Ok(now) = ioctl_getflags(file) {
        // A file system without this flag says so when all of them are set.
        let flags = IFlags::from_bits_retain(now.bits() | NO_COPY_ON_WRITE);
        let _ = ioctl_setflags(file, flags);
    }
}

/// Whether what is made in the directory gets flags from it.
pub(super) fn hands_down_flags(directory: BorrowedFd<'_>) -> bool {
    ioctl_getflags(directory).is_ok_and(|flags| flags.bits() & KEPT_FLAGS != 0)
}

/// Takes off the flags with which a file can not be changed. Returns all flags that it had, if it
/// had such ones and has them no more.
pub(super) fn lift_flags(file: BorrowedFd<'_>) -> Option<u32> {
    let flags = ioctl_getflags(file).ok().filter(|flags| flags.intersects(FIXED))?;
    ioctl_setflags(file, flags.difference(FIXED)).ok()?;
    Some(flags.bits() & KEPT_FLAGS)
}

/// The same for a name, if it is a file or directory. Whether there was something to be lifted.
pub(super) fn lift_flags_of(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> bool {
    // Nothing else has flags, and to open a device may do something.
    let has_flags =
        |mode| matches!(FileType::from_raw_mode(mode), FileType::RegularFile | FileType::Directory);
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    if !found.is_ok_and(|stat| has_flags(stat.st_mode)) {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(directory, name, flags, Mode::empty()) else { return false };
    fstat(&file).is_ok_and(|stat| has_flags(stat.st_mode)) && lift_flags(file.as_fd()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &str) -> Xattr {
        Xattr { name: name.into(), value: value.into() }
    }

    #[test]
    fn what_differs_is_set_and_what_is_too_much_is_removed() {
        let xattrs =
            vec![xattr("user.same", "a"), xattr("user.other", "b"), xattr("user.new", "c")];
        let unix = UnixMetadata { xattrs, ..UnixMetadata::default() };
        let found = [
            ("security.selinux", "label"),
            ("security.capability", "x"),
            ("user.extra", "y"),
            ("user.other", "z"),
            ("user.same", "a"),
        ];
        let found = found.map(|(name, value)| (name.into(), value.into()));
        let changes = Changes::between(&found, &unix);
        assert_eq!(changes.remove, [b"security.capability".to_vec(), b"user.extra".to_vec()]);
        assert_eq!(changes.set, [&unix.xattrs[1], &unix.xattrs[2]]);
    }
}
