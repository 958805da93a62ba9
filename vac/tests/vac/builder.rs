//! Builds archives that no archiver would make: any name, any entry, any block.

use std::sync::Arc;

use vac::format::{FileKind, MetaBlockBuilder, Mode, UnixMetadata, VacDir, name_order};
use venti_proto::hash_tree::{HashTreeWriter, directory_stream_size};
use venti_proto::{
    BlockBatch, BlockStore, BlockType, Entry, MemoryStore, Root, Score, StreamKind,
    zero_truncated_len,
};

/// The block size of these archives.
pub(crate) const BLOCK_SIZE: u32 = 1024;
/// And their pointer block size.
pub(crate) const POINTER_SIZE: u32 = 1020;

/// A name of a directory with the streams that it leads to.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) vac_dir: VacDir,
    pub(crate) content: Entry,
    pub(crate) meta: Option<Entry>,
}

impl Item {
    /// The same file under another name.
    pub(crate) fn named(&self, name: &[u8]) -> Item {
        let mut item = self.clone();
        item.vac_dir.name = name.to_vec();
        item
    }

    /// Changes what our section says.
    pub(crate) fn unix(mut self, change: impl FnOnce(&mut UnixMetadata)) -> Item {
        if let Some(unix) = &mut self.vac_dir.unix {
            change(unix);
        }
        self
    }

    /// Without our section, as the original writes it.
    pub(crate) fn plain(mut self) -> Item {
        self.vac_dir.unix = None;
        self
    }
}

/// A store under construction.
pub(crate) struct Builder {
    pub(crate) store: Arc<MemoryStore>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { store: Arc::new(MemoryStore::new()) }
    }

    /// Stores one block as it is.
    pub(crate) fn block(&self, block_type: BlockType, bytes: &[u8]) -> Score {
        let mut batch = BlockBatch::default();
        batch.push(block_type, bytes);
        let batch = batch.hash();
        self.store.write(&batch).unwrap();
        batch.scores()[0]
    }

    /// Stores a stream of these leaves with this size.
    pub(crate) fn stream<'a>(
        &self,
        kind: StreamKind,
        leaves: impl IntoIterator<Item = &'a [u8]>,
        size: u64,
    ) -> Entry {
        let mut batch = BlockBatch::default();
        let mut writer = HashTreeWriter::new(kind, POINTER_SIZE, BLOCK_SIZE);
        for leaf in leaves {
            let leaf = &leaf[..zero_truncated_len(kind.leaf_type(), leaf)];
            batch.push(kind.leaf_type(), leaf);
            writer.push(Score::of(leaf), &mut batch).unwrap();
        }
        let entry = writer.finish(size, &mut batch).unwrap();
        self.store.write(&batch.hash()).unwrap();
        entry
    }

    pub(crate) fn data(&self, bytes: &[u8]) -> Entry {
        let leaves = bytes.chunks(BLOCK_SIZE as usize);
        self.stream(StreamKind::Data, leaves, bytes.len() as u64)
    }

    /// Any file that is no directory, with our section.
    pub(crate) fn node(&self, name: &[u8], kind: FileKind, mode: u32, content: &[u8]) -> Item {
        let st_mode = kind.to_unix() | mode;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let unix = UnixMetadata { mode: st_mode, uid, gid, ..UnixMetadata::default() };
        let vac_dir = VacDir {
            name: name.to_vec(),
            mode: Mode::from_unix(st_mode),
            unix: Some(Box::new(unix)),
            ..VacDir::default()
        };
        Item { vac_dir, content: self.data(content), meta: None }
    }

    pub(crate) fn file(&self, name: &[u8], content: &[u8]) -> Item {
        self.node(name, FileKind::Regular, 0o644, content)
    }

    pub(crate) fn link(&self, name: &[u8], target: &[u8]) -> Item {
        self.node(name, FileKind::Symlink, 0o777, target)
    }

    /// A directory with these items, sorted by name.
    pub(crate) fn directory(&self, name: &[u8], mut items: Vec<Item>) -> Item {
        items.sort_by(|a, b| name_order(&a.vac_dir.name, &b.vac_dir.name));
        self.directory_as_is(name, items)
    }

    /// A directory with these items in this order, two with one name too.
    pub(crate) fn directory_as_is(&self, name: &[u8], items: Vec<Item>) -> Item {
        let mut entries = Vec::new();
        let mut blocks = Vec::new();
        let mut builder = MetaBlockBuilder::new(BLOCK_SIZE);
        for mut item in items {
            item.vac_dir.entry = u32::try_from(entries.len()).unwrap();
            entries.push(item.content);
            if let Some(meta) = item.meta {
                item.vac_dir.meta_entry = u32::try_from(entries.len()).unwrap();
                entries.push(meta);
            }
            let mut bytes = Vec::new();
            item.vac_dir.encode(&mut bytes).unwrap();
            if !builder.push(&bytes) {
                let mut block = Vec::new();
                builder.finish(&mut block);
                blocks.push(block);
                assert!(builder.push(&bytes));
            }
        }
        if !builder.is_empty() {
            let mut block = Vec::new();
            builder.finish(&mut block);
            blocks.push(block);
        }
        self.directory_of(name, &entries, &blocks)
    }

    /// A directory of these Venti entries and meta blocks.
    pub(crate) fn directory_of(
        &self,
        name: &[u8],
        entries: &[Entry],
        meta_blocks: &[Vec<u8>],
    ) -> Item {
        let bytes: Vec<Vec<u8>> = entries
            .chunks(BLOCK_SIZE as usize / Entry::SIZE)
            .map(|leaf| leaf.iter().flat_map(|entry| entry.encode().unwrap()).collect())
            .collect();
        let size = directory_stream_size(entries.len() as u64, BLOCK_SIZE);
        let content = self.stream(StreamKind::Directory, bytes.iter().map(Vec::as_slice), size);
        let size = meta_blocks.len() as u64 * u64::from(BLOCK_SIZE);
        let meta = self.stream(StreamKind::Data, meta_blocks.iter().map(Vec::as_slice), size);
        let item = self.node(name, FileKind::Directory, 0o755, b"");
        Item { content, meta: Some(meta), ..item }
    }

    /// An archive with this root directory.
    pub(crate) fn archive(&self, root: &Item) -> Score {
        let mut builder = MetaBlockBuilder::new(BLOCK_SIZE);
        let mut bytes = Vec::new();
        root.named(b"/").vac_dir.encode(&mut bytes).unwrap();
        assert!(builder.push(&bytes));
        let mut block = Vec::new();
        builder.finish(&mut block);
        let blocks = [block.as_slice()];
        let own = self.stream(StreamKind::Data, blocks, u64::from(BLOCK_SIZE));
        let top = [root.content, root.meta.unwrap(), own].map(|entry| entry.encode().unwrap());
        let top = self.block(BlockType::DIRECTORY, &top.concat());
        self.block(BlockType::ROOT, &Root::vac(top, BLOCK_SIZE).encode().unwrap())
    }

    /// An archive with these items in its root directory.
    pub(crate) fn archive_of(&self, items: Vec<Item>) -> Score {
        self.archive(&self.directory_as_is(b"/", items))
    }
}
