//! What a walk through the files of a dump will come to, read before it is there.
//!
//! The directories come into the cache of blocks and into prepared lists, the small files past
//! that cache into [`Contents`]: whoever walks has a cache of its own, the kernel's, and asks for
//! little of what it was given. So a walk shows only by the files that are too large to be given.
//! Where no file at all is asked for, only directories are being listed, and it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use vac::format::FileKind;
use vac::reader::Node;
use venti_proto::BlockStore;

use super::contents::Contents;
use super::listing::Listings;
use super::{DumpFile, ahead};

/// Bytes of files that are read at once.
const AT_ONCE: u64 = 4 << 20;
/// Bytes of files that are read without a look where the reader is, more or less.
const MOST: u64 = 32 << 20;
/// Directories of which that is so.
const MOST_DIRECTORIES: usize = 128;
/// Bytes of a file that is read.
const MOST_OF_FILE: u64 = 4 << 20;
/// Bytes that are read while nobody asks for a file.
const IN_VAIN: u64 = 64 << 20;

/// Where blocks are read.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) cached: &'a dyn BlockStore,
    /// Behind the cache.
    pub(super) beneath: &'a dyn BlockStore,
}

/// What is read for walks.
#[derive(Default)]
pub(super) struct Walk {
    /// Held by who goes ahead. Whoever does not get it does without.
    turn: Mutex<()>,
    /// Bytes that were taken since the last file was asked for.
    in_vain: AtomicU64,
    contents: Contents,
}

/// Whether a file is read for a walk.
pub(crate) fn is_read_ahead(file: &Node) -> bool {
    file.kind() == FileKind::Regular && (1..=MOST_OF_FILE).contains(&file.size())
}

impl Walk {
    /// The right to go ahead.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turn.try_lock()
    }

    /// Whether files are asked for at all.
    pub(super) fn goes_on(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed) < IN_VAIN
    }

    /// A file was asked for.
    pub(super) fn has_read(&self) {
        self.in_vain.store(0, Ordering::Relaxed);
    }

    /// The walk has come to files: reads those that were not read yet.
    pub(super) fn read_files(&self, stores: Stores<'_>, files: &[Node]) {
        self.contents.fetch(stores.beneath, &self.contents.missing(files));
    }

    /// The content of a file, for one who keeps it.
    pub(super) fn take(&self, file: &Node) -> Option<Arc<Vec<u8>>> {
        self.in_vain.fetch_add(file.size(), Ordering::Relaxed);
        self.contents.take(file)
    }

    /// Reads directories and what is below them, in the order in which a walk goes through them.
    pub(super) fn read_whole(
        &self,
        stores: Stores<'_>,
        listings: &Listings,
        directories: Vec<DumpFile>,
    ) {
        let (mut count, mut bytes, mut unread) = (0, 0, 0);
        let (mut files, mut links) = (Vec::new(), Vec::new());
        let mut next = directories;
        read_directories(stores.cached, &next);
        next.reverse();
        while let Some(directory) = next.pop() {
            count += 1;
            let mut below = Vec::new();
            for node in listings.prepare(directory.content_key(), directory.node()) {
                match node.kind() {
                    FileKind::Directory => below.push(directory.child(node)),
                    FileKind::Symlink => links.push(node),
                    _ if is_read_ahead(&node) => {
                        unread += node.size();
                        files.push(node);
                    }
                    _ => {}
                }
            }
            if bytes < MOST && count + next.len() + below.len() <= MOST_DIRECTORIES {
                read_directories(stores.cached, &below);
                next.extend(below.into_iter().rev());
            }
            if unread >= AT_ONCE || next.is_empty() {
                self.contents.fetch(stores.beneath, &std::mem::take(&mut files));
                ahead::files(stores.cached, &std::mem::take(&mut links));
                bytes += std::mem::take(&mut unread);
            }
        }
    }
}

fn read_directories(store: &dyn BlockStore, directories: &[DumpFile]) {
    let nodes: Vec<Node> = directories.iter().map(|directory| directory.node().clone()).collect();
    ahead::directories(store, &nodes);
}
