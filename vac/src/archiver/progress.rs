//! What has been done so far, for whoever shows it while the archiver runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

/// Counters that every thread of the archiver adds to.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files that were not in the older archive.
    pub new: AtomicU64,
    /// Files that were there with other content or attributes.
    pub changed: AtomicU64,
    /// Files that were there as they are.
    pub unchanged: AtomicU64,
    /// Directories.
    pub directories: AtomicU64,
    /// Files and directories that are missing or incomplete in the archive.
    pub failed: AtomicU64,
    /// Files that changed while they were read.
    pub torn: AtomicU64,
    /// Files and directories left out as asked, or by the type of their file system.
    pub left_out: AtomicU64,
    /// Bytes of content read.
    pub bytes_read: AtomicU64,
    /// Bytes of content that the older archive had.
    pub bytes_unchanged: AtomicU64,
    /// Bytes of blocks given to the store.
    pub bytes_sent: AtomicU64,
    /// Blocks given to the store.
    pub blocks_sent: AtomicU64,
    /// Bytes of blocks that were not given to the store because it has them.
    pub bytes_known: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// See [`Counters::new`].
    pub files_new: u64,
    /// See [`Counters::changed`].
    pub files_changed: u64,
    /// See [`Counters::unchanged`].
    pub files_unchanged: u64,
    /// See [`Counters::directories`].
    pub directories: u64,
    /// See [`Counters::failed`].
    pub failed: u64,
    /// See [`Counters::torn`].
    pub torn: u64,
    /// See [`Counters::left_out`].
    pub left_out: u64,
    /// See [`Counters::bytes_read`].
    pub bytes_read: u64,
    /// See [`Counters::bytes_unchanged`].
    pub bytes_unchanged: u64,
    /// See [`Counters::bytes_sent`].
    pub bytes_sent: u64,
    /// See [`Counters::blocks_sent`].
    pub blocks_sent: u64,
    /// See [`Counters::bytes_known`].
    pub bytes_known: u64,
}

impl Counts {
    /// Files that are in the archive.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files_new + self.files_changed + self.files_unchanged
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Counters {
    /// Starts again from zero.
    pub(super) fn reset(&self) {
        let Counters { new, changed, unchanged, directories, failed, torn, .. } = self;
        let Counters { left_out, bytes_read, bytes_unchanged, .. } = self;
        let Counters { bytes_sent, blocks_sent, bytes_known, .. } = self;
        for counter in [
            new,
            changed,
            unchanged,
            directories,
            failed,
            torn,
            left_out,
            bytes_read,
            bytes_unchanged,
            bytes_sent,
            blocks_sent,
            bytes_known,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The numbers of this moment; each is right, though not all of the same instant.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            files_new: of(&self.new),
            files_changed: of(&self.changed),
            files_unchanged: of(&self.unchanged),
            directories: of(&self.directories),
            failed: of(&self.failed),
            torn: of(&self.torn),
            left_out: of(&self.left_out),
            bytes_read: of(&self.bytes_read),
            bytes_unchanged: of(&self.bytes_unchanged),
            bytes_sent: of(&self.bytes_sent),
            blocks_sent: of(&self.blocks_sent),
            bytes_known: of(&self.bytes_known),
        }
    }
}

/// What a caller shares with a running archiver: its numbers, where it is, and a way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// What was done.
    pub counters: Counters,
    /// The directory that the walk is in.
    current: Mutex<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// The path of the directory that the walk is in.
    #[must_use]
    pub fn current(&self) -> Vec<u8> {
        self.current.lock().clone()
    }

    pub(super) fn set_current(&self, path: &[u8]) {
        let mut current = self.current.lock();
        current.clear();
        current.extend_from_slice(path);
    }

    /// Asks the archiver to stop: it soon ends with [`super::ArchiveError::Stopped`], or with
    /// `Interrupted` if there is nothing to go on from.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What [`Progress::stop`] sets, for a signal to set it.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether it was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
