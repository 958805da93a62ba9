//! Qids and directory entries: what 9P2000 knows of a file (stat(9p)).

use std::fmt;

use super::field::{Cursor, DecodeError, Field};
use super::text::{ParseTextError, Words};

/// The server's name for a file: two files are the same exactly if their paths are, and two
/// versions of a file exactly if their versions are too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Qid {
    /// The high bits of the mode: [`Qid::DIRECTORY`] and so on.
    pub kind: u8,
    /// Counts versions of the file.
    pub version: u32,
    /// Unique among all files of the server.
    pub path: u64,
}

impl Qid {
    /// `QTDIR`
    pub const DIRECTORY: u8 = 0x80;
    /// `QTSYMLINK`: of 9P2000.u, but harmless in plain 9P2000, and vacfs sends it too.
    pub const SYMLINK: u8 = 0x02;
    /// `QTFILE`
    pub const FILE: u8 = 0;

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.kind & Qid::DIRECTORY != 0
    }
}

/// A directory entry.
///
/// `size[2] type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s]
/// muid[s]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// For the kernel's use.
    pub device_type: u16,
    /// For the kernel's use.
    pub device: u32,
    /// Which file and version.
    pub qid: Qid,
    /// Permissions, and `DMDIR` and so on in the high bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub access_time: u32,
    /// Seconds since 1970.
    pub modification_time: u32,
    /// Bytes; 0 for directories.
    pub length: u64,
    /// The last element of its name.
    pub name: String,
    /// Who owns it.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Who changed it last.
    pub modifier: String,
}

impl Stat {
    /// `DMDIR`
    pub const MODE_DIRECTORY: u32 = 0x8000_0000;
    /// `DMSYMLINK`, as 9P2000.u has it.
    pub const MODE_SYMLINK: u32 = 0x0200_0000;
    /// `DMDEVICE`, as 9P2000.u has it.
    pub const MODE_DEVICE: u32 = 0x0080_0000;
    /// `DMNAMEDPIPE`, as 9P2000.u has it.
    pub const MODE_NAMED_PIPE: u32 = 0x0020_0000;
    /// `DMSOCKET`, as 9P2000.u has it.
    pub const MODE_SOCKET: u32 = 0x0010_0000;
    /// `DMSETUID`, as 9P2000.u has it.
    pub const MODE_SETUID: u32 = 0x0008_0000;
    /// `DMSETGID`, as 9P2000.u has it.
    pub const MODE_SETGID: u32 = 0x0004_0000;

    /// Whether a wstat with this changes nothing: then it only asks for a sync (stat(9p)).
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        let Stat { mode, access_time, modification_time, length, .. } = self;
        [*mode, *access_time, *modification_time] == [u32::MAX; 3]
            && *length == u64::MAX
            && [&self.name, &self.owner, &self.group].iter().all(|text| text.is_empty())
    }

    /// Appends the stat with its leading size, as directories are read.
    pub fn encode_stat(&self, out: &mut Vec<u8>) {
        let start = out.len();
        0u16.encode(out);
        self.device_type.encode(out);
        self.device.encode(out);
        self.qid.encode(out);
        self.mode.encode(out);
        self.access_time.encode(out);
        self.modification_time.encode(out);
        self.length.encode(out);
        for text in [&self.name, &self.owner, &self.group, &self.modifier] {
            text.encode(out);
        }
        let mut size = Vec::with_capacity(2);
        u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX).encode(&mut size);
        out[start..start + 2].copy_from_slice(&size);
    }

    /// Reads a stat with its leading size.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode_stat(from: &mut Cursor<'_>) -> Result<Stat, DecodeError> {
        let size = u16::decode(from)?;
        let mut inside = Cursor::new(from.take(usize::from(size))?);
        let stat = Stat {
            device_type: Field::decode(&mut inside)?,
            device: Field::decode(&mut inside)?,
            qid: Field::decode(&mut inside)?,
            mode: Field::decode(&mut inside)?,
            access_time: Field::decode(&mut inside)?,
            modification_time: Field::decode(&mut inside)?,
            length: Field::decode(&mut inside)?,
            name: Field::decode(&mut inside)?,
            owner: Field::decode(&mut inside)?,
            group: Field::decode(&mut inside)?,
            modifier: Field::decode(&mut inside)?,
        };
        inside.finish()?;
        Ok(stat)
    }

    /// Prints the stat as plan9port prints a Dir.
    pub(super) fn print_stat(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for text in [&self.name, &self.owner, &self.group, &self.modifier] {
            text.print(f)?;
            f.write_str(" ")?;
        }
        f.write_str("q ")?;
        self.qid.print(f)?;
        write!(f, " m {:o} at {} mt {}", self.mode, self.access_time, self.modification_time)?;
        write!(f, " l {} t {} d {}}}", self.length, self.device_type, self.device)
    }

    /// Reads what [`Stat::print_stat`] printed.
    pub(super) fn parse_stat(words: &mut Words<'_>) -> Result<Stat, ParseTextError> {
        words.expect('{')?;
        let [name, owner, group, modifier] =
            [words.quoted()?, words.quoted()?, words.quoted()?, words.quoted()?];
        words.keyword("q")?;
        let qid = Qid::parse(words)?;
        words.keyword("m")?;
        let mode = u32::from_str_radix(words.word()?, 8)
            .map_err(|_| words.unexpected("a mode in octal before this"))?;
        words.keyword("at")?;
        let access_time = words.number()?;
        words.keyword("mt")?;
        let modification_time = words.number()?;
        words.keyword("l")?;
        let length = words.number()?;
        words.keyword("t")?;
        let device_type = words.number()?;
        words.keyword("d")?;
        let device = words.number()?;
        words.expect('}')?;
        Ok(Stat {
            device_type,
            device,
            qid,
            mode,
            access_time,
            modification_time,
            length,
            name,
            owner,
            group,
            modifier,
        })
    }
}
