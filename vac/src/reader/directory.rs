//! Reads a directory: meta blocks in order, each name joined with its Venti entries.
//!
//! The entries of the names in one meta block lie close together in the other stream, in archives
//! of ours and of the original. So a batch of meta blocks is read, then the blocks of Venti
//! entries that it needs, and both are forgotten before the next batch.

use std::collections::{BTreeMap, BTreeSet};

use venti_proto::hash_tree::{Leaf, LeafWalk, TreeError, directory_position};
use venti_proto::{BlockRequest, BlockStore, Entry, StoreError, StreamKind};

use super::{Node, ReadError};
use crate::format::{FileKind, FormatError, MetaBlock, VacDir};

/// Bytes of meta blocks that are read at once.
const WINDOW: u32 = 1 << 20;

/// Blocks of Venti entries that are held at once.
const MOST_BLOCKS: usize = 128;

/// A name of a directory that leads to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadChild {
    /// The name; empty if a whole meta block could not be read, and its names are not known.
    pub name: Vec<u8>,
    /// Why.
    pub error: ReadError,
}

/// A name of a directory, and what it leads to.
pub type Child = Result<Node, BadChild>;

/// Where a scan is.
pub struct DirectoryScan {
    directory: Node,
    walk: LeafWalk,
    leaves: Vec<Leaf>,
}

impl DirectoryScan {
    pub(super) fn new(directory: &Node) -> Result<DirectoryScan, ReadError> {
        let meta = directory.meta().ok_or(ReadError::NotADirectory)?;
        let walk = LeafWalk::new(meta)?;
        Ok(DirectoryScan { directory: directory.clone(), walk, leaves: Vec::new() })
    }

    /// Appends the next children to `children`, in the order of the archive, and returns whether
    /// there may be more.
    ///
    /// # Errors
    /// [`ReadError::Tree`] if the stream can not be followed any further.
    pub fn next_batch(&mut self, children: &mut Vec<Child>) -> Result<bool, ReadError> {
        let directory = &self.directory;
        let Some(meta) = directory.meta() else { return Ok(false) };
        let limit = (WINDOW / meta.data_size.max(1)).clamp(1, 1024) as usize;
        self.leaves.clear();
        self.walk.next_leaves(&**directory.store(), limit, &mut self.leaves)?;
        let names = read_names(directory, meta, &self.leaves, children);
        join(directory, names, children);
        Ok(!self.walk.is_done())
    }
}

/// Decodes what the meta blocks of these leaves hold.
fn read_names(
    directory: &Node,
    meta: &Entry,
    leaves: &[Leaf],
    children: &mut Vec<Child>,
) -> Vec<VacDir> {
    // A run of zeros is blocks without names.
    let requests: Vec<_> =
        leaves.iter().filter(|leaf| !leaf.is_hole()).map(leaf_request(meta)).collect();
    let mut blocks = BTreeMap::new();
    directory.store().read(&requests, &mut |position, block| {
        let decoded = block.map_err(ReadError::from).and_then(|block| decode(meta, block));
        blocks.insert(position, decoded);
    });
    let mut names = Vec::new();
    for decoded in blocks.into_values() {
        match decoded {
            Ok((good, bad)) => {
                names.extend(good);
                children.extend(bad.into_iter().map(Err));
            }
            Err(error) => children.push(Err(BadChild { name: Vec::new(), error })),
        }
    }
    names
}

fn leaf_request(stream: &Entry) -> impl Fn(&Leaf) -> BlockRequest {
    let block_type = stream.kind.leaf_type();
    move |leaf| BlockRequest { score: leaf.score, block_type }
}

/// The names in one meta block; those that can not be decoded apart.
fn decode(meta: &Entry, block: &[u8]) -> Result<(Vec<VacDir>, Vec<BadChild>), ReadError> {
    let whole = extended(meta, block)?;
    let block = MetaBlock::parse(&whole)?;
    let mut good = Vec::with_capacity(block.len());
    let mut bad = Vec::new();
    for number in 0..block.len() {
        match block.entry(number) {
            Ok(vac_dir) => good.push(vac_dir),
            Err(error) => {
                let name = block.name(number).unwrap_or_default().to_vec();
                bad.push(BadChild { name, error: error.into() });
            }
        }
    }
    Ok((good, bad))
}

/// A block of a stream with the zeros that truncation took, as far as a meta block can have any.
pub(super) fn extended(stream: &Entry, block: &[u8]) -> Result<Vec<u8>, ReadError> {
    let full = usize::try_from(stream.data_size).unwrap_or(usize::MAX);
    if block.len() > full {
        let (size, limit) = (block.len(), full);
        let what = "a block of a directory";
        return Err(FormatError::TooLong { what, size, limit }.into());
    }
    let mut whole = block.to_vec();
    whole.resize(full.min(1 << 16).max(block.len()), 0);
    Ok(whole)
}

/// Joins names with their Venti entries, and appends the children in order.
fn join(directory: &Node, names: Vec<VacDir>, children: &mut Vec<Child>) {
    let data_size = directory.content().data_size;
    let mut names = names.into_iter().peekable();
    while names.peek().is_some() {
        // Names of a hostile archive may be scattered over the whole stream.
        let (mut group, mut needed) = (Vec::new(), BTreeSet::new());
        while needed.len() < MOST_BLOCKS
            && let Some(vac_dir) = names.next()
        {
            needed.extend(places(&vac_dir).map(|place| directory_position(place, data_size).0));
            group.push(vac_dir);
        }
        let blocks = EntryBlocks::read(directory, &group);
        children.extend(group.into_iter().map(|vac_dir| join_one(directory, vac_dir, &blocks)));
    }
}

pub(super) fn join_one(directory: &Node, vac_dir: VacDir, blocks: &EntryBlocks) -> Child {
    match entries_of(&vac_dir, blocks) {
        Ok((content, meta, external)) => Ok(directory.child(vac_dir, content, meta, external)),
        Err(error) => Err(BadChild { name: vac_dir.name, error }),
    }
}

/// Content, meta blocks and external stream of a name.
type Entries = (Entry, Option<Entry>, Option<Entry>);

fn entries_of(vac_dir: &VacDir, blocks: &EntryBlocks) -> Result<Entries, ReadError> {
    let is_directory = vac_dir.kind() == FileKind::Directory;
    let kind = if is_directory { StreamKind::Directory } else { StreamKind::Data };
    let content = blocks.entry(vac_dir.entry, vac_dir.generation, kind)?;
    let meta = if is_directory {
        let generation = vac_dir.meta_generation;
        Some(blocks.entry(vac_dir.meta_entry, generation, StreamKind::Data)?)
    } else {
        None
    };
    let external = vac_dir.unix.as_ref().and_then(|unix| unix.external);
    let external = external
        .map(|place| blocks.entry(place.entry, place.generation, StreamKind::Data))
        .transpose()?;
    Ok((content, meta, external))
}

/// Blocks of Venti entries of one directory.
pub(super) struct EntryBlocks {
    data_size: u32,
    blocks: BTreeMap<u64, Result<Vec<u8>, ReadError>>,
}

impl EntryBlocks {
    /// Reads the blocks that these names need.
    pub(super) fn read(directory: &Node, names: &[VacDir]) -> EntryBlocks {
        let stream = directory.content();
        let data_size = stream.data_size;
        let mut blocks = BTreeMap::new();
        for number in names.iter().flat_map(places) {
            let (block, _) = directory_position(number, data_size);
            blocks.entry(block).or_insert_with(|| Ok(Vec::new()));
        }
        let mut found = EntryBlocks { data_size, blocks };
        if let Err(error) = found.fill(&**directory.store(), stream) {
            let error = ReadError::from(error);
            found.blocks.values_mut().for_each(|block| *block = Err(error.clone()));
        }
        found
    }

    /// Only the block at the start of the stream.
    pub(super) fn single(stream: &Entry, block: Result<&[u8], StoreError>) -> EntryBlocks {
        let block = block.map(<[u8]>::to_vec).map_err(ReadError::from);
        EntryBlocks { data_size: stream.data_size, blocks: BTreeMap::from([(0, block)]) }
    }

    fn fill(&mut self, store: &dyn BlockStore, stream: &Entry) -> Result<(), TreeError> {
        let size = u64::from(self.data_size);
        let mut leaves = Vec::new();
        let mut wanted = self.blocks.keys().copied().peekable();
        while let Some(first) = wanted.next() {
            let mut end = first + 1;
            while wanted.next_if(|next| *next == end).is_some() {
                end += 1;
            }
            let mut walk = LeafWalk::over(stream, first * size..end * size)?;
            // One run of blocks at a time, or holes of two runs would become one.
            let mut run = Vec::new();
            walk.next_leaves(store, usize::MAX, &mut run)?;
            leaves.extend(run.into_iter().filter(|leaf| !leaf.is_hole()));
        }
        let requests: Vec<_> = leaves.iter().map(leaf_request(stream)).collect();
        store.read(&requests, &mut |position, block| {
            let number = leaves[position].offset / size;
            let block = block.map(<[u8]>::to_vec).map_err(ReadError::from);
            self.blocks.insert(number, block);
        });
        Ok(())
    }

    /// The entry at this place, if it is in use, of this generation and kind.
    fn entry(&self, number: u32, generation: u32, kind: StreamKind) -> Result<Entry, ReadError> {
        let (block, start) = directory_position(number, self.data_size);
        let dangling = |detail| ReadError::Dangling { number, detail };
        let block = match self.blocks.get(&block) {
            Some(Ok(block)) => block,
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(dangling("is behind the end of the directory")),
        };
        // Truncation may have cut the zeros at the end of the entry.
        let mut bytes = [0; Entry::SIZE];
        let stored = block.get(start..).unwrap_or_default();
        let length = stored.len().min(Entry::SIZE);
        bytes[..length].copy_from_slice(&stored[..length]);
        let entry = Entry::decode(&bytes).map_err(|source| ReadError::Entry { number, source })?;
        let entry = entry.ok_or_else(|| dangling("is not in use"))?;
        if entry.generation != generation {
            return Err(dangling("is of another generation"));
        }
        if entry.kind != kind {
            return Err(dangling("is not of the kind that the name says"));
        }
        Ok(entry)
    }
}

/// All places in the stream of Venti entries that a name needs.
fn places(vac_dir: &VacDir) -> impl Iterator<Item = u32> {
    let meta = (vac_dir.kind() == FileKind::Directory).then_some(vac_dir.meta_entry);
    let external = vac_dir.unix.as_ref().and_then(|unix| unix.external);
    [Some(vac_dir.entry), meta, external.map(|place| place.entry)].into_iter().flatten()
}

/// Reads all those of `directories` that fit into one block of each stream with one call to the
/// store, and gives each with its children to `deliver`. Returns the positions of the others,
/// which are to be read with [`Node::children`].
pub fn read_small_directories(
    directories: &[Node],
    deliver: &mut dyn FnMut(usize, Vec<Child>),
) -> Vec<usize> {
    let Some(first) = directories.first() else { return Vec::new() };
    let mut requests = Vec::with_capacity(2 * directories.len());
    let mut small = Vec::with_capacity(directories.len());
    let mut large = Vec::new();
    for (position, directory) in directories.iter().enumerate() {
        let streams = directory.meta().map(|meta| [meta, directory.content()]);
        match streams {
            Some(streams) if streams.iter().all(|s| s.depth == 0 && LeafWalk::new(s).is_ok()) => {
                small.push(position);
                requests.extend(streams.map(|stream| BlockRequest {
                    score: stream.score,
                    block_type: stream.kind.leaf_type(),
                }));
            }
            _ => large.push(position),
        }
    }
    // Whichever of the two blocks of a directory comes first waits for the other.
    let mut waiting: BTreeMap<usize, Result<Vec<u8>, StoreError>> = BTreeMap::new();
    first.store().read(&requests, &mut |position, block| {
        let Some(other) = waiting.remove(&(position / 2)) else {
            waiting.insert(position / 2, block.map(<[u8]>::to_vec));
            return;
        };
        let other = other.as_ref().map(Vec::as_slice).map_err(StoreError::clone);
        let (meta, content) = if position % 2 == 0 { (block, other) } else { (other, block) };
        let at = small[position / 2];
        deliver(at, small_directory(&directories[at], meta, content));
    });
    large
}

fn small_directory(
    directory: &Node,
    meta: Result<&[u8], StoreError>,
    content: Result<&[u8], StoreError>,
) -> Vec<Child> {
    let Some(meta_entry) = directory.meta() else { return Vec::new() };
    let decoded = meta.map_err(ReadError::from).and_then(|block| decode(meta_entry, block));
    match decoded {
        Ok((names, bad)) => {
            let blocks = EntryBlocks::single(directory.content(), content);
            let mut children: Vec<Child> = bad.into_iter().map(Err).collect();
            children.extend(names.into_iter().map(|vac_dir| join_one(directory, vac_dir, &blocks)));
            children
        }
        Err(error) => vec![Err(BadChild { name: Vec::new(), error })],
    }
}
