//! What is being read where, and what will be read next.
//!
//! A directory is read with its first use, both of its streams at once. Whoever reads a second
//! file of a directory will probably read more of them, and so will whoever enters a second
//! directory in a directory: then the next ones are read before they are asked for, in steps that
//! grow with what was asked for. Whoever reads one file reads no other. Whoever only lists
//! directories reads no files. Where files were read in several directories side by side, as when
//! a tree is copied, it is a [walk](super::walk): what it comes to next is read before it is
//! there, and so it goes on below.
//!
//! Locks: [`Visits::recent`] is held for no longer than it takes to look there; a [`Visit`] while
//! what stands beside is read, so that others who come to the same directory find it read, but not
//! while a walk is read ahead, for which there is [`Walk::turn`]. Nobody holds two visits.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vac::reader::{Node, ReadError};
use venti_proto::{BlockStore, Score};

use super::listing::Listings;
use super::upcoming::Upcoming;
use super::walk::{Stores, Walk};
use super::{DumpFile, ahead};

/// Directories that are remembered.
const REMEMBERED: usize = 1024;
/// Bytes of files that are read ahead at once.
const MOST_BYTES: u64 = 4 << 20;
/// Directories in which files must have been read for the next one to be expected to be.
const WALKED: u64 = 2;
/// Files that are read when a directory is entered where that is expected, and nothing is shown.
const EXPECTED: u64 = 64;
/// Directories that a walk is ahead of its reader, at most.
const AHEAD: usize = 64;
/// Directories that it reads at once.
const AT_ONCE: usize = 16;
/// A directory with more bytes of names than this is not looked through for the first few files.
const LONG: u64 = 512 << 10;
/// The first few.
const FEW: u64 = 32;

type Key = (Score, Score, u64);

/// What is being read.
#[derive(Default)]
pub(super) struct Visits {
    recent: Mutex<Recent>,
    walk: Walk,
}

#[derive(Default)]
struct Recent {
    visits: HashMap<Key, (u64, Arc<Mutex<Visit>>)>,
    /// Counts looks: who was looked for last has the largest number.
    now: u64,
}

/// What was read in a directory.
#[derive(Default)]
struct Visit {
    entered: bool,
    files: Children,
    directories: Children,
    /// Directories in it below which files were read.
    walked: u64,
    /// Whether its files are going to be read, as far as can be told.
    expected: bool,
    upcoming: Upcoming<DumpFile>,
}

/// Children of one kind.
#[derive(Default)]
struct Children {
    /// How many were asked for.
    wanted: u64,
    /// How many were read ahead, from the first one on.
    ahead: u64,
}

impl Children {
    /// One more is asked for: how many to read ahead now. At the 2nd, 8th, 32nd and so on, eight
    /// times as many as were asked for.
    fn want(&mut self) -> u64 {
        self.wanted += 1;
        let half = self.wanted / 2;
        let is_step =
            self.wanted == 2 * half && half.is_power_of_two() && half.ilog2().is_multiple_of(2);
        if is_step { 8 * self.wanted } else { 0 }
    }
}

impl Recent {
    fn visit(&mut self, key: Key) -> Arc<Mutex<Visit>> {
        self.now += 1;
        let now = self.now;
        if let Some((last, visit)) = self.visits.get_mut(&key) {
            *last = now;
            return Arc::clone(visit);
        }
        if self.visits.len() >= REMEMBERED {
            let oldest = self.visits.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.visits.remove(&oldest);
            }
        }
        let visit = Arc::<Mutex<Visit>>::default();
        self.visits.insert(key, (now, Arc::clone(&visit)));
        visit
    }
}

impl Visits {
    fn visit(&self, directory: &DumpFile) -> Arc<Mutex<Visit>> {
        self.recent.lock().visit(directory.content_key())
    }

    /// A directory is going to be listed, or looked for names in, by a reader who does not
    /// [`show`](Visits::show) what was found.
    pub(super) fn enter(&self, store: &dyn BlockStore, directory: &DumpFile) {
        let visit = self.visit(directory);
        if self.come(store, directory, false) && visit.lock().expected {
            fetch(store, directory.node(), &mut visit.lock().files, EXPECTED, Kind::Files);
        }
    }

    /// A directory is going to be listed by a reader who will show what was found.
    pub(super) fn list(&self, store: &dyn BlockStore, directory: &DumpFile) -> bool {
        self.come(store, directory, true);
        self.visit(directory).lock().expected
    }

    /// Reads a directory, unless somebody has come to it before.
    fn come(&self, store: &dyn BlockStore, directory: &DumpFile, shows: bool) -> bool {
        let visit = self.visit(directory);
        if std::mem::replace(&mut visit.lock().entered, true) {
            return false;
        }
        let (expected, by_number) = directory.parent().map_or((false, false), |parent| {
            let visit = self.visit(parent);
            let mut visit = visit.lock();
            visit.upcoming.reach(|other| other.node().name() == directory.node().name());
            let is_walk = visit.walked >= WALKED || visit.expected;
            let files = is_walk && self.walk.goes_on();
            let count = visit.directories.want();
            if !(files && shows) {
                fetch(store, parent.node(), &mut visit.directories, count, Kind::Directories);
            }
            (files, visit.upcoming.is_by_number())
        });
        ahead::directories(store, std::slice::from_ref(directory.node()));
        let mut visit = visit.lock();
        visit.expected = expected;
        visit.upcoming.start(by_number);
        true
    }

    /// A list of a directory has shown directories, with the numbers that the reader knows them by.
    pub(super) fn show(&self, directory: &DumpFile, directories: Vec<(u64, DumpFile)>) {
        if directories.is_empty() {
            return;
        }
        let visit = self.visit(directory);
        let mut visit = visit.lock();
        for (number, directory) in directories {
            visit.upcoming.add(number, directory);
        }
    }

    /// Whether a reader of a directory goes by the numbers of the files.
    pub(super) fn goes_by_number(&self, directory: &DumpFile) -> bool {
        self.visit(directory).lock().upcoming.is_by_number()
    }

    /// Reads what a walk that has come to a directory will come to next: what is in it, and what
    /// is beside it. One does that for all.
    pub(super) fn go_ahead(&self, stores: Stores<'_>, listings: &Listings, directory: &DumpFile) {
        let Some(_turn) = self.walk.turn() else { return };
        for above in [Some(directory), directory.parent()].into_iter().flatten() {
            let visit = self.visit(above);
            // Many at once, now and then, cost less than one each time.
            let mut wants = visit.lock().upcoming.wants(AHEAD / 2);
            while wants {
                let next = visit.lock().upcoming.take(AHEAD, AT_ONCE);
                wants = !next.is_empty();
                self.walk.read_whole(stores, listings, next);
            }
        }
    }

    /// What is read for walks.
    pub(super) fn walk(&self) -> &Walk {
        &self.walk
    }

    /// A file is going to be read from its start. Returns the files that were read ahead.
    pub(super) fn read(&self, store: &dyn BlockStore, file: &DumpFile) -> Vec<DumpFile> {
        self.walk.has_read();
        let Some(directory) = file.parent() else { return Vec::new() };
        let (is_first, files) = {
            let visit = self.visit(directory);
            let mut visit = visit.lock();
            let count = visit.files.want();
            let files = fetch(store, directory.node(), &mut visit.files, count, Kind::Files);
            (visit.files.wanted == 1, files)
        };
        let mut above = directory.parent().filter(|_| is_first);
        while let Some(directory) = above {
            let visit = self.visit(directory);
            let mut visit = visit.lock();
            visit.walked += 1;
            above = directory.parent().filter(|_| visit.walked == 1);
        }
        files.into_iter().map(|node| directory.child(node)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Files,
    Directories,
}

/// Reads the next children of a directory, at most `count`, and returns those that were read as a
/// whole.
fn fetch(
    store: &dyn BlockStore,
    directory: &Node,
    children: &mut Children,
    count: u64,
    kind: Kind,
) -> Vec<Node> {
    let long = directory.meta().is_some_and(|meta| meta.size > LONG);
    if count == 0 || long && children.wanted < FEW {
        return Vec::new();
    }
    // Whoever needs what can not be read finds out why.
    let mut next = next(directory, children.ahead, count, kind).unwrap_or_default();
    children.ahead += next.len() as u64;
    match kind {
        Kind::Files => ahead::files(store, &next),
        Kind::Directories => ahead::directories(store, &next),
    }
    next.retain(|node| node.size() <= ahead::SMALL_FILE);
    next
}

fn next(directory: &Node, skip: u64, count: u64, kind: Kind) -> Result<Vec<Node>, ReadError> {
    let mut scan = directory.children()?;
    let (mut batch, mut chosen) = (Vec::new(), Vec::new());
    let (mut passed, mut bytes, mut more) = (0, 0, true);
    while more {
        more = scan.next_batch(&mut batch)?;
        for node in batch.drain(..).flatten() {
            if node.is_directory() != (kind == Kind::Directories) {
                continue;
            }
            passed += 1;
            if passed <= skip {
                continue;
            }
            bytes += if node.size() <= ahead::SMALL_FILE { node.size() } else { 0 };
            chosen.push(node);
            if chosen.len() as u64 == count || bytes >= MOST_BYTES {
                return Ok(chosen);
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_grows_with_what_is_asked_for() {
        let mut children = Children::default();
        let steps: Vec<u64> = (0..200).map(|_| children.want()).collect();
        let steps: Vec<_> = steps.iter().zip(1..).filter(|(count, _)| **count > 0).collect();
        assert_eq!(steps, [(&16, 2), (&64, 8), (&256, 32), (&1024, 128)]);
    }

    #[test]
    fn those_that_were_not_visited_for_long_are_forgotten() {
        let mut recent = Recent::default();
        let key = |number: usize| (Score::of(&number.to_be_bytes()), Score::ZERO, 0);
        recent.visit(key(0)).lock().entered = true;
        for number in 1..2 * REMEMBERED {
            recent.visit(key(number)).lock().entered = true;
            assert!(recent.visit(key(0)).lock().entered, "visited again and again");
        }
        assert_eq!(recent.visits.len(), REMEMBERED);
        assert!(!recent.visit(key(1)).lock().entered);
        assert!(recent.visit(key(2 * REMEMBERED - 1)).lock().entered);
    }
}
