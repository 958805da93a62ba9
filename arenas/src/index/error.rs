//! What stops the index, and what makes it drop a part of itself.

use crate::disk::DiskError;

/// Why an operation on the index failed. Damage is no error: what is damaged is dropped, and its
/// arenas become uncovered.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The disk did not do what it was asked.
    #[error("index: {0}")]
    Disk(#[from] DiskError),
    /// An entry was given for another arena than its own.
    #[error("index entry of arena {found} among those of arena {expected}")]
    WrongArena {
        /// The arena that was added.
        expected: u32,
        /// The arena that the entry names.
        found: u32,
    },
    /// The index was opened read-only.
    #[error("the index was opened read-only")]
    ReadOnly,
    /// A run that was just written does not read back.
    #[error("index run {run} does not read back: {damage}")]
    Unreadable {
        /// The number of the run.
        run: u32,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A run would be larger than its format can say.
    #[error("an index run of {entries} entries is too large")]
    TooLarge {
        /// Entries in the run.
        entries: u64,
    },
}

/// Why a run or the manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It can not be read, or is not there.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// A checksum does not match.
    #[error("checksum of {part} at page {page} is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Which part of the file.
        part: &'static str,
        /// Where it starts, in pages of 4096 bytes.
        page: u64,
        /// The checksum that is stored.
        found: u32,
        /// The checksum of the bytes that are there.
        expected: u32,
    },
    /// The first bytes are those of something else.
    #[error("magic of {part} is {found:#018x}, expected {expected:#018x}")]
    Magic {
        /// Which part of the file.
        part: &'static str,
        /// The bytes found, as a number.
        found: u64,
        /// The bytes expected.
        expected: u64,
    },
    /// The file is shorter or longer than it says.
    #[error("{part} has {found} bytes, expected {expected}")]
    Length {
        /// Which file or part.
        part: &'static str,
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be there.
        expected: u64,
    },
    /// A number has a value that is not possible.
    #[error("{field} of {part} can not be {found}")]
    Field {
        /// Which part of the file.
        part: &'static str,
        /// Which number.
        field: &'static str,
        /// The value that was read.
        found: u64,
    },
    /// The run is not the one that the manifest means.
    #[error("run covers other arenas than the manifest says")]
    OtherRun,
    /// The run covers an arena that is not in the store, or is another one there.
    #[error("run covers arena {arena}, which is not in the store or is another one")]
    Stale {
        /// The number of the arena.
        arena: u32,
    },
}
