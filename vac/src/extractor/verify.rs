//! Compares an archive with a directory and changes nothing.

use std::collections::{HashMap, HashSet, hash_map};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{AtFlags, Dir, FileType, Stat, readlinkat, statat};
use rustix::io::Errno;

use super::extended::{Changes, wanted_flags};
use super::links::{Group, group_of};
use super::ordered::{Visitor, visit};
use super::restore::has_been_there;
use super::{ExtractError, ExtractOptions, Limits, Selection, compare, place};
use crate::format::FileKind;
use crate::reader::Node;
use crate::walk::Extended;

/// How a file of the directory is not that of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the archive has it.
    Missing,
    /// Only the directory has it.
    Extra,
    /// It is something else.
    Kind,
    /// The content, or the target of a link, is another.
    Content,
    /// It stands for another device.
    Device,
    /// Permissions are not the same.
    Permissions,
    /// Owner or group are not the same.
    Owner,
    /// The time of the last modification is not the same.
    Time,
    /// Extended attributes are not the same: ACLs, capabilities and labels too.
    Attributes,
    /// Inode flags (chattr) are not the same.
    Flags,
    /// The names that are of one file are not the same.
    Links,
}

impl Difference {
    /// The difference in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Difference::Missing => "missing",
            Difference::Extra => "extra",
            Difference::Kind => "kind",
            Difference::Content => "content",
            Difference::Device => "device",
            Difference::Permissions => "permissions",
            Difference::Owner => "owner",
            Difference::Time => "time",
            Difference::Attributes => "attributes",
            Difference::Flags => "flags",
            Difference::Links => "links",
        }
    }
}

/// Compares what is selected below `root` with the directory `target`. Each difference is given
/// to `tell` with its path, each problem to `problem`. `stop` ends the comparison early.
///
/// # Errors
/// [`ExtractError::System`] if the directory can not be opened, [`ExtractError::Limit`],
/// [`ExtractError::Interrupted`].
pub fn verify(
    root: &Node,
    target: &Path,
    selection: &Selection,
    options: &ExtractOptions,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&[u8], Difference),
    problem: &mut dyn FnMut(&[u8], &ExtractError),
) -> Result<(), ExtractError> {
    let path = CString::new(target.as_os_str().as_bytes())
        .map_err(|_| ExtractError::system("open the directory")(Errno::INVAL))?;
    let top = place::open_target(&path).map_err(ExtractError::system("open the directory"))?;
    let limits: Limits = options.limits;
    let names = vec![HashSet::new()];
    let (groups, taken) = (HashMap::new(), HashMap::new());
    let mut comparison = Comparison {
        options,
        selection,
        stop,
        open: Vec::new(),
        names,
        groups,
        taken,
        tell,
        problem,
    };
    if options.root && selection.is_everything() && has_been_there(root) {
        let stat = statat(&top, c".", AtFlags::SYMLINK_NOFOLLOW)
            .map_err(ExtractError::system("look at the directory"))?;
        match comparison.compare(&top, &c".".to_owned(), &stat, root) {
            Ok(found) => found.into_iter().for_each(|d| (comparison.tell)(b".", d)),
            Err(error) => (comparison.problem)(b".", &error),
        }
    }
    comparison.open.push(Some(top));
    visit(root, selection, &limits, &mut comparison)
}

struct Comparison<'a> {
    options: &'a ExtractOptions,
    selection: &'a Selection,
    stop: &'a AtomicBool,
    /// The directories on the way; `None` where the target has none.
    open: Vec<Option<OwnedFd>>,
    /// Names of the archive in each of them.
    names: Vec<HashSet<Vec<u8>>>,
    /// Which file of the directory the names of each group belong to.
    groups: HashMap<Group, FileNumber>,
    /// And to which group a file with several names belongs.
    taken: HashMap<FileNumber, Option<Group>>,
    tell: &'a mut dyn FnMut(&[u8], Difference),
    problem: &'a mut dyn FnMut(&[u8], &ExtractError),
}

/// Device and inode.
type FileNumber = (u64, u64);

impl Visitor for Comparison<'_> {
    fn enter(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError> {
        if let Some(names) = self.names.last_mut() {
            names.insert(node.name().to_vec());
        }
        let name = place::c_name(node.name())?;
        let mut below = None;
        if let Some(Some(parent)) = self.open.last() {
            match statat(parent, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    match self.compare(parent, &name, &stat, node) {
                        Ok(found) => found.into_iter().for_each(|d| (self.tell)(path, d)),
                        Err(ExtractError::Interrupted) => return Err(ExtractError::Interrupted),
                        Err(error) => (self.problem)(path, &error),
                    }
                    if !same_links(&mut self.groups, &mut self.taken, &stat, node) {
                        (self.tell)(path, Difference::Links);
                    }
                    if node.is_directory() {
                        below = place::open_directory(parent.as_fd(), &name).ok();
                    }
                }
                Err(Errno::NOENT) => (self.tell)(path, Difference::Missing),
                Err(errno) => (self.problem)(path, &ExtractError::system("look at it")(errno)),
            }
        } else {
            (self.tell)(path, Difference::Missing);
        }
        if node.is_directory() {
            self.open.push(below);
            self.names.push(HashSet::new());
        }
        Ok(())
    }

    fn leave(&mut self, path: &[u8], node: &Node, whole: bool) -> Result<(), ExtractError> {
        let names = self.names.pop().unwrap_or_default();
        let Some(Some(directory)) = self.open.pop() else { return Ok(()) };
        // What the archive has not all of can not tell what is too much.
        if !whole || node.gap()?.is_some() {
            return Ok(());
        }
        let listing = Dir::read_from(&directory).map_err(ExtractError::system("list"))?;
        for entry in listing {
            let entry = entry.map_err(ExtractError::system("list"))?;
            let name = entry.file_name().to_bytes();
            let mut below = path.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name);
            let known = name == b"." || name == b".." || names.contains(name);
            let is_directory = entry.file_type() == FileType::Directory;
            if !known && self.selection.chooses(&below, is_directory) {
                (self.tell)(&below, Difference::Extra);
            }
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        (self.problem)(path, error);
    }
}

impl Comparison<'_> {
    fn compare(
        &self,
        parent: &OwnedFd,
        name: &CString,
        stat: &Stat,
        node: &Node,
    ) -> Result<Vec<Difference>, ExtractError> {
        let kind = node.kind();
        if FileKind::from_unix(stat.st_mode) != Some(kind) {
            return Ok(vec![Difference::Kind]);
        }
        let mut found = Vec::new();
        let same = match kind {
            FileKind::Regular => {
                u64::try_from(stat.st_size) == Ok(node.size())
                    && self.same_file(parent, name, node)?
            }
            FileKind::Symlink => {
                let target = readlinkat(parent, name.as_c_str(), Vec::new());
                let target = target.map_err(ExtractError::system("read the link"))?;
                node.link_target()? == target.as_bytes()
            }
            _ => true,
        };
        if !same {
            found.push(Difference::Content);
        }
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        if is_device && !compare::same_device(stat, node) {
            found.push(Difference::Device);
        }
        let unix = node.metadata().unix.as_ref();
        if kind != FileKind::Symlink && stat.st_mode & 0o7777 != node.metadata().permissions() {
            found.push(Difference::Permissions);
        }
        if self.options.owners != super::Owners::Mine
            && unix.is_some_and(|unix| (unix.uid, unix.gid) != (stat.st_uid, stat.st_gid))
        {
            found.push(Difference::Owner);
        }
        let modified = node.metadata().modified();
        let nanoseconds = unix.is_none() || stat.st_mtime_nsec == u64::from(modified.nanoseconds);
        if self.options.times && (stat.st_mtime != modified.seconds || !nanoseconds) {
            found.push(Difference::Time);
        }
        if self.options.attributes {
            compare_attributes(parent, name, node, &mut found);
        }
        Ok(found)
    }

    fn same_file(
        &self,
        parent: &OwnedFd,
        name: &CString,
        node: &Node,
    ) -> Result<bool, ExtractError> {
        let file = compare::open_regular(parent.as_fd(), name);
        let file = file.map_err(ExtractError::system("open"))?;
        compare::same_content(file.as_fd(), node, self.stop)
    }
}

/// Compares attributes, by names and values, and inode flags; archives that have none say nothing.
fn compare_attributes(parent: &OwnedFd, name: &CString, node: &Node, found: &mut Vec<Difference>) {
    let Ok(Some(unix)) = node.unix() else { return };
    let opened = match node.kind() {
        FileKind::Regular => compare::open_regular(parent.as_fd(), name).ok(),
        FileKind::Directory => place::open_directory(parent.as_fd(), name).ok(),
        _ => None,
    };
    let extended = match &opened {
        Some(file) => Extended::of_open(file, &mut Vec::new()),
        None => Extended::of_child(parent, name, &mut Vec::new()),
    };
    if !Changes::between(&extended.attributes, &unix).is_empty() {
        found.push(Difference::Attributes);
    }
    // What can not be opened has no flags that could be told.
    let is_told = opened.is_some() && unix.gap.is_none();
    if is_told && extended.flags != wanted_flags(&unix) {
        found.push(Difference::Flags);
    }
}

/// Whether the names met so far that are of this file are those of the archive. Names that are
/// not in the archive do not count.
fn same_links(
    groups: &mut HashMap<Group, FileNumber>,
    taken: &mut HashMap<FileNumber, Option<Group>>,
    stat: &Stat,
    node: &Node,
) -> bool {
    if node.is_directory() {
        return true;
    }
    let number = (stat.st_dev, stat.st_ino);
    let group = group_of(node);
    let one_file = group.is_none_or(|group| *groups.entry(group).or_insert(number) == number);
    if stat.st_nlink < 2 {
        return one_file;
    }
    match taken.entry(number) {
        hash_map::Entry::Occupied(known) => one_file && group.is_some() && *known.get() == group,
        hash_map::Entry::Vacant(vacant) => {
            vacant.insert(group);
            one_file
        }
    }
}
