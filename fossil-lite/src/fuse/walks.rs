//! Files that the kernel is given before it asks for them.
//!
//! Where a directory's files are going to be read, all small ones are put into the kernel's cache
//! while it waits to hear that the directory has no more names: then it knows their inodes, and
//! nobody can ask for their content yet. That is a fraction of the work of one request for each.
//!
//! The kernel holds up whoever gives it a page that it has asked for, until somebody answers. So
//! only some of the threads may give at once: those that are left answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use vac::reader::Node;

/// Threads that may give files to the kernel at once.
const GIVERS: usize = 3;
/// Directories of which files are remembered.
const MOST: usize = 64;
/// Bytes of the files of a directory that are given at once.
const MOST_BYTES: u64 = 32 << 20;

/// Files with their inodes.
pub(super) type Files = Vec<(u64, Node)>;

/// The files that directories in a walk were seen to have.
#[derive(Default)]
pub(super) struct Walks {
    /// By the inodes of the directories, the oldest first. Whoever stops in the middle of a
    /// directory does not come for them.
    seen: Mutex<VecDeque<(u64, Files)>>,
    givers: AtomicUsize,
}

/// The right to give files to the kernel.
pub(super) struct Giver<'a>(&'a AtomicUsize);

impl Walks {
    /// Small files were seen in a directory.
    pub(super) fn see(&self, directory: u64, mut files: Files) {
        let mut bytes = 0;
        files.retain(|(_, node)| {
            bytes += node.size();
            bytes <= MOST_BYTES
        });
        let mut seen = self.seen.lock();
        seen.retain(|(other, _)| *other != directory);
        if seen.len() >= MOST {
            seen.pop_front();
        }
        seen.push_back((directory, files));
    }

    /// What was seen, once.
    pub(super) fn take(&self, directory: u64) -> Option<Files> {
        let mut seen = self.seen.lock();
        let at = seen.iter().position(|(other, _)| *other == directory)?;
        seen.remove(at).map(|(_, files)| files)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_nobody_reads_to_the_end_make_room_for_others() {
        let walks = Walks::default();
        for directory in 0..2 * MOST as u64 {
            walks.see(directory, Vec::new());
        }
        assert!(walks.take(0).is_none());
        let last = 2 * MOST as u64 - 1;
        assert!(walks.take(last).is_some() && walks.take(last).is_none());
    }
}
