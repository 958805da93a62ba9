//! One file or directory of an older archive: as the bytes of its entry as long as those will do.

use std::ops::Range;
use std::sync::Arc;

use venti_proto::{Entry, StreamKind};

use super::chunk::{FileResult, Work};
use super::describe::{seconds, timestamp, unix_kind};
use super::old::OldStreams;
use crate::format::{DirectoryStreams, MetaBlock, PlainEntry, UnixMetadata, VacDir};
use crate::walk::{Attributes, Extended, FileKind};

/// What an older archive has under a name.
#[derive(Clone, Debug)]
pub(super) enum OldEntry {
    /// A file like most: see [`PlainEntry`].
    Plain(PlainFile),
    Whole(Box<OldFile>),
}

/// A file whose entry is left in its meta block.
#[derive(Clone, Debug)]
pub(super) struct PlainFile {
    block: Arc<Vec<u8>>,
    place: Range<usize>,
    content: Option<Entry>,
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

/// Takes the entries of a meta block that was extended to its full size. `entry` finds what is at
/// a place of the directory's stream of entries. `Err` says what is damaged.
pub(super) fn entries_of(
    block: Vec<u8>,
    mut entry: impl FnMut(u32) -> Result<Option<Entry>, String>,
    into: &mut impl Extend<OldEntry>,
) -> Result<(), String> {
    let block = Arc::new(block);
    let parsed = MetaBlock::parse(&block).map_err(|e| e.to_string())?;
    for number in 0..parsed.len() {
        let place = parsed.place(number);
        let bytes = block.get(place.clone()).unwrap_or_default();
        let found = match PlainEntry::recognise(bytes) {
            Some(plain) => {
                let content = entry(plain.entry)?.filter(|entry| entry.generation == 0);
                OldEntry::Plain(PlainFile { block: Arc::clone(&block), place, content })
            }
            None => {
                let dir = VacDir::decode(bytes).map_err(|e| e.to_string())?;
                OldEntry::Whole(Box::new(resolve(dir, &mut entry)?))
            }
        };
        into.extend([found]);
    }
    Ok(())
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

impl OldEntry {
    pub(super) fn name(&self) -> &[u8] {
        match self {
            OldEntry::Plain(file) => file.name(),
            OldEntry::Whole(file) => &file.dir.name,
        }
    }

    pub(super) fn content(&self) -> Option<&Entry> {
        match self {
            OldEntry::Plain(file) => file.content.as_ref(),
            OldEntry::Whole(file) => file.content.as_ref(),
        }
    }

    /// The streams, if it is a directory.
    pub(super) fn streams(&self) -> Option<OldStreams> {
        match self {
            OldEntry::Plain(_) => None,
            OldEntry::Whole(file) => file.streams(),
        }
    }

    /// The same, taken apart. `Err` says what is damaged.
    pub(super) fn into_file(self) -> Result<OldFile, String> {
        match self {
            OldEntry::Whole(file) => Ok(*file),
            OldEntry::Plain(file) => {
                let dir = VacDir::decode(file.bytes()).map_err(|e| e.to_string())?;
                Ok(OldFile { dir, content: file.content, meta: None, external: None })
            }
        }
    }
}

impl PlainFile {
    /// The entry, encoded.
    pub(super) fn bytes(&self) -> &[u8] {
        self.block.get(self.place.clone()).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &[u8] {
        PlainEntry::name_in(self.bytes())
    }

    pub(super) fn entry(&self) -> Option<PlainEntry<'_>> {
        PlainEntry::recognise(self.bytes())
    }

    /// The content, if this can be taken for a file that has these attributes now.
    pub(super) fn reuse(
        &self,
        entry: &PlainEntry<'_>,
        attributes: &Attributes,
        block_size: u32,
    ) -> Option<Entry> {
        let content = reusable(self.content, attributes, block_size)?;
        let same =
            entry.kind() == unix_kind(attributes.kind) && is_same_version(&entry.unix, attributes);
        same.then_some(content)
    }
}

/// The content of a file that may have these attributes now.
fn reusable(content: Option<Entry>, attributes: &Attributes, block_size: u32) -> Option<Entry> {
    let content = content.filter(|entry| {
        entry.kind == StreamKind::Data
            && entry.data_size == block_size
            && (attributes.kind != FileKind::Regular || entry.size == attributes.size)
    })?;
    // The original leaves marks of its own that say nothing of the content.
    Some(Entry { generation: 0, local: false, no_archive: false, ..content })
}

/// Whether nothing says that a file is another than it was: times of modification and change and
/// inode are equal, and it did not change while it was read.
fn is_same_version(unix: &UnixMetadata, attributes: &Attributes) -> bool {
    unix.modified == timestamp(attributes.modified)
        && unix.changed == Some(timestamp(attributes.changed))
        && unix.identity.is_some_and(|i| i.inode == attributes.identity.inode)
        && !unix.torn
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
        let content = reusable(self.content, attributes, block_size)?;
        if self.dir.kind() != unix_kind(attributes.kind) {
            return None;
        }
        let Some(unix) = self.dir.unix else {
            let same = self.dir.modified == seconds(attributes.modified)
                && attributes.kind == FileKind::Regular;
            return same.then(|| (Work::ReuseContent(content), FileResult::default()));
        };
        if !is_same_version(&unix, attributes) {
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
