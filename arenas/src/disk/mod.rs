//! All that a store asks of a disk: the seam behind which it is a real directory or a simulation.
//!
//! Names are relative and come from [`crate::names`]. Calls map one to one to system calls, so
//! that the simulated disk can fail each of them; looping over short transfers and interruptions
//! is done once, in [`read_full_at`] and [`write_all_at`]. A failed sync is never repeated:
//! the kernel marks pages clean that it could not write, and the second call would lie.

mod map;
mod real;
mod sim;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use map::MappedBytes;
pub use real::RealDisk;
pub use sim::{Fault, FaultPlan, SimDisk};

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, to read and write. An existing one is emptied.
    Create,
}

/// What a disk call was doing when it failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {name}{}: {source}", at(*offset))]
pub struct DiskError {
    /// The call: `read`, `write`, `sync` and so on.
    pub operation: &'static str,
    /// The file, relative to the store's directory.
    pub name: String,
    /// Byte offset in the file, where the call has one.
    pub offset: Option<u64>,
    /// What the system said.
    pub source: io::Error,
}

fn at(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at offset {offset}"))
}

impl DiskError {
    /// The kind of the system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether it says that there is no room: the only failure of a write that may pass.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

/// The result of a disk call.
pub type DiskResult<T> = Result<T, DiskError>;

/// A directory with files in it and in its sub-directories.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it must exist and does not.
    fn open(&self, name: &str, mode: OpenMode) -> DiskResult<Arc<dyn DiskFile>>;

    /// The names of the files in `directory`, without it, sorted.
    ///
    /// # Errors
    /// What the system says; `NotFound` if there is no such directory.
    fn list(&self, directory: &str) -> DiskResult<Vec<String>>;

    /// Renames a file, replacing `to`. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> DiskResult<()>;

    /// Makes a directory; one that is there already is fine.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, name: &str) -> DiskResult<()>;

    /// Makes the names in `directory` durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, directory: &str) -> DiskResult<()>;

    /// Takes away the permission to write from everybody.
    ///
    /// # Errors
    /// What the system says.
    fn set_read_only(&self, name: &str) -> DiskResult<()>;

    /// Whether nobody has the permission to write.
    ///
    /// # Errors
    /// What the system says.
    fn is_read_only(&self, name: &str) -> DiskResult<bool>;

    /// Locks a file, making it if need be, until the guard is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if it is locked already; otherwise what the system says.
    fn lock(&self, name: &str) -> DiskResult<Box<dyn DiskLock>>;

    /// The bytes of a whole file that nobody changes any more.
    ///
    /// # Errors
    /// What the system says.
    fn map(&self, name: &str) -> DiskResult<MappedBytes>;
}

/// An open file. Reads and writes may be short, as the system's are.
pub trait DiskFile: Send + Sync + Debug {
    /// The name it was opened with.
    fn name(&self) -> &str;

    /// Reads some bytes at `offset`; 0 only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<usize>;

    /// Reads as [`DiskFile::read_at`] does what is in memory already; `None` if that would have
    /// to wait for the disk, or can not be known.
    ///
    /// # Errors
    /// What the system says.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<Option<usize>> {
        self.read_at(buffer, offset).map(Some)
    }

    /// Says that these bytes will be read soon: a hint, so that reads of many places overlap.
    fn will_need(&self, _offset: u64, _length: u64) {}

    /// Writes some bytes at `offset`.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, data: &[u8], offset: u64) -> DiskResult<usize>;

    /// Makes everything written to this file durable, and its length.
    ///
    /// # Errors
    /// What the system says. Nothing is known of the file's durable state then.
    fn sync_data(&self) -> DiskResult<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> DiskResult<u64>;

    /// Whether there is no byte in the file.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> DiskResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, length: u64) -> DiskResult<()>;
}

/// Held for as long as a lock is.
pub trait DiskLock: Send + Sync + Debug {}

/// A call that is interrupted this often is reported: no signal storm may hang the store.
const MOST_INTERRUPTIONS: u32 = 100;

/// Fills `buffer` from `offset` as far as the file goes, and returns how many bytes that was.
///
/// # Errors
/// As [`DiskFile::read_at`]; interruptions are repeated.
pub fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> DiskResult<usize> {
    let mut done = 0;
    let mut interruptions = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if interrupted(&error, &mut interruptions) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Fills `buffer` from `offset`.
///
/// # Errors
/// As [`read_full_at`]; `UnexpectedEof` when the file ends before the buffer is full.
pub fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> DiskResult<()> {
    let found = read_full_at(file, buffer, offset)?;
    if found == buffer.len() {
        return Ok(());
    }
    let detail = format!("the file ends after {found} of {} bytes", buffer.len());
    Err(DiskError {
        operation: "read",
        name: file.name().to_owned(),
        offset: Some(offset),
        source: io::Error::new(io::ErrorKind::UnexpectedEof, detail),
    })
}

/// Writes all of `data` at `offset`.
///
/// # Errors
/// As [`DiskFile::write_at`]; interruptions are repeated, and a part may have been written.
pub fn write_all_at(file: &dyn DiskFile, data: &[u8], offset: u64) -> DiskResult<()> {
    let mut done = 0;
    let mut interruptions = 0;
    while done < data.len() {
        match file.write_at(&data[done..], offset + done as u64) {
            Ok(0) => {
                return Err(DiskError {
                    operation: "write",
                    name: file.name().to_owned(),
                    offset: Some(offset + done as u64),
                    source: io::ErrorKind::WriteZero.into(),
                });
            }
            Ok(count) => done += count,
            Err(error) if interrupted(&error, &mut interruptions) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn interrupted(error: &DiskError, interruptions: &mut u32) -> bool {
    *interruptions += 1;
    error.kind() == io::ErrorKind::Interrupted && *interruptions < MOST_INTERRUPTIONS
}
