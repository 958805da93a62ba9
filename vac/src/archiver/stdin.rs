//! Archives a stream: standard input (`-i`), or what a program writes (`--command`).

use std::ffi::CString;
use std::io::{self, Read};

use venti_proto::BlockBatch;
use venti_proto::hash_tree::HashTreeWriter;

use super::content::push_block;
use super::error::ArchiveError;
use super::options::StreamSource;
use super::progress::add;
use super::run::Shared;
use super::sink::{Sink, SinkError};
use super::sources::StoredStream;
use super::streams::data_tree;
use crate::walk::{Attributes, DeviceNumber, FileKind, Identity, Moment};

/// Bytes read from the stream at once, rounded down to whole blocks.
const BUFFER: usize = 1 << 20;
/// Permissions of a file made from a stream (as the original has them).
const PERMISSIONS: u32 = 0o666;

/// Stores one stream after another.
pub(super) struct StoreStream<'a> {
    sink: Sink<'a>,
    shared: &'a Shared,
    tree: HashTreeWriter,
    block_size: usize,
}

impl<'a> StoreStream<'a> {
    pub(super) fn new(sink: Sink<'a>, shared: &'a Shared, block_size: u32) -> StoreStream<'a> {
        let tree = data_tree(block_size);
        StoreStream { sink, shared, tree, block_size: block_size as usize }
    }

    /// Reads to the end of the stream.
    pub(super) fn store(
        &mut self,
        name: Vec<u8>,
        modified: Moment,
        mut stream: Box<dyn StreamSource>,
    ) -> Result<(CString, StoredStream), ArchiveError> {
        let shown = String::from_utf8_lossy(&name).into_owned();
        let failed = |error| ArchiveError::Stream { name: shown.clone(), error };
        let bad_name = matches!(name.as_slice(), b"" | b"." | b"..") || name.contains(&b'/');
        let Some(name) = CString::new(name).ok().filter(|_| !bad_name) else {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected a name of one component, without a slash",
            )));
        };
        let mut batch = BlockBatch::default();
        let mut buffer = vec![0; BUFFER / self.block_size * self.block_size];
        let mut size = 0;
        loop {
            self.shared.check()?;
            let found = fill(&mut stream, &mut buffer).map_err(failed)?;
            batch = self.store_piece(&buffer[..found], batch)?;
            size += found as u64;
            if found < buffer.len() {
                break;
            }
        }
        stream.finish().map_err(failed)?;
        let entry = self.tree.finish(size, self.sink.blocks()).map_err(SinkError::from)?;
        self.sink.flush()?;
        Ok((name, StoredStream { entry, attributes: attributes(size, modified) }))
    }

    fn store_piece(
        &mut self,
        piece: &[u8],
        mut batch: BlockBatch,
    ) -> Result<BlockBatch, ArchiveError> {
        let leaves: Vec<_> =
            piece.chunks(self.block_size).map(|block| push_block(block, &mut batch)).collect();
        let mut hashed = batch.hash();
        for leaf in leaves {
            self.tree
                .push(leaf.score(hashed.scores()), self.sink.blocks())
                .map_err(SinkError::from)?;
        }
        self.sink.write_content(&mut hashed)?;
        self.sink.flush_if_large()?;
        add(&self.shared.progress.counters.bytes_read, piece.len() as u64);
        Ok(hashed.recycle())
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut Box<dyn StreamSource>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What is kept of a file that is none: it belongs to whoever archives.
fn attributes(size: u64, modified: Moment) -> Attributes {
    Attributes {
        kind: FileKind::Regular,
        permissions: PERMISSIONS,
        user: rustix::process::geteuid().as_raw(),
        group: rustix::process::getegid().as_raw(),
        links: 1,
        size,
        sectors: size.div_ceil(512),
        identity: Identity { device: DeviceNumber::default(), inode: 0 },
        special: DeviceNumber::default(),
        modified,
        changed: modified,
        accessed: modified,
        born: None,
    }
}
