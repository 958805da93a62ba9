//! Reads the names of one directory of an older archive: whole, or as a stream.

use std::cmp::Ordering;
use std::collections::VecDeque;

use venti_proto::hash_tree::{Leaf, LeafWalk, directory_position};
use venti_proto::{
    BlockRequest, BlockStore, BlockType, Entry, Root, Score, StreamKind, zero_extend,
};

use super::error::ArchiveError;
use super::known::KnownBlocks;
use super::old::{OldFile, OldStreams, directories_in};
use crate::format::{MetaBlock, VacDir, name_order};

/// Leaves read at once from a large directory: about half a megabyte.
const LEAVES_AT_ONCE: usize = 64;

/// The names of a directory.
pub(super) enum Listing<'a> {
    /// All of them, in order; those that sort before what is asked for are dropped.
    Whole(VecDeque<OldFile>),
    /// Read on as names are asked for.
    Stream(Box<Stream<'a>>),
    /// Something could not be read: nothing is found any more.
    Damaged,
}

/// A directory of more than one block whose names are sorted throughout.
pub(super) struct Stream<'a> {
    store: &'a dyn BlockStore,
    known: &'a KnownBlocks,
    meta: MetaStream,
    entries: EntryStream,
    ahead: VecDeque<OldFile>,
}

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

impl<'a> Listing<'a> {
    pub(super) fn whole(files: Vec<OldFile>) -> Listing<'a> {
        Listing::Whole(files.into())
    }

    /// Opens a directory of any size.
    pub(super) fn open(
        store: &'a dyn BlockStore,
        streams: &OldStreams,
        known: &'a KnownBlocks,
    ) -> Result<Listing<'a>, String> {
        let mut stream = Stream {
            store,
            known,
            meta: MetaStream::new(&streams.meta)?,
            entries: EntryStream { entry: streams.entries, first: 0, leaves: Vec::new() },
            ahead: VecDeque::new(),
        };
        // The block at the top of a tree is read before any other.
        let learn_tops = || known.learn([streams.entries.score, streams.meta.score]);
        if streams.sorted && !(streams.meta.depth == 0 && streams.entries.depth == 0) {
            if stream.read_more()? {
                learn_tops();
            }
            return Ok(Listing::Stream(Box::new(stream)));
        }
        // The original sorts each block by itself only.
        let mut files = Vec::new();
        while stream.read_more()? {
            files.extend(stream.ahead.drain(..));
        }
        learn_tops();
        sort(&mut files);
        Ok(Listing::whole(files))
    }

    /// Everything that is left.
    pub(super) fn into_all(self) -> Result<Vec<OldFile>, String> {
        match self {
            Listing::Whole(files) => Ok(files.into()),
            Listing::Stream(mut stream) => {
                while stream.read_more()? {}
                Ok(stream.ahead.into())
            }
            Listing::Damaged => Ok(Vec::new()),
        }
    }

    /// The directories that are known so far.
    pub(super) fn directories(&self) -> impl DoubleEndedIterator<Item = OldStreams> {
        let files = match self {
            Listing::Whole(files) => Some(files),
            Listing::Stream(stream) => Some(&stream.ahead),
            Listing::Damaged => None,
        };
        let (front, back) = files.map_or((&[][..], &[][..]), VecDeque::as_slices);
        directories_in(front).chain(directories_in(back))
    }

    /// See [`super::old::OldDirectory::find`].
    pub(super) fn find(&mut self, name: &[u8]) -> Result<Option<OldFile>, String> {
        loop {
            let files = match self {
                Listing::Whole(files) => files,
                Listing::Stream(stream) => &mut stream.ahead,
                Listing::Damaged => return Ok(None),
            };
            while let Some(first) = files.front() {
                match name_order(&first.dir.name, name) {
                    Ordering::Less => {
                        files.pop_front();
                    }
                    Ordering::Equal => return Ok(files.pop_front()),
                    Ordering::Greater => return Ok(None),
                }
            }
            let Listing::Stream(stream) = self else { return Ok(None) };
            match stream.read_more() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(detail) => {
                    *self = Listing::Damaged;
                    return Err(detail);
                }
            }
        }
    }
}

impl Stream<'_> {
    /// Reads some more names. False at the end.
    fn read_more(&mut self) -> Result<bool, String> {
        let Some(blocks) = self.meta.next_blocks(self.store, self.known)? else { return Ok(false) };
        for block in blocks {
            let parsed = MetaBlock::parse(&block).map_err(|e| e.to_string())?;
            for number in 0..parsed.len() {
                let dir = parsed.entry(number).map_err(|e| e.to_string())?;
                let file = resolve(dir, |number| self.entries.get(self.store, self.known, number))?;
                self.ahead.push_back(file);
            }
        }
        Ok(true)
    }
}

impl MetaStream {
    fn new(meta: &Entry) -> Result<MetaStream, String> {
        let walk = LeafWalk::new(meta).map_err(|e| e.to_string())?;
        Ok(MetaStream { walk, block_size: meta.data_size as usize })
    }

    fn next_blocks(
        &mut self,
        store: &dyn BlockStore,
        known: &KnownBlocks,
    ) -> Result<Option<Vec<Vec<u8>>>, String> {
        if self.walk.is_done() {
            return Ok(None);
        }
        let mut leaves = Vec::new();
        self.walk.next_leaves(store, LEAVES_AT_ONCE, &mut leaves).map_err(|e| e.to_string())?;
        leaves.retain(|leaf| !leaf.is_hole());
        let mut blocks = read_leaves(store, known, &leaves, BlockType::DATA)?;
        for block in &mut blocks {
            zero_extend(BlockType::DATA, block, self.block_size);
        }
        Ok(Some(blocks))
    }
}

impl EntryStream {
    /// The entry of this number, if it is in use.
    fn get(
        &mut self,
        store: &dyn BlockStore,
        known: &KnownBlocks,
        number: u32,
    ) -> Result<Option<Entry>, String> {
        let (leaf, at) = directory_position(number, self.entry.data_size);
        let end = self.first + self.leaves.len() as u64;
        if !(self.first..end).contains(&leaf) {
            self.read(store, known, leaf)?;
        }
        let position = usize::try_from(leaf - self.first).unwrap_or(usize::MAX);
        let Some(block) = self.leaves.get(position) else { return Ok(None) };
        entry_at(block, at)
    }

    /// Moves the window so that it starts with this leaf.
    fn read(
        &mut self,
        store: &dyn BlockStore,
        known: &KnownBlocks,
        leaf: u64,
    ) -> Result<(), String> {
        let data_size = u64::from(self.entry.data_size);
        let bytes = leaf * data_size..(leaf + LEAVES_AT_ONCE as u64) * data_size;
        let mut walk = LeafWalk::over(&self.entry, bytes).map_err(|e| e.to_string())?;
        let mut leaves = Vec::new();
        walk.next_leaves(store, LEAVES_AT_ONCE, &mut leaves).map_err(|e| e.to_string())?;
        if leaves.iter().any(Leaf::is_hole) {
            // One run stands for any number of leaves: places could not be counted.
            return Err("zeros among the entries of a directory".to_owned());
        }
        self.leaves = read_leaves(store, known, &leaves, BlockType::DIRECTORY)?;
        self.first = leaf;
        Ok(())
    }
}

/// Decodes a directory whose streams are one block each, in order.
pub(super) fn decode_small(
    streams: &OldStreams,
    entries: &[u8],
    mut meta: Vec<u8>,
) -> Result<Vec<OldFile>, String> {
    zero_extend(BlockType::DATA, &mut meta, streams.meta.data_size as usize);
    let parsed = MetaBlock::parse(&meta).map_err(|e| e.to_string())?;
    let mut files = Vec::with_capacity(parsed.len());
    for number in 0..parsed.len() {
        let dir = parsed.entry(number).map_err(|e| e.to_string())?;
        let entry = |number| match directory_position(number, streams.entries.data_size) {
            (0, at) => entry_at(entries, at),
            _ => Ok(None),
        };
        files.push(resolve(dir, entry)?);
    }
    sort(&mut files);
    Ok(files)
}

fn sort(files: &mut [OldFile]) {
    if !files.is_sorted_by(|a, b| name_order(&a.dir.name, &b.dir.name).is_le()) {
        files.sort_by(|a, b| name_order(&a.dir.name, &b.dir.name));
    }
}

/// Looks up the streams that a directory entry names.
fn resolve(
    dir: VacDir,
    mut entry: impl FnMut(u32) -> Result<Option<Entry>, String>,
) -> Result<OldFile, String> {
    let current = |found: Option<Entry>, generation| found.filter(|e| e.generation == generation);
    let content = current(entry(dir.entry)?, dir.generation);
    let meta = match content {
        Some(Entry { kind: StreamKind::Directory, .. }) => {
            current(entry(dir.meta_entry)?, dir.meta_generation)
        }
        _ => None,
    };
    let external = dir.unix.as_ref().and_then(|unix| unix.external);
    let external = match external {
        Some(place) => current(entry(place.entry)?, place.generation),
        None => None,
    };
    Ok(OldFile { dir, content, meta, external })
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
    store: &dyn BlockStore,
    known: &KnownBlocks,
    leaves: &[Leaf],
    block_type: BlockType,
) -> Result<Vec<Vec<u8>>, String> {
    let requests: Vec<BlockRequest> =
        leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect();
    let mut blocks = vec![Vec::new(); leaves.len()];
    let mut outcome = Ok(());
    store.read(&requests, &mut |position, block| match block {
        Ok(block) => {
            if let Some(slot) = blocks.get_mut(position) {
                slot.extend_from_slice(block);
            }
        }
        Err(error) => outcome = Err(error.to_string()),
    });
    outcome?;
    known.learn(leaves.iter().map(|leaf| leaf.score));
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
