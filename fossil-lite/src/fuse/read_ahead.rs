//! Reads more than was asked for while a file is read from start to end.
//!
//! A round trip costs more than a block, so a reader that goes on where it stopped gets a window
//! that doubles up to [`MOST`]; one that jumps gets what it asks for and no more. What is read is
//! kept by the cache of blocks, so that memory is bounded however many files are read. The kernel
//! asks for several pieces at once, in any order: what is near the last one goes on.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vac::reader::Node;

use crate::FileError;
use crate::dump::ahead;

const LEAST: u64 = 256 << 10;
const MOST: u64 = 4 << 20;
/// For all files that are being read together: less than the cache of blocks has.
const MOST_OF_ALL: u64 = 32 << 20;
/// Pieces that are so near each other belong together.
const NEAR: u64 = 1 << 20;
/// Files whose readers are remembered.
const READERS: usize = 256;

/// The files that are being read, by their inode numbers.
#[derive(Default)]
pub(super) struct ReadAhead {
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    files: HashMap<u64, (u64, Arc<Mutex<Reader>>)>,
    /// Counts looks: who was looked for last has the largest number.
    now: u64,
}

/// Where the reading of a file is.
struct Reader {
    /// Where the last piece ended.
    next: u64,
    /// Everything from `next` to here was asked for.
    ahead: u64,
    /// Bytes to read at once.
    window: u64,
}

impl ReadAhead {
    /// Up to `size` bytes at `offset`; fewer only at the end of the file.
    pub(super) fn read(
        &self,
        inode: u64,
        node: &Node,
        offset: u64,
        size: u32,
    ) -> Result<Vec<u8>, FileError> {
        let left = node.size().saturating_sub(offset);
        let wanted = u64::from(size).min(left);
        if left > wanted || offset > 0 {
            let (reader, most) = self.readers.lock().reader(inode);
            reader.lock().advance(node, offset, wanted, most);
        }
        if left == wanted {
            self.readers.lock().files.remove(&inode);
        }
        let mut data = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let read = node.read_at(offset, &mut data)?;
        data.truncate(read);
        Ok(data)
    }
}

impl Readers {
    /// The reader of a file, and how much it may read ahead.
    fn reader(&mut self, inode: u64) -> (Arc<Mutex<Reader>>, u64) {
        self.now += 1;
        let now = self.now;
        let most = MOST.min(MOST_OF_ALL / (self.files.len() as u64 + 1));
        if let Some((last, reader)) = self.files.get_mut(&inode) {
            *last = now;
            return (Arc::clone(reader), most);
        }
        if self.files.len() >= READERS {
            let oldest = self.files.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(inode, _)| *inode) {
                self.files.remove(&oldest);
            }
        }
        let reader = Arc::new(Mutex::new(Reader { next: 0, ahead: 0, window: LEAST }));
        self.files.insert(inode, (now, Arc::clone(&reader)));
        (reader, most)
    }
}

impl Reader {
    /// Reads ahead if this piece goes on where the last one ended and was not read ahead before.
    fn advance(&mut self, node: &Node, offset: u64, size: u64, most: u64) {
        let end = offset + size;
        let goes_on = offset <= self.next + NEAR && end + NEAR >= self.next;
        if !goes_on {
            (self.next, self.ahead, self.window) = (end, end, LEAST);
            return;
        }
        self.next = self.next.max(end);
        if end <= self.ahead {
            return;
        }
        let start = self.ahead.min(offset).max(offset.saturating_sub(NEAR));
        self.ahead = end.saturating_add(self.window.min(most)).min(node.size());
        self.window = (2 * self.window).min(MOST);
        ahead::range(&**node.store(), node.content(), start..self.ahead);
    }
}
