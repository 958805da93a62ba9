//! What is to be opened and looked up, in the order in which the walk will need it.
//!
//! A stack: what is last is needed first. Work that is begun leaves its place in it open, and what
//! is found comes into that place, so that the order holds however many are at work and whoever is
//! done first. Nothing here keeps a directory open: what the walk has let go is no work any more.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use super::listing::{Listing, NAMES_AT_ONCE, Run};

/// How far from the end the place of something is looked for: it is among what is needed first.
const NEAR: usize = 4096;

/// Names one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The number of the directory that it is in.
    pub(super) listing: u64,
    pub(super) part: Part,
    pub(super) position: usize,
}

/// What is done at a position of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The directory of that name is listed.
    Directory,
    /// The names from there on are looked up.
    Names,
}

/// One piece of work.
pub(super) enum Job {
    Directory { run: Arc<Run>, position: usize },
    Names { listing: Arc<Listing>, position: usize },
}

impl Job {
    pub(super) fn place(&self) -> Place {
        let (listing, part, position) = match self {
            Job::Directory { run, position } => (run.listing.number, Part::Directory, *position),
            Job::Names { listing, position } => (listing.number, Part::Names, *position),
        };
        Place { listing, part, position }
    }
}

enum Item {
    /// The directories of a run, from a position on.
    Directories { listing: u64, first: usize, run: Weak<Run>, next: usize },
    /// The names of a directory that nobody looked up, from a position on.
    Names { number: u64, listing: Weak<Listing>, next: usize },
    /// Somebody is at it.
    Begun(Place),
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Todo {
    items: Vec<Item>,
}

impl Todo {
    /// Adds what is in a directory from a run on that the walk looked up: it is needed first.
    pub(super) fn push(&mut self, run: &Arc<Run>) {
        self.insert(self.items.len(), run, true);
    }

    /// The first work that nobody has begun.
    pub(super) fn take(&mut self) -> Option<Job> {
        let mut at = self.items.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let job = match self.items.get_mut(at)? {
                Item::Begun(_) => continue,
                Item::Directories { run, next, .. } => run.upgrade().and_then(|run| {
                    let position = run.next_directory(*next)?;
                    *next = position + 1;
                    Some(Job::Directory { run, position })
                }),
                Item::Names { listing, next, .. } => listing.upgrade().and_then(|listing| {
                    let position = *next;
                    *next = position.saturating_add(NAMES_AT_ONCE);
                    (position < listing.names.len()).then_some(Job::Names { listing, position })
                }),
            };
            let Some(job) = job else {
                self.items.remove(at);
                continue;
            };
            self.items.insert(at + 1, Item::Begun(job.place()));
            return Some(job);
        }
        None
    }

    /// Puts what was found into the place of the work that found it.
    pub(super) fn finish(&mut self, place: Place, found: Option<&Arc<Run>>) {
        let is_it = |item: &Item| matches!(item, Item::Begun(begun) if *begun == place);
        let Some(at) = self.near(is_it) else { return };
        self.items.remove(at);
        if let Some(run) = found {
            self.insert(at, run, place.part == Part::Directory);
        }
    }

    /// Leaves out what the walk sees to itself. Of names it is all from there on: the walk adds
    /// what comes behind when it has looked them up.
    pub(super) fn pass(&mut self, place: Place) {
        let Place { listing: wanted, part, position } = place;
        let at = self.near(|item| match item {
            Item::Directories { listing, first, .. } => {
                part == Part::Directory
                    && *listing == wanted
                    && (*first..first + NAMES_AT_ONCE).contains(&position)
            }
            Item::Names { number, .. } => part == Part::Names && *number == wanted,
            Item::Begun(_) => false,
        });
        let Some(at) = at else { return };
        match self.items.get_mut(at) {
            Some(Item::Directories { next, .. }) => *next = (*next).max(position + 1),
            Some(Item::Names { .. } | Item::Begun(_)) | None => drop(self.items.remove(at)),
        }
    }

    /// Leaves out what is in directories and runs that were ready and are dropped.
    pub(super) fn forget(&mut self, dropped: &[(Place, Option<u64>)]) {
        let runs: HashSet<(u64, usize)> = dropped
            .iter()
            .filter(|(place, _)| place.part == Part::Names)
            .map(|(place, _)| (place.listing, place.position))
            .collect();
        let listings: HashSet<u64> = dropped.iter().filter_map(|(_, listing)| *listing).collect();
        self.items.retain(|item| match item {
            Item::Directories { listing, first, .. } => {
                !listings.contains(listing) && !runs.contains(&(*listing, *first))
            }
            Item::Names { number, .. } => !listings.contains(number),
            Item::Begun(_) => true,
        });
    }

    /// Adds the directories of a run, and below them the names behind the run.
    fn insert(&mut self, at: usize, run: &Arc<Run>, with_rest: bool) {
        let Run { listing, first, .. } = &**run;
        let (number, next) = (listing.number, run.end());
        self.items.insert(
            at,
            Item::Directories {
                listing: number,
                first: *first,
                run: Arc::downgrade(run),
                next: *first,
            },
        );
        if with_rest && next < listing.names.len() {
            let listing = Arc::downgrade(listing);
            self.items.insert(at, Item::Names { number, listing, next });
        }
    }

    fn near(&self, is_it: impl Fn(&Item) -> bool) -> Option<usize> {
        let first = self.items.len().saturating_sub(NEAR);
        Some(first + self.items.get(first..)?.iter().rposition(is_it)?)
    }
}
