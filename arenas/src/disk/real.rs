//! A directory of the system.
//!
//! Syncs go to the system directly and once: those of the standard library repeat an interrupted
//! one, for ever if need be, and a sync that did not succeed must never be tried again.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FlockOperation, fadvise, fdatasync, flock, fsync};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Disk, DiskError, DiskFile, DiskLock, DiskResult, MappedBytes, OpenMode};

/// A store's blocks are everything of everybody who backs up to it.
const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// Sealed arenas: the directory keeps strangers out, and nobody writes by accident.
const READ_ONLY_FILE: u32 = 0o444;

/// A directory of the system, and the files below it.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The directory `root`, which must exist.
    #[must_use]
    pub fn new(root: &Path) -> RealDisk {
        RealDisk { root: root.to_owned() }
    }

    /// The directory `root`, made with its parents where it does not exist, for its owner alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(root: &Path) -> DiskResult<RealDisk> {
        let name = root.display().to_string();
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIRECTORY)
            .create(root)
            .and_then(|()| sync_parent(root))
            .map_err(|source| DiskError { operation: "create", name, offset: None, source })?;
        Ok(RealDisk::new(root))
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

/// A new directory is only there after a crash if its name in the parent is durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match fs::canonicalize(path)?.parent() {
        Some(parent) => Ok(fsync(File::open(parent)?)?),
        None => Ok(()),
    }
}

fn failed<T>(operation: &'static str, name: &str, result: io::Result<T>) -> DiskResult<T> {
    result.map_err(|source| DiskError { operation, name: name.to_owned(), offset: None, source })
}

impl Disk for RealDisk {
    fn open(&self, name: &str, mode: OpenMode) -> DiskResult<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).mode(PRIVATE_FILE);
        if mode == OpenMode::Create {
            options.create(true).truncate(true);
        }
        let file = failed("open", name, options.open(self.path(name)))?;
        Ok(Arc::new(RealFile { file, name: name.to_owned() }))
    }

    fn list(&self, directory: &str) -> DiskResult<Vec<String>> {
        let names = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.path(directory))? {
                let entry = entry?;
                // A name that is not UTF-8 is none of ours.
                if entry.file_type()?.is_file()
                    && let Ok(name) = entry.file_name().into_string()
                {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        failed("list", directory, names())
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        failed("rename", from, fs::rename(self.path(from), self.path(to)))
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        failed("remove", name, fs::remove_file(self.path(name)))
    }

    fn create_dir(&self, name: &str) -> DiskResult<()> {
        let made = DirBuilder::new().mode(PRIVATE_DIRECTORY).create(self.path(name));
        let made = made.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists if self.path(name).is_dir() => Ok(()),
            _ => Err(error),
        });
        failed("create", name, made)
    }

    fn sync_dir(&self, directory: &str) -> DiskResult<()> {
        failed("sync", directory, File::open(self.path(directory)).and_then(|d| Ok(fsync(d)?)))
    }

    fn set_read_only(&self, name: &str) -> DiskResult<()> {
        let permissions = Permissions::from_mode(READ_ONLY_FILE);
        failed("change mode of", name, fs::set_permissions(self.path(name), permissions))
    }

    fn is_read_only(&self, name: &str) -> DiskResult<bool> {
        let metadata = failed("stat", name, fs::metadata(self.path(name)))?;
        Ok(metadata.permissions().readonly())
    }

    fn lock(&self, name: &str) -> DiskResult<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE);
        let file = failed("open", name, options.open(self.path(name)))?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        failed("lock", name, locked.map_err(io::Error::from))?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn map(&self, name: &str) -> DiskResult<MappedBytes> {
        failed("map", name, File::open(self.path(name)).and_then(|file| MappedBytes::map(&file)))
    }
}

/// Closing the file releases the lock.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    name: String,
}

impl RealFile {
    fn failed<T>(
        &self,
        operation: &'static str,
        offset: Option<u64>,
        result: io::Result<T>,
    ) -> DiskResult<T> {
        result.map_err(|source| DiskError { operation, name: self.name.clone(), offset, source })
    }
}

impl DiskFile for RealFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<usize> {
        self.failed("read", Some(offset), self.file.read_at(buffer, offset))
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<Option<usize>> {
        let buffers = &mut [IoSliceMut::new(buffer)];
        match preadv2(&self.file, buffers, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(Some(count)),
            // Not every file system can say; the caller then reads as if it was not in memory.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => self.failed("read", Some(offset), Err(error.into())),
        }
    }

    fn will_need(&self, offset: u64, length: u64) {
        // A hint that is not taken costs time and nothing else.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(length), Advice::WillNeed);
    }

    fn write_at(&self, data: &[u8], offset: u64) -> DiskResult<usize> {
        self.failed("write", Some(offset), self.file.write_at(data, offset))
    }

    fn sync_data(&self) -> DiskResult<()> {
        self.failed("sync", None, fdatasync(&self.file).map_err(io::Error::from))
    }

    fn len(&self) -> DiskResult<u64> {
        self.failed("stat", None, self.file.metadata().map(|metadata| metadata.len()))
    }

    fn set_len(&self, length: u64) -> DiskResult<()> {
        self.failed("cut", Some(length), self.file.set_len(length))
    }
}
