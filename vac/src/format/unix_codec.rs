//! Bytes of our optional section: a version, then fields of a number, a length and a value.
//!
//! The same fields, with lengths of four bytes, make the external stream that takes what is too
//! large for a meta block. Numbers that are not known are kept as they are. The table of fields
//! is in docs/vac-format.md.

use super::FormatError;
use super::cursor::Cursor;
use super::unix::{
    DeviceNumber, DirectoryFacts, ExternalStream, Gap, HardLink, Hole, Identity, Timestamp,
    UnixMetadata, Xattr,
};

/// The largest external stream that is read: bounds what a hostile archive can make us hold.
pub const MAX_EXTERNAL_SIZE: u64 = 32 << 20;

/// The version of the section and of the external stream. Newer ones are refused.
const VERSION: u8 = 1;

mod field {
    pub(super) const STAT: u8 = 1;
    pub(super) const MODIFIED: u8 = 2;
    pub(super) const CHANGED: u8 = 3;
    pub(super) const ACCESSED: u8 = 4;
    pub(super) const BORN: u8 = 5;
    pub(super) const IDENTITY: u8 = 6;
    pub(super) const LINK: u8 = 7;
    pub(super) const DEVICE: u8 = 8;
    pub(super) const XATTR: u8 = 9;
    pub(super) const INODE_FLAGS: u8 = 10;
    pub(super) const TORN: u8 = 11;
    pub(super) const HOLES: u8 = 12;
    pub(super) const EXTERNAL: u8 = 13;
    pub(super) const DIRECTORY: u8 = 14;
    pub(super) const GAP: u8 = 15;
}

/// The order in which the fields of files are written.
const PLAIN_ORDER: [u8; 11] = [
    field::STAT,
    field::MODIFIED,
    field::CHANGED,
    field::ACCESSED,
    field::BORN,
    field::IDENTITY,
    field::LINK,
    field::DEVICE,
    field::INODE_FLAGS,
    field::XATTR,
    field::HOLES,
];

/// Bytes of a field's length: two in the section, four in the external stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Section,
    External,
}

/// Appends fields, and remembers the first that was too long.
struct FieldWriter<'a> {
    to: &'a mut Vec<u8>,
    width: Width,
    too_long: Option<FormatError>,
}

impl FieldWriter<'_> {
    fn field(&mut self, number: u8, parts: &[&[u8]]) {
        let size = parts.iter().map(|part| part.len()).sum();
        self.to.push(number);
        let limit = match (self.width, u16::try_from(size), u32::try_from(size)) {
            (Width::Section, Ok(length), _) => {
                self.to.extend_from_slice(&length.to_be_bytes());
                None
            }
            (Width::External, _, Ok(length)) => {
                self.to.extend_from_slice(&length.to_be_bytes());
                None
            }
            (Width::Section, ..) => Some(usize::from(u16::MAX)),
            (Width::External, ..) => Some(usize::MAX),
        };
        if let Some(limit) = limit {
            self.too_long =
                Some(FormatError::TooLong { what: "a field of the Unix section", size, limit });
        }
        parts.iter().for_each(|part| self.to.extend_from_slice(part));
    }

    fn time(&mut self, number: u8, time: Option<Timestamp>) {
        if let Some(Timestamp { seconds, nanoseconds }) = time {
            self.field(number, &[&seconds.to_be_bytes(), &nanoseconds.to_be_bytes()]);
        }
    }

    fn small_fields(&mut self, unix: &UnixMetadata) {
        let UnixMetadata { mode, uid, gid, .. } = unix;
        let stat = [mode, uid, gid].map(|number| number.to_be_bytes());
        self.field(field::STAT, &[&stat[0], &stat[1], &stat[2]]);
        self.time(field::MODIFIED, Some(unix.modified));
        self.time(field::CHANGED, unix.changed);
        self.time(field::ACCESSED, unix.accessed);
        self.time(field::BORN, unix.born);
        if let Some(Identity { device, inode }) = unix.identity {
            self.field(field::IDENTITY, &[&device.to_be_bytes(), &inode.to_be_bytes()]);
        }
        if let Some(HardLink { group, count }) = unix.link {
            self.field(field::LINK, &[&group.to_be_bytes(), &count.to_be_bytes()]);
        }
        if let Some(DeviceNumber { major, minor }) = unix.device {
            self.field(field::DEVICE, &[&major.to_be_bytes(), &minor.to_be_bytes()]);
        }
        if let Some(flags) = unix.inode_flags {
            self.field(field::INODE_FLAGS, &[&flags.to_be_bytes()]);
        }
        if unix.torn {
            self.field(field::TORN, &[]);
        }
        if let Some(DirectoryFacts { sorted, entries }) = unix.directory {
            self.field(field::DIRECTORY, &[&[u8::from(sorted)], &entries.to_be_bytes()]);
        }
        if let Some(gap) = unix.gap {
            self.field(field::GAP, &[&[gap_number(gap)]]);
        }
    }

    fn large_fields(&mut self, unix: &UnixMetadata) {
        for Xattr { name, value } in &unix.xattrs {
            let Ok(length) = u8::try_from(name.len()) else {
                let (what, size, limit) = ("the name of an extended attribute", name.len(), 255);
                self.too_long = Some(FormatError::TooLong { what, size, limit });
                continue;
            };
            self.field(field::XATTR, &[&[length], name, value]);
        }
        if let Some(holes) = &unix.holes {
            let bytes: Vec<u8> = holes
                .iter()
                .flat_map(|hole| [hole.offset.to_be_bytes(), hole.length.to_be_bytes()].concat())
                .collect();
            self.field(field::HOLES, &[&bytes]);
        }
        for (number, value) in &unix.unknown {
            self.field(*number, &[value]);
        }
    }
}

impl UnixMetadata {
    /// Appends the section's content.
    ///
    /// # Errors
    /// [`FormatError::TooLong`].
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), FormatError> {
        to.push(VERSION);
        let mut writer = FieldWriter { to, width: Width::Section, too_long: None };
        writer.small_fields(self);
        writer.large_fields(self);
        writer.external(self.external);
        writer.too_long.map_or(Ok(()), Err)
    }

    /// Reads the section's content.
    ///
    /// # Errors
    /// [`FormatError::Version`], [`FormatError::Truncated`], [`FormatError::Section`].
    pub fn decode(bytes: &[u8]) -> Result<UnixMetadata, FormatError> {
        let mut unix = UnixMetadata::default();
        decode_fields(&mut unix, bytes, Width::Section)?;
        Ok(unix)
    }

    /// Moves fields into the content of an external stream: extended attributes, holes and
    /// unknown fields, or everything. The caller stores it and sets [`UnixMetadata::external`].
    ///
    /// # Errors
    /// [`FormatError::TooLong`].
    pub fn split_external(&mut self, everything: bool) -> Result<Vec<u8>, FormatError> {
        let mut stream = vec![VERSION];
        let mut writer = FieldWriter { to: &mut stream, width: Width::External, too_long: None };
        if everything {
            writer.small_fields(self);
        }
        writer.large_fields(self);
        if let Some(error) = writer.too_long {
            return Err(error);
        }
        let (xattrs, holes, unknown) = (Vec::new(), None, Vec::new());
        *self = if everything {
            let UnixMetadata { mode, uid, gid, modified, .. } = *self;
            UnixMetadata { mode, uid, gid, modified, ..UnixMetadata::default() }
        } else {
            UnixMetadata { xattrs, holes, unknown, ..std::mem::take(self) }
        };
        Ok(stream)
    }
}

impl FieldWriter<'_> {
    fn external(&mut self, external: Option<ExternalStream>) {
        if let Some(ExternalStream { entry, generation }) = external {
            self.field(field::EXTERNAL, &[&entry.to_be_bytes(), &generation.to_be_bytes()]);
        }
    }
}

/// Adds to `unix` what the content of its external stream holds.
///
/// # Errors
/// As [`UnixMetadata::decode`].
pub fn decode_external(unix: &mut UnixMetadata, stream: &[u8]) -> Result<(), FormatError> {
    decode_fields(unix, stream, Width::External)
}

fn decode_fields(unix: &mut UnixMetadata, bytes: &[u8], width: Width) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let found = u16::from(cursor.u8("version of the Unix section")?);
    if found != u16::from(VERSION) {
        return Err(FormatError::Version { what: "the Unix section", found, oldest: 1, newest: 1 });
    }
    while !cursor.is_empty() {
        let number = cursor.u8("field number")?;
        let length = match width {
            Width::Section => usize::from(cursor.u16("field length")?),
            Width::External => usize::try_from(cursor.u32("field length")?).unwrap_or(usize::MAX),
        };
        let mut value = Cursor::new(cursor.take("field", length)?);
        decode_field(unix, number, &mut value, length)?;
        if !value.is_empty() {
            let detail = "longer than the field is";
            return Err(FormatError::Section { section: number, found: length, detail });
        }
    }
    Ok(())
}

/// Reads a section that has exactly the form in which sections of files are written, without
/// extended attributes, inode flags and holes; none if it has another form.
pub(super) fn decode_plain(bytes: &[u8]) -> Option<UnixMetadata> {
    let mut unix = UnixMetadata::default();
    let mut cursor = Cursor::new(bytes);
    if cursor.u8("version of the Unix section").ok()? != VERSION {
        return None;
    }
    let mut last = 0;
    while !cursor.is_empty() {
        let number = cursor.u8("field number").ok()?;
        let value = cursor.string("field").ok()?;
        let place = 1 + PLAIN_ORDER.iter().position(|field| *field == number)?;
        let follows = match number {
            field::STAT | field::MODIFIED => place == last + 1,
            // There may be any number of them.
            field::XATTR => place >= last,
            _ => place > last,
        };
        last = place;
        let mut rest = Cursor::new(value);
        match number {
            field::XATTR => {
                let length = rest.u8("attribute name length").ok()?;
                rest.take("attribute name", usize::from(length)).ok()?;
                rest = Cursor::new(&[]);
            }
            field::HOLES => drop(holes(&mut rest).ok()?),
            field::INODE_FLAGS if rest.u32("inode flags").ok()? == 0 => return None,
            field::INODE_FLAGS => {}
            _ => decode_field(&mut unix, number, &mut rest, value.len()).ok()?,
        }
        if !follows || !rest.is_empty() {
            return None;
        }
    }
    (last > 1).then_some(unix)
}

fn decode_field(
    unix: &mut UnixMetadata,
    number: u8,
    value: &mut Cursor<'_>,
    length: usize,
) -> Result<(), FormatError> {
    match number {
        field::STAT => {
            unix.mode = value.u32("mode")?;
            unix.uid = value.u32("uid")?;
            unix.gid = value.u32("gid")?;
        }
        field::MODIFIED => unix.modified = time(value)?,
        field::CHANGED => unix.changed = Some(time(value)?),
        field::ACCESSED => unix.accessed = Some(time(value)?),
        field::BORN => unix.born = Some(time(value)?),
        field::IDENTITY => {
            let (device, inode) = (value.u64("device")?, value.u64("inode")?);
            unix.identity = Some(Identity { device, inode });
        }
        field::LINK => {
            let (group, count) = (value.u64("link group")?, value.u32("link count")?);
            unix.link = Some(HardLink { group, count });
        }
        field::DEVICE => {
            let (major, minor) = (value.u32("major")?, value.u32("minor")?);
            unix.device = Some(DeviceNumber { major, minor });
        }
        field::XATTR => {
            let name_length = usize::from(value.u8("attribute name length")?);
            let name = value.take("attribute name", name_length)?.to_vec();
            let value_length = length.saturating_sub(1 + name_length);
            let value = value.take("attribute value", value_length)?.to_vec();
            unix.xattrs.push(Xattr { name, value });
        }
        field::INODE_FLAGS => unix.inode_flags = Some(value.u32("inode flags")?),
        field::TORN => unix.torn = true,
        field::HOLES => unix.holes = Some(holes(value)?),
        field::EXTERNAL => {
            let (entry, generation) = (value.u32("entry")?, value.u32("generation")?);
            unix.external = Some(ExternalStream { entry, generation });
        }
        field::DIRECTORY => {
            let (flags, entries) = (value.u8("directory flags")?, value.u64("entries")?);
            unix.directory = Some(DirectoryFacts { sorted: flags & 1 != 0, entries });
        }
        field::GAP => {
            // A reason of tomorrow: nothing may be concluded from what is not there.
            let left_out = value.u8("gap")? == gap_number(Gap::LeftOut);
            unix.gap = Some(if left_out { Gap::LeftOut } else { Gap::Incomplete });
        }
        unknown => unix.unknown.push((unknown, value.take("field", length)?.to_vec())),
    }
    Ok(())
}

const fn gap_number(gap: Gap) -> u8 {
    match gap {
        Gap::LeftOut => 1,
        Gap::Incomplete => 2,
    }
}

fn time(value: &mut Cursor<'_>) -> Result<Timestamp, FormatError> {
    let seconds = value.u64("seconds")?.cast_signed();
    let nanoseconds = value.u32("nanoseconds")?;
    if nanoseconds >= 1_000_000_000 {
        let detail = "a second has 1,000,000,000 nanoseconds";
        return Err(FormatError::Section { section: field::MODIFIED, found: 12, detail });
    }
    Ok(Timestamp { seconds, nanoseconds })
}

fn holes(value: &mut Cursor<'_>) -> Result<Vec<Hole>, FormatError> {
    let mut holes: Vec<Hole> = Vec::new();
    while !value.is_empty() {
        let hole = Hole { offset: value.u64("hole offset")?, length: value.u64("hole length")? };
        let floor = holes.last().map_or(0, |last| last.offset + last.length);
        if hole.offset < floor || hole.offset.checked_add(hole.length).is_none() {
            let detail = "holes overlap or are not in order";
            return Err(FormatError::Section { section: field::HOLES, found: 16, detail });
        }
        holes.push(hole);
    }
    Ok(holes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::format) fn full() -> UnixMetadata {
        let time = |seconds| Timestamp { seconds, nanoseconds: 999_999_999 };
        UnixMetadata {
            mode: 0o104_755,
            uid: 1000,
            gid: u32::MAX,
            modified: time(-1),
            changed: Some(time(i64::MAX)),
            accessed: Some(time(0)),
            born: Some(time(1 << 33)),
            identity: Some(Identity { device: 1 << 40, inode: u64::MAX }),
            link: Some(HardLink { group: 7, count: 3 }),
            device: Some(DeviceNumber { major: 259, minor: 1 << 19 }),
            xattrs: vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }],
            inode_flags: Some(0x10),
            torn: true,
            holes: Some(vec![Hole { offset: 4096, length: 1 << 40 }]),
            external: Some(ExternalStream { entry: 9, generation: 1 }),
            directory: Some(DirectoryFacts { sorted: true, entries: 2_000_000 }),
            gap: Some(Gap::Incomplete),
            unknown: vec![(200, b"of tomorrow".to_vec())],
        }
    }

    #[test]
    fn every_field_goes_there_and_back() {
        let mut bytes = Vec::new();
        full().encode(&mut bytes).unwrap();
        assert_eq!(UnixMetadata::decode(&bytes), Ok(full()));
    }

    #[test]
    fn what_was_split_comes_together_again() {
        for everything in [false, true] {
            let mut inline = UnixMetadata { external: None, ..full() };
            inline.xattrs[0].value = vec![1; 70_000];
            let whole = inline.clone();
            let stream = inline.split_external(everything).unwrap();
            assert!(inline.xattrs.is_empty());
            decode_external(&mut inline, &stream).unwrap();
            assert_eq!(inline, whole);
        }
    }

    #[test]
    fn what_is_too_long_or_malformed_is_refused() {
        let long = Xattr { name: vec![b'n'; 256], value: Vec::new() };
        let refused = UnixMetadata { xattrs: vec![long], ..full() }.encode(&mut Vec::new());
        assert!(matches!(refused, Err(FormatError::TooLong { size: 256, .. })));
        let wide = Xattr { name: b"n".to_vec(), value: vec![0; 65_536] };
        let refused = UnixMetadata { xattrs: vec![wide], ..full() }.encode(&mut Vec::new());
        assert!(matches!(refused, Err(FormatError::TooLong { .. })));
        let cases: [&[u8]; 6] = [
            &[],
            &[2],
            &[1, 1, 0, 12, 0],
            &[1, 10, 0, 5, 0, 0, 0, 0, 0],
            &[1, 12, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ];
        for case in cases {
            assert!(UnixMetadata::decode(case).is_err(), "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_again(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let bytes = [&[VERSION][..], &bytes].concat();
            if let Ok(unix) = UnixMetadata::decode(&bytes) {
                let mut again = Vec::new();
                unix.encode(&mut again).unwrap();
                prop_assert_eq!(UnixMetadata::decode(&again), Ok(unix));
            }
        }
    }
}
