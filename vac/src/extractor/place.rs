//! Where a file goes: an open directory and one checked name in it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags, chmodat, linkat, openat,
    openat2, renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{ExtractError, delete, extended};
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

/// A place in the tree of mounts: the device, and the number of the mount where the system has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    device: (u32, u32),
    number: Option<u64>,
}

/// Where an open directory is mounted.
pub(super) fn mount_of(directory: BorrowedFd<'_>) -> Option<Mount> {
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let has_number = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    let number = has_number.then_some(found.stx_mnt_id);
    Some(Mount { device: (found.stx_dev_major, found.stx_dev_minor), number })
}

/// Opens a directory in another one, and only if it is on the same mount.
pub(super) fn open_same_mount(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat2(parent, name, flags, Mode::empty(), BENEATH | ResolveFlags::NO_XDEV)?;
    // A subvolume is no mount, but another file system all the same.
    if mount_of(file.as_fd()) == mount_of(parent) { Ok(file) } else { Err(Errno::XDEV) }
}

/// How a file is called while it is made.
#[derive(Debug)]
enum Called {
    /// As in the end.
    Own,
    /// By a temporary name, in a directory in which something may be.
    Temporary(CString),
    /// Not at all.
    Nameless,
}

/// A file under construction. In a directory in which something may be it has a temporary name, and
/// takes the place of what is there by `rename`. In a directory that was empty it has no name until
/// it is whole; but what is made with one call, as files of one block, has its own at once, for a
/// second call costs a fifth of the time that such a file takes. Dropped without
/// [`Construction::finish`], it is removed.
pub(super) struct Construction<'a> {
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    /// Whether the directory was made by this restore.
    fresh: bool,
    called: Called,
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
        let called = if fresh { Called::Own } else { Called::Temporary(temporary_name()?) };
        Ok(Construction { parent, name, fresh, called, finished: true })
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

    /// Makes a regular file that nobody sees before it is whole.
    pub(super) fn make_unseen(&mut self, mode: u32) -> Result<OwnedFd, ExtractError> {
        if self.fresh && can_be_named(self.parent) {
            let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
            match openat(self.parent, c".", flags, Mode::from_raw_mode(mode)) {
                Ok(file) => {
                    self.called = Called::Nameless;
                    self.finished = false;
                    return Ok(file);
                }
                // The file system has no such files.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => return Err(ExtractError::system("make the file")(errno)),
            }
        }
        if matches!(self.called, Called::Own) {
            self.called = Called::Temporary(temporary_name()?);
        }
        self.make("make the file", |at, name| create_new(at, name, mode))
    }

    /// The name that the file has for now, if it has one.
    pub(super) fn current(&self) -> &CStr {
        match &self.called {
            Called::Temporary(temporary) => temporary,
            Called::Own | Called::Nameless => self.name,
        }
    }

    /// Gives the file its name, in place of whatever has it now: also of a directory, with all
    /// that is in it, if `replace_directory` says so. `file` is the file, if it is a regular one.
    pub(super) fn finish(
        mut self,
        file: Option<BorrowedFd<'_>>,
        replace_directory: bool,
    ) -> Result<(), ExtractError> {
        let placed = match (&self.called, file) {
            (Called::Own, _) => Ok(()),
            (Called::Nameless, Some(file)) => link_nameless(file, self.parent, self.name),
            (Called::Nameless, None) => Err(Errno::BADF),
            (Called::Temporary(temporary), _) if self.fresh => {
                rename_new(self.parent, temporary, self.name)
            }
            (Called::Temporary(temporary), _) => self.replace(temporary, replace_directory),
        };
        placed.map_err(|errno| match errno {
            Errno::EXIST => ExtractError::Duplicate,
            errno => ExtractError::system("put the file in its place")(errno),
        })?;
        self.finished = true;
        Ok(())
    }

    fn replace(&self, temporary: &CStr, replace_directory: bool) -> Result<(), Errno> {
        let rename = || {
            let flags = RenameFlags::empty();
            renameat_with(self.parent, temporary, self.parent, self.name, flags)
        };
        match rename() {
            Err(Errno::ISDIR) if replace_directory => {
                delete::remove_tree(self.parent, self.name).and_then(|()| rename())
            }
            // What is there may be marked as never to change.
            Err(Errno::PERM) if extended::lift_flags_of(self.parent, self.name) => rename(),
            renamed => renamed,
        }
    }
}

impl Drop for Construction<'_> {
    fn drop(&mut self) {
        if !self.finished && !matches!(self.called, Called::Nameless) {
            // Nothing more can be done if that fails: the name tells what it is.
            let _ = unlinkat(self.parent, self.current(), AtFlags::empty());
        }
    }
}

/// Gives a file its first name.
fn link_nameless(file: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match linkat(file, c"", parent, name, AtFlags::EMPTY_PATH) {
        // Older systems let only the superuser do that.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, path, parent, name, AtFlags::SYMLINK_FOLLOW)
        }
        linked => linked,
    }
}

/// Whether files without names can be given some here; tried once, with an empty one.
fn can_be_named(directory: BorrowedFd<'_>) -> bool {
    static TRIED: OnceLock<bool> = OnceLock::new();
    let attempt = || {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = openat(directory, c".", flags, Mode::RUSR | Mode::WUSR).ok()?;
        let name = temporary_name().ok()?;
        link_nameless(file.as_fd(), directory, &name).ok()?;
        unlinkat(directory, name, AtFlags::empty()).ok()
    };
    *TRIED.get_or_init(|| attempt().is_some())
}

/// Gives a file another name, which nothing has.
fn rename_new(parent: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<(), Errno> {
    match renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        // Not every file system can promise that; nobody else makes names here.
        Err(Errno::INVAL) => match statat(parent, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => renameat_with(parent, from, parent, to, RenameFlags::empty()),
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        },
        renamed => renamed,
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
