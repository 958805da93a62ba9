//! Attributes and errors of the dump as FUSE has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo};
use vac::format::{FileKind, Timestamp};

use crate::FileError;
use crate::dump::Attributes;

pub(super) fn file_attr(inode: u64, attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size: attributes.size,
        blocks: attributes.size.div_ceil(512),
        atime: system_time(attributes.accessed),
        mtime: system_time(attributes.modified),
        ctime: system_time(attributes.changed),
        crtime: system_time(attributes.born.unwrap_or_default()),
        kind: file_type(attributes.kind),
        perm: u16::try_from(attributes.permissions & 0o7777).unwrap_or(0),
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.device.map_or(0, |device| encode_device(device.major, device.minor)),
        // What a program best reads at once.
        blksize: 128 << 10,
        flags: 0,
    }
}

/// The kernel's encoding of device numbers in 32 bits.
const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

pub(super) const fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
    }
}

/// Times that the system can not express become 1970.
fn system_time(time: Timestamp) -> SystemTime {
    let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = match time.seconds {
        0.. => UNIX_EPOCH.checked_add(seconds),
        _ => UNIX_EPOCH.checked_sub(seconds),
    };
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(UNIX_EPOCH)
}

pub(super) fn errno(error: &FileError) -> Errno {
    match error {
        FileError::NotFound => Errno::ENOENT,
        FileError::PermissionDenied => Errno::EACCES,
        FileError::NotADirectory => Errno::ENOTDIR,
        FileError::IsADirectory => Errno::EISDIR,
        FileError::ReadOnly => Errno::EROFS,
        FileError::Name { .. } => Errno::EINVAL,
        FileError::TooManyLinks => Errno::ELOOP,
        FileError::NoAttribute => Errno::NO_XATTR,
        FileError::NoRoots
        | FileError::TimeZone { .. }
        | FileError::Io { .. }
        | FileError::Unreachable { .. } => {
            tracing::warn!(%error, "a file could not be read");
            Errno::EIO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970() {
        let time = |seconds, nanoseconds| system_time(Timestamp { seconds, nanoseconds });
        assert_eq!(time(-1, 500_000_000), UNIX_EPOCH - Duration::from_millis(500));
        assert_eq!(time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
    }

    #[test]
    fn device_numbers_as_the_kernel_has_them() {
        assert_eq!(encode_device(8, 1), 0x801);
        assert_eq!(encode_device(259, 0x12345), 0x1231_0345);
    }
}
