//! The mode of a directory entry as Plan 9's vac has it, and what kind of file it means.

use std::ops::BitOr;

/// Mode bits of a directory entry. Not those of Unix: only the nine permission bits agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// The nine permission bits of owner, group and others.
    pub const PERMISSIONS: Mode = Mode(0o777);
    /// Only the owner of a file may remove it from the directory.
    pub const STICKY: Mode = Mode(1 << 9);
    /// Runs as its owner.
    pub const SET_UID: Mode = Mode(1 << 10);
    /// Runs as its group.
    pub const SET_GID: Mode = Mode(1 << 11);
    /// Can only be appended to (Plan 9).
    pub const APPEND: Mode = Mode(1 << 12);
    /// Can be open once only (Plan 9).
    pub const EXCLUSIVE: Mode = Mode(1 << 13);
    /// A symbolic link: the stream has the target.
    pub const LINK: Mode = Mode(1 << 14);
    /// A directory.
    pub const DIRECTORY: Mode = Mode(1 << 15);
    /// A read-only snapshot (fossil).
    pub const SNAPSHOT: Mode = Mode(1 << 20);
    /// A device: the stream has a letter and two numbers.
    pub const DEVICE: Mode = Mode(1 << 21);
    /// A named pipe, or a socket in archives that have our section.
    pub const NAMED_PIPE: Mode = Mode(1 << 22);

    /// Whether every bit of `bits` is set.
    #[must_use]
    pub const fn has(self, bits: Mode) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// The mode for the `st_mode` of Unix, kind and special bits included.
    #[must_use]
    pub const fn from_unix(st_mode: u32) -> Mode {
        let kind = match FileKind::from_unix(st_mode) {
            Some(FileKind::Directory) => Mode::DIRECTORY.0,
            Some(FileKind::Symlink) => Mode::LINK.0,
            Some(FileKind::CharDevice | FileKind::BlockDevice) => Mode::DEVICE.0,
            Some(FileKind::Fifo | FileKind::Socket) => Mode::NAMED_PIPE.0,
            Some(FileKind::Regular) | None => 0,
        };
        // The three special bits stand in another order.
        let sticky = (st_mode >> 9 & 1) << 9;
        let set_uid = (st_mode >> 11 & 1) << 10;
        let set_gid = (st_mode >> 10 & 1) << 11;
        Mode(st_mode & 0o777 | sticky | set_uid | set_gid | kind)
    }

    /// Permission and special bits as Unix has them, without the kind.
    #[must_use]
    pub const fn unix_permissions(self) -> u32 {
        let sticky = (self.0 >> 9 & 1) << 9;
        let set_uid = (self.0 >> 10 & 1) << 11;
        let set_gid = (self.0 >> 11 & 1) << 10;
        self.0 & 0o777 | sticky | set_uid | set_gid
    }

    /// The kind of file, as far as these bits tell: a device is taken for a character device.
    #[must_use]
    pub const fn kind(self) -> FileKind {
        if self.has(Mode::DIRECTORY) {
            FileKind::Directory
        } else if self.has(Mode::LINK) {
            FileKind::Symlink
        } else if self.has(Mode::DEVICE) {
            FileKind::CharDevice
        } else if self.has(Mode::NAMED_PIPE) {
            FileKind::Fifo
        } else {
            FileKind::Regular
        }
    }
}

impl BitOr for Mode {
    type Output = Mode;

    fn bitor(self, other: Mode) -> Mode {
        Mode(self.0 | other.0)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes.
    Regular,
    /// Names of other files.
    Directory,
    /// A name that leads elsewhere.
    Symlink,
    /// A device read and written by the character.
    CharDevice,
    /// A device read and written by the block.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket: recorded, never made again.
    Socket,
}

impl FileKind {
    /// The kind in the upper bits of `st_mode`; `None` if they are none of Unix's.
    #[must_use]
    pub const fn from_unix(st_mode: u32) -> Option<FileKind> {
        match st_mode >> 12 & 0xf {
            0o01 => Some(FileKind::Fifo),
            0o02 => Some(FileKind::CharDevice),
            0o04 => Some(FileKind::Directory),
            0o06 => Some(FileKind::BlockDevice),
            0o10 => Some(FileKind::Regular),
            0o12 => Some(FileKind::Symlink),
            0o14 => Some(FileKind::Socket),
            _ => None,
        }
    }

    /// The upper bits of `st_mode`.
    #[must_use]
    pub const fn to_unix(self) -> u32 {
        let kind = match self {
            FileKind::Fifo => 0o01,
            FileKind::CharDevice => 0o02,
            FileKind::Directory => 0o04,
            FileKind::BlockDevice => 0o06,
            FileKind::Regular => 0o10,
            FileKind::Symlink => 0o12,
            FileKind::Socket => 0o14,
        };
        kind << 12
    }

    /// The kind in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FileKind::Regular => "file",
            FileKind::Directory => "directory",
            FileKind::Symlink => "symbolic link",
            FileKind::CharDevice => "character device",
            FileKind::BlockDevice => "block device",
            FileKind::Fifo => "named pipe",
            FileKind::Socket => "socket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_modes_go_there_and_back() {
        for kind in [0o1, 0o2, 0o4, 0o6, 0o10, 0o12, 0o14] {
            for bits in 0..=0o7777 {
                let mode = Mode::from_unix(kind << 12 | bits);
                assert_eq!(mode.unix_permissions(), bits);
                let found = FileKind::from_unix(kind << 12).unwrap();
                assert_eq!(found.to_unix(), kind << 12);
                assert_eq!(mode.kind() == FileKind::Directory, found == FileKind::Directory);
            }
        }
        assert_eq!(Mode::from_unix(0o104_755), Mode(0o755) | Mode::SET_UID);
        assert_eq!(Mode::from_unix(0o041_777), Mode(0o777) | Mode::STICKY | Mode::DIRECTORY);
    }
}
