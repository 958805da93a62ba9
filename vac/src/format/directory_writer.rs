//! Writes the two streams of a directory from its children, which come in the order of names.
//!
//! Memory is one block of each stream and one pointer block a level: a directory of millions of
//! names costs no more than a small one.

use venti_proto::hash_tree::{HashTreeWriter, TreeTooDeep, directory_stream_size};
use venti_proto::{
    BlockBatch, BlockType, Entry, EntryError, Score, StreamKind, zero_truncated_len,
};

use super::plain_entry::copy_entry;
use super::{ExternalStream, FormatError, MetaBlockBuilder, VacDir, name_order};

/// A finished directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryStreams {
    /// The stream of Venti entries.
    pub entries: Entry,
    /// The stream of meta blocks.
    pub meta: Entry,
    /// Names in the directory. The meta blocks as a whole are sorted.
    pub names: u64,
}

/// Gathers the children of one directory after another.
#[derive(Clone, Debug)]
pub struct DirectoryWriter {
    data_size: u32,
    /// Entries in a full leaf.
    per_leaf: u32,
    entry_tree: HashTreeWriter,
    /// The unfinished leaf of Venti entries.
    entry_leaf: Vec<u8>,
    /// Venti entries so far.
    entries: u32,
    meta_tree: HashTreeWriter,
    meta_block: MetaBlockBuilder,
    /// For the streams of fields that are too large.
    data_tree: HashTreeWriter,
    names: u64,
    /// The name before, to check the order.
    previous: Vec<u8>,
    scratch: Vec<u8>,
}

impl DirectoryWriter {
    /// A writer of directories with these block sizes.
    #[must_use]
    pub fn new(pointer_size: u32, data_size: u32) -> DirectoryWriter {
        let entry_size = u32::try_from(Entry::SIZE).unwrap_or(u32::MAX);
        DirectoryWriter {
            data_size,
            per_leaf: (data_size / entry_size).max(1),
            entry_tree: HashTreeWriter::new(StreamKind::Directory, pointer_size, data_size),
            entry_leaf: Vec::new(),
            entries: 0,
            meta_tree: HashTreeWriter::new(StreamKind::Data, pointer_size, data_size),
            meta_block: MetaBlockBuilder::new(data_size),
            data_tree: HashTreeWriter::new(StreamKind::Data, pointer_size, data_size),
            names: 0,
            previous: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a child: a file with its content, or a directory with both its streams. Places and
    /// generations in `child` are set here, and fields that make it too large for a block are
    /// moved to a stream of their own. Blocks that are complete are appended to `batch`.
    ///
    /// # Errors
    /// [`FormatError::Order`] if the child does not sort behind the one before it,
    /// [`FormatError::TooLong`], [`FormatError::Stream`]. The writer is of no use then.
    pub fn push(
        &mut self,
        mut child: VacDir,
        content: &Entry,
        meta: Option<&Entry>,
        batch: &mut BlockBatch,
    ) -> Result<(), FormatError> {
        self.check_order(&child.name)?;
        (child.generation, child.meta_generation, child.meta_entry) = (0, 0, 0);
        child.entry = self.push_entry(content, batch)?;
        if let Some(meta) = meta {
            child.meta_entry = self.push_entry(meta, batch)?;
        }
        if let Some(unix) = &mut child.unix {
            unix.external = None;
        }
        self.encode(&mut child, batch)?;
        self.add_scratch(batch)?;
        self.previous = child.name;
        Ok(())
    }

    /// Adds a file by its entry in another archive: the bytes of a
    /// [`PlainEntry`](super::PlainEntry) of this name, and its content.
    ///
    /// # Errors
    /// As [`DirectoryWriter::push`].
    pub fn push_copy(
        &mut self,
        name: &[u8],
        entry: &[u8],
        content: &Entry,
        batch: &mut BlockBatch,
    ) -> Result<(), FormatError> {
        self.check_order(name)?;
        let place = self.push_entry(content, batch)?;
        self.scratch.clear();
        copy_entry(entry, name, place, &mut self.scratch);
        self.add_scratch(batch)?;
        self.previous.clear();
        self.previous.extend_from_slice(name);
        Ok(())
    }

    fn check_order(&self, name: &[u8]) -> Result<(), FormatError> {
        if self.names > 0 && name_order(&self.previous, name).is_ge() {
            let [previous, name] =
                [&self.previous, name].map(|name| String::from_utf8_lossy(name).into_owned());
            return Err(FormatError::Order { name, previous });
        }
        Ok(())
    }

    /// Puts the encoded entry into the meta block, or into the next one.
    fn add_scratch(&mut self, batch: &mut BlockBatch) -> Result<(), FormatError> {
        if !self.meta_block.push(&self.scratch) {
            self.close_meta_block(batch)?;
            if !self.meta_block.push(&self.scratch) {
                let (size, limit) = (self.scratch.len(), self.meta_block.largest_entry());
                return Err(FormatError::TooLong { what: "a directory entry", size, limit });
            }
        }
        self.names += 1;
        Ok(())
    }

    /// Ends the directory; the writer is then ready for the next one.
    ///
    /// # Errors
    /// [`FormatError::Stream`].
    pub fn finish(&mut self, batch: &mut BlockBatch) -> Result<DirectoryStreams, FormatError> {
        if !self.meta_block.is_empty() {
            self.close_meta_block(batch)?;
        }
        if !self.entry_leaf.is_empty() {
            self.close_entry_leaf(batch)?;
        }
        let size = directory_stream_size(u64::from(self.entries), self.data_size);
        let entries = self.entry_tree.finish(size, batch).map_err(too_deep)?;
        let size = self.meta_tree.leaves() * u64::from(self.data_size);
        let meta = self.meta_tree.finish(size, batch).map_err(too_deep)?;
        let names = std::mem::take(&mut self.names);
        self.entries = 0;
        Ok(DirectoryStreams { entries, meta, names })
    }

    /// Encodes the child so that it fits into a block: whole, without its large fields, or
    /// without everything that can be elsewhere.
    fn encode(&mut self, child: &mut VacDir, batch: &mut BlockBatch) -> Result<(), FormatError> {
        let mut too_large = match self.fits(child) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let Some(whole) = child.unix.take() else { return Err(too_large) };
        for everything in [false, true] {
            let mut unix = whole.clone();
            let stream = unix.split_external(everything)?;
            // The place is not known yet, its size is.
            unix.external = Some(ExternalStream { entry: 0, generation: 0 });
            child.unix = Some(unix);
            match self.fits(child) {
                Ok(()) => {
                    let external = self.push_data(&stream, batch)?;
                    if let Some(unix) = &mut child.unix {
                        unix.external = Some(external);
                    }
                    return self.fits(child);
                }
                Err(error) => too_large = error,
            }
        }
        Err(too_large)
    }

    /// Encodes the child as it is.
    fn fits(&mut self, child: &VacDir) -> Result<(), FormatError> {
        self.scratch.clear();
        child.encode(&mut self.scratch)?;
        let (size, limit) = (self.scratch.len(), self.meta_block.largest_entry());
        if size <= limit {
            return Ok(());
        }
        Err(FormatError::TooLong { what: "a directory entry", size, limit })
    }

    /// Stores a stream of its own for what does not fit.
    fn push_data(
        &mut self,
        data: &[u8],
        batch: &mut BlockBatch,
    ) -> Result<ExternalStream, FormatError> {
        let leaf_size = usize::try_from(self.data_size).unwrap_or(usize::MAX).max(1);
        for leaf in data.chunks(leaf_size) {
            let score = push_leaf(BlockType::DATA, leaf, batch);
            self.data_tree.push(score, batch).map_err(too_deep)?;
        }
        let stream = self.data_tree.finish(data.len() as u64, batch).map_err(too_deep)?;
        Ok(ExternalStream { entry: self.push_entry(&stream, batch)?, generation: 0 })
    }

    fn push_entry(&mut self, entry: &Entry, batch: &mut BlockBatch) -> Result<u32, FormatError> {
        let entry = Entry { generation: 0, ..*entry };
        self.entry_leaf.extend_from_slice(&entry.encode().map_err(bad_entry)?);
        let number = self.entries;
        let Some(next) = number.checked_add(1) else {
            let detail = "more than 4,294,967,295 streams in one directory".to_owned();
            return Err(FormatError::Stream { detail });
        };
        self.entries = next;
        if next % self.per_leaf == 0 {
            self.close_entry_leaf(batch)?;
        }
        Ok(number)
    }

    fn close_entry_leaf(&mut self, batch: &mut BlockBatch) -> Result<(), FormatError> {
        let score = push_leaf(BlockType::DIRECTORY, &self.entry_leaf, batch);
        self.entry_leaf.clear();
        self.entry_tree.push(score, batch).map_err(too_deep)
    }

    fn close_meta_block(&mut self, batch: &mut BlockBatch) -> Result<(), FormatError> {
        let mut block = Vec::new();
        self.meta_block.finish(&mut block);
        let score = push_leaf(BlockType::DATA, &block, batch);
        self.meta_tree.push(score, batch).map_err(too_deep)
    }
}

/// Appends a leaf as it is stored, and says what its score is.
fn push_leaf(block_type: BlockType, leaf: &[u8], batch: &mut BlockBatch) -> Score {
    let leaf = &leaf[..zero_truncated_len(block_type, leaf)];
    if leaf.is_empty() {
        return Score::ZERO;
    }
    batch.push(block_type, leaf);
    Score::of(leaf)
}

fn too_deep(error: TreeTooDeep) -> FormatError {
    FormatError::Stream { detail: error.to_string() }
}

fn bad_entry(error: EntryError) -> FormatError {
    FormatError::Stream { detail: error.to_string() }
}
