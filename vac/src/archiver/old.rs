//! The older archive, read in the order of the walk and ahead of it.
//!
//! The two are merged like sorted lists: the walk asks for names in ascending order, and the old
//! directory moves on. Directories of one block are fetched by a thread that walks the older
//! archive by itself, many at a time, so that no round trip is waited for; large ones are read
//! as a stream, in bounded memory.
//!
//! What can not be read is as if it were not there: the files are read again, which is never
//! wrong, and the caller is told.

use std::collections::{HashMap, HashSet};
use std::thread::Scope;

use parking_lot::{Condvar, Mutex};
use venti_proto::{BlockRequest, BlockStore, Entry, Root, Score, StreamKind};

use super::chunk::{FileResult, Work};
use super::describe::{timestamp, unix_kind};
use super::dump::{DumpBase, DumpDay};
use super::error::ArchiveError;
use super::known::KnownBlocks;
use super::old_listing::{Listing, decode_small, open_top};
use crate::format::{DirectoryStreams, VacDir};
use crate::walk::{Attributes, Extended, FileKind};

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

/// A file or directory in the older archive.
#[derive(Clone, Debug)]
pub(super) struct OldFile {
    pub(super) dir: VacDir,
    pub(super) content: Option<Entry>,
    pub(super) meta: Option<Entry>,
    /// Fields that are too large for the entry.
    pub(super) external: Option<Entry>,
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
    ready: HashMap<Key, Vec<OldFile>>,
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
        let (root, mut top, _) = open_top(store, score, &known)?;
        let mut dump = DumpBase::default();
        if let Some(day) = day {
            dump = DumpBase::read(store, &top, day, &known)
                .map_err(|detail| ArchiveError::OldArchive { root: score, detail })?;
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

    /// Fetches the next directories. False when it is time to end.
    fn fetch_some(&self) -> bool {
        let wanted: Vec<OldStreams> = {
            let mut state = self.state.lock();
            while !state.stop && (state.todo.is_empty() || state.held >= FILES_AHEAD) {
                self.wake.wait(&mut state);
            }
            if state.stop {
                return false;
            }
            let first = state.todo.len().saturating_sub(FETCH);
            let mut wanted = state.todo.split_off(first);
            wanted.reverse();
            wanted.retain(OldStreams::is_small);
            state.loading.extend(wanted.iter().map(OldStreams::key));
            wanted
        };
        let fetched = fetch(self.store, &wanted, &self.known);
        let mut state = self.state.lock();
        for (streams, files) in wanted.iter().zip(fetched).rev() {
            state.loading.remove(&streams.key());
            if let Some(files) = files {
                state.todo.extend(directories_in(&files).rev());
                state.held += files.len();
                if let Some(twin) = state.ready.insert(streams.key(), files) {
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
        if let Some(files) = state.ready.remove(&key) {
            state.held -= files.len();
            self.wake.notify_all();
            return Ok(OldDirectory { listing: Listing::whole(files) });
        }
        // The walk was faster, or is where the fetching thread did not expect it.
        let near = state.todo.len().saturating_sub(FETCH);
        if let Some(position) = state.todo[near..].iter().position(|s| s.key() == key) {
            state.todo.remove(near + position);
        }
        drop(state);
        let listing = Listing::open(self.store, &streams, &self.known)?;
        let mut state = self.state.lock();
        if state.held >= FILES_AHEAD {
            // Fetched for directories that are no more: nobody will ask.
            state.ready.clear();
            state.held = 0;
        }
        state.todo.extend(listing.directories().rev());
        self.wake.notify_all();
        Ok(OldDirectory { listing })
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
fn fetch(
    store: &dyn BlockStore,
    wanted: &[OldStreams],
    known: &KnownBlocks,
) -> Vec<Option<Vec<OldFile>>> {
    let request =
        |entry: &Entry| BlockRequest { score: entry.score, block_type: entry.kind.leaf_type() };
    let requests: Vec<BlockRequest> =
        wanted.iter().flat_map(|s| [request(&s.entries), request(&s.meta)]).collect();
    let mut blocks: Vec<Option<Vec<u8>>> = vec![None; requests.len()];
    store.read(&requests, &mut |position, block| {
        if let (Some(slot), Ok(block)) = (blocks.get_mut(position), block) {
            *slot = Some(block.to_vec());
        }
    });
    let read = requests.iter().zip(&blocks).filter(|(_, block)| block.is_some());
    known.learn(read.map(|(request, _)| request.score));
    let mut blocks = blocks.into_iter();
    wanted
        .iter()
        .map(|streams| {
            let (entries, meta) = (blocks.next().flatten(), blocks.next().flatten());
            decode_small(streams, &entries?, meta?).ok()
        })
        .collect()
}

/// The directories among files, in their order.
pub(super) fn directories_in(files: &[OldFile]) -> impl DoubleEndedIterator<Item = OldStreams> {
    files.iter().filter_map(OldFile::streams)
}

/// A directory of the older archive, asked for ascending names.
pub(super) struct OldDirectory<'a> {
    listing: Listing<'a>,
}

impl OldDirectory<'_> {
    /// The file with this name, which sorts behind all that were asked for before. `Err` says
    /// what is damaged; then nothing more is found.
    pub(super) fn find(&mut self, name: &[u8]) -> Result<Option<OldFile>, String> {
        self.listing.find(name)
    }
}

impl OldFile {
    /// A directory that was written just now.
    pub(super) fn directory(dir: VacDir, streams: &DirectoryStreams) -> OldFile {
        let DirectoryStreams { entries, meta, .. } = *streams;
        OldFile { dir, content: Some(entries), meta: Some(meta), external: None }
    }

    /// The streams, if it is a directory.
    pub(super) fn streams(&self) -> Option<OldStreams> {
        let (entries, meta) = (self.content?, self.meta?);
        let directory = entries.kind == StreamKind::Directory && meta.kind == StreamKind::Data;
        let facts = self.dir.unix.as_ref().and_then(|unix| unix.directory);
        let sorted = facts.is_some_and(|facts| facts.sorted);
        directory.then_some(OldStreams { entries, meta, sorted })
    }

    /// What of this can be taken for a file that has these attributes now: size, times of
    /// modification and change, and inode must be equal. An archive of the original has only
    /// size and time in seconds.
    pub(super) fn reuse(
        self,
        attributes: &Attributes,
        block_size: u32,
    ) -> Option<(Work, FileResult)> {
        let content = self.content.filter(|entry| {
            entry.kind == StreamKind::Data
                && entry.data_size == block_size
                && (attributes.kind != FileKind::Regular || entry.size == attributes.size)
        })?;
        // The original leaves marks of its own that say nothing of the content.
        let content = Entry { generation: 0, local: false, no_archive: false, ..content };
        if self.dir.kind() != unix_kind(attributes.kind) {
            return None;
        }
        let Some(unix) = self.dir.unix else {
            let same = self.dir.modified == super::describe::seconds(attributes.modified)
                && attributes.kind == FileKind::Regular;
            return same.then(|| (Work::ReuseContent(content), FileResult::default()));
        };
        let same = unix.modified == timestamp(attributes.modified)
            && unix.changed == Some(timestamp(attributes.changed))
            && unix.identity.is_some_and(|i| i.inode == attributes.identity.inode)
            && !unix.torn;
        if !same {
            return None;
        }
        if unix.external.is_some() {
            let regular = attributes.kind == FileKind::Regular;
            return regular.then(|| (Work::ReuseContent(content), FileResult::default()));
        }
        let extended = Extended {
            attributes: unix.xattrs.into_iter().map(|x| (x.name, x.value)).collect(),
            flags: unix.inode_flags.unwrap_or(0),
        };
        let result = FileResult { extended, holes: unix.holes, ..FileResult::default() };
        Some((Work::Reuse(content), result))
    }
}
