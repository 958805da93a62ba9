//! An open directory: names are looked up in it and never through a path.
//!
//! A path is walked again at each use, and any part of it may have become a symbolic link since.
//! A descriptor stays on the directory that was opened, and `O_NOFOLLOW` refuses a link in the
//! last step. It also makes depth harmless: no name is ever longer than one component.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use super::{Attributes, FileKind, NameList};

/// Bytes asked of the kernel at once when listing: some thousand names.
const LIST_BUFFER: usize = 256 * 1024;

/// A directory that is open for listing and for looking names up.
#[derive(Debug)]
pub struct Directory {
    file: OwnedFd,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Directory {
    /// Opens the directory that the user named: here symbolic links are followed.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_path(path: &CStr) -> Result<Directory, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map(|file| Directory { file })
    }

    /// Opens a directory that the user named only to look names up in it: permission to list it
    /// is not needed.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_for_lookup(path: &CStr) -> Result<Directory, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map(|file| Directory { file })
    }

    /// Opens the directory `name` in this one, and only if it is a directory and no link.
    ///
    /// # Errors
    /// What the system says; `ELOOP` or `ENOTDIR` if it is a symbolic link by now.
    pub fn open_child(&self, name: &CStr) -> Result<Directory, Errno> {
        let file = open_quietly(self.as_fd(), name, OFlags::DIRECTORY)?;
        Ok(Directory { file })
    }

    /// Opens the parent, if it is still the directory with this identity.
    ///
    /// # Errors
    /// What the system says; `ESTALE` if the directory was moved elsewhere.
    pub fn open_parent(&self, expected: &Attributes) -> Result<Directory, Errno> {
        let parent = self.open_child(c"..")?;
        let found = Attributes::of_open(&parent)?;
        if found.identity == expected.identity { Ok(parent) } else { Err(Errno::STALE) }
    }

    /// Opens the regular file `name` for reading. Never waits: a name that has become a pipe is
    /// opened without blocking, and the caller finds out by [`Attributes::of_open`].
    ///
    /// # Errors
    /// What the system says; `ELOOP` if it is a symbolic link by now.
    pub fn open_file(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        open_quietly(self.as_fd(), name, OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// The attributes of `name`.
    ///
    /// # Errors
    /// As [`Attributes::of_child`].
    pub fn attributes_of(&self, name: &CStr) -> Result<Attributes, Errno> {
        Attributes::of_child(self, name)
    }

    /// Lists every name but `.` and `..`, in the order of the file system.
    ///
    /// # Errors
    /// What the system says; `EFBIG` if the names take more than 4 GiB.
    pub fn list(&self, buffer: &mut Vec<u8>) -> Result<NameList, Errno> {
        self.list_some(usize::MAX, buffer)
    }

    /// As [`Directory::list`], but no more than `most` names.
    ///
    /// # Errors
    /// As [`Directory::list`].
    pub fn list_some(&self, most: usize, buffer: &mut Vec<u8>) -> Result<NameList, Errno> {
        buffer.clear();
        buffer.reserve(LIST_BUFFER);
        let mut names = NameList::default();
        let space: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let mut entries = RawDir::new(self, space);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                if names.len() == most {
                    break;
                }
                names.push(name).map_err(|_| Errno::FBIG)?;
            }
        }
        names.shrink();
        Ok(names)
    }
}

/// Opens for reading without following a link, and without leaving a mark in the access time
/// where the system allows that (owner or privileged only).
fn open_quietly(directory: BorrowedFd<'_>, name: &CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    match openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(directory, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Opens what the user named for its attributes: not a directory, or a link not to be followed.
///
/// # Errors
/// What the system says.
pub fn attributes_of_path(path: &CStr) -> Result<Attributes, Errno> {
    Attributes::of_child(CWD, path)
}

/// Whether this says that the name is gone, or is no longer what it was listed as.
#[must_use]
pub fn says_vanished(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::STALE | Errno::LOOP | Errno::NOTDIR)
}

/// Whether `attributes` are of something whose content is read.
#[must_use]
pub fn has_content(attributes: &Attributes) -> bool {
    attributes.kind == FileKind::Regular
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn c_path(path: &std::path::Path) -> std::ffi::CString {
        std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
    }

    #[test]
    fn a_directory_that_became_a_link_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("real")).unwrap();
        symlink("real", place.path().join("link")).unwrap();
        let directory = Directory::open_path(&c_path(place.path())).unwrap();
        assert!(directory.open_child(c"real").is_ok());
        let refused = directory.open_child(c"link").unwrap_err();
        assert!(says_vanished(refused), "{refused}");
        assert!(directory.open_file(c"link").is_err());
    }

    #[test]
    fn the_parent_is_found_again_unless_it_changed() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a", "a/b", "other"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        let top = Directory::open_path(&c_path(place.path())).unwrap();
        let child = top.open_child(c"a").unwrap();
        let grandchild = child.open_child(c"b").unwrap();
        let expected = Attributes::of_open(&child).unwrap();
        assert!(grandchild.open_parent(&expected).is_ok());
        std::fs::rename(place.path().join("a/b"), place.path().join("other/b")).unwrap();
        assert_eq!(grandchild.open_parent(&expected).unwrap_err(), Errno::STALE);
    }

    #[test]
    fn a_pipe_does_not_hang() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open_path(&c_path(place.path())).unwrap();
        rustix::fs::mkfifoat(&directory, c"pipe", Mode::from_raw_mode(0o600)).unwrap();
        let file = directory.open_file(c"pipe").unwrap();
        assert_eq!(Attributes::of_open(&file).unwrap().kind, FileKind::Fifo);
    }

    #[test]
    fn listing_leaves_out_the_dots() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..3000 {
            std::fs::write(place.path().join(format!("file number {number}")), "").unwrap();
        }
        let directory = Directory::open_path(&c_path(place.path())).unwrap();
        assert_eq!(directory.list(&mut Vec::new()).unwrap().len(), 3000);
        // From its start on, which takes another descriptor.
        let directory = Directory::open_path(&c_path(place.path())).unwrap();
        assert_eq!(directory.list_some(2999, &mut Vec::new()).unwrap().len(), 2999);
    }
}
