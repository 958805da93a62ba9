//! Reads directories from any position without beginning anew each time.
//!
//! An archive's directory can only be read from its start. A reader that stops comes back for
//! more soon, so the scan is kept under the position where it stopped. Whoever comes back to
//! another position waits for a new scan to get there.

use std::collections::VecDeque;

use parking_lot::Mutex;
use vac::reader::{Child, DirectoryScan, Node};
use venti_proto::Score;

use crate::FileError;

/// Scans that are kept at once; each holds up to one batch of names.
const KEPT: usize = 64;

/// Which directory: both of its streams, and their sizes.
type Key = (Score, Score, u64);

/// Scans that have stopped.
#[derive(Default)]
pub(super) struct Listings {
    stopped: Mutex<VecDeque<Listing>>,
}

struct Listing {
    key: Key,
    /// How many names were taken.
    position: u64,
    scan: DirectoryScan,
    more: bool,
    /// Read and not taken, the next one last.
    ready: Vec<Child>,
}

impl Listings {
    /// Gives the children from `position` on to `take` with the position behind each, until it
    /// says no. Names that no file can have are left out, and so is what can not be read: asking
    /// for it by name says why.
    pub(super) fn list(
        &self,
        key: Key,
        directory: &Node,
        position: u64,
        take: &mut dyn FnMut(&Node, u64) -> bool,
    ) -> Result<(), FileError> {
        let mut listing = match self.resume(&key, position) {
            Some(listing) => listing,
            None => {
                let scan = directory.children()?;
                Listing { key, position: 0, scan, more: true, ready: Vec::new() }
            }
        };
        while let Some(child) = listing.next()? {
            let behind = listing.position + 1;
            let good = child.as_ref().ok().filter(|node| node.metadata().checked_name().is_ok());
            if behind > position
                && let Some(node) = good
                && !take(node, behind)
            {
                listing.ready.push(child);
                self.stop(listing);
                break;
            }
            listing.position = behind;
        }
        Ok(())
    }

    fn resume(&self, key: &Key, position: u64) -> Option<Listing> {
        let mut stopped = self.stopped.lock();
        let found = stopped.iter().position(|l| l.position == position && l.key == *key)?;
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
    fn next(&mut self) -> Result<Option<Child>, FileError> {
        while self.ready.is_empty() && self.more {
            self.more = self.scan.next_batch(&mut self.ready)?;
            self.ready.reverse();
        }
        Ok(self.ready.pop())
    }
}
