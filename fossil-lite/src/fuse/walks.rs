//! Files that the kernel is given before it asks for them.
//!
//! Where a directory's files are going to be read, all small ones are put into the kernel's cache
//! while it waits to hear that the directory has no more names: then it knows their inodes, and
//! nobody can ask for their content yet. That is a fraction of the work of one request for each.
//!
//! The kernel holds up whoever gives it a page that it has asked for, until somebody answers. So
//! only some of the threads may give at once: those that are left answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use vac::reader::Node;

/// Threads that may give files to the kernel at once.
const GIVERS: usize = 3;
/// Directories of which files are remembered.
const MOST: usize = 64;
/// Bytes of the files of a directory that are given at once.
const MOST_BYTES: u64 = 32 << 20;

/// The files that directories in a walk were seen to have, by the inodes of the directories.
#[derive(Default)]
pub(super) struct Walks {
    seen: Mutex<HashMap<u64, Vec<(u64, Node)>>>,
    givers: AtomicUsize,
}

/// The right to give files to the kernel.
pub(super) struct Giver<'a>(&'a AtomicUsize);

impl Walks {
    /// Small files were seen in a directory: with their inodes.
    pub(super) fn see(&self, directory: u64, mut files: Vec<(u64, Node)>) {
        let mut bytes = 0;
        files.retain(|(_, node)| {
            bytes += node.size();
            bytes <= MOST_BYTES
        });
        let mut seen = self.seen.lock();
        if seen.len() < MOST || seen.contains_key(&directory) {
            seen.insert(directory, files);
        }
    }

    /// What was seen, once.
    pub(super) fn take(&self, directory: u64) -> Option<Vec<(u64, Node)>> {
        self.seen.lock().remove(&directory)
    }

    /// Nothing if enough others are at it.
    pub(super) fn giver(&self) -> Option<Giver<'_>> {
        let before = self.givers.fetch_add(1, Ordering::SeqCst);
        let giver = Giver(&self.givers);
        (before < GIVERS).then_some(giver)
    }
}

impl Drop for Giver<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
