//! Makes many small files with one call to the store: each is written from where its block
//! arrived.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, ftruncate, makedev, mknodat, symlinkat};
use rustix::io::Errno;
use venti_proto::hash_tree::{LeafWalk, TreeError};
use venti_proto::{BlockRequest, Score, StoreError};

use super::attributes::Made;
use super::extended::wanted_flags;
use super::open_directory::OpenDirectory;
use super::place::Construction;
use super::session::Session;
use super::zeros::Holes;
use super::{ExtractError, attributes, compare, extended, place};
use crate::format::{DeviceNumber, FileKind};
use crate::reader::{Node, ReadError};

/// A file to be made.
pub(super) struct Task<'s> {
    pub(super) directory: Arc<OpenDirectory<'s>>,
    pub(super) node: Node,
    /// The only pointer block of a file of a few blocks, if it was read already.
    pub(super) walk: Option<Box<Result<LeafWalk, ReadError>>>,
}

impl Task<'_> {
    pub(super) fn path(&self) -> Vec<u8> {
        self.directory.path_of(self.node.name())
    }

    /// Whether one block, or none, has all its content.
    pub(super) fn is_small(&self) -> bool {
        let content = self.node.content();
        content.depth == 0 && content.size <= u64::from(content.data_size)
    }
}

/// Makes small files. Problems are reported, each with its file.
pub(super) fn make_all(session: &Session<'_>, tasks: &[Task<'_>]) {
    let mut reading = Vec::with_capacity(tasks.len());
    let mut requests = Vec::with_capacity(tasks.len());
    for task in tasks {
        if session.stopped() {
            return;
        }
        if compare::is_unchanged(session, task) {
            continue;
        }
        let content = task.node.content();
        if needs_content(&task.node) && content.score != Score::ZERO {
            requests
                .push(BlockRequest { score: content.score, block_type: content.kind.leaf_type() });
            reading.push(task);
        } else {
            make(session, task, Ok(&[]));
        }
    }
    if let Some(first) = reading.first() {
        first.node.store().read(&requests, &mut |position, block| {
            make(session, reading[position], block);
        });
    }
}

/// Devices of the original have their number in the content; everything else that is neither
/// file nor link has none.
fn needs_content(node: &Node) -> bool {
    matches!(node.kind(), FileKind::Regular | FileKind::Symlink) && node.size() > 0
}

/// Makes one file from its block and reports what goes wrong.
fn make(session: &Session<'_>, task: &Task<'_>, block: Result<&[u8], StoreError>) {
    let path = task.path();
    session.observer.entry(&path, &task.node);
    session.check(&path, make_one(session, task, &path, block));
}

fn make_one(
    session: &Session<'_>,
    task: &Task<'_>,
    path: &[u8],
    block: Result<&[u8], StoreError>,
) -> Result<(), ExtractError> {
    let node = &task.node;
    let block = block.map_err(ReadError::from)?;
    let expected = node.content().data_size;
    if block.len() > expected as usize {
        let (score, block_type) = (node.content().score, node.content().kind.leaf_type());
        let found = block.len();
        let error = TreeError::TooLong { score, block_type, found, expected };
        return Err(ReadError::Tree(error).into());
    }
    if matches!(node.kind(), FileKind::CharDevice | FileKind::BlockDevice)
        && !session.options.special
    {
        return Ok(());
    }
    let size = usize::try_from(node.size()).unwrap_or(usize::MAX);
    let content = &block[..block.len().min(size)];
    let name = place::c_name(node.name())?;
    let parent = task.directory.as_fd();
    let mut construction = Construction::new(parent, &name, task.directory.fresh)?;
    let made = Made { owner: task.directory.new_owner, mode: None };
    match node.kind() {
        FileKind::Regular => {
            let (file, made) = create(session, &mut construction, task)?;
            let holes = Holes::of(node);
            holes.write_around(file.as_fd(), content, 0)?;
            if content.len() < size {
                ftruncate(&file, node.size()).map_err(ExtractError::system("set the size"))?;
                holes.fill(session, file.as_fd(), content.len() as u64, node.size())?;
            }
            session.wrote(content.len() as u64);
            attributes::apply_open(session, file.as_fd(), path, node, made);
            return finish(session, construction, &file, path, node, made);
        }
        FileKind::Symlink => {
            let target = link_target(content, size)?;
            let make = |at: BorrowedFd<'_>, name: &CStr| symlinkat(target, at, name);
            construction.make("make the link", make)?;
            attributes::apply_named(session, parent, construction.current(), path, node, made);
        }
        _ => {
            make_node(&mut construction, node)?;
            attributes::apply_named(session, parent, construction.current(), path, node, made);
        }
    }
    construction.finish(None, session.options.delete)?;
    session.made(node);
    Ok(())
}

/// Gives a regular file its name, and then its flags: with some of them it could not be named.
pub(super) fn finish(
    session: &Session<'_>,
    construction: Construction<'_>,
    file: &OwnedFd,
    path: &[u8],
    node: &Node,
    made: Made,
) -> Result<(), ExtractError> {
    construction.finish(Some(file.as_fd()), session.options.delete)?;
    attributes::apply_flags(session, file.as_fd(), path, node, made);
    session.made(node);
    Ok(())
}

/// Makes a regular file, and says what is known of it.
pub(super) fn create(
    session: &Session<'_>,
    construction: &mut Construction<'_>,
    task: &Task<'_>,
) -> Result<(OwnedFd, Made), ExtractError> {
    let metadata = task.node.metadata();
    let permissions = metadata.permissions();
    let owner = task.directory.new_owner;
    let wanted = session.owners.of(metadata, session.options.owners);
    // Nobody who may not read the file in the end may read it before it has its owner.
    let owned = owner.is_some() && (wanted == (None, None) || wanted.0.zip(wanted.1) == owner);
    let direct = session.options.cleared_umask.is_some() && owned && permissions & !0o777 == 0;
    let mode = if direct { permissions } else { 0o600 };
    let file = if task.is_small() {
        construction.make("make the file", |at, name| place::create_new(at, name, mode))?
    } else {
        construction.make_unseen(mode)?
    };
    let flags = metadata.unix.as_ref().map_or(0, |unix| wanted_flags(unix));
    if session.options.attributes {
        extended::set_early_flags(file.as_fd(), flags);
    }
    Ok((file, Made { owner, mode: direct.then_some(mode) }))
}

/// The target of a link. The original cuts targets to 8 bytes and leaves zeros in their place.
fn link_target(content: &[u8], size: usize) -> Result<&[u8], ExtractError> {
    if content.is_empty() || content.len() < size || content.contains(&0) {
        return Err(ExtractError::NotStored { what: "the whole target of the link" });
    }
    Ok(content)
}

/// Makes a device, pipe or socket.
fn make_node(construction: &mut Construction<'_>, node: &Node) -> Result<(), ExtractError> {
    let mut kind = node.kind();
    let mut device = DeviceNumber { major: 0, minor: 0 };
    if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
        let stored = node.device()?;
        (kind, device) = stored.ok_or(ExtractError::NotStored { what: "the device's number" })?;
    }
    let file_type = match kind {
        FileKind::CharDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::Fifo,
        _ => FileType::Socket,
    };
    let number = makedev(device.major, device.minor);
    let mode = Mode::RUSR | Mode::WUSR;
    construction.make("make it", |at, name| mknodat(at, name, file_type, mode, number))
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all(
    file: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut offset: u64,
) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
