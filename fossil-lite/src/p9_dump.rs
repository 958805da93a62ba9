//! The dump as a 9P file system: a thin side of [`crate::dump`].
//!
//! Whoever comes over a Unix socket is who the kernel says; only root may come under another
//! name. Whoever comes over the network is nobody, unless names are to be believed. Names that
//! are not UTF-8 are shown with each odd byte as a character of its own, U+EF80 to U+EFFF, and
//! found by it again.

use std::sync::Arc;

use vac::format::FileKind;

use crate::FileError;
use crate::dump::read_ahead::ReadAhead;
use crate::dump::{Attributes, LATEST, Place, Tree};
use crate::p9::{FileSystem, Opened, Peer, Qid, Stat};
use crate::users::{User, Want};

/// The dump, for one connection.
pub struct DumpFor {
    tree: Arc<Tree>,
    peer: Peer,
    /// Whether names that come over the network are believed.
    trust: bool,
    reading: ReadAhead,
}

/// A place, and who is there.
#[derive(Clone)]
pub struct Node {
    place: Place,
    user: Arc<User>,
    /// What it was reached as, where that is not its own name.
    alias: Option<&'static str>,
}

impl DumpFor {
    /// What `peer` sees of the dump.
    #[must_use]
    pub fn new(tree: Arc<Tree>, peer: Peer, trust: bool) -> DumpFor {
        DumpFor { tree, peer, trust, reading: ReadAhead::default() }
    }

    fn user(&self, name: &str) -> Result<User, FileError> {
        match self.peer {
            Peer::Network if self.trust => Ok(User::named(name)),
            Peer::Network => Ok(User::nobody()),
            Peer::Local { uid } => {
                let user = User::local(uid);
                match name {
                    "" => Ok(user),
                    name if name == user.name() => Ok(user),
                    name if uid == 0 => Ok(User::named(name)),
                    _ => Err(FileError::PermissionDenied),
                }
            }
        }
    }

    fn check(&self, node: &Node, want: Want) -> Result<(), FileError> {
        match &node.place {
            Place::File(file) => node.user.check(file, want),
            _ => Ok(()),
        }
    }

    fn stat_of(&self, place: &Place, alias: Option<&str>) -> Result<Stat, FileError> {
        Ok(self.stat_with(place, alias, &self.tree.attributes(place)?))
    }

    fn stat_with(&self, place: &Place, alias: Option<&str>, attributes: &Attributes) -> Stat {
        let name = alias.map_or_else(|| escape(&self.tree.name(place)), str::to_owned);
        stat(attributes, name)
    }
}

impl FileSystem for DumpFor {
    type Node = Node;

    fn attach(&self, user: &str, tree: &str) -> Result<(Node, Qid), FileError> {
        if !matches!(tree, "" | "/" | "main" | "dump") {
            return Err(FileError::NotFound);
        }
        let user = Arc::new(self.user(user)?);
        let place = self.tree.root();
        let qid = qid(&self.tree.attributes(&place)?);
        Ok((Node { place, user, alias: None }, qid))
    }

    fn walk(&self, from: &Node, name: &str) -> Result<(Node, Qid), FileError> {
        let (mut place, mut alias) = match name {
            ".." => (self.tree.parent(&from.place), None),
            name => {
                self.check(from, Want::Search)?;
                (self.tree.lookup(&from.place, &unescape(name))?, None)
            }
        };
        // There are no symbolic links in 9P: this name is the dump itself.
        if let Place::Latest(host, dump) = &place {
            place = Place::File(self.tree.open_dump(host, dump)?);
            alias = Some(LATEST);
        }
        let qid = qid(&self.tree.attributes(&place)?);
        Ok((Node { place, user: Arc::clone(&from.user), alias }, qid))
    }

    fn open(&self, node: &Node, execute: bool) -> Result<Opened, FileError> {
        self.check(node, if execute { Want::Search } else { Want::Read })?;
        let attributes = self.tree.attributes(&node.place)?;
        Ok(Opened { qid: qid(&attributes), iounit: 0 })
    }

    fn read(&self, node: &Node, offset: u64, count: u32) -> Result<Vec<u8>, FileError> {
        let Place::File(file) = &node.place else { return Err(FileError::IsADirectory) };
        let content = matches!(file.node().kind(), FileKind::Regular | FileKind::Symlink);
        if !content || offset >= file.node().size() {
            return Ok(Vec::new());
        }
        if offset == 0 {
            self.tree.will_read(file);
        }
        self.reading.read(file.content_id(), file.node(), offset, count)
    }

    fn list(
        &self,
        node: &Node,
        position: u64,
        take: &mut dyn FnMut(Stat, u64) -> bool,
    ) -> Result<(), FileError> {
        self.tree.list(&node.place, position, &mut |_, place, behind| {
            let (place, alias) = match place {
                Place::Latest(host, dump) => (Place::Dump(host, dump), Some(LATEST)),
                place => (place, None),
            };
            // A name has its place in a directory even if nothing else of it can be read.
            let stat = self.stat_of(&place, alias);
            let listed = |_| self.stat_with(&place, alias, &self.tree.listed(&place));
            take(stat.unwrap_or_else(listed), behind)
        })
    }

    fn stat(&self, node: &Node) -> Result<Stat, FileError> {
        self.stat_of(&node.place, node.alias)
    }
}

fn qid(attributes: &Attributes) -> Qid {
    let kind = match attributes.kind {
        FileKind::Directory => Qid::DIRECTORY,
        FileKind::Symlink => Qid::SYMLINK,
        _ => Qid::FILE,
    };
    // Two versions of a file that agree in these bits are told apart by nobody over 9P.
    let [a, b, c, d, ..] = attributes.id.version.to_be_bytes();
    Qid { kind, version: u32::from_be_bytes([a, b, c, d]), path: attributes.id.path }
}

fn stat(attributes: &Attributes, name: String) -> Stat {
    let kind = match attributes.kind {
        FileKind::Directory => Stat::MODE_DIRECTORY,
        FileKind::Symlink => Stat::MODE_SYMLINK,
        FileKind::CharDevice | FileKind::BlockDevice => Stat::MODE_DEVICE,
        FileKind::Fifo => Stat::MODE_NAMED_PIPE,
        FileKind::Socket => Stat::MODE_SOCKET,
        FileKind::Regular => 0,
    };
    let special = |bit, flag| if attributes.permissions & bit != 0 { flag } else { 0 };
    let seconds = |time: vac::format::Timestamp| {
        u32::try_from(time.seconds).unwrap_or(if time.seconds < 0 { 0 } else { u32::MAX })
    };
    Stat {
        device_type: 0,
        device: 0,
        qid: qid(attributes),
        mode: attributes.permissions & 0o777
            | kind
            | special(0o4000, Stat::MODE_SETUID)
            | special(0o2000, Stat::MODE_SETGID),
        access_time: seconds(attributes.accessed),
        modification_time: seconds(attributes.modified),
        length: attributes.size,
        name,
        owner: escape(&attributes.owner),
        group: escape(&attributes.group),
        modifier: escape(&attributes.modifier),
    }
}

/// Where bytes that are not UTF-8 begin among the characters: byte 0x80.
const ODD: u32 = 0xef80;

/// Any bytes as UTF-8.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let push_odd = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.extend(char::from_u32(ODD - 0x80 + u32::from(*byte)));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if (ODD..ODD + 0x80).contains(&u32::from(character)) {
                // The character itself, or it would be taken for a byte.
                push_odd(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(character);
            }
        }
        push_odd(&mut text, chunk.invalid());
    }
    text
}

/// Undoes [`escape`].
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(ODD).and_then(|odd| u8::try_from(odd).ok()) {
            Some(odd) if odd < 0x80 => bytes.push(0x80 + odd),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable_where_they_are() {
        assert_eq!(escape("böhme".as_bytes()), "böhme");
        assert_eq!(escape(b"b\xf6hme"), "b\u{eff6}hme");
        assert_eq!(unescape("b\u{eff6}hme"), b"b\xf6hme");
    }

    proptest! {
        #[test]
        fn no_two_names_are_shown_alike(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn odd_characters_are_kept_too(text in "[\u{ef70}-\u{f010}a]{0,10}") {
            prop_assert_eq!(unescape(&escape(text.as_bytes())), text.as_bytes());
        }
    }
}
