//! A directory entry in the very form in which this program writes those of files, recognised
//! without being taken apart: what did not change is copied byte by byte.
//!
//! The form is strict: version 9, no generations, our section alone, its fields in the order in
//! which they are written, nothing in a stream of its own. Whatever differs is no plain entry and
//! is decoded as a [`VacDir`](super::VacDir). So an entry that was copied has the same bytes as
//! one that was made anew from the same fields.

use super::cursor::Cursor;
use super::unix_codec::decode_plain;
use super::vac_dir::{MAGIC, VERSION, section};
use super::{FileKind, Mode, UnixMetadata};

/// Bytes before the name: magic, version, and the length of the name.
const NAME_START: usize = 4 + 2 + 2;

/// The entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainEntry<'a> {
    /// The name in its directory.
    pub name: &'a [u8],
    /// Place of the content in the directory's stream of Venti entries.
    pub entry: u32,
    /// Unique in the archive.
    pub qid: u64,
    /// Owner's name.
    pub owner: &'a [u8],
    /// Group's name.
    pub group: &'a [u8],
    /// Seconds since 1970 when the content changed last.
    pub modified: u32,
    /// Seconds since 1970 when the metadata changed last.
    pub changed: u32,
    /// Seconds since 1970 when the file was read last.
    pub accessed: u32,
    /// Kind and permissions.
    pub mode: Mode,
    /// Our section, without extended attributes, inode flags and holes: those are there and
    /// sound, but nobody compares them.
    pub unix: UnixMetadata,
}

impl<'a> PlainEntry<'a> {
    /// Recognises an entry; none if it is of another form, or of a directory.
    #[must_use]
    pub fn recognise(bytes: &'a [u8]) -> Option<PlainEntry<'a>> {
        let mut cursor = Cursor::new(bytes);
        let mut head = || Some((cursor.u32("magic").ok()?, cursor.u16("version").ok()?));
        if head()? != (MAGIC, VERSION) {
            return None;
        }
        let name = cursor.string("name").ok()?;
        let entry = cursor.u32("entry").ok()?;
        let unused = cursor.take("generation and place of a directory", 3 * 4).ok()?;
        let qid = cursor.u64("qid").ok()?;
        let owner = cursor.string("owner").ok()?;
        let group = cursor.string("group").ok()?;
        let modifier = cursor.string("modifier").ok()?;
        let modified = cursor.u32("modification time").ok()?;
        let modifications = cursor.u32("modification count").ok()?;
        let changed = cursor.u32("change time").ok()?;
        let accessed = cursor.u32("access time").ok()?;
        let mode = Mode(cursor.u32("mode").ok()?);
        let number = cursor.u8("section number").ok()?;
        let content = cursor.string("section").ok()?;
        let is_plain = cursor.is_empty()
            && number == section::UNIX
            && !mode.has(Mode::DIRECTORY)
            && unused.iter().all(|byte| *byte == 0)
            && modifier.is_empty()
            && modifications == 0;
        let unix = is_plain.then(|| decode_plain(content))??;
        Some(PlainEntry { name, entry, qid, owner, group, modified, changed, accessed, mode, unix })
    }
}

impl PlainEntry<'_> {
    /// The name in an entry that was recognised before; no bytes in another one.
    #[must_use]
    pub fn name_in(bytes: &[u8]) -> &[u8] {
        let Some((head, rest)) = bytes.split_first_chunk::<NAME_START>() else { return &[] };
        let length = usize::from(u16::from_be_bytes([head[6], head[7]]));
        rest.get(..length).unwrap_or_default()
    }

    /// What the file is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match self.unix.kind() {
            Some(kind) if kind != FileKind::Directory => kind,
            _ => self.mode.kind(),
        }
    }
}

/// Appends an entry that was recognised, with its content at another place.
pub(super) fn copy_entry(bytes: &[u8], name: &[u8], entry: u32, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(bytes);
    if let Some(place) = to.get_mut(start + NAME_START + name.len()..)
        && let Some(place) = place.first_chunk_mut::<4>()
    {
        *place = entry.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::super::unix_codec;
    use super::super::{ExternalStream, QidSpace, Section, VacDir};
    use super::*;
    use proptest::prelude::*;

    fn file() -> VacDir {
        let mut unix = unix_codec::tests::full();
        (unix.torn, unix.external, unix.directory, unix.gap) = (false, None, None, None);
        unix.unknown.clear();
        VacDir {
            name: b"na\xffme".to_vec(),
            entry: 0x0102_0304,
            qid: 5,
            owner: b"glenda".to_vec(),
            group: b"sys".to_vec(),
            modified: 6,
            changed: 8,
            accessed: 9,
            mode: Mode(0o644),
            unix: Some(Box::new(unix)),
            ..VacDir::default()
        }
    }

    fn bytes_of(file: &VacDir) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_recognised_is_what_is_decoded() {
        let file = file();
        let bytes = bytes_of(&file);
        let plain = PlainEntry::recognise(&bytes).unwrap();
        assert_eq!((PlainEntry::name_in(&bytes), plain.kind()), (plain.name, file.kind()));
        let mut unix = file.unix.clone().unwrap();
        (unix.xattrs, unix.holes, unix.inode_flags) = (Vec::new(), None, None);
        assert_eq!(plain.unix, *unix);
        assert_eq!((plain.name, plain.entry, plain.qid), (&*file.name, file.entry, file.qid));
        assert_eq!((plain.owner, plain.group, plain.mode), (&*file.owner, &*file.group, file.mode));
        assert_eq!((plain.modified, plain.changed, plain.accessed), (6, 8, 9));
        let moved = VacDir { entry: 77, ..file };
        let mut copy = b"before".to_vec();
        copy_entry(&bytes, plain.name, 77, &mut copy);
        assert_eq!(copy, [&b"before"[..], &bytes_of(&moved)].concat());
    }

    #[test]
    fn whatever_is_unusual_is_not_recognised() {
        type Change = fn(&mut VacDir);
        let changes: [(&str, Change); 12] = [
            ("directory", |file| file.mode = Mode::DIRECTORY),
            ("generation", |file| file.generation = 1),
            ("meta entry", |file| file.meta_entry = 1),
            ("modifier", |file| file.modifier = b"m".to_vec()),
            ("modifications", |file| file.modifications = 1),
            ("qids", |file| file.qid_space = Some(QidSpace { offset: 1, max: 2 })),
            ("section", |file| file.unknown = vec![Section { number: 9, data: Vec::new() }]),
            ("no section", |file| file.unix = None),
            ("torn", |file| file.unix.as_mut().unwrap().torn = true),
            ("field", |file| file.unix.as_mut().unwrap().unknown = vec![(99, Vec::new())]),
            ("no flags", |file| file.unix.as_mut().unwrap().inode_flags = Some(0)),
            ("elsewhere", |file| {
                let external = ExternalStream { entry: 1, generation: 0 };
                file.unix.as_mut().unwrap().external = Some(external);
            }),
        ];
        for (what, change) in changes {
            let mut file = file();
            change(&mut file);
            assert_eq!(PlainEntry::recognise(&bytes_of(&file)), None, "{what}");
        }
        let mut older = bytes_of(&file());
        older[5] = 8;
        assert_eq!(PlainEntry::recognise(&older), None);
    }

    proptest! {
        /// What is recognised is exactly what this program would write.
        #[test]
        fn what_is_recognised_encodes_to_the_same_bytes(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in 0usize..4,
        ) {
            let mut bytes = bytes_of(&file());
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len() - cut);
            if PlainEntry::recognise(&bytes).is_some() {
                let decoded = VacDir::decode(&bytes).unwrap();
                prop_assert_eq!(bytes_of(&decoded), bytes);
            }
        }
    }
}
