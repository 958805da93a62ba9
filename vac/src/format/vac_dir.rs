//! A directory entry: the name of a file and what is known of it.

use super::cursor::{Cursor, put_string};
use super::{FileKind, FormatError, Mode, Timestamp, UnixMetadata};

/// The first four bytes of every directory entry.
pub(super) const MAGIC: u32 = 0x1c4d_9072;
/// The version that is written; the oldest that is read is 7.
pub(super) const VERSION: u16 = 9;
const OLDEST_VERSION: u16 = 7;

/// Numbers of optional sections. Those of Plan 9 are 1 to 4.
pub(super) mod section {
    /// Before version 9: path and version of Plan 9.
    pub(super) const PLAN9: u8 = 1;
    /// Where the qids of a merged archive lie.
    pub(super) const QID_SPACE: u8 = 3;
    /// Before version 9: a generation. The original skips it too.
    pub(super) const GENERATION: u8 = 4;
    /// Ours, the letter U: everything of Unix.
    pub(in crate::format) const UNIX: u8 = 0x55;
}

/// The qids below a directory, in an archive that was merged from several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QidSpace {
    /// To be added to every qid below.
    pub offset: u64,
    /// The largest qid below.
    pub max: u64,
}

/// An optional section that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its number.
    pub number: u8,
    /// Its content.
    pub data: Vec<u8>,
}

/// A directory entry. Text is bytes, in whatever encoding the archived system had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VacDir {
    /// The name in its directory, as the archive has it: see [`VacDir::checked_name`].
    pub name: Vec<u8>,
    /// Place of the content in the directory's stream of Venti entries.
    pub entry: u32,
    /// Generation that the Venti entry there must have.
    pub generation: u32,
    /// Place of a directory's meta blocks in the same stream.
    pub meta_entry: u32,
    /// Generation that the Venti entry there must have.
    pub meta_generation: u32,
    /// Unique in the archive.
    pub qid: u64,
    /// Owner's name, or number in digits.
    pub owner: Vec<u8>,
    /// Group's name, or number in digits.
    pub group: Vec<u8>,
    /// Who changed the file last (Plan 9).
    pub modifier: Vec<u8>,
    /// Seconds since 1970 when the content changed last; wraps in 2106.
    pub modified: u32,
    /// Number of modifications, as Plan 9 counts them; wraps.
    pub modifications: u32,
    /// Seconds since 1970 when the metadata changed last.
    pub changed: u32,
    /// Seconds since 1970 when the file was read last.
    pub accessed: u32,
    /// Kind and permissions.
    pub mode: Mode,
    /// Set at the top of merged archives.
    pub qid_space: Option<QidSpace>,
    /// Our section.
    pub unix: Option<Box<UnixMetadata>>,
    /// Sections that are not known, in order.
    pub unknown: Vec<Section>,
}

/// Why the name of an entry can not be the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// There are no bytes.
    #[error("the name is empty")]
    Empty,
    /// The name means the directory itself or the one above.
    #[error("the name is . or ..")]
    Dots,
    /// The name has a slash: it would lead elsewhere.
    #[error("the name has a slash")]
    Slash,
    /// The name has a zero byte.
    #[error("the name has a zero byte")]
    Zero,
    /// The name is longer than any file system takes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
}

impl VacDir {
    /// The name, if a file may be called so. Nothing that an archive says may become part of a
    /// path without this.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn checked_name(&self) -> Result<&[u8], BadName> {
        match self.name.as_slice() {
            [] => Err(BadName::Empty),
            b"." | b".." => Err(BadName::Dots),
            name if name.contains(&b'/') => Err(BadName::Slash),
            name if name.contains(&0) => Err(BadName::Zero),
            name if name.len() > 255 => Err(BadName::TooLong),
            name => Ok(name),
        }
    }

    /// What the file is. Whether it is a directory is decided by the mode of Plan 9 alone, so
    /// that old and new readers never disagree on that.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        let base = self.mode.kind();
        match self.unix.as_ref().and_then(|unix| unix.kind()) {
            Some(kind) if base != FileKind::Directory && kind != FileKind::Directory => kind,
            _ => base,
        }
    }

    /// Permissions with the special bits, as `chmod` takes them.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        let base = self.mode.unix_permissions();
        self.unix.as_ref().map_or(base, |unix| unix.mode & 0o7777)
    }

    /// When the content changed last, as exactly as the archive knows it.
    #[must_use]
    pub fn modified(&self) -> Timestamp {
        let coarse = Timestamp { seconds: i64::from(self.modified), nanoseconds: 0 };
        self.unix.as_ref().map_or(coarse, |unix| unix.modified)
    }

    /// Appends the entry in version 9.
    ///
    /// # Errors
    /// [`FormatError::TooLong`] if a text or section is longer than 65,535 bytes.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), FormatError> {
        to.extend_from_slice(&MAGIC.to_be_bytes());
        to.extend_from_slice(&VERSION.to_be_bytes());
        put_string(to, "a name", &self.name)?;
        let places = [self.entry, self.generation, self.meta_entry, self.meta_generation];
        places.iter().for_each(|number| to.extend_from_slice(&number.to_be_bytes()));
        to.extend_from_slice(&self.qid.to_be_bytes());
        put_string(to, "an owner", &self.owner)?;
        put_string(to, "a group", &self.group)?;
        put_string(to, "a modifier", &self.modifier)?;
        let VacDir { modified, modifications, changed, accessed, mode, .. } = *self;
        let numbers = [modified, modifications, changed, accessed, mode.0];
        numbers.iter().for_each(|number| to.extend_from_slice(&number.to_be_bytes()));
        if let Some(QidSpace { offset, max }) = self.qid_space {
            let range = [offset.to_be_bytes(), max.to_be_bytes()].concat();
            put_section(to, section::QID_SPACE, &range)?;
        }
        if let Some(unix) = &self.unix {
            let mut content = Vec::with_capacity(128);
            unix.encode(&mut content)?;
            put_section(to, section::UNIX, &content)?;
        }
        self.unknown.iter().try_for_each(|Section { number, data }| put_section(to, *number, data))
    }

    /// Reads an entry of version 7, 8 or 9.
    ///
    /// # Errors
    /// [`FormatError`], any but `TooLong` and `MetaBlock`.
    pub fn decode(bytes: &[u8]) -> Result<VacDir, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let version = decode_head(&mut cursor)?;
        let mut vac_dir = VacDir { name: cursor.string("name")?.to_vec(), ..VacDir::default() };
        vac_dir.entry = cursor.u32("entry")?;
        if version == VERSION {
            vac_dir.generation = cursor.u32("generation")?;
            vac_dir.meta_entry = cursor.u32("meta entry")?;
            vac_dir.meta_generation = cursor.u32("meta generation")?;
        } else {
            vac_dir.meta_entry = vac_dir.entry.wrapping_add(1);
        }
        vac_dir.qid = cursor.u64("qid")?;
        if version == OLDEST_VERSION {
            cursor.take("replaced score", venti_proto::Score::SIZE)?;
        }
        vac_dir.owner = cursor.string("owner")?.to_vec();
        vac_dir.group = cursor.string("group")?.to_vec();
        vac_dir.modifier = cursor.string("modifier")?.to_vec();
        vac_dir.modified = cursor.u32("modification time")?;
        vac_dir.modifications = cursor.u32("modification count")?;
        vac_dir.changed = cursor.u32("change time")?;
        vac_dir.accessed = cursor.u32("access time")?;
        vac_dir.mode = Mode(cursor.u32("mode")?);
        let mut plan9_seen = false;
        while !cursor.is_empty() {
            let number = cursor.u8("section number")?;
            let data = cursor.string("section")?;
            if number == section::PLAN9 && version < VERSION {
                vac_dir.read_plan9(data, plan9_seen)?;
                plan9_seen = true;
            } else {
                vac_dir.read_section(number, data)?;
            }
        }
        Ok(vac_dir)
    }

    fn read_section(&mut self, number: u8, data: &[u8]) -> Result<(), FormatError> {
        let twice = |found: usize| FormatError::Section {
            section: number,
            found,
            detail: "there twice, or not of its size",
        };
        match number {
            section::PLAN9 | section::GENERATION => {}
            section::QID_SPACE => {
                if self.qid_space.is_some() || data.len() != 16 {
                    return Err(twice(data.len()));
                }
                let mut range = Cursor::new(data);
                let (offset, max) = (range.u64("qid offset")?, range.u64("largest qid")?);
                self.qid_space = Some(QidSpace { offset, max });
            }
            section::UNIX => {
                if self.unix.is_some() {
                    return Err(twice(data.len()));
                }
                self.unix = Some(Box::new(UnixMetadata::decode(data)?));
            }
            _ => self.unknown.push(Section { number, data: data.to_vec() }),
        }
        Ok(())
    }

    /// Path and version: the version stands in for a modification count that is not there.
    fn read_plan9(&mut self, data: &[u8], seen: bool) -> Result<(), FormatError> {
        let found = data.len();
        if seen || found != 12 {
            let detail = "there twice, or not of 12 bytes";
            return Err(FormatError::Section { section: section::PLAN9, found, detail });
        }
        let mut fields = Cursor::new(data);
        fields.u64("path")?;
        let version = fields.u32("version")?;
        if self.modifications == 0 {
            self.modifications = version;
        }
        Ok(())
    }
}

fn decode_head(cursor: &mut Cursor<'_>) -> Result<u16, FormatError> {
    let what = "a directory entry";
    let found = cursor.u32("magic")?;
    if found != MAGIC {
        return Err(FormatError::Magic { what, found, expected: MAGIC });
    }
    let version = cursor.u16("version")?;
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        let (oldest, newest) = (OLDEST_VERSION, VERSION);
        return Err(FormatError::Version { what, found: version, oldest, newest });
    }
    Ok(version)
}

fn put_section(to: &mut Vec<u8>, number: u8, data: &[u8]) -> Result<(), FormatError> {
    to.push(number);
    put_string(to, "an optional section", data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::unix_codec;
    use proptest::prelude::*;

    fn sample() -> VacDir {
        VacDir {
            name: b"na\xffme".to_vec(),
            entry: 1,
            generation: 2,
            meta_entry: 3,
            meta_generation: 4,
            qid: 5,
            owner: b"glenda".to_vec(),
            group: b"sys".to_vec(),
            modifier: Vec::new(),
            modified: 6,
            modifications: 7,
            changed: 8,
            accessed: 9,
            mode: Mode(0o644),
            qid_space: Some(QidSpace { offset: 10, max: 11 }),
            unix: Some(Box::new(unix_codec::tests::full())),
            unknown: vec![Section { number: 99, data: b"later".to_vec() }],
        }
    }

    #[test]
    fn an_entry_goes_there_and_back() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes).unwrap();
        assert_eq!(VacDir::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn layout_of_the_original() {
        let plain = VacDir { qid_space: None, unix: None, unknown: Vec::new(), ..sample() };
        let mut bytes = Vec::new();
        plain.encode(&mut bytes).unwrap();
        let expected = [
            &b"\x1c\x4d\x90\x72\0\x09\0\x05na\xffme"[..],
            b"\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\0\0\0\0\x05",
            b"\0\x06glenda\0\x03sys\0\0",
            b"\0\0\0\x06\0\0\0\x07\0\0\0\x08\0\0\0\x09\0\0\x01\xa4",
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn versions_seven_and_eight_are_read() {
        let head =
            |version: u8| [&b"\x1c\x4d\x90\x72\0"[..], &[version], b"\0\x01n\0\0\0\x08"].concat();
        let qid: &[u8] = &[0; 8];
        let tail = [&[0; 6][..], &[1; 20], &[section::PLAN9, 0, 12], &[0; 8], &[0, 0, 0, 5]];
        let mut tail = tail.concat();
        tail[10..14].fill(0);
        for (version, middle) in [(7, &[9; 20][..]), (8, &[])] {
            let bytes = [&head(version), qid, middle, &tail].concat();
            let vac_dir = VacDir::decode(&bytes).unwrap();
            assert_eq!((vac_dir.entry, vac_dir.meta_entry), (8, 9));
            assert_eq!(vac_dir.modifications, 5);
        }
        let newer = [&head(10), qid, &tail].concat();
        assert!(matches!(VacDir::decode(&newer), Err(FormatError::Version { found: 10, .. })));
    }

    #[test]
    fn bad_names_are_named() {
        let check = |name: &[u8]| {
            let named = VacDir { name: name.to_vec(), ..VacDir::default() };
            named.checked_name().map(<[u8]>::to_vec)
        };
        assert_eq!(check(b""), Err(BadName::Empty));
        assert_eq!(check(b"."), Err(BadName::Dots));
        assert_eq!(check(b".."), Err(BadName::Dots));
        assert_eq!(check(b"/etc"), Err(BadName::Slash));
        assert_eq!(check(b"a\0b"), Err(BadName::Zero));
        assert_eq!(check(&[b'n'; 256]), Err(BadName::TooLong));
        assert_eq!(check(b"..."), Ok(b"...".to_vec()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(
            cut in 0usize..400, at in 0usize..300, byte: u8,
        ) {
            let mut bytes = Vec::new();
            sample().encode(&mut bytes).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Ok(vac_dir) = VacDir::decode(&bytes) {
                let mut again = Vec::new();
                vac_dir.encode(&mut again).unwrap();
                prop_assert_eq!(VacDir::decode(&again), Ok(vac_dir));
            }
        }
    }
}
