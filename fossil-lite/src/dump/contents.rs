//! The content of files that a walk will come to, read before it is there.
//!
//! Whoever takes a content keeps it in a cache of its own, the kernel's. So it is read past the
//! cache of blocks, each file into one piece of memory, and forgotten when it was taken as often
//! as it was wanted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use vac::reader::Node;
use venti_proto::hash_tree::LeafWalk;
use venti_proto::{BlockRequest, BlockStore, Entry};

/// Bytes that are kept for those who never come.
const MOST: usize = 64 << 20;
/// Contents that were taken are in the order for some time.
const TAKEN: usize = 1024;

/// Contents that nobody has taken yet.
#[derive(Default)]
pub(super) struct Contents {
    ready: Mutex<Ready>,
}

#[derive(Default)]
struct Ready {
    /// Without their generations, in which equal contents differ.
    contents: HashMap<Entry, Content>,
    /// The oldest first; also some that were taken since.
    order: VecDeque<Entry>,
    bytes: usize,
}

struct Content {
    bytes: Arc<Vec<u8>>,
    /// How often it will be taken.
    wanted: usize,
}

/// A file that is being read.
struct Reading {
    entry: Entry,
    walk: LeafWalk,
    bytes: Vec<u8>,
    /// Whether all of it could be read.
    is_whole: bool,
}

impl Contents {
    /// Reads the contents of files in two round trips: the tops of those that have several blocks,
    /// then the blocks of all. What can not be read is not there afterwards.
    pub(super) fn fetch(&self, store: &dyn BlockStore, files: &[Node]) {
        let mut files = self.ready.lock().new_ones(files);
        read_tops(store, &mut files);
        read_leaves(store, &mut files);
        let mut ready = self.ready.lock();
        for file in files.into_iter().filter(|file| file.is_whole) {
            ready.put(file.entry, file.bytes);
        }
    }

    /// The content of a file, if it is there.
    pub(super) fn take(&self, file: &Node) -> Option<Arc<Vec<u8>>> {
        self.ready.lock().take(&plain(file.content()))
    }

    /// The files whose contents are not there.
    pub(super) fn missing(&self, files: &[Node]) -> Vec<Node> {
        let ready = self.ready.lock();
        let is_missing = |file: &&Node| !ready.contents.contains_key(&plain(file.content()));
        files.iter().filter(is_missing).cloned().collect()
    }
}

fn plain(entry: &Entry) -> Entry {
    Entry { generation: 0, ..*entry }
}

impl Ready {
    fn new_ones(&mut self, nodes: &[Node]) -> Vec<Reading> {
        let mut files = Vec::new();
        for entry in nodes.iter().map(|node| plain(node.content())) {
            match self.contents.get_mut(&entry) {
                Some(content) => content.wanted += 1,
                None => files.extend(LeafWalk::new(&entry).ok().map(|walk| Reading {
                    entry,
                    walk,
                    bytes: vec![0; usize::try_from(entry.size).unwrap_or(0)],
                    is_whole: true,
                })),
            }
        }
        files
    }

    fn put(&mut self, entry: Entry, bytes: Vec<u8>) {
        if let Some(content) = self.contents.get_mut(&entry) {
            content.wanted += 1;
            return;
        }
        self.bytes += bytes.len();
        self.contents.insert(entry, Content { bytes: Arc::new(bytes), wanted: 1 });
        if self.order.len() > 2 * self.contents.len() + TAKEN {
            self.order.retain(|entry| self.contents.contains_key(entry));
        }
        self.order.push_back(entry);
        while self.bytes > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(&oldest);
        }
    }

    fn take(&mut self, entry: &Entry) -> Option<Arc<Vec<u8>>> {
        let content = self.contents.get_mut(entry)?;
        content.wanted -= 1;
        if content.wanted > 0 {
            return Some(Arc::clone(&content.bytes));
        }
        self.remove(entry)
    }

    fn remove(&mut self, entry: &Entry) -> Option<Arc<Vec<u8>>> {
        let content = self.contents.remove(entry)?;
        self.bytes -= content.bytes.len();
        Some(content.bytes)
    }
}

fn read_tops(store: &dyn BlockStore, files: &mut [Reading]) {
    let mut requests = Vec::new();
    let mut of = Vec::new();
    for (at, file) in files.iter().enumerate() {
        if let Some(request) = file.walk.top_request() {
            requests.push(request);
            of.push(at);
        }
    }
    if requests.is_empty() {
        return;
    }
    store.read(&requests, &mut |position, block| {
        let file = &mut files[of[position]];
        file.is_whole &= block.is_ok_and(|block| file.walk.take_top(block).is_ok());
    });
}

fn read_leaves(store: &dyn BlockStore, files: &mut [Reading]) {
    let (mut requests, mut places) = (Vec::new(), Vec::new());
    let mut leaves = Vec::new();
    for (at, file) in files.iter_mut().enumerate().filter(|(_, file)| file.is_whole) {
        leaves.clear();
        file.is_whole = file.walk.next_leaves(store, usize::MAX, &mut leaves).is_ok();
        let block_type = file.entry.kind.leaf_type();
        for leaf in leaves.iter().filter(|leaf| !leaf.is_hole()) {
            requests.push(BlockRequest { score: leaf.score, block_type });
            places.push((at, leaf.offset, leaf.length));
        }
    }
    if requests.is_empty() {
        return;
    }
    store.read(&requests, &mut |position, block| {
        let (at, offset, length) = places[position];
        let file = &mut files[at];
        match block {
            Ok(block) if block.len() <= file.entry.data_size as usize => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let length = block.len().min(usize::try_from(length).unwrap_or(0));
                match file.bytes.get_mut(start..start.saturating_add(length)) {
                    Some(place) => place.copy_from_slice(&block[..length]),
                    None => file.is_whole = false,
                }
            }
            _ => file.is_whole = false,
        }
    });
}
