//! A directory of the target, open for as long as something is still to be made in it.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, fgetxattr_query, fstat, mkdirat, unlinkat};
use rustix::io::Errno;

use super::attributes::{self, Made};
use super::session::Session;
use super::{ExtractError, delete, place};
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
    /// Owner and group that a new file has here by itself. `None` if the directory hands down a
    /// group or an ACL to what is made in it.
    pub(super) new_owner: Option<(u32, u32)>,
    /// The same of the directory itself, if it was made by this restore.
    made: Made,
    /// Names made here already, where the file system can not tell that from what was there.
    names: Mutex<HashSet<Vec<u8>>>,
}

impl<'s> OpenDirectory<'s> {
    /// The target. It becomes what `node` is, if that is given.
    pub(super) fn top(
        session: &'s Session<'s>,
        file: OwnedFd,
        node: Option<Node>,
    ) -> OpenDirectory<'s> {
        let names = Mutex::new(HashSet::new());
        let new_owner = new_owner(file.as_fd());
        delete::remove_stale(file.as_fd());
        OpenDirectory {
            session,
            file,
            path: Vec::new(),
            fresh: false,
            depth: 0,
            node,
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
        let (new_owner, made) = if fresh {
            (self.new_owner, Made { owner: self.new_owner, mode: None })
        } else {
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
                    unlinkat(&self.file, name, AtFlags::empty())
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

/// Owner and group that a new file has in this directory, if the directory has no say in it.
fn new_owner(directory: BorrowedFd<'_>) -> Option<(u32, u32)> {
    let stat = fstat(directory).ok()?;
    let hands_down_group = stat.st_mode & 0o2000 != 0;
    let hands_down_acl = fgetxattr_query(directory, c"system.posix_acl_default").is_ok();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    (!hands_down_group && !hands_down_acl).then(|| (user.as_raw(), group.as_raw()))
}

impl AsFd for OpenDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for OpenDirectory<'_> {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            attributes::apply_open(self.session, self.file.as_fd(), &self.path, node, self.made);
        }
    }
}
