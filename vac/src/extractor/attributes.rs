//! Gives a file its owner, mode, attributes and times, in the order in which none undoes another.
//!
//! Changing the owner clears the bits that make a program run as someone else, and clears file
//! capabilities; an attribute may change the mode (an ACL) and a flag may forbid everything else.
//! So: owner, mode, attributes, times, flags.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{
    AtFlags, Gid, IFlags, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    fchown, fremovexattr, fsetxattr, futimens, ioctl_setflags, lsetxattr, utimensat,
};
use rustix::io::Errno;

use super::session::Session;
use super::{ExtractError, place};
use crate::format::{FileKind, Timestamp, UnixMetadata};
use crate::reader::Node;

/// Sets one extended attribute to a value.
type SetAttribute<'a> = dyn Fn(&CStr, &[u8]) -> Result<(), Errno> + 'a;

/// Set-uid and set-gid.
const SET_ID: u32 = 0o6000;

/// What a file is known to have since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    /// Its permissions.
    pub(super) mode: Option<u32>,
    /// Owner and group. If they are known, it has no ACL from its directory either.
    pub(super) owner: Option<(u32, u32)>,
}

/// Applies everything to an open file or directory.
pub(super) fn apply_open(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    path: &[u8],
    node: &Node,
    made: Made,
) {
    if made.owner.is_none() && session.options.attributes && node.metadata().unix.is_some() {
        for acl in [c"system.posix_acl_access", c"system.posix_acl_default"] {
            // Most often there is none, or the file system has no such thing.
            let _ = fremovexattr(file, acl);
        }
    }
    let unix = unix_of(session, path, node);
    let unix = unix.as_deref();
    let mut permissions = node.metadata().permissions();
    if !own(session, path, node, made, &|user, group| fchown(file, user, group)) {
        permissions &= !SET_ID;
    }
    if !session.options.special {
        permissions &= !SET_ID;
    }
    if made.mode != Some(permissions) {
        let set = fchmod(file, Mode::from_raw_mode(permissions));
        session.check(path, set.map_err(ExtractError::property("set the mode")));
    }
    if let (true, Some(unix)) = (session.options.attributes, unix) {
        let set = |name: &CStr, value: &[u8]| fsetxattr(file, name, value, XattrFlags::empty());
        set_attributes(session, path, unix, &set);
    }
    if session.options.times {
        let set = futimens(file, &times(node, unix));
        session.check(path, set.map_err(ExtractError::property("set the times")));
    }
    if let (true, Some(flags)) = (session.options.attributes, unix.and_then(|u| u.inode_flags))
        && flags != 0
    {
        let set = ioctl_setflags(file, IFlags::from_bits_retain(flags));
        session.check(path, set.map_err(ExtractError::property("set the inode flags")));
    }
}

/// Applies everything but flags to what can not be opened: links, devices, pipes.
pub(super) fn apply_named(
    session: &Session<'_>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    node: &Node,
    made: Made,
) {
    let unix = unix_of(session, path, node);
    let unix = unix.as_deref();
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    own(session, path, node, made, &|user, group| chownat(parent, name, user, group, flags));
    if node.kind() != FileKind::Symlink {
        let set = place::change_mode(parent, name, node.metadata().permissions());
        session.check(path, set.map_err(ExtractError::property("set the mode")));
    }
    if let (true, Some(unix)) = (session.options.attributes, unix)
        && !unix.xattrs.is_empty()
    {
        match place::proc_path(parent, name) {
            Ok(whole) => {
                let set = |name: &CStr, value: &[u8]| {
                    lsetxattr(whole.as_c_str(), name, value, XattrFlags::empty())
                };
                set_attributes(session, path, unix, &set);
            }
            Err(errno) => session.problem(path, &attribute_error(errno)),
        }
    }
    if session.options.times {
        let set = utimensat(parent, name, &times(node, unix), flags);
        session.check(path, set.map_err(ExtractError::property("set the times")));
    }
}

/// Our section with all its fields; what can not be read is a problem of the file.
fn unix_of<'n>(
    session: &Session<'_>,
    path: &[u8],
    node: &'n Node,
) -> Option<std::borrow::Cow<'n, UnixMetadata>> {
    match node.unix() {
        Ok(unix) => unix,
        Err(error) => {
            session.problem(path, &error.into());
            None
        }
    }
}

/// Sets the owner, and returns whether the file now belongs to whom it should.
fn own(
    session: &Session<'_>,
    path: &[u8],
    node: &Node,
    made: Made,
    set: &dyn Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
) -> bool {
    let (user, group) = session.owners.of(node.metadata(), session.options.owners);
    let wanted = user.zip(group);
    if wanted.is_some() && wanted == made.owner {
        return true;
    }
    if (user, group) == (None, None) {
        return session.options.owners != super::Owners::Mine;
    }
    // The number that means "no change" to the system is nobody's.
    let valid = |number: Option<u32>| number.filter(|number| *number != u32::MAX);
    let result = set(valid(user).map(Uid::from_raw), valid(group).map(Gid::from_raw));
    match result {
        Ok(()) => true,
        Err(_) if !session.superuser => {
            session.counts.owners_not_set.fetch_add(1, Relaxed);
            false
        }
        Err(errno) => {
            session.problem(path, &ExtractError::property("set the owner")(errno));
            false
        }
    }
}

fn set_attributes(session: &Session<'_>, path: &[u8], unix: &UnixMetadata, set: &SetAttribute<'_>) {
    for attribute in &unix.xattrs {
        let name = std::ffi::CString::new(attribute.name.as_slice());
        let result = name.map_err(|_| Errno::INVAL).and_then(|name| set(&name, &attribute.value));
        session.check(path, result.map_err(attribute_error));
    }
}

fn attribute_error(errno: Errno) -> ExtractError {
    ExtractError::Property { action: "set an extended attribute", errno }
}

fn times(node: &Node, unix: Option<&UnixMetadata>) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let spec =
        |time: Timestamp| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps {
        last_access: unix.and_then(|unix| unix.accessed).map_or(omit, spec),
        last_modification: spec(node.metadata().modified()),
    }
}
