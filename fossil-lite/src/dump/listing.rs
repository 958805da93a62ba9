//! Reads directories from any position without beginning anew each time.
//!
//! An archive's directory can only be read from its start. A reader that stops comes back for
//! more soon, so the scan is kept under the position where it stopped. Whoever comes back to
//! another position waits for a new scan to get there.
//!
//! What can not be read does not hide the rest: everything else is listed first, and then it is an
//! error. The positions behind the first gap are others than those of a whole list. So a reader
//! who comes back there is told in the end, whatever became of the scan and of the store since;
//! and the kernel, which goes on with a list that it keeps where the positions join, never joins
//! a list with a gap to one without.

use std::collections::VecDeque;

use parking_lot::Mutex;
use vac::reader::{Child, DirectoryScan, Node};
use venti_proto::Score;

use crate::FileError;

/// Scans that are kept at once; each holds up to one batch of names.
const KEPT: usize = 64;

/// Bytes of names of directories that are read before somebody lists them.
const PREPARED: u64 = 4 << 20;
/// Nor is a directory with more of them.
const MOST: u64 = 256 << 10;

/// Set in the positions behind something that could not be read.
const GAP: u64 = 1 << 62;

/// Which directory: both of its streams, and their sizes.
type Key = (Score, Score, u64);

/// Scans that have stopped.
#[derive(Default)]
pub(super) struct Listings {
    stopped: Mutex<VecDeque<Listing>>,
    /// At their start.
    prepared: Mutex<VecDeque<Listing>>,
}

struct Listing {
    key: Key,
    /// Of all names, as they are stored.
    bytes: u64,
    /// How many children were passed by.
    passed: u64,
    /// What could not be read among them first.
    failed: Option<FileError>,
    scan: DirectoryScan,
    more: bool,
    /// Read and not taken, the next one last.
    ready: Vec<Result<Node, FileError>>,
}

impl Listings {
    /// Gives the children from `position` on to `take` with the position behind each, until it
    /// says no.
    ///
    /// # Errors
    /// When all that can be read was given: why something else could not.
    pub(super) fn list(
        &self,
        key: Key,
        directory: &Node,
        position: u64,
        take: &mut dyn FnMut(&Node, u64) -> bool,
    ) -> Result<(), FileError> {
        let mut listing = match self.resume(&key, position) {
            Some(listing) => listing,
            None => Listing::new(key, directory, position)?,
        };
        let mut given = false;
        while let Some(child) = listing.next() {
            given = true;
            let behind = (listing.passed + 1) | (listing.position() & GAP);
            if behind & !GAP > position & !GAP
                && let Ok(node) = &child
                && !take(node, behind)
            {
                listing.ready.push(child);
                self.stop(listing);
                return Ok(());
            }
            listing.pass(child.err());
        }
        match &listing.failed {
            Some(failed) => return Err(failed.clone()),
            // Whoever was given the last ones asks whether there are more.
            None if given => self.stop(listing),
            None => {}
        }
        Ok(())
    }

    /// Reads the names of a directory for the one who will list it, and returns what they stand
    /// for. Nothing if that was done before; if there are too many; or if something can not be
    /// read, which whoever lists it then finds out.
    pub(super) fn prepare(&self, key: Key, directory: &Node) -> Vec<Node> {
        let is_there = |listing: &Listing| listing.key == key;
        if directory.meta().is_none_or(|meta| meta.size > MOST)
            || self.prepared.lock().iter().any(is_there)
        {
            return Vec::new();
        }
        let Ok(mut listing) = Listing::new(key, directory, 0) else { return Vec::new() };
        let first = listing.next();
        listing.ready.extend(first);
        let read: Result<Vec<Node>, _> = listing.ready.iter().rev().cloned().collect();
        let Ok(nodes) = read else { return Vec::new() };
        let mut prepared = self.prepared.lock();
        prepared.push_back(listing);
        let mut bytes: u64 = prepared.iter().map(|listing| listing.bytes).sum();
        while bytes > PREPARED
            && let Some(oldest) = prepared.pop_front()
        {
            bytes -= oldest.bytes;
        }
        nodes
    }

    fn resume(&self, key: &Key, position: u64) -> Option<Listing> {
        if position == 0 {
            let mut prepared = self.prepared.lock();
            let found = prepared.iter().position(|listing| listing.key == *key)?;
            return prepared.remove(found);
        }
        let mut stopped = self.stopped.lock();
        let found = stopped.iter().position(|l| l.position() == position && l.key == *key)?;
        stopped.remove(found)
    }

    fn stop(&self, listing: Listing) {
        let mut stopped = self.stopped.lock();
        if stopped.len() >= KEPT {
            stopped.pop_front();
        }
        stopped.push_back(listing);
    }
}

impl Listing {
    fn new(key: Key, directory: &Node, position: u64) -> Result<Listing, FileError> {
        let failed = (position & GAP != 0).then(|| FileError::Io {
            detail: "a part of the directory could not be read".to_owned(),
        });
        let scan = directory.children()?;
        let bytes = directory.meta().map_or(0, |meta| meta.size);
        Ok(Listing { key, bytes, passed: 0, failed, scan, more: true, ready: Vec::new() })
    }

    fn position(&self) -> u64 {
        if self.failed.is_some() { self.passed | GAP } else { self.passed }
    }

    /// The next child, or why it can not be shown.
    fn next(&mut self) -> Option<Result<Node, FileError>> {
        while self.ready.is_empty() && self.more {
            let mut children = Vec::new();
            let read = self.scan.next_batch(&mut children);
            let error = read.as_ref().err().cloned();
            self.more = read.unwrap_or(false);
            self.ready.extend(error.map(|error| Err(error.into())));
            self.ready.extend(children.into_iter().rev().map(shown));
        }
        self.ready.pop()
    }

    fn pass(&mut self, failed: Option<FileError>) {
        self.passed += 1;
        // Without a server, each of the blocks that are left would be waited for in vain.
        if matches!(failed, Some(FileError::Unreachable { .. })) {
            self.more = false;
            self.ready.clear();
        }
        self.failed = self.failed.take().or(failed);
    }
}

/// A child under a name that a file can have.
fn shown(child: Child) -> Result<Node, FileError> {
    let node = child.map_err(|bad| FileError::from(bad.error))?;
    match node.metadata().checked_name() {
        Ok(_) => Ok(node),
        Err(error) => Err(FileError::Io { detail: error.to_string() }),
    }
}
