//! Writes an archive as a tar stream: POSIX 1003.1-2001 (pax) with what GNU tar and star
//! understand beside it: `SCHILY.xattr`, `SCHILY.acl`, and `GNU.sparse` 1.0.

mod records;
mod sparse;

use std::collections::HashMap;
use std::io::Write;

use super::links::{Group, group_of};
use super::ordered::Visitor;
use super::{ExtractError, Observer};
use crate::format::FileKind;
use crate::reader::{Node, Piece};
use records::records;
use sparse::Sparse;

const BLOCK: usize = 512;

/// Writes what is visited. Call [`TarWriter::finish`] at the end.
pub struct TarWriter<'a> {
    to: &'a mut dyn Write,
    observer: &'a dyn Observer,
    /// First paths of files with several names.
    links: HashMap<Group, Vec<u8>>,
}

/// The fields of a header.
#[derive(Clone, Copy)]
struct Header<'a> {
    path: &'a [u8],
    link: &'a [u8],
    /// Bytes that follow.
    size: u64,
    type_flag: u8,
    /// For a sparse file its own path and size: those above are of what is in the stream.
    sparse: Option<(&'a [u8], u64)>,
}

impl<'a> TarWriter<'a> {
    /// Writes to `to`; problems of single files are told to `observer`.
    pub fn new(to: &'a mut dyn Write, observer: &'a dyn Observer) -> TarWriter<'a> {
        TarWriter { to, observer, links: HashMap::new() }
    }

    /// Writes the end of the archive.
    ///
    /// # Errors
    /// [`ExtractError::System`] if it can not be written.
    pub fn finish(self) -> Result<(), ExtractError> {
        self.to
            .write_all(&[0; 2 * BLOCK])
            .and_then(|()| self.to.flush())
            .map_err(|error| write_error(&error))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        self.to.write_all(bytes).map_err(|error| write_error(&error))
    }

    fn pad(&mut self, size: u64) -> Result<(), ExtractError> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        self.put(&[0; BLOCK][..(BLOCK - rest) % BLOCK])
    }

    fn file(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError> {
        let mut name = path.to_vec();
        if node.is_directory() {
            name.push(b'/');
        }
        let group = group_of(node);
        let type_flag = type_flag(node);
        let header = Header { path: &name, link: b"", size: 0, type_flag, sparse: None };
        if let Some(first) = group.and_then(|group| self.links.get(&group)).cloned() {
            return self.header(&Header { link: &first, type_flag: b'1', ..header }, node);
        }
        match node.kind() {
            FileKind::Regular => self.regular(path, header, node)?,
            FileKind::Symlink => {
                let target = node.link_target()?;
                self.header(&Header { link: &target, ..header }, node)?;
            }
            // Tar knows no sockets.
            FileKind::Socket => {
                return Err(ExtractError::NotPossible { what: "a socket in a tar stream" });
            }
            _ => self.header(&header, node)?,
        }
        if let Some(group) = group {
            self.links.insert(group, path.to_vec());
        }
        Ok(())
    }

    fn regular(
        &mut self,
        path: &[u8],
        header: Header<'_>,
        node: &Node,
    ) -> Result<(), ExtractError> {
        let size = node.size();
        let Some(sparse) = Sparse::of(node)? else {
            self.header(&Header { size, ..header }, node)?;
            return self.content(node, &Sparse::dense(size));
        };
        let name = sparse::name_in_the_stream(path);
        let map = sparse.map();
        let stored = map.len() as u64 + sparse.bytes();
        let header = Header { path: &name, size: stored, sparse: Some((path, size)), ..header };
        self.header(&header, node)?;
        self.put(&map)?;
        self.content(node, &sparse)
    }

    /// Writes the parts of the content that hold data. The header promised their size: where a
    /// block can not be read there is no way back, so that ends the stream.
    fn content(&mut self, node: &Node, parts: &Sparse) -> Result<(), ExtractError> {
        const ZEROS: [u8; 8192] = [0; 8192];
        let mut offset = 0;
        node.read_in_order(&mut |piece| {
            if self.observer.stopped() {
                return Err(ExtractError::Interrupted);
            }
            let length = match &piece {
                Piece::Data(bytes) => bytes.len() as u64,
                Piece::Zeros(count) => *count,
            };
            let mut at = offset;
            offset += length;
            while at < offset {
                let (is_data, end) = parts.run(at, offset);
                match &piece {
                    Piece::Data(bytes) => {
                        let place = |at: u64| usize::try_from(at + length - offset).unwrap_or(0);
                        let bytes = &bytes[place(at)..place(end)];
                        if is_data {
                            self.put(bytes)?;
                        } else if bytes.iter().any(|byte| *byte != 0) {
                            let detail = "a hole of the file has content".to_owned();
                            return Err(ExtractError::Broken { detail });
                        }
                    }
                    Piece::Zeros(_) if is_data => {
                        let mut rest = end - at;
                        while rest > 0 {
                            let part = rest.min(ZEROS.len() as u64);
                            self.put(&ZEROS[..usize::try_from(part).unwrap_or(0)])?;
                            rest -= part;
                        }
                    }
                    Piece::Zeros(_) => {}
                }
                at = end;
            }
            Ok(())
        })
        .map_err(|error: ExtractError| match error {
            ExtractError::Interrupted => error,
            _ => ExtractError::Broken { detail: error.to_string() },
        })?;
        self.pad(parts.bytes())
    }

    fn header(&mut self, header: &Header<'_>, node: &Node) -> Result<(), ExtractError> {
        let records = records(header, node)?;
        if !records.is_empty() {
            let pax = Header { path: b"././@PaxHeader", link: b"", sparse: None, ..*header };
            let pax = Header { size: records.len() as u64, type_flag: b'x', ..pax };
            self.put(&ustar(&pax, None))?;
            self.put(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.put(&ustar(header, Some(node)))
    }
}

impl Visitor for TarWriter<'_> {
    fn enter(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError> {
        self.observer.entry(path, node);
        match self.file(path, node) {
            Err(
                error @ (ExtractError::Broken { .. }
                | ExtractError::System { .. }
                | ExtractError::Interrupted),
            ) => Err(error),
            Err(error) => {
                self.observer.problem(path, &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn stopped(&self) -> bool {
        self.observer.stopped()
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        self.observer.problem(path, error);
    }
}

fn write_error(error: &std::io::Error) -> ExtractError {
    let errno = rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO);
    ExtractError::System { action: "write", errno }
}

fn type_flag(node: &Node) -> u8 {
    match node.kind() {
        FileKind::Regular | FileKind::Socket => b'0',
        FileKind::Symlink => b'2',
        FileKind::CharDevice => b'3',
        FileKind::BlockDevice => b'4',
        FileKind::Directory => b'5',
        FileKind::Fifo => b'6',
    }
}

/// The block of a header. What does not fit is cut: the records before it have it whole.
fn ustar(header: &Header<'_>, node: Option<&Node>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, size: usize, value: &[u8]| {
        let length = value.len().min(size);
        block[at..at + length].copy_from_slice(&value[..length]);
    };
    let octal = |size: usize, number: u64| {
        let largest = (1u64 << (3 * (size - 1))) - 1;
        format!("{:0width$o}", number.min(largest), width = size - 1)
    };
    let metadata = node.map(Node::metadata);
    let unix = metadata.and_then(|metadata| metadata.unix.as_ref());
    let (uid, gid) = unix.map_or((0, 0), |unix| (unix.uid, unix.gid));
    let modified = metadata.map_or(0, |m| u64::try_from(m.modified().seconds).unwrap_or(0));
    let permissions = metadata.map_or(0o644, crate::format::VacDir::permissions);
    text(0, 100, header.path);
    text(100, 8, octal(8, permissions.into()).as_bytes());
    text(108, 8, octal(8, uid.into()).as_bytes());
    text(116, 8, octal(8, gid.into()).as_bytes());
    text(124, 12, octal(12, header.size).as_bytes());
    text(136, 12, octal(12, modified).as_bytes());
    text(148, 8, b"        ");
    text(156, 1, &[header.type_flag]);
    text(157, 100, header.link);
    text(257, 8, b"ustar\x0000");
    text(265, 31, metadata.map_or(b"", |metadata| &metadata.owner));
    text(297, 31, metadata.map_or(b"", |metadata| &metadata.group));
    if let Some(device) = node.and_then(|node| node.device().ok().flatten())
        && matches!(header.type_flag, b'3' | b'4')
    {
        text(329, 8, octal(8, device.1.major.into()).as_bytes());
        text(337, 8, octal(8, device.1.minor.into()).as_bytes());
    }
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
