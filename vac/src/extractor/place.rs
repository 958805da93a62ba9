//! Where a file goes: an open directory and one checked name in it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, chmodat, openat, openat2, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{ExtractError, delete};
use crate::format::BadName;
use crate::reader::ReadError;

/// Names of files that are not complete start so; what a crash leaves behind can be told by it.
pub(super) const TEMPORARY_PREFIX: &str = ".unvac-";

/// Nothing on the way may be a link, and nothing may lead above the directory.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens the directory that the user named as target: here links are followed.
pub(super) fn open_target(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Opens a directory in another one.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), BENEATH)
}

/// Opens a directory by its path below another one, however long the path is.
pub(super) fn open_below(top: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut at = openat2(top, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), BENEATH)?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        at = open_directory(at.as_fd(), &name)?;
    }
    Ok(at)
}

/// Makes a file that was not there, for writing.
pub(super) fn create_new(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The kernel resolves one name without a slash, and `EXCL` follows no link.
    openat(parent, name, flags, Mode::from_raw_mode(mode))
}

/// The name as the system calls take it. Its name was checked: it has no zero byte.
pub(super) fn c_name(name: &[u8]) -> Result<CString, ExtractError> {
    CString::new(name).map_err(|_| ExtractError::Read(ReadError::Name(BadName::Zero)))
}

/// A path for calls that take no descriptor and no flags: one step below an open directory.
pub(super) fn proc_path(parent: BorrowedFd<'_>, name: &CStr) -> Result<CString, Errno> {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// Sets the mode of what is no symbolic link, whatever the name may have become meanwhile.
pub(super) fn change_mode(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    // The system changes no mode through such a descriptor, but through its name it does.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// A file under construction: under its own name in a directory that was empty, under a
/// temporary one where something may be. Dropped without [`Construction::finish`], it is removed.
pub(super) struct Construction<'a> {
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    /// `None` if the file has its own name already.
    temporary: Option<CString>,
    finished: bool,
}

impl<'a> Construction<'a> {
    /// Starts a file called `name`. `fresh`: the directory was made by this restore, so that a
    /// name that is there means that the archive has it twice.
    pub(super) fn new(
        parent: BorrowedFd<'a>,
        name: &'a CStr,
        fresh: bool,
    ) -> Result<Construction<'a>, ExtractError> {
        let temporary = if fresh { None } else { Some(temporary_name()?) };
        Ok(Construction { parent, name, temporary, finished: true })
    }

    /// Makes the file with `make`, which gets the name that it has for now.
    pub(super) fn make<T>(
        &mut self,
        action: &'static str,
        make: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T, Errno>,
    ) -> Result<T, ExtractError> {
        let made = make(self.parent, self.current()).map_err(|errno| match errno {
            Errno::EXIST => ExtractError::Duplicate,
            errno => ExtractError::System { action, errno },
        })?;
        self.finished = false;
        Ok(made)
    }

    /// The name that the file has for now.
    pub(super) fn current(&self) -> &CStr {
        self.temporary.as_deref().unwrap_or(self.name)
    }

    /// Gives the file its name, in place of whatever has it now: also of a directory, with all
    /// that is in it, if `replace_directory` says so.
    pub(super) fn finish(mut self, replace_directory: bool) -> Result<(), ExtractError> {
        if let Some(temporary) = self.temporary.take() {
            let rename = || {
                let flags = RenameFlags::empty();
                renameat_with(self.parent, temporary.as_c_str(), self.parent, self.name, flags)
            };
            let mut renamed = rename();
            if replace_directory && matches!(renamed, Err(Errno::ISDIR)) {
                renamed = delete::remove_tree(self.parent, self.name).and_then(|()| rename());
            }
            if let Err(errno) = renamed {
                self.temporary = Some(temporary);
                return Err(ExtractError::system("put the file in its place")(errno));
            }
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for Construction<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done if that fails: the name tells what it is.
            let _ = unlinkat(self.parent, self.current(), AtFlags::empty());
        }
    }
}

/// A name that no other restore uses: process and count.
pub(super) fn temporary_name() -> Result<CString, ExtractError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    let process = rustix::process::getpid().as_raw_nonzero();
    c_name(format!("{TEMPORARY_PREFIX}{process}-{number}").as_bytes())
}

/// The process that made a file of this name, if it is a temporary one.
pub(super) fn maker_of(name: &CStr) -> Option<Pid> {
    let (process, number) = name.to_str().ok()?.strip_prefix(TEMPORARY_PREFIX)?.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let both = digits(process) && digits(number);
    both.then(|| process.parse().ok().and_then(Pid::from_raw)).flatten()
}
