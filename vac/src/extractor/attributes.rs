//! Gives a file its owner, mode, attributes, times and flags, in the order in which none undoes
//! another.
//!
//! Attributes of users can not be set where the mode forbids to write. Changing the owner clears
//! the bits that make a program run as someone else, and file capabilities; an attribute may change
//! the mode (an ACL), and with an ACL from its directory a file's mode means something else. A flag
//! may forbid everything, also to give the file its name. So: attributes that are too many, owner,
//! attributes, mode, times; flags once the file is in its place.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    fchown, fremovexattr, fsetxattr, fstat, futimens, lremovexattr, lsetxattr, statat, utimensat,
};
use rustix::io::Errno;

use super::extended::{Changes, set_flags, wanted_flags};
use super::session::Session;
use super::{ExtractError, place};
use crate::format::{FileKind, Timestamp, UnixMetadata};
use crate::reader::Node;
use crate::walk::Extended;

/// Set-uid and set-gid.
const SET_ID: u32 = 0o6000;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;

/// Times that every file system can hold: from 1981 to 2038.
const ORDINARY_SECONDS: std::ops::Range<i64> = 347_155_200..1 << 31;
/// The coarsest file system (FAT) keeps every second one.
const COARSEST_SECONDS: u64 = 2;

/// What a file is known to have since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    /// Its permissions.
    pub(super) mode: Option<u32>,
    /// Owner and group. If they are known, it has nothing else from its directory either: no
    /// attributes (an ACL is one) and no flags.
    pub(super) owner: Option<(u32, u32)>,
}

/// A file that is reached by a descriptor, or by its name because it can not be opened.
enum Reached<'a> {
    Open(BorrowedFd<'a>),
    Named { parent: BorrowedFd<'a>, name: &'a CStr },
}

/// Applies everything but flags to an open file or directory.
pub(super) fn apply_open(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    path: &[u8],
    node: &Node,
    made: Made,
) {
    apply(session, &Reached::Open(file), path, node, made);
}

/// Applies everything to what can not be opened: links, devices, pipes. They have no flags.
pub(super) fn apply_named(
    session: &Session<'_>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    node: &Node,
    made: Made,
) {
    apply(session, &Reached::Named { parent, name }, path, node, made);
}

fn apply(session: &Session<'_>, file: &Reached<'_>, path: &[u8], node: &Node, made: Made) {
    let unix = unix_of(session, path, node);
    let unix = unix.as_deref();
    let changes = match unix.filter(|_| session.options.attributes) {
        Some(unix) if made.owner.is_some() => Changes::of_new(unix),
        Some(unix) => Changes::between(&file.attributes(), unix),
        None => Changes::default(),
    };
    let mut mode = made.mode;
    if !changes.is_empty() && !session.superuser {
        mode = None;
        file.make_writable();
    }
    for name in &changes.remove {
        session.check(path, with_name(name, &|name| file.remove(name)));
    }
    let mut permissions = node.metadata().permissions();
    let ours = own(session, file, path, node, made);
    let kept = if session.options.special { ours } else { 0 };
    permissions &= !SET_ID | kept;
    for attribute in &changes.set {
        let set = |name: &CStr| file.set(name, &attribute.value);
        session.check(path, with_name(&attribute.name, &set));
    }
    if node.kind() != FileKind::Symlink && mode != Some(permissions) {
        let set = file.change_mode(permissions);
        session.check(path, set.map_err(ExtractError::property("set the mode")));
    }
    if session.options.times {
        let times = times(node, unix);
        let set = file.set_times(&times).map_err(ExtractError::property("set the times"));
        session.check(path, set.and_then(|()| file.keeps(&times)));
    }
}

/// Applies the flags of a file or directory, which has its name by now.
pub(super) fn apply_flags(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    path: &[u8],
    node: &Node,
    made: Made,
) {
    if !session.options.attributes {
        return;
    }
    // What can not be read was reported with the rest.
    let Ok(Some(unix)) = node.unix() else { return };
    let wanted = wanted_flags(&unix);
    // A directory that was not entered has flags that were not read.
    if wanted == 0 && (made.owner.is_some() || unix.gap.is_some()) {
        return;
    }
    let set = set_flags(file, wanted);
    session.check(path, set.map_err(ExtractError::property("set the inode flags")));
}

impl Reached<'_> {
    /// What is there; of what can not be read nothing is removed.
    fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut unread = Vec::new();
        let found = match self {
            Reached::Open(file) => Extended::of_open(file, &mut unread),
            Reached::Named { parent, name } => Extended::of_child(parent, name, &mut unread),
        };
        found.attributes
    }

    fn stat(&self) -> Result<Stat, Errno> {
        match self {
            Reached::Open(file) => fstat(file),
            Reached::Named { parent, name } => statat(parent, *name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Lets the owner set attributes; the mode is put right after that.
    fn make_writable(&self) {
        if let Reached::Open(file) = self
            && let Ok(stat) = fstat(file)
            && stat.st_mode & 0o200 == 0
        {
            // If it can not be, the attributes say so.
            let _ = fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o200));
        }
    }

    fn change_owner(&self, user: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
        // The number that means "no change" to the system is nobody's.
        let valid = |number: Option<u32>| number.filter(|number| *number != u32::MAX);
        let (user, group) = (valid(user).map(Uid::from_raw), valid(group).map(Gid::from_raw));
        match self {
            Reached::Open(file) => fchown(file, user, group),
            Reached::Named { parent, name } => {
                chownat(parent, *name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn change_mode(&self, mode: u32) -> Result<(), Errno> {
        match self {
            Reached::Open(file) => fchmod(file, Mode::from_raw_mode(mode)),
            Reached::Named { parent, name } => place::change_mode(*parent, name, mode),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Reached::Open(file) => futimens(file, times),
            Reached::Named { parent, name } => {
                utimensat(parent, *name, times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// Whether the time that was set is there: file systems cut what they can not hold, and say
    /// nothing.
    fn keeps(&self, times: &Timestamps) -> Result<(), ExtractError> {
        let wanted = times.last_modification.tv_sec;
        if ORDINARY_SECONDS.contains(&wanted) {
            return Ok(());
        }
        let found = self.stat().map_err(ExtractError::system("look at the times"))?.st_mtime;
        if found.abs_diff(wanted) < COARSEST_SECONDS {
            return Ok(());
        }
        Err(ExtractError::NotPossible { what: "the time, which this file system can not hold" })
    }

    fn set(&self, attribute: &CStr, value: &[u8]) -> Result<(), Errno> {
        match self {
            Reached::Open(file) => fsetxattr(file, attribute, value, XattrFlags::empty()),
            Reached::Named { parent, name } => {
                let path = place::proc_path(*parent, name)?;
                lsetxattr(path.as_c_str(), attribute, value, XattrFlags::empty())
            }
        }
    }

    fn remove(&self, attribute: &CStr) -> Result<(), Errno> {
        match self {
            Reached::Open(file) => fremovexattr(file, attribute),
            Reached::Named { parent, name } => {
                lremovexattr(place::proc_path(*parent, name)?.as_c_str(), attribute)
            }
        }
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

/// Sets the owner, and returns those of set-uid and set-gid that the file may have then: a program
/// must not run as whoever restores.
fn own(session: &Session<'_>, file: &Reached<'_>, path: &[u8], node: &Node, made: Made) -> u32 {
    let (user, group) = session.owners.of(node.metadata(), session.options.owners);
    let wanted = user.zip(group);
    if wanted.is_some() && wanted == made.owner {
        return SET_ID;
    }
    if (user, group) == (None, None) {
        return if session.options.owners == super::Owners::Mine { 0 } else { SET_ID };
    }
    let Err(errno) = file.change_owner(user, group) else { return SET_ID };
    if session.superuser {
        session.problem(path, &ExtractError::property("set the owner")(errno));
        return 0;
    }
    // A group that one belongs to can be given without the owner.
    let is_his = user.is_none_or(|user| file.change_owner(Some(user), None).is_ok());
    let is_theirs = group.is_none_or(|group| file.change_owner(None, Some(group)).is_ok());
    let kept = if is_his { SET_USER_ID } else { 0 } | if is_theirs { SET_GROUP_ID } else { 0 };
    session.counts.owners_not_set.fetch_add(1, Relaxed);
    if node.metadata().permissions() & SET_ID & !kept != 0 && !node.is_directory() {
        session.counts.set_ids_not_set.fetch_add(1, Relaxed);
    }
    kept
}

fn with_name(name: &[u8], change: &dyn Fn(&CStr) -> Result<(), Errno>) -> Result<(), ExtractError> {
    let name = std::ffi::CString::new(name);
    let changed = name.map_err(|_| Errno::INVAL).and_then(|name| change(&name));
    changed.map_err(ExtractError::property("set an extended attribute"))
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
