//! A file in a dump.

use std::borrow::Cow;
use std::sync::Arc;

use vac::format::{FileKind, Timestamp, UnixMetadata, VacDir, Xattr};
use vac::reader::Node;
use venti_proto::Score;
use venti_proto::roots::HostName;

use super::tree::time_of;
use super::{Attributes, Dump, FileId};
use crate::FileError;

/// A file in a dump, with the way by which it was reached.
#[derive(Clone)]
pub struct DumpFile {
    inner: Arc<Inner>,
}

struct Inner {
    host: HostName,
    dump: Arc<Dump>,
    node: Node,
    /// `None` for the root of the dump.
    parent: Option<DumpFile>,
    /// Hash of host and path: the identity of last resort.
    place: u64,
}

impl DumpFile {
    pub(super) fn root(host: HostName, dump: Arc<Dump>, node: Node) -> DumpFile {
        let place = hash(&[b"place", host.as_str().as_bytes()]);
        DumpFile { inner: Arc::new(Inner { host, dump, node, parent: None, place }) }
    }

    pub(super) fn child(&self, node: Node) -> DumpFile {
        let place = hash(&[b"below", &self.inner.place.to_be_bytes(), node.name()]);
        let (host, dump) = (self.inner.host.clone(), Arc::clone(&self.inner.dump));
        DumpFile { inner: Arc::new(Inner { host, dump, node, parent: Some(self.clone()), place }) }
    }

    /// The file in its archive.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    /// Whose file.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.inner.host
    }

    /// In which dump.
    #[must_use]
    pub fn dump(&self) -> &Arc<Dump> {
        &self.inner.dump
    }

    /// The directory that it was found in; `None` for the root of the dump.
    #[must_use]
    pub fn parent(&self) -> Option<&DumpFile> {
        self.inner.parent.as_ref()
    }

    /// The root of the dump.
    #[must_use]
    pub fn root_of_dump(&self) -> &DumpFile {
        self.parent().map_or(self, DumpFile::root_of_dump)
    }

    /// The path in the dump, without a slash at its front.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut file = self;
        while let Some(parent) = file.parent() {
            names.push(file.inner.node.name());
            file = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Two directories with equal keys are equal all the way down, two files have equal content.
    #[must_use]
    pub fn content_key(&self) -> (Score, Score, u64) {
        let node = &self.inner.node;
        (node.content().score, node.meta().map_or(Score::ZERO, |meta| meta.score), node.size())
    }

    /// The content key in short, over 63 bits: equal numbers, equal content.
    #[must_use]
    pub fn content_id(&self) -> u64 {
        let (content, meta, size) = self.content_key();
        hash(&[b"content", content.as_bytes(), meta.as_bytes(), &size.to_be_bytes()])
    }

    /// Identity across dumps.
    #[must_use]
    pub fn id(&self) -> FileId {
        let metadata = self.inner.node.metadata();
        let host = self.inner.host.as_str().as_bytes();
        let unix = metadata.unix.as_deref();
        let path = match unix.and_then(|unix| Some((unix.identity?, unix.born))) {
            Some((identity, Some(born))) => {
                let [inode, seconds] = [identity.inode.to_be_bytes(), born.seconds.to_be_bytes()];
                hash(&[b"born", host, &inode, &seconds, &born.nanoseconds.to_be_bytes()])
            }
            Some((identity, None)) => {
                let [device, inode] = [identity.device, identity.inode].map(u64::to_be_bytes);
                hash(&[b"inode", host, &device, &inode])
            }
            None => self.inner.place,
        };
        FileId { path, version: self.version() }
    }

    /// Hash of everything that makes a version: content and metadata, but not where the archive
    /// keeps them, nor what reading changes.
    fn version(&self) -> u64 {
        let node = &self.inner.node;
        let metadata = node.metadata();
        let plain = VacDir {
            name: Vec::new(),
            entry: 0,
            generation: 0,
            meta_entry: 0,
            meta_generation: 0,
            qid: 0,
            accessed: 0,
            qid_space: None,
            unix: metadata.unix.as_ref().map(|unix| {
                Box::new(UnixMetadata { accessed: None, external: None, ..(**unix).clone() })
            }),
            ..metadata.clone()
        };
        let mut bytes = Vec::with_capacity(256);
        // What can not be encoded was not decoded either.
        let _ = plain.encode(&mut bytes);
        let (content, meta, size) = self.content_key();
        bytes.extend_from_slice(content.as_bytes());
        bytes.extend_from_slice(meta.as_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(&bytes).as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether it is the top of an archive of named files, which is no directory of the host: vac
    /// made it up, without an owner and without a time.
    fn is_made_up(&self) -> bool {
        let metadata = self.inner.node.metadata();
        let identity = metadata.unix.as_deref().and_then(|unix| unix.identity);
        self.parent().is_none()
            && metadata.owner == b"vac"
            && metadata.modified() == Timestamp::default()
            && identity.is_none()
    }

    /// What stat shows. Only a device of the original's archives needs a block for it.
    ///
    /// # Errors
    /// If the device can not be read.
    pub fn attributes(&self) -> Result<Attributes, FileError> {
        if self.is_made_up() {
            let id = self.id();
            return Ok(Attributes { id, ..Attributes::synthetic(0, time_of(self.dump())) });
        }
        let node = &self.inner.node;
        let metadata = node.metadata();
        let unix = metadata.unix.as_deref();
        let mut kind = node.kind();
        let mut device = None;
        if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice)
            && let Some((known, number)) = node.device()?
        {
            (kind, device) = (known, Some(number));
        }
        let seconds = |seconds: u32| Timestamp { seconds: seconds.into(), nanoseconds: 0 };
        let modified = metadata.modified();
        let content = matches!(kind, FileKind::Regular | FileKind::Symlink);
        Ok(Attributes {
            id: self.id(),
            kind,
            permissions: metadata.permissions(),
            uid: unix.map_or_else(|| number(&metadata.owner), |unix| unix.uid),
            gid: unix.map_or_else(|| number(&metadata.group), |unix| unix.gid),
            owner: metadata.owner.clone(),
            group: metadata.group.clone(),
            modifier: metadata.modifier.clone(),
            size: if content { node.size() } else { 0 },
            links: unix.and_then(|unix| unix.link).map_or(1, |link| link.count.max(1)),
            modified,
            changed: unix.and_then(|unix| unix.changed).unwrap_or(seconds(metadata.changed)),
            accessed: unix.and_then(|unix| unix.accessed).unwrap_or(modified),
            born: unix.and_then(|unix| unix.born),
            device,
            torn: unix.is_some_and(|unix| unix.torn),
        })
    }

    /// All extended attributes, ACLs among them.
    ///
    /// # Errors
    /// If they are in a stream of their own that can not be read.
    pub fn xattrs(&self) -> Result<Vec<Xattr>, FileError> {
        let unix = self.inner.node.unix()?;
        Ok(unix.map_or_else(Vec::new, |unix| match unix {
            Cow::Borrowed(unix) => unix.xattrs.clone(),
            Cow::Owned(unix) => unix.xattrs,
        }))
    }
}

/// An owner who is only a name gets the number of nobody: never that of root.
fn number(name: &[u8]) -> u32 {
    const NOBODY: u32 = 65_534;
    std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).unwrap_or(NOBODY)
}

/// 63 bits, never 0 or 1: each part with its length, so that no two lists of parts are confused.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1) | 2
}
