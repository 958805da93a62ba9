//! What is known of a file: its identity across dumps, and what stat(2) shows.

use vac::format::{DeviceNumber, FileKind, Timestamp};

/// Which file it is, and which version of it: the same in every dump that has it so.
///
/// This is the rule of Plan 9's fshistory: two dumps that hold the same file show the same
/// `path`, two that hold the same version of it show the same `version` as well, and never the
/// other way round. A file is known by its inode and the moment when it was made, so that one
/// which was deleted and made again is another; in archives that know neither, by its name.
/// Both are 64 bits of a hash; of a version, 9P has room for the first 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Which file.
    pub path: u64,
    /// Which version of it.
    pub version: u64,
}

/// What stat(2) and stat(9p) show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Identity across dumps.
    pub id: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Permissions and special bits, without the kind.
    pub permissions: u32,
    /// Owner's number on the archived machine.
    pub uid: u32,
    /// Group's number on the archived machine.
    pub gid: u32,
    /// Owner's name, or number in digits.
    pub owner: Vec<u8>,
    /// Group's name, or number in digits.
    pub group: Vec<u8>,
    /// Who changed it last, if known.
    pub modifier: Vec<u8>,
    /// Bytes of content; of a directory 0.
    pub size: u64,
    /// Names that the file had.
    pub links: u32,
    /// When the content changed last.
    pub modified: Timestamp,
    /// When content or metadata changed last.
    pub changed: Timestamp,
    /// When it was read last, as far as that was archived.
    pub accessed: Timestamp,
    /// When it was made.
    pub born: Option<Timestamp>,
    /// Which device a device file stands for.
    pub device: Option<DeviceNumber>,
    /// The file changed while it was archived.
    pub torn: bool,
}

impl Attributes {
    /// A directory that no archive holds: the top, a host, a year.
    #[must_use]
    pub fn synthetic(path: u64, modified: Timestamp) -> Attributes {
        Attributes {
            id: FileId { path, version: 0 },
            kind: FileKind::Directory,
            permissions: 0o555,
            uid: 0,
            gid: 0,
            owner: b"root".to_vec(),
            group: b"root".to_vec(),
            modifier: Vec::new(),
            size: 0,
            links: 1,
            modified,
            changed: modified,
            accessed: modified,
            born: None,
            device: None,
            torn: false,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }
}
