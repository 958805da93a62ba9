//! Reads more than was asked for while a file is read from start to end.
//!
//! A round trip costs more than a block, so a reader that goes on where it stopped gets a window
//! that doubles up to [`MOST`]. One that jumps gets what it asks for and no more.

use vac::reader::Node;

use crate::FileError;

const LEAST: usize = 128 << 10;
const MOST: usize = 4 << 20;

/// An open file.
pub(super) struct ReadAhead {
    node: Node,
    /// `data` begins at this byte of the file.
    start: u64,
    data: Vec<u8>,
    /// Where the last read stopped.
    next: u64,
    /// Bytes to read at once.
    window: usize,
}

impl ReadAhead {
    pub(super) fn new(node: Node) -> ReadAhead {
        ReadAhead { node, start: 0, data: Vec::new(), next: 0, window: LEAST }
    }

    /// Up to `size` bytes at `offset`; fewer only at the end of the file.
    pub(super) fn read(&mut self, offset: u64, size: usize) -> Result<&[u8], FileError> {
        let left = self.node.size().saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        if size == 0 {
            return Ok(&[]);
        }
        if self.held(offset, size).is_none() {
            self.fill(offset, size, left)?;
        }
        self.next = offset.saturating_add(size as u64);
        let held = self.held(offset, size).map(|start| &self.data[start..start + size]);
        held.ok_or_else(|| FileError::Io { detail: "the file is shorter than it says".to_owned() })
    }

    /// Where in `data` these bytes are, if they are.
    fn held(&self, offset: u64, size: usize) -> Option<usize> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (start.checked_add(size)? <= self.data.len()).then_some(start)
    }

    fn fill(&mut self, offset: u64, size: usize, left: u64) -> Result<(), FileError> {
        let goes_on = offset == self.next;
        self.window = if goes_on { (2 * self.window).min(MOST) } else { LEAST };
        let wanted = if goes_on { size.max(self.window) } else { size };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
        self.data.clear();
        self.data.resize(wanted, 0);
        self.start = offset;
        let read = self.node.read_at(offset, &mut self.data);
        self.data.truncate(*read.as_ref().unwrap_or(&0));
        read?;
        Ok(())
    }
}
