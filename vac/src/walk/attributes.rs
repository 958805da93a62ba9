//! What one `statx` call says of a file.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io::Errno;

/// What sort of thing a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes.
    Regular,
    /// Names.
    Directory,
    /// A path.
    SymbolicLink,
    /// A device read in blocks.
    BlockDevice,
    /// A device read as a stream.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket: only its name and attributes can be kept.
    Socket,
}

impl FileKind {
    /// Reads the type bits of a Unix mode. `None` for a number that no system has.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<FileKind> {
        match mode & 0o170_000 {
            0o100_000 => Some(FileKind::Regular),
            0o040_000 => Some(FileKind::Directory),
            0o120_000 => Some(FileKind::SymbolicLink),
            0o060_000 => Some(FileKind::BlockDevice),
            0o020_000 => Some(FileKind::CharacterDevice),
            0o010_000 => Some(FileKind::Fifo),
            0o140_000 => Some(FileKind::Socket),
            _ => None,
        }
    }
}

/// A moment as the file system keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds past `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl From<StatxTimestamp> for Moment {
    fn from(stamp: StatxTimestamp) -> Moment {
        Moment { seconds: stamp.tv_sec, nanoseconds: stamp.tv_nsec }
    }
}

/// The number of a device in its two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// Names a file on this machine for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The file system it is on.
    pub device: DeviceNumber,
    /// Its number there.
    pub inode: u64,
}

/// What the file system says of a file, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: 0 to 07777.
    pub permissions: u32,
    /// Number of the owner.
    pub user: u32,
    /// Number of the group.
    pub group: u32,
    /// How many names it has.
    pub links: u32,
    /// Bytes; of a symbolic link the length of its target.
    pub size: u64,
    /// Space taken, in units of 512 bytes: less than the size when the file has holes.
    pub sectors: u64,
    /// Which file.
    pub identity: Identity,
    /// For device files: which device.
    pub special: DeviceNumber,
    /// The last change of its content.
    pub modified: Moment,
    /// The last change of its content or attributes. Can not be set by programs.
    pub changed: Moment,
    /// The last reading.
    pub accessed: Moment,
    /// When it was made, where the file system keeps that.
    pub born: Option<Moment>,
}

impl Attributes {
    /// Asks for the attributes of `name` in `directory`, not following a symbolic link.
    ///
    /// # Errors
    /// What the system says; `EINVAL` for a type of file that is not known.
    pub fn of_child(directory: impl AsFd, name: &CStr) -> Result<Attributes, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        Attributes::new(&statx(directory, name, flags, wanted())?)
    }

    /// Asks for the attributes of an open file.
    ///
    /// # Errors
    /// As [`Attributes::of_child`].
    pub fn of_open(file: impl AsFd) -> Result<Attributes, Errno> {
        Attributes::new(&statx(file, c"", AtFlags::EMPTY_PATH, wanted())?)
    }

    fn new(found: &Statx) -> Result<Attributes, Errno> {
        let mode = u32::from(found.stx_mode);
        let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Attributes {
            kind: FileKind::from_mode(mode).ok_or(Errno::INVAL)?,
            permissions: mode & 0o7777,
            user: found.stx_uid,
            group: found.stx_gid,
            links: found.stx_nlink,
            size: found.stx_size,
            sectors: found.stx_blocks,
            identity: Identity {
                device: DeviceNumber { major: found.stx_dev_major, minor: found.stx_dev_minor },
                inode: found.stx_ino,
            },
            special: DeviceNumber { major: found.stx_rdev_major, minor: found.stx_rdev_minor },
            modified: found.stx_mtime.into(),
            changed: found.stx_ctime.into(),
            accessed: found.stx_atime.into(),
            born: has_birth.then(|| found.stx_btime.into()),
        })
    }

    /// Whether nothing says that the content differs between the two looks.
    #[must_use]
    pub fn same_version(&self, other: &Attributes) -> bool {
        self.size == other.size
            && self.modified == other.modified
            && self.changed == other.changed
            && self.identity == other.identity
            && self.kind == other.kind
    }

    /// Whether the file takes less space than its size: then some of it is holes.
    #[must_use]
    pub fn may_have_holes(&self) -> bool {
        self.sectors.saturating_mul(512) < self.size
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}
