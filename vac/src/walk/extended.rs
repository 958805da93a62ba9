//! Extended attributes and inode flags: what `statx` does not say.
//!
//! POSIX ACLs, file capabilities and SELinux labels are extended attributes too
//! (`system.posix_acl_access`, `security.capability`, `security.selinux`) and are kept as the
//! kernel hands them out.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, ioctl_getflags, lgetxattr,
    lgetxattr_query, llistxattr, llistxattr_query,
};
use rustix::io::Errno;

/// The inode flags of chattr(1) that a person can set; the others say how a file system stores
/// the file (extents, an indexed directory) and mean nothing elsewhere.
pub(crate) const KEPT_FLAGS: u32 = 0x6283_c4ff;

/// A list of names or a value is asked for again at most this often when it grows meanwhile.
const ATTEMPTS: usize = 8;

/// What a file has beside its [`super::Attributes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// Names and values, in the order of the names.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Inode flags that chattr(1) sets.
    pub flags: u32,
}

/// An extended attribute, or the list of them, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// Which attribute, or none when it is the list.
    pub name: Option<Vec<u8>>,
    /// What the system said.
    pub errno: Errno,
}

/// How the file is reached: a descriptor, or a name for what can not be opened.
enum Access<'a> {
    Open(BorrowedFd<'a>),
    /// `/proc/self/fd/N/NAME`: one step below an open directory, not followed.
    Named(CString),
}

impl Extended {
    /// Reads what an open file has. What can not be read goes to `errors`.
    pub fn of_open(file: impl AsFd, errors: &mut Vec<ExtendedError>) -> Extended {
        let file = file.as_fd();
        let flags = ioctl_getflags(file).map_or(0, |flags| flags.bits() & KEPT_FLAGS);
        Extended { attributes: attributes(&Access::Open(file), errors), flags }
    }

    /// Reads what `name` has without opening it: for links, devices, pipes and sockets.
    pub fn of_child(
        directory: impl AsFd,
        name: &CStr,
        errors: &mut Vec<ExtendedError>,
    ) -> Extended {
        let number = directory.as_fd().as_raw_fd();
        let mut path = format!("/proc/self/fd/{number}/").into_bytes();
        path.extend_from_slice(name.to_bytes());
        let attributes = CString::new(path)
            .map_or_else(|_| Vec::new(), |p| attributes(&Access::Named(p), errors));
        Extended { attributes, flags: 0 }
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.flags == 0
    }
}

impl Access<'_> {
    fn list_size(&self) -> Result<usize, Errno> {
        match self {
            Access::Open(file) => flistxattr_query(file),
            Access::Named(path) => llistxattr_query(path.as_c_str()),
        }
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Access::Open(file) => flistxattr(file, buffer),
            Access::Named(path) => llistxattr(path.as_c_str(), buffer),
        }
    }

    fn value_size(&self, name: &CStr) -> Result<usize, Errno> {
        match self {
            Access::Open(file) => fgetxattr_query(file, name),
            Access::Named(path) => lgetxattr_query(path.as_c_str(), name),
        }
    }

    fn value(&self, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Access::Open(file) => fgetxattr(file, name, buffer),
            Access::Named(path) => lgetxattr(path.as_c_str(), name, buffer),
        }
    }
}

fn attributes(file: &Access<'_>, errors: &mut Vec<ExtendedError>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let names = match whole(|| file.list_size(), |buffer| file.list(buffer)) {
        Ok(names) => names,
        // A file system without extended attributes, or no /proc to reach a link through.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOENT | Errno::NODATA) => return Vec::new(),
        Err(errno) => {
            errors.push(ExtendedError { name: None, errno });
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match whole(|| file.value_size(name), |buffer| file.value(name, buffer)) {
            Ok(value) => found.push((name.to_bytes().to_vec(), value)),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => {
                errors.push(ExtendedError { name: Some(name.to_bytes().to_vec()), errno });
            }
        }
    }
    found.sort_unstable();
    found
}

/// Asks for the size, then for the bytes, and again if they have grown in between.
fn whole(
    size: impl Fn() -> Result<usize, Errno>,
    read: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    for _ in 0..ATTEMPTS {
        let mut bytes = vec![0; size()?];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        match read(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::Directory;
    use rustix::fs::{XattrFlags, lsetxattr};

    #[test]
    fn attributes_come_sorted_and_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let long = vec![7; 3000];
        for (name, value) in [("user.b", long.as_slice()), ("user.a", b"")] {
            if let Err(errno) = lsetxattr(&path, name, value, XattrFlags::empty()) {
                println!("skipped: this file system has no extended attributes ({errno})");
                return;
            }
        }
        let top = CString::new(place.path().as_os_str().as_encoded_bytes()).unwrap();
        let directory = Directory::open_path(&top).unwrap();
        let mut errors = Vec::new();
        let expected = [(b"user.a".to_vec(), Vec::new()), (b"user.b".to_vec(), long)];
        let open = Extended::of_open(directory.open_file(c"file").unwrap(), &mut errors);
        let named = Extended::of_child(&directory, c"file", &mut errors);
        for found in [open, named] {
            let users: Vec<_> =
                found.attributes.into_iter().filter(|(n, _)| n.starts_with(b"user.")).collect();
            assert_eq!(users, expected);
        }
        assert_eq!(errors, []);
    }
}
