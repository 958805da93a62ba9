//! Files that can not be changed, not even their names: immutable ones, and those that can only be
//! appended to (chattr). Whoever may make them so may lift it; as unvac does, so that what is to be
//! replaced is.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, open};

const FIXED: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// A file that can be changed until this is dropped.
#[derive(Debug)]
pub(crate) struct Lifted {
    file: File,
    flags: IFlags,
}

impl Lifted {
    /// Nothing if the file can be changed as it is, or this user may not make it so.
    pub(crate) fn of(path: &Path) -> Option<Lifted> {
        let (file, flags) = fixed(path)?;
        ioctl_setflags(&file, flags.difference(FIXED)).ok()?;
        Some(Lifted { file, flags })
    }

    /// Leaves the file so that it can be changed.
    pub(crate) fn forget(mut self) {
        self.flags = IFlags::empty();
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if !self.flags.is_empty() {
            // It was possible to take them off.
            let _ = ioctl_setflags(&self.file, self.flags);
        }
    }
}

/// Whether a file can not be changed, whoever wants to.
pub(crate) fn is_fixed(path: &Path) -> bool {
    fixed(path).is_some()
}

fn fixed(path: &Path) -> Option<(File, IFlags)> {
    // Nothing else has flags, and to open a device may do something.
    let metadata = std::fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).ok()?);
    let flags = ioctl_getflags(file.as_fd()).ok()?;
    flags.intersects(FIXED).then_some((file, flags))
}
