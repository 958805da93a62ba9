//! What to archive and how.

use std::path::PathBuf;
use std::sync::Arc;

use venti_proto::Score;

use super::assembler::Checkpoints;
use super::chosen::Chosen;
use super::dump::DumpDay;
use crate::walk::{FileSystems, Identity, Moment, Patterns};

/// Block sizes that an archive may have (vac(1): 512 bytes to 52k; Venti takes up to 56k).
pub const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 512..=57_344;

/// What is left out of the archive beside what [`Patterns`] say.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    /// By name.
    pub patterns: Patterns,
    /// Everything but this.
    pub chosen: Option<Arc<Chosen>>,
    /// The content of directories that are marked as caches (`CACHEDIR.TAG`).
    pub caches: bool,
    /// The content of directories that have a file of one of these names.
    pub if_present: Vec<Vec<u8>>,
    /// Files of more bytes than this.
    pub larger_than: Option<u64>,
    /// Stay on the file systems of the arguments.
    pub one_file_system: bool,
    /// What is mounted and what of it is entered.
    pub file_systems: FileSystems,
    /// Directories that are never entered: the store itself, when it is in the tree.
    pub directories: Vec<Identity>,
}

/// An older archive to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldArchive {
    /// Score of its root block.
    pub root: Score,
    /// What is taken from it.
    pub trust: Trust,
}

/// How far an older archive is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Every file is read, and only what is stored already is not sent (`-d` alone).
    Nothing,
    /// A file with the attributes of then is taken to have the content of then (`-q`).
    Attributes,
    /// As before, but the archive is one that the caller came across, and that nobody asked for:
    /// the store is asked whether it still has the content, the new archive does not name the
    /// older one, and if the older one can not be read that is no error.
    Hint,
}

/// How an archive is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes in a block, one of [`BLOCK_SIZES`].
    pub block_size: u32,
    /// What is left out.
    pub exclusions: Exclusions,
    /// An older archive to compare with.
    pub old: Option<OldArchive>,
    /// Put the archive into a hierarchy of days, with those of `old` if that is given (`-a`).
    pub dump: Option<DumpDay>,
    /// Expand archives that are found as `NAME.vac` (`-m`).
    pub merge: bool,
    /// Keep the times of last reading. They change without anybody changing a file.
    pub access_times: bool,
    /// Threads that read, hash and store.
    pub readers: usize,
    /// Threads that list and look up directories before the walk comes to them. What they find
    /// does not depend on how many they are; with none the walk does it all.
    pub walkers: usize,
    /// The most bytes that are given to the store in a second.
    pub upload_rate: Option<u64>,
    /// Ask the store which blocks it has before sending them.
    pub probe: bool,
    /// Keep what there is of the archive now and then: see [`Observer::checkpoint`].
    ///
    /// [`Observer::checkpoint`]: super::Observer::checkpoint
    pub checkpoints: Option<Checkpoints>,
}

impl Default for Options {
    fn default() -> Options {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Options {
            block_size: 8192,
            exclusions: Exclusions::default(),
            old: None,
            dump: None,
            merge: false,
            access_times: false,
            readers: processors.clamp(2, 16),
            walkers: processors.clamp(1, 8),
            upload_rate: None,
            probe: false,
            checkpoints: None,
        }
    }
}

/// What is archived, under the top of the archive.
#[derive(Debug)]
pub enum Source {
    /// A file or directory by its path. `/`, `.` and paths that end in `..` have no name to be
    /// kept under: what is in them comes to the top.
    Path(PathBuf),
    /// The same, found in a snapshot of what it is on.
    Snapshot {
        /// Where it is read. The last component, if there is one, is that of `shown`.
        real: PathBuf,
        /// The path that it stands for: for names in the archive, patterns and reports.
        shown: PathBuf,
    },
    /// What can be read from a stream until its end, as a file of this name.
    Stream {
        /// One component.
        name: Vec<u8>,
        /// What is kept as the time of its last change.
        modified: Moment,
        /// Where to read.
        stream: Box<dyn StreamSource>,
    },
}

/// A stream to be archived, and whether it ended as it should.
pub trait StreamSource: std::io::Read + Send + std::fmt::Debug {
    /// Called after the end of the stream.
    ///
    /// # Errors
    /// If what was read is not whole: the archive is not made then.
    fn finish(&mut self) -> std::io::Result<()>;
}
