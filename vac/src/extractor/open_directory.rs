//! A directory of the target, open for as long as something is still to be made in it.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, fchmod, fgetxattr_query, fstat, mkdirat};
use rustix::io::Errno;

use super::attributes::{self, Made};
use super::session::Session;
use super::{ExtractError, delete, extended, place};
use crate::format::Gap;
use crate::reader::Node;

/// Held by everything that is still to be made in the directory. When the last holder lets go,
/// the directory gets owner, mode, attributes and times: nothing changes in it any more then.
pub(super) struct OpenDirectory<'s> {
    session: &'s Session<'s>,
    file: OwnedFd,
    /// Below the target, without a slash at the end; empty for the target itself.
    pub(super) path: Vec<u8>,
    /// Made by this restore: whatever is in it is from the archive.
    pub(super) fresh: bool,
    /// Directories above it.
    pub(super) depth: u64,
    /// What to apply at the end; `None` for a target that stays as it is.
    node: Option<Node>,
    /// Whether the archive has not all that the directory had.
    pub(super) gap: Option<Gap>,
    /// What was taken off to make something here, and is to be put back if nothing is applied.
    lifted: Lifted,
    /// Owner and group that a new file has here by itself. `None` if the directory hands down a
    /// group or an ACL to what is made in it.
    pub(super) new_owner: Option<(u32, u32)>,
    /// The same of the directory itself, if it was made by this restore.
    made: Made,
    /// Names made here already, where the file system can not tell that from what was there.
    names: Mutex<HashSet<Vec<u8>>>,
}

impl<'s> OpenDirectory<'s> {
    /// The target. It becomes what `node` is, if `apply` says so.
    pub(super) fn top(
        session: &'s Session<'s>,
        file: OwnedFd,
        node: &Node,
        apply: bool,
    ) -> OpenDirectory<'s> {
        let lifted = Lifted::of(session, file.as_fd());
        let names = Mutex::new(HashSet::new());
        let new_owner = new_owner(file.as_fd());
        delete::remove_stale(file.as_fd());
        OpenDirectory {
            session,
            file,
            path: Vec::new(),
            fresh: false,
            depth: 0,
            node: apply.then(|| node.clone()),
            gap: gap_of(node),
            lifted,
            new_owner,
            made: Made::default(),
            names,
        }
    }

    /// Makes a directory in this one, or opens the one that is there.
    pub(super) fn child(
        &self,
        name: &[u8],
        node: Option<Node>,
    ) -> Result<Arc<OpenDirectory<'s>>, ExtractError> {
        let path = self.path_of(name);
        let c_name = place::c_name(name)?;
        let (file, fresh) = self.make_or_open(&c_name)?;
        let (session, depth, names) = (self.session, self.depth + 1, Mutex::default());
        let gap = node.as_ref().and_then(gap_of);
        let mut lifted = Lifted::default();
        let (new_owner, made) = if fresh {
            (self.new_owner, Made { owner: self.new_owner, mode: None })
        } else {
            lifted = Lifted::of(session, file.as_fd());
            delete::remove_stale(file.as_fd());
            (new_owner(file.as_fd()), Made::default())
        };
        Ok(Arc::new(OpenDirectory {
            session,
            file,
            path,
            fresh,
            depth,
            node,
            gap,
            lifted,
            new_owner,
            made,
            names,
        }))
    }

    /// Makes a directory or opens the one that is there, and says which.
    fn make_or_open(&self, name: &CStr) -> Result<(OwnedFd, bool), ExtractError> {
        let open = || place::open_directory(self.file.as_fd(), name);
        let make = || mkdirat(&self.file, name, Mode::RWXU);
        let opened = match make() {
            Ok(()) => open().map(|file| (file, true)),
            Err(Errno::EXIST) if self.fresh => return Err(ExtractError::Duplicate),
            Err(Errno::EXIST) => match open() {
                // A file or link is in the way, and the archive does not have it.
                Err(Errno::NOTDIR | Errno::LOOP) if self.session.options.delete => {
                    delete::unlink(self.file.as_fd(), name, AtFlags::empty())
                        .and_then(|()| make())
                        .and_then(|()| open().map(|file| (file, true)))
                }
                opened => opened.map(|file| (file, false)),
            },
            Err(errno) => return Err(ExtractError::system("make the directory")(errno)),
        };
        opened.map_err(ExtractError::system("open the directory"))
    }

    /// The path of a name in this directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// Notes that a name is made here, and refuses one that was made before.
    pub(super) fn claim(&self, name: &[u8]) -> Result<(), ExtractError> {
        // In a directory of our own the file system notices.
        if self.fresh || self.names.lock().insert(name.to_vec()) {
            return Ok(());
        }
        Err(ExtractError::Duplicate)
    }

    /// Notes a name that was claimed before the directory was open.
    pub(super) fn note(&self, name: &[u8]) {
        if !self.fresh {
            self.names.lock().insert(name.to_vec());
        }
    }

    /// Whether the archive has this name here.
    pub(super) fn has_claimed(&self, name: &[u8]) -> bool {
        self.names.lock().contains(name)
    }
}

/// What hindered the making of files in a directory that was there, before it was taken off.
#[derive(Clone, Copy, Debug, Default)]
struct Lifted {
    flags: Option<u32>,
    mode: Option<u32>,
}

impl Lifted {
    /// Takes off flags that forbid changes and, of a directory of one's own, a mode that does.
    fn of(session: &Session<'_>, directory: BorrowedFd<'_>) -> Lifted {
        let flags = extended::lift_flags(directory);
        let mode = fstat(directory).ok().filter(|stat| {
            !session.superuser
                && stat.st_uid == rustix::process::geteuid().as_raw()
                && stat.st_mode & 0o700 != 0o700
        });
        let mode = mode
            .map(|stat| stat.st_mode & 0o7777)
            .filter(|mode| fchmod(directory, Mode::from_raw_mode(mode | 0o700)).is_ok());
        Lifted { flags, mode }
    }

    fn put_back(self, directory: BorrowedFd<'_>) -> Result<(), Errno> {
        if let Some(mode) = self.mode {
            fchmod(directory, Mode::from_raw_mode(mode))?;
        }
        self.flags.map_or(Ok(()), |flags| extended::set_flags(directory, flags))
    }
}

/// Whether the archive has not all that a directory had. What can not be read may have said so.
fn gap_of(node: &Node) -> Option<Gap> {
    node.gap().unwrap_or(Some(Gap::Incomplete))
}

/// Owner and group that a new file has in this directory, if the directory has no say in it.
fn new_owner(directory: BorrowedFd<'_>) -> Option<(u32, u32)> {
    let stat = fstat(directory).ok()?;
    let hands_down = stat.st_mode & 0o2000 != 0
        || fgetxattr_query(directory, c"system.posix_acl_default").is_ok()
        || extended::hands_down_flags(directory);
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    (!hands_down).then(|| (user.as_raw(), group.as_raw()))
}

impl AsFd for OpenDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for OpenDirectory<'_> {
    fn drop(&mut self) {
        let (session, file, path) = (self.session, self.file.as_fd(), &self.path);
        let put_back = |lifted: Lifted| {
            let put_back = lifted.put_back(file).map_err(ExtractError::system("set the mode"));
            session.check(path, put_back);
        };
        let Some(node) = &self.node else { return put_back(self.lifted) };
        attributes::apply_open(session, file, path, node, self.made);
        if session.options.attributes && node.metadata().unix.is_some() && self.gap.is_none() {
            attributes::apply_flags(session, file, path, node, self.made);
        } else {
            put_back(Lifted { mode: None, ..self.lifted });
        }
    }
}
