//! Reads the names of one directory of an older archive: whole, or as a stream.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use venti_proto::hash_tree::{Leaf, LeafWalk, directory_position};
use venti_proto::{
    BlockRequest, BlockStore, BlockType, Entry, Root, Score, StreamKind, zero_extend,
};

use super::error::ArchiveError;
use super::known::KnownBlocks;
use super::old::OldStreams;
use super::old_entry::{OldEntry, entries_of};
use crate::format::{MetaBlock, VacDir, name_order};

/// Leaves read at once from a large directory: about half a megabyte.
const LEAVES_AT_ONCE: usize = 64;

/// Where directories are read, and who is told which blocks are there.
#[derive(Clone, Copy)]
pub(super) struct OldStore<'a> {
    pub(super) blocks: &'a dyn BlockStore,
    pub(super) known: &'a KnownBlocks,
}

/// The names of a directory, in order; those that sort before what is asked for are dropped.
pub(super) struct Listing {
    files: VecDeque<OldEntry>,
    /// Where more of them come from, in a large directory.
    more: Option<SharedStream>,
}

/// Whoever comes first reads on.
pub(super) type SharedStream = Arc<Mutex<Stream>>;

/// A directory of more than one block whose names are sorted throughout.
pub(super) struct Stream {
    meta: MetaStream,
    entries: EntryStream,
    /// What was read ahead.
    ahead: Option<Batch>,
}

/// Some names of a stream, none at its end. `Err` says what is damaged.
type Batch = Result<VecDeque<OldEntry>, String>;

/// The meta blocks that were not read yet.
struct MetaStream {
    walk: LeafWalk,
    block_size: usize,
}

/// A window of the stream of entries.
struct EntryStream {
    entry: Entry,
    first: u64,
    leaves: Vec<Vec<u8>>,
}

impl Listing {
    /// Opens a directory of any size.
    pub(super) fn open(store: OldStore<'_>, streams: &OldStreams) -> Result<Listing, String> {
        let mut stream = Stream {
            meta: MetaStream::new(&streams.meta)?,
            entries: EntryStream { entry: streams.entries, first: 0, leaves: Vec::new() },
            ahead: None,
        };
        let mut files = stream.read(store)?;
        // The original sorts each block by itself only.
        while !streams.sorted && !stream.meta.walk.is_done() {
            files.append(&mut stream.read(store)?);
        }
        if stream.meta.walk.is_done() {
            sort(files.make_contiguous());
        }
        // The block at the top of a tree is read before any other.
        store.known.learn([streams.entries.score, streams.meta.score]);
        let more = (!stream.meta.walk.is_done()).then(|| Arc::new(Mutex::new(stream)));
        Ok(Listing { files, more })
    }

    /// Everything that is left.
    pub(super) fn into_all(self, store: OldStore<'_>) -> Result<VecDeque<OldEntry>, String> {
        let mut files = self.files;
        if let Some(stream) = self.more {
            let mut stream = stream.lock();
            loop {
                let mut batch = stream.next(store)?;
                if batch.is_empty() {
                    break;
                }
                files.append(&mut batch);
            }
        }
        Ok(files)
    }

    /// Files that are in memory.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Where more names come from, if they do.
    pub(super) fn more(&self) -> Option<&SharedStream> {
        self.more.as_ref()
    }

    /// The directories that are known so far.
    pub(super) fn directories(&self) -> impl DoubleEndedIterator<Item = OldStreams> {
        self.files.iter().filter_map(OldEntry::streams)
    }

    /// See [`super::old::OldDirectory::find`]. Says whether more names were taken from the stream.
    pub(super) fn find(
        &mut self,
        store: OldStore<'_>,
        name: &[u8],
    ) -> Result<(Option<OldEntry>, bool), String> {
        let mut went_on = false;
        loop {
            while let Some(first) = self.files.front() {
                match name_order(first.name(), name) {
                    Ordering::Less => drop(self.files.pop_front()),
                    Ordering::Equal => return Ok((self.files.pop_front(), went_on)),
                    Ordering::Greater => return Ok((None, went_on)),
                }
            }
            let Some(stream) = &self.more else { return Ok((None, went_on)) };
            let batch = stream.lock().next(store);
            if batch.as_ref().map_or(true, VecDeque::is_empty) {
                self.more = None;
            }
            self.files = batch?;
            went_on = true;
        }
    }
}

impl Stream {
    /// Reads the next names unless they are there.
    pub(super) fn read_ahead(&mut self, store: OldStore<'_>) {
        if self.ahead.is_none() {
            self.ahead = Some(self.read(store));
        }
    }

    fn next(&mut self, store: OldStore<'_>) -> Batch {
        self.ahead.take().unwrap_or_else(|| self.read(store))
    }

    /// Reads some more names.
    fn read(&mut self, store: OldStore<'_>) -> Batch {
        let mut files = VecDeque::new();
        while files.is_empty()
            && let Some(blocks) = self.meta.next_blocks(store)?
        {
            for block in blocks {
                entries_of(block, |number| self.entries.get(store, number), &mut files)?;
            }
        }
        Ok(files)
    }
}

impl MetaStream {
    fn new(meta: &Entry) -> Result<MetaStream, String> {
        let walk = LeafWalk::new(meta).map_err(|e| e.to_string())?;
        Ok(MetaStream { walk, block_size: meta.data_size as usize })
    }

    fn next_blocks(&mut self, store: OldStore<'_>) -> Result<Option<Vec<Vec<u8>>>, String> {
        if self.walk.is_done() {
            return Ok(None);
        }
        let mut leaves = Vec::new();
        self.walk
            .next_leaves(store.blocks, LEAVES_AT_ONCE, &mut leaves)
            .map_err(|e| e.to_string())?;
        leaves.retain(|leaf| !leaf.is_hole());
        let mut blocks = read_leaves(store, &leaves, BlockType::DATA)?;
        for block in &mut blocks {
            zero_extend(BlockType::DATA, block, self.block_size);
        }
        Ok(Some(blocks))
    }
}

impl EntryStream {
    /// The entry of this number, if it is in use.
    fn get(&mut self, store: OldStore<'_>, number: u32) -> Result<Option<Entry>, String> {
        let (leaf, at) = directory_position(number, self.entry.data_size);
        let end = self.first + self.leaves.len() as u64;
        if !(self.first..end).contains(&leaf) {
            self.read(store, leaf)?;
        }
        let position = usize::try_from(leaf - self.first).unwrap_or(usize::MAX);
        let Some(block) = self.leaves.get(position) else { return Ok(None) };
        entry_at(block, at)
    }

    /// Moves the window so that it starts with this leaf.
    fn read(&mut self, store: OldStore<'_>, leaf: u64) -> Result<(), String> {
        let data_size = u64::from(self.entry.data_size);
        let bytes = leaf * data_size..(leaf + LEAVES_AT_ONCE as u64) * data_size;
        let mut walk = LeafWalk::over(&self.entry, bytes).map_err(|e| e.to_string())?;
        let mut leaves = Vec::new();
        walk.next_leaves(store.blocks, LEAVES_AT_ONCE, &mut leaves).map_err(|e| e.to_string())?;
        if leaves.iter().any(Leaf::is_hole) {
            // One run stands for any number of leaves: places could not be counted.
            return Err("zeros among the entries of a directory".to_owned());
        }
        self.leaves = read_leaves(store, &leaves, BlockType::DIRECTORY)?;
        self.first = leaf;
        Ok(())
    }
}

/// Takes a directory whose streams are one block each, in order.
pub(super) fn small(
    streams: &OldStreams,
    entries: &[u8],
    mut meta: Vec<u8>,
) -> Result<Listing, String> {
    zero_extend(BlockType::DATA, &mut meta, streams.meta.data_size as usize);
    let entry = |number| match directory_position(number, streams.entries.data_size) {
        (0, at) => entry_at(entries, at),
        _ => Ok(None),
    };
    let mut files = VecDeque::new();
    entries_of(meta, entry, &mut files)?;
    sort(files.make_contiguous());
    Ok(Listing { files, more: None })
}

fn sort(files: &mut [OldEntry]) {
    if !files.is_sorted_by(|a, b| name_order(a.name(), b.name()).is_le()) {
        files.sort_by(|a, b| name_order(a.name(), b.name()));
    }
}

/// The entry at this byte of a leaf that may be cut short.
fn entry_at(block: &[u8], at: usize) -> Result<Option<Entry>, String> {
    let Some(found) = block.get(at..) else { return Ok(None) };
    let mut bytes = [0; Entry::SIZE];
    let length = found.len().min(Entry::SIZE);
    bytes[..length].copy_from_slice(&found[..length]);
    Entry::decode(&bytes).map_err(|e| e.to_string())
}

/// Reads leaves; a hole has no bytes.
fn read_leaves(
    store: OldStore<'_>,
    leaves: &[Leaf],
    block_type: BlockType,
) -> Result<Vec<Vec<u8>>, String> {
    let requests: Vec<BlockRequest> =
        leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect();
    let mut blocks = vec![Vec::new(); leaves.len()];
    let mut outcome = Ok(());
    store.blocks.read(&requests, &mut |position, block| match block {
        Ok(block) => {
            if let Some(slot) = blocks.get_mut(position) {
                slot.extend_from_slice(block);
            }
        }
        Err(error) => outcome = Err(error.to_string()),
    });
    outcome?;
    store.known.learn(leaves.iter().map(|leaf| leaf.score));
    Ok(blocks)
}

/// Reads the root block, the directory block below it, and the entry of the topmost directory.
pub(super) fn open_top(
    store: &dyn BlockStore,
    score: Score,
    known: &KnownBlocks,
) -> Result<(Root, OldStreams, Option<VacDir>), ArchiveError> {
    let damaged = |detail: String| ArchiveError::OldArchive { root: score, detail };
    let block = store.read_block(score, BlockType::ROOT).map_err(|e| damaged(e.to_string()))?;
    let root = Root::decode(&block).map_err(|e| damaged(e.to_string()))?;
    if root.kind != b"vac" {
        let kind = String::from_utf8_lossy(&root.kind).into_owned();
        return Err(damaged(format!("an archive of kind {kind:?}, expected \"vac\"")));
    }
    let mut top = read_top(store, root.score).map_err(damaged)?;
    if top.len() == 1
        && let Some(Entry { depth: 0, kind: StreamKind::Directory, score, .. }) = top.first()
    {
        // Fossil puts one more directory in between.
        top = read_top(store, *score).map_err(damaged)?;
    }
    match top.as_slice() {
        [entries, meta, above] => {
            known.learn([root.score]);
            let dir = top_entry(store, above, known);
            let facts = dir.as_ref().and_then(|dir| dir.unix.as_ref()?.directory);
            let sorted = facts.is_some_and(|facts| facts.sorted);
            Ok((root, OldStreams { entries: *entries, meta: *meta, sorted }, dir))
        }
        found => Err(damaged(format!("{} entries at the top, expected 3", found.len()))),
    }
}

/// The entry of the topmost directory itself, if there is a sound one.
fn top_entry(store: &dyn BlockStore, above: &Entry, known: &KnownBlocks) -> Option<VacDir> {
    let mut block = store.read_block(above.score, BlockType::DATA).ok()?;
    known.learn([above.score]);
    zero_extend(BlockType::DATA, &mut block, above.data_size as usize);
    MetaBlock::parse(&block).ok()?.entry(0).ok()
}

fn read_top(store: &dyn BlockStore, score: Score) -> Result<Vec<Entry>, String> {
    let block = store.read_block(score, BlockType::DIRECTORY).map_err(|e| e.to_string())?;
    let mut entries = Vec::new();
    for number in 0..3 {
        entries.extend(entry_at(&block, number * Entry::SIZE)?);
    }
    Ok(entries)
}
