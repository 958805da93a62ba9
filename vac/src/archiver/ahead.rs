//! Walkers: threads that open, list and look up directories before the walk comes to them.
//!
//! The walk takes what is ready, waits for what a walker is at, and does itself what nobody has
//! begun; so it meets the same names in the same order whatever the walkers do. They take work in
//! the order in which the walk will need it ([`Todo`]): directories of what was looked up, and of
//! a large directory runs of names. Errors are kept with what they are about; only the walk
//! reports.
//!
//! They are never in a directory that the walk would not be in: not behind another device number,
//! where the walk decides first whether it crosses, and not in what the selection leaves out. What
//! is ready and not taken is bounded in names and in open directories.
//!
//! There is one lock, which is held for no call of the system.

mod listing;
#[cfg(test)]
mod tests;
mod todo;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

pub(super) use listing::{Called, Listed, Listing, Looked, Opened, Run};
use todo::{Job, Part, Place, Todo};

use super::run::Shared;
use super::select::Selection;

/// Names that are ready and not taken, at the most. A directory of more names is left to the walk.
const NAMES_AHEAD: usize = 8 * 1024;
/// Open directories that are ready and not taken, at the most.
const DIRECTORIES_AHEAD: usize = 512;
/// The share of this process's descriptors that may be used for that.
const DESCRIPTORS_SHARE: u64 = 8;

/// What the walkers and the walk share.
pub(super) struct Ahead<'a> {
    selection: &'a Selection<'a>,
    shared: &'a Shared,
    walkers: usize,
    most_directories: usize,
    next_number: AtomicU64,
    state: Mutex<State>,
    /// Walkers wait here for work, or for room for what they find.
    work: Condvar,
    /// The walk waits here for what a walker is at.
    done: Condvar,
}

#[derive(Default)]
struct State {
    todo: Todo,
    found: HashMap<Place, Found>,
    /// Names in `found`.
    names: usize,
    /// Open directories in `found`.
    directories: usize,
    /// What the walk waits for.
    awaited: Option<Place>,
    /// No work is begun until the walk has taken some of what is ready.
    is_full: bool,
    stop: bool,
}

/// What became of a piece of work.
enum Found {
    /// Somebody is at it. What is found is kept if it is still wanted then.
    Begun {
        wanted: bool,
    },
    Directory(Result<Box<Listed>, Errno>),
    Run(Arc<Run>),
}

impl Found {
    /// What is to be gone on with.
    fn run(&self) -> Option<&Arc<Run>> {
        match self {
            Found::Run(run) => Some(run),
            Found::Directory(Ok(listed)) => listed.first.as_ref(),
            Found::Directory(Err(_)) | Found::Begun { .. } => None,
        }
    }

    /// Names and open directories that it holds.
    fn size(&self) -> (usize, usize) {
        match self {
            Found::Begun { .. } => (0, 0),
            Found::Directory(Ok(listed)) => (1 + listed.listing.names.len(), 1),
            Found::Directory(Err(_)) => (1, 0),
            Found::Run(run) => (run.len(), 0),
        }
    }
}

impl State {
    fn put(&mut self, place: Place, found: Found) {
        self.take(place);
        let (names, directories) = found.size();
        self.names += names;
        self.directories += directories;
        self.found.insert(place, found);
    }

    /// Takes everything that is ready, and what will be.
    fn drop_ready(&mut self) -> Vec<(Place, Found)> {
        (self.names, self.directories) = (0, 0);
        let is_ready = |_: &Place, found: &mut Found| match found {
            Found::Begun { wanted } => {
                *wanted = false;
                false
            }
            Found::Directory(_) | Found::Run(_) => true,
        };
        let dropped: Vec<(Place, Found)> = self.found.extract_if(is_ready).collect();
        let listing_of = |found: &Found| match found {
            Found::Directory(Ok(listed)) => Some(listed.listing.number),
            _ => None,
        };
        // Whoever is in one of them keeps it open, but nothing more is begun there.
        let gone: Vec<_> = dropped.iter().map(|(place, f)| (*place, listing_of(f))).collect();
        self.todo.forget(&gone);
        dropped
    }

    fn take(&mut self, place: Place) -> Option<Found> {
        let found = self.found.remove(&place)?;
        let (names, directories) = found.size();
        self.names -= names;
        self.directories -= directories;
        Some(found)
    }
}

impl<'a> Ahead<'a> {
    pub(super) fn new(selection: &'a Selection<'a>, shared: &'a Shared, walkers: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let share = usize::try_from(limit / DESCRIPTORS_SHARE).unwrap_or(usize::MAX);
        Ahead {
            selection,
            shared,
            walkers,
            most_directories: share.clamp(1, DIRECTORIES_AHEAD),
            next_number: AtomicU64::new(0),
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        }
    }

    pub(super) fn selection(&self) -> &'a Selection<'a> {
        self.selection
    }

    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// Starts the walkers; they end when what is returned is dropped.
    pub(super) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>) -> StopWalking<'s, 'a> {
        for _ in 0..self.walkers {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                while let Some(job) = self.next_job() {
                    self.work_on(&job, &mut buffer);
                }
            });
        }
        StopWalking(self)
    }

    /// Lists an open directory on the thread of the walk. The walkers go on below it, before
    /// everything else that they know of.
    pub(super) fn list(
        &self,
        opened: Opened,
        path: &[u8],
        below: usize,
        buffer: &mut Vec<u8>,
    ) -> Box<Listed> {
        let called = Called { number: self.number(), path: path.to_vec(), below };
        let listed = opened.list(called, usize::MAX, self.selection, buffer);
        if let Some(first) = &listed.first {
            self.begin(first);
        }
        listed
    }

    /// What a walker found at this position of a run, if one has begun with it.
    pub(super) fn directory(
        &self,
        run: &Run,
        position: usize,
    ) -> Option<Result<Box<Listed>, Errno>> {
        let place = Place { listing: run.listing.number, part: Part::Directory, position };
        match self.wait_for(place)? {
            Found::Directory(listed) => Some(listed),
            Found::Begun { .. } | Found::Run(_) => None,
        }
    }

    /// The names of a directory from this position on, looked up.
    pub(super) fn run(&self, listing: &Arc<Listing>, position: usize) -> Arc<Run> {
        let place = Place { listing: listing.number, part: Part::Names, position };
        if let Some(Found::Run(run)) = self.wait_for(place) {
            return run;
        }
        let run = Arc::new(Run::look_up(listing, position, self.selection));
        self.begin(&run);
        run
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn begin(&self, run: &Arc<Run>) {
        if self.walkers > 0 {
            self.state.lock().todo.push(run);
            self.work.notify_all();
        }
    }

    /// Takes what a walker found, once it is ready; nothing if none has begun, and none will.
    fn wait_for(&self, place: Place) -> Option<Found> {
        if self.walkers == 0 {
            return None;
        }
        let mut state = self.state.lock();
        while let Some(Found::Begun { wanted }) = state.found.get_mut(&place) {
            *wanted = true;
            state.awaited = Some(place);
            self.done.wait(&mut state);
        }
        let found = state.take(place);
        let mut dropped = Vec::new();
        if found.is_none() {
            state.todo.pass(place);
            if state.is_full {
                // The walk took long for something that nobody had begun, and what is ready by
                // now comes behind what is in it: it would keep the walkers from going there.
                dropped = state.drop_ready();
            }
        }
        let has_room = state.names <= NAMES_AHEAD / 4 * 3
            && state.directories <= self.most_directories / 4 * 3;
        if state.is_full && has_room {
            state.is_full = false;
            self.work.notify_all();
        }
        // Not before the lock is let go: it closes directories.
        drop(state);
        drop(dropped);
        found
    }

    /// Waits for work. None when it is time to end.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.stop || self.shared.check().is_err() {
                return None;
            }
            state.is_full |=
                state.names >= NAMES_AHEAD || state.directories >= self.most_directories;
            let Some(job) = (if state.is_full { None } else { state.todo.take() }) else {
                self.work.wait(&mut state);
                continue;
            };
            let place = job.place();
            if let Some(Found::Begun { wanted }) = state.found.get_mut(&place) {
                *wanted = true;
                state.todo.finish(place, None);
                continue;
            }
            state.put(place, Found::Begun { wanted: true });
            return Some(job);
        }
    }

    fn work_on(&self, job: &Job, buffer: &mut Vec<u8>) {
        let place = job.place();
        let found = match job {
            Job::Directory { run, position } => {
                let number = self.number();
                run.list_child(*position, number, NAMES_AHEAD, self.selection, buffer)
                    .map(Found::Directory)
            }
            Job::Names { listing, position } => {
                let run = Run::look_up(listing, *position, self.selection);
                Some(Found::Run(Arc::new(run)))
            }
        };
        let mut state = self.state.lock();
        let wanted = matches!(state.take(place), Some(Found::Begun { wanted: true }));
        let (found, unwanted) = if wanted { (found, None) } else { (None, found) };
        let run = found.as_ref().and_then(Found::run);
        state.todo.finish(place, run);
        if run.is_some() {
            self.work.notify_one();
        }
        if let Some(found) = found {
            state.put(place, found);
        }
        if state.awaited == Some(place) {
            state.awaited = None;
            self.done.notify_one();
        }
        drop(state);
        drop(unwanted);
    }
}

/// Ends the walkers when dropped.
pub(super) struct StopWalking<'s, 'a>(&'s Ahead<'a>);

impl Drop for StopWalking<'_, '_> {
    fn drop(&mut self) {
        self.0.state.lock().stop = true;
        self.0.work.notify_all();
    }
}
