//! What Unix knows of a file beside what Plan 9 knows.

use super::FileKind;

/// A moment, in seconds and nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds, before 1970 if negative.
    pub seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The file that was archived, on the machine where it was: together with size and times this
/// tells whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device that the file is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// One of several names of a file in this archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HardLink {
    /// Equal for all names of the file.
    pub group: u64,
    /// Names that the file had, in the archive or not.
    pub count: u32,
}

/// Which device a device file stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

/// An extended attribute. ACLs, capabilities and labels are extended attributes too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xattr {
    /// With its name space, as in `user.comment`; at most 255 bytes.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// A part of a file that had no space on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hole {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Where fields are that were too large for the directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternalStream {
    /// Place in the stream of Venti entries of the directory that holds the file.
    pub entry: u32,
    /// Generation of that entry.
    pub generation: u32,
}

/// What the entry of a directory says of the directory's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectoryFacts {
    /// Whether the meta blocks as a whole are sorted, so that a name is found by bisection.
    pub sorted: bool,
    /// Names in the directory.
    pub entries: u64,
}

/// Why a directory of the archive has not everything that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gap {
    /// It was not entered, for so it was wanted: something is mounted there, or it is marked.
    LeftOut,
    /// Something of it could not be read.
    Incomplete,
}

/// Everything that our optional section holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixMetadata {
    /// `st_mode`, kind and special bits included.
    pub mode: u32,
    /// Owner's number. The name is in the directory entry.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// When the content changed last.
    pub modified: Timestamp,
    /// When content or metadata changed last.
    pub changed: Option<Timestamp>,
    /// When the file was read last; recorded on request only.
    pub accessed: Option<Timestamp>,
    /// When the file was made. No system lets it be set, so it is kept and shown only.
    pub born: Option<Timestamp>,
    /// Which file it was.
    pub identity: Option<Identity>,
    /// Set when the file has more names.
    pub link: Option<HardLink>,
    /// Set for devices.
    pub device: Option<DeviceNumber>,
    /// In the order in which they are to be set.
    pub xattrs: Vec<Xattr>,
    /// As `chattr` shows them (`FS_IOC_GETFLAGS`).
    pub inode_flags: Option<u32>,
    /// The file changed while it was read: its content may be of no single moment.
    pub torn: bool,
    /// The file's holes, in order; `None` if that was not recorded, empty if there were none.
    pub holes: Option<Vec<Hole>>,
    /// Fields that are in a stream of their own: read it to have them all.
    pub external: Option<ExternalStream>,
    /// Set for directories.
    pub directory: Option<DirectoryFacts>,
    /// Set for a directory that does not have everything that it had: what is not in it may have
    /// been there.
    pub gap: Option<Gap>,
    /// Fields with numbers that this program does not know, kept as they are.
    pub unknown: Vec<(u8, Vec<u8>)>,
}

impl UnixMetadata {
    /// What the upper bits of the mode say, if they say anything.
    #[must_use]
    pub fn kind(&self) -> Option<FileKind> {
        FileKind::from_unix(self.mode)
    }
}
