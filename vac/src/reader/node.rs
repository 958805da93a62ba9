//! One file of an archive.

use std::borrow::Cow;
use std::sync::Arc;

use venti_proto::{BlockStore, Entry};

use super::{Child, DirectoryScan, Piece, ReadError, content, lookup};
use crate::format::{
    DeviceNumber, FileKind, Gap, MAX_EXTERNAL_SIZE, UnixMetadata, VacDir, decode_external,
};

/// The longest target of a symbolic link that is read: the limit of Linux.
const MAX_LINK_TARGET: u64 = 4096;

/// A file, directory or anything else of an archive: what its directory says of it, and where
/// its content is. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    store: Arc<dyn BlockStore>,
    metadata: Arc<VacDir>,
    content: Entry,
    meta: Option<Entry>,
    external: Option<Entry>,
    /// To be added to the qid in the metadata: merged archives keep their own numbers.
    qid_offset: u64,
}

impl Node {
    pub(super) fn root(
        store: Arc<dyn BlockStore>,
        metadata: VacDir,
        content: Entry,
        meta: Entry,
    ) -> Result<Node, ReadError> {
        if metadata.kind() != FileKind::Directory {
            return Err(ReadError::NotADirectory);
        }
        let metadata = Arc::new(metadata);
        Ok(Node { store, metadata, content, meta: Some(meta), external: None, qid_offset: 0 })
    }

    /// A child of this node with the Venti entries that its metadata leads to.
    pub(super) fn child(
        &self,
        metadata: VacDir,
        content: Entry,
        meta: Option<Entry>,
        external: Option<Entry>,
    ) -> Node {
        let below = metadata.qid_space.map_or(0, |space| space.offset);
        Node {
            store: Arc::clone(&self.store),
            metadata: Arc::new(metadata),
            content,
            meta,
            external,
            qid_offset: self.qid_offset.wrapping_add(below),
        }
    }

    /// The store that the archive is in.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn BlockStore> {
        &self.store
    }

    /// What the directory says of the file. Its name is whatever the archive holds: see
    /// [`VacDir::checked_name`].
    #[must_use]
    pub fn metadata(&self) -> &VacDir {
        &self.metadata
    }

    /// The name in the directory, not checked.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.metadata.name
    }

    /// What the file is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.metadata.kind()
    }

    /// Whether the node is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// Bytes of content: of a directory, of its stream of Venti entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.content.size
    }

    /// The stream of the content. Equal scores mean equal content.
    #[must_use]
    pub fn content(&self) -> &Entry {
        &self.content
    }

    /// A directory's stream of meta blocks. Two directories with equal scores here and in
    /// [`Node::content`] are equal all the way down.
    #[must_use]
    pub fn meta(&self) -> Option<&Entry> {
        self.meta.as_ref()
    }

    /// The number of the file, unique in the archive.
    #[must_use]
    pub fn qid(&self) -> u64 {
        self.qid_offset.wrapping_add(self.metadata.qid)
    }

    /// Where the numbers of the archive that this file comes from start in this one: archives that
    /// were merged into it keep their own.
    #[must_use]
    pub fn number_space(&self) -> u64 {
        self.qid_offset
    }

    /// Why a directory has not everything that it had, if so.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn gap(&self) -> Result<Option<Gap>, ReadError> {
        Ok(self.unix()?.and_then(|unix| unix.gap))
    }

    /// What Unix knows of the file, with the fields that are in a stream of their own; `None` in
    /// archives of the original.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn unix(&self) -> Result<Option<Cow<'_, UnixMetadata>>, ReadError> {
        let Some(inline) = self.metadata.unix.as_deref() else { return Ok(None) };
        if inline.external.is_none() {
            return Ok(Some(Cow::Borrowed(inline)));
        }
        let number = inline.external.map_or(0, |external| external.entry);
        let detail = "should hold metadata and does not";
        let stream = self.external.as_ref().ok_or(ReadError::Dangling { number, detail })?;
        let stream = content::read_all(&*self.store, stream, "metadata", MAX_EXTERNAL_SIZE)?;
        let mut unix = inline.clone();
        decode_external(&mut unix, &stream)?;
        Ok(Some(Cow::Owned(unix)))
    }

    /// Reads bytes of the content at `offset`, and returns how many there were.
    ///
    /// # Errors
    /// [`ReadError::Tree`]; the buffer is of no use then.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        Ok(venti_proto::hash_tree::read_range(&*self.store, &self.content, offset, buffer)?)
    }

    /// Gives the content from start to end to `take`, a window of blocks at a time.
    ///
    /// # Errors
    /// [`ReadError::Tree`] as `E`, and what `take` returns; the content is incomplete then.
    pub fn read_in_order<E: From<ReadError>>(
        &self,
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        content::read_in_order(&*self.store, &self.content, take)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`], [`ReadError::Tree`].
    pub fn link_target(&self) -> Result<Vec<u8>, ReadError> {
        content::read_all(&*self.store, &self.content, "a link target", MAX_LINK_TARGET)
    }

    /// Kind and number of a device: from our section, or from the text that the original writes.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`], [`ReadError::Tree`].
    pub fn device(&self) -> Result<Option<(FileKind, DeviceNumber)>, ReadError> {
        if let Some(device) = self.metadata.unix.as_ref().and_then(|unix| unix.device) {
            return Ok(Some((self.kind(), device)));
        }
        let text = content::read_all(&*self.store, &self.content, "a device", 64)?;
        let text = String::from_utf8_lossy(&text);
        let mut words = text.split_ascii_whitespace();
        let kind = match words.next() {
            Some("b") => FileKind::BlockDevice,
            Some("c") => FileKind::CharDevice,
            _ => return Ok(None),
        };
        let mut number = || words.next().and_then(|word| word.parse().ok());
        Ok(number().zip(number()).map(|(major, minor)| (kind, DeviceNumber { major, minor })))
    }

    /// Reads the directory from its start.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`], [`ReadError::Tree`] if its streams have impossible shapes.
    pub fn children(&self) -> Result<DirectoryScan, ReadError> {
        DirectoryScan::new(self)
    }

    /// The child with this name, if there is one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn lookup(&self, name: &[u8]) -> Result<Option<Node>, ReadError> {
        lookup::lookup(self, name)
    }

    /// The node at a path below this one; empty parts of the path are skipped.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn walk(&self, path: &[u8]) -> Result<Option<Node>, ReadError> {
        let mut node = self.clone();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if !node.is_directory() {
                return Ok(None);
            }
            match node.lookup(name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// All children of a directory: for directories that are known to be small.
    ///
    /// # Errors
    /// [`ReadError`], also for a single child that can not be read.
    pub fn all_children(&self) -> Result<Vec<Node>, ReadError> {
        let mut children: Vec<Child> = Vec::new();
        let mut scan = self.children()?;
        while scan.next_batch(&mut children)? {}
        children.into_iter().map(|child| child.map_err(|bad| bad.error)).collect()
    }
}
