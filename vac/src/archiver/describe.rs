//! Turns what the system says of a file into a directory entry.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use parking_lot::Mutex;
use rustix::fs::fstatvfs;

use super::chunk::FileResult;
use crate::format::{
    DeviceNumber as FormatDevice, DirectoryFacts, FileKind as FormatKind, HardLink, Hole,
    Identity as FormatIdentity, Mode, PlainEntry, Timestamp, UnixMetadata, VacDir, Xattr,
};
use crate::walk::{Attributes, DeviceNumber, Directory, Extended, FileKind, Moment, holes};

/// Names of owners and groups, asked once each.
#[derive(Default)]
pub(super) struct Owners {
    users: BTreeMap<u32, Vec<u8>>,
    groups: BTreeMap<u32, Vec<u8>>,
}

impl Owners {
    /// The name of a user, or the number in digits.
    fn user(&mut self, number: u32) -> &[u8] {
        self.users.entry(number).or_insert_with(|| {
            uzers::get_user_by_uid(number)
                .map_or_else(|| number.to_string().into(), |u| bytes_of(u.name()))
        })
    }

    /// The name of a group, or the number in digits.
    fn group(&mut self, number: u32) -> &[u8] {
        self.groups.entry(number).or_insert_with(|| {
            uzers::get_group_by_gid(number)
                .map_or_else(|| number.to_string().into(), |g| bytes_of(g.name()))
        })
    }
}

fn bytes_of(text: &std::ffi::OsStr) -> Vec<u8> {
    text.as_encoded_bytes().to_vec()
}

/// A number for every file system that stays the same when the machine is started again, as far
/// as the file system has one. The numbers of devices do not.
#[derive(Default)]
pub(super) struct FileSystemNumbers {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_device: BTreeMap<DeviceNumber, u64>,
    /// The file system that the walk started on.
    first: Option<u64>,
}

impl FileSystemNumbers {
    /// Asks the file system that `directory` is on, if it was not asked before.
    pub(super) fn learn(&self, device: DeviceNumber, directory: &Directory) {
        let mut known = self.known.lock();
        if known.by_device.contains_key(&device) {
            return;
        }
        let number = fstatvfs(directory).map_or(0, |found| found.f_fsid);
        let number = if number == 0 { plain_number(device) } else { number };
        known.by_device.insert(device, number);
        known.first.get_or_insert(number);
    }

    /// Gives the file system that `copy` is on the number of the one that `original` is on: a
    /// snapshot is archived as what it was taken of.
    pub(super) fn stands_for(&self, copy: DeviceNumber, original: &Directory) {
        let Ok(attributes) = Attributes::of_open(original) else { return };
        self.learn(attributes.identity.device, original);
        let mut known = self.known.lock();
        if let Some(number) = known.by_device.get(&attributes.identity.device).copied() {
            known.by_device.insert(copy, number);
        }
    }

    /// The number of a file system and of a file in the archive, from its inode.
    fn identify(&self, attributes: &Attributes) -> (u64, u64) {
        let identity = attributes.identity;
        let known = self.known.lock();
        let number = known.by_device.get(&identity.device).copied();
        let number = number.unwrap_or_else(|| plain_number(identity.device));
        if known.first.is_none_or(|first| first == number) {
            return (number, identity.inode);
        }
        // Of another file system: sixteen bits of its number keep the inodes apart.
        let folded = number ^ number >> 16 ^ number >> 32 ^ number >> 48;
        (number, identity.inode ^ (folded | 1) << 48)
    }
}

fn plain_number(device: DeviceNumber) -> u64 {
    u64::from(device.major) << 32 | u64::from(device.minor)
}

/// Makes directory entries.
pub(super) struct Describer<'a> {
    owners: Owners,
    numbers: &'a FileSystemNumbers,
    access_times: bool,
}

impl<'a> Describer<'a> {
    pub(super) fn new(numbers: &'a FileSystemNumbers, access_times: bool) -> Describer<'a> {
        Describer { owners: Owners::default(), numbers, access_times }
    }

    /// The entry of anything but a directory.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        attributes: &Attributes,
        result: FileResult,
    ) -> VacDir {
        let mut entry = self.describe(name, attributes, result.extended);
        let qid = entry.qid;
        if let Some(unix) = &mut entry.unix {
            unix.torn = result.torn;
            if result.lacks_extended {
                // So that the next archive does not take it for complete.
                unix.changed = None;
            }
            if attributes.kind == FileKind::Regular {
                unix.holes = result.holes;
            }
            describe_kind(unix, qid, attributes);
        }
        entry
    }

    /// Whether a file with these attributes has this entry, but for what only reading it tells.
    pub(super) fn describes(&mut self, entry: &PlainEntry<'_>, attributes: &Attributes) -> bool {
        let (mut unix, qid) = self.unix(attributes);
        describe_kind(&mut unix, qid, attributes);
        entry.unix == unix
            && entry.qid == qid
            && entry.owner == self.owners.user(attributes.user)
            && entry.group == self.owners.group(attributes.group)
            && entry.modified == seconds(attributes.modified)
            && entry.changed == seconds(attributes.changed)
            && entry.accessed == self.accessed(attributes)
            && entry.mode == Mode::from_unix(unix.mode)
    }

    /// The entry of a directory with this many names.
    pub(super) fn directory(
        &mut self,
        name: &[u8],
        attributes: &Attributes,
        extended: Extended,
        names: u64,
    ) -> VacDir {
        let mut entry = self.describe(name, attributes, extended);
        if let Some(unix) = &mut entry.unix {
            unix.directory = Some(DirectoryFacts { sorted: true, entries: names });
        }
        entry
    }

    fn describe(&mut self, name: &[u8], attributes: &Attributes, extended: Extended) -> VacDir {
        let (mut unix, qid) = self.unix(attributes);
        unix.xattrs =
            extended.attributes.into_iter().map(|(name, value)| Xattr { name, value }).collect();
        unix.inode_flags = (extended.flags != 0).then_some(extended.flags);
        VacDir {
            name: name.to_vec(),
            qid,
            owner: self.owners.user(attributes.user).to_vec(),
            group: self.owners.group(attributes.group).to_vec(),
            modified: seconds(attributes.modified),
            changed: seconds(attributes.changed),
            accessed: self.accessed(attributes),
            mode: Mode::from_unix(unix.mode),
            unix: Some(Box::new(unix)),
            ..VacDir::default()
        }
    }

    /// What `statx` says of any file, and its number in the archive.
    fn unix(&self, attributes: &Attributes) -> (UnixMetadata, u64) {
        let (device, qid) = self.numbers.identify(attributes);
        let unix = UnixMetadata {
            mode: unix_kind(attributes.kind).to_unix() | attributes.permissions,
            uid: attributes.user,
            gid: attributes.group,
            modified: timestamp(attributes.modified),
            changed: Some(timestamp(attributes.changed)),
            accessed: self.access_times.then(|| timestamp(attributes.accessed)),
            born: attributes.born.map(timestamp),
            identity: Some(FormatIdentity { device, inode: attributes.identity.inode }),
            ..UnixMetadata::default()
        };
        (unix, qid)
    }

    fn accessed(&self, attributes: &Attributes) -> u32 {
        if self.access_times { seconds(attributes.accessed) } else { 0 }
    }
}

/// Adds what `statx` says of files of some kinds only.
fn describe_kind(unix: &mut UnixMetadata, qid: u64, attributes: &Attributes) {
    if attributes.kind != FileKind::Directory && attributes.links > 1 {
        unix.link = Some(HardLink { group: qid, count: attributes.links });
    }
    if matches!(attributes.kind, FileKind::BlockDevice | FileKind::CharacterDevice) {
        let DeviceNumber { major, minor } = attributes.special;
        unix.device = Some(FormatDevice { major, minor });
    }
}

/// The topmost directory when it is no directory of the system, as the original describes it.
pub(super) fn made_up_directory(name: &[u8], permissions: u32, names: u64) -> VacDir {
    let unix = UnixMetadata {
        mode: FormatKind::Directory.to_unix() | permissions,
        directory: Some(DirectoryFacts { sorted: true, entries: names }),
        ..UnixMetadata::default()
    };
    VacDir {
        unix: Some(Box::new(unix)),
        name: name.to_vec(),
        owner: b"vac".to_vec(),
        group: b"vac".to_vec(),
        mode: Mode(permissions) | Mode::DIRECTORY,
        ..VacDir::default()
    }
}

/// A directory of the hierarchy of days: made up, but with a time.
pub(super) fn dated_directory(name: &[u8], names: u64, modified: Moment) -> VacDir {
    let mut dir = made_up_directory(name, 0o555, names);
    dir.modified = seconds(modified);
    dir.changed = seconds(modified);
    if let Some(unix) = &mut dir.unix {
        unix.modified = timestamp(modified);
    }
    dir
}

/// The holes of an open file, as the format has them.
pub(super) fn holes_of(file: impl AsFd, attributes: &Attributes) -> Option<Vec<Hole>> {
    if !attributes.may_have_holes() {
        return Some(Vec::new());
    }
    let found = holes(file, attributes.size)?;
    Some(found.into_iter().map(|(offset, length)| Hole { offset, length }).collect())
}

/// A moment as the format has it.
pub(super) fn timestamp(moment: Moment) -> Timestamp {
    Timestamp { seconds: moment.seconds, nanoseconds: moment.nanoseconds }
}

/// The 32 bits of the original: they wrap in 2106, and before 1970.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "wraps as documented")]
pub(super) fn seconds(moment: Moment) -> u32 {
    moment.seconds as u32
}

/// A kind as the format has it.
pub(super) fn unix_kind(kind: FileKind) -> FormatKind {
    match kind {
        FileKind::Regular => FormatKind::Regular,
        FileKind::Directory => FormatKind::Directory,
        FileKind::SymbolicLink => FormatKind::Symlink,
        FileKind::BlockDevice => FormatKind::BlockDevice,
        FileKind::CharacterDevice => FormatKind::CharDevice,
        FileKind::Fifo => FormatKind::Fifo,
        FileKind::Socket => FormatKind::Socket,
    }
}
