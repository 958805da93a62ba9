//! The older archive, read in the order of the walk and ahead of it.
//!
//! The two are merged like sorted lists: the walk asks for names in ascending order, and the old
//! directory moves on. A thread walks the older archive by itself, so that no round trip is waited
//! for: it fetches directories of one block many at a time, the first names of larger ones, and
//! the next names of those that the walk is in. Large directories are streams, in bounded memory.
//!
//! What can not be read is as if it were not there: the files are read again, which is never
//! wrong, and the caller is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::Scope;

use parking_lot::{Condvar, Mutex};
use venti_proto::{BlockRequest, BlockStore, Entry, Root, Score};

use super::dump::{DumpBase, DumpDay};
use super::error::ArchiveError;
use super::known::KnownBlocks;
use super::old_entry::OldEntry;
use super::old_listing::{Listing, OldStore, SharedStream, open_top, small};

/// Directories fetched at once.
const FETCH: usize = 64;
/// Files of fetched directories that wait for the walk, at the most.
const FILES_AHEAD: usize = 16 * 1024;

/// The two streams of a directory in the older archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldStreams {
    pub(super) entries: Entry,
    pub(super) meta: Entry,
    /// Whether the archive says that the names are sorted throughout.
    pub(super) sorted: bool,
}

/// The older archive.
pub(super) struct OldReader<'a> {
    store: &'a dyn BlockStore,
    score: Score,
    root: Root,
    /// What the walk compares with; none if a hierarchy has no day yet.
    top: Option<OldStreams>,
    dump: DumpBase,
    known: KnownBlocks,
    state: Mutex<State>,
    wake: Condvar,
}

type Key = (Score, Score);

/// What the fetching thread and the walk share.
#[derive(Default)]
struct State {
    /// Directories to be fetched; the last one is needed first.
    todo: Vec<OldStreams>,
    /// Being fetched.
    loading: HashSet<Key>,
    ready: HashMap<Key, Listing>,
    /// Directories that the walk is in, of which more names will be wanted.
    streams: Vec<SharedStream>,
    /// Files in `ready`.
    held: usize,
    stop: bool,
}

impl OldStreams {
    fn key(&self) -> Key {
        (self.entries.score, self.meta.score)
    }

    /// Whether each stream is one block at the most.
    fn is_small(&self) -> bool {
        self.entries.depth == 0 && self.meta.depth == 0
    }
}

impl<'a> OldReader<'a> {
    /// Reads the top of the older archive. With a day, it is a hierarchy of days, and what is
    /// compared with is the latest of them.
    pub(super) fn open(
        store: &'a dyn BlockStore,
        score: Score,
        day: Option<&DumpDay>,
    ) -> Result<OldReader<'a>, ArchiveError> {
        let known = KnownBlocks::default();
        let (root, mut top, entry) = open_top(store, score, &known)?;
        let mut dump = DumpBase::default();
        if let Some(day) = day {
            dump = DumpBase::read(store, &top, day, &known)
                .map_err(|detail| ArchiveError::OldArchive { root: score, detail })?;
            dump.largest_qid = entry.and_then(|dir| dir.qid_space).map_or(0, |space| space.max);
        }
        let comparable = day.is_none() || dump.latest.is_some();
        top = dump.latest.unwrap_or(top);
        let todo = if comparable { vec![top] } else { Vec::new() };
        let state = State { todo, ..State::default() };
        let (state, wake) = (Mutex::new(state), Condvar::new());
        let top = comparable.then_some(top);
        Ok(OldReader { store, score, root, top, dump, known, state, wake })
    }

    /// The topmost directory to compare with.
    pub(super) fn top(&self) -> Option<OldStreams> {
        self.top
    }

    /// The days that are there already.
    pub(super) fn dump(&self) -> &DumpBase {
        &self.dump
    }

    /// The score of the root block.
    pub(super) fn score(&self) -> Score {
        self.score
    }

    /// The root block.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Blocks that were read so far.
    pub(super) fn known(&self) -> &KnownBlocks {
        &self.known
    }

    /// Starts the thread that fetches ahead; it ends when what is returned is dropped.
    pub(super) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>) -> StopFetching<'s, 'a> {
        scope.spawn(|| while self.fetch_some() {});
        StopFetching(self)
    }

    fn as_store(&self) -> OldStore<'_> {
        OldStore { blocks: self.store, known: &self.known }
    }

    /// Reads on in a directory, or fetches the next ones. False when it is time to end.
    fn fetch_some(&self) -> bool {
        let mut state = self.state.lock();
        while !state.stop && state.streams.is_empty() && !state.has_room_for_more() {
            self.wake.wait(&mut state);
        }
        if state.stop {
            return false;
        }
        if let Some(stream) = state.streams.pop() {
            drop(state);
            stream.lock().read_ahead(self.as_store());
            return true;
        }
        let wanted = state.next_wanted();
        state.loading.extend(wanted.iter().map(OldStreams::key));
        drop(state);
        let fetched = match wanted.as_slice() {
            [large] if !large.is_small() => vec![Listing::open(self.as_store(), large).ok()],
            small => fetch(self.as_store(), small),
        };
        let mut state = self.state.lock();
        for (streams, listing) in wanted.iter().zip(fetched).rev() {
            state.loading.remove(&streams.key());
            if let Some(listing) = listing {
                state.todo.extend(listing.directories().rev());
                state.held += listing.len();
                if let Some(twin) = state.ready.insert(streams.key(), listing) {
                    state.held -= twin.len();
                }
            }
        }
        self.wake.notify_all();
        true
    }

    /// Opens a directory. `Err` says what is damaged.
    pub(super) fn open_directory(
        &'a self,
        streams: OldStreams,
    ) -> Result<OldDirectory<'a>, String> {
        let key = streams.key();
        let mut state = self.state.lock();
        while state.loading.contains(&key) {
            self.wake.wait(&mut state);
        }
        if let Some(listing) = state.ready.remove(&key) {
            state.held -= listing.len();
            return Ok(self.opened(&mut state, listing));
        }
        // The walk was faster, or is where the fetching thread did not expect it.
        let near = state.todo.len().saturating_sub(FETCH);
        if let Some(position) = state.todo[near..].iter().position(|s| s.key() == key) {
            state.todo.remove(near + position);
        }
        drop(state);
        let listing = Listing::open(self.as_store(), &streams)?;
        let mut state = self.state.lock();
        if state.held >= FILES_AHEAD {
            // Fetched for directories that are no more: nobody will ask.
            state.ready.clear();
            state.held = 0;
        }
        state.todo.extend(listing.directories().rev());
        Ok(self.opened(&mut state, listing))
    }

    fn opened(&'a self, state: &mut State, listing: Listing) -> OldDirectory<'a> {
        state.streams.extend(listing.more().cloned());
        if !state.streams.is_empty() || state.has_room_for_more() {
            self.wake.notify_all();
        }
        OldDirectory { reader: self, listing }
    }
}

impl State {
    fn has_room_for_more(&self) -> bool {
        !self.todo.is_empty() && self.held < FILES_AHEAD
    }

    /// Takes what is needed first: some directories of one block, or one that is larger.
    fn next_wanted(&mut self) -> Vec<OldStreams> {
        // One that is not sorted throughout would have to be read to its end.
        while self.todo.pop_if(|last| !last.is_small() && !last.sorted).is_some() {}
        let small = self.todo.iter().rev().take(FETCH).take_while(|streams| streams.is_small());
        let first = self.todo.len().saturating_sub(small.count().max(1));
        let mut wanted = self.todo.split_off(first);
        wanted.reverse();
        wanted
    }
}

/// Ends the fetching thread when dropped.
pub(super) struct StopFetching<'s, 'a>(&'s OldReader<'a>);

impl Drop for StopFetching<'_, '_> {
    fn drop(&mut self) {
        self.0.state.lock().stop = true;
        self.0.wake.notify_all();
    }
}

/// Reads small directories with one request; none for those that can not be read.
fn fetch(store: OldStore<'_>, wanted: &[OldStreams]) -> Vec<Option<Listing>> {
    let request =
        |entry: &Entry| BlockRequest { score: entry.score, block_type: entry.kind.leaf_type() };
    let requests: Vec<BlockRequest> =
        wanted.iter().flat_map(|s| [request(&s.entries), request(&s.meta)]).collect();
    let mut blocks: Vec<Option<Vec<u8>>> = vec![None; requests.len()];
    store.blocks.read(&requests, &mut |position, block| {
        if let (Some(slot), Ok(block)) = (blocks.get_mut(position), block) {
            *slot = Some(block.to_vec());
        }
    });
    let read = requests.iter().zip(&blocks).filter(|(_, block)| block.is_some());
    store.known.learn(read.map(|(request, _)| request.score));
    let mut blocks = blocks.into_iter();
    wanted
        .iter()
        .map(|streams| {
            let (entries, meta) = (blocks.next().flatten(), blocks.next().flatten());
            small(streams, &entries?, meta?).ok()
        })
        .collect()
}

/// A directory of the older archive, asked for ascending names.
pub(super) struct OldDirectory<'a> {
    reader: &'a OldReader<'a>,
    listing: Listing,
}

impl OldDirectory<'_> {
    /// The file with this name, which sorts behind all that were asked for before. `Err` says
    /// what is damaged; then nothing more is found.
    pub(super) fn find(&mut self, name: &[u8]) -> Result<Option<OldEntry>, String> {
        let (found, went_on) = self.listing.find(self.reader.as_store(), name)?;
        if went_on && let Some(stream) = self.listing.more() {
            self.reader.state.lock().streams.push(Arc::clone(stream));
            self.reader.wake.notify_all();
        }
        Ok(found)
    }
}
