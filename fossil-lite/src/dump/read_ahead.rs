//! Reads more than was asked for while a file is read from start to end.
//!
//! A round trip costs more than a block, so a reader that goes on where it stopped gets a window
//! that doubles up to [`MOST`]; one that jumps gets what it asks for and no more. While it works
//! on one window, the next one is read. What is read is kept by the cache of blocks, so that
//! memory is bounded however many files are read. The kernel asks for several pieces at once, in
//! any order: what is near the last one goes on. So do clients of 9P.
//!
//! Locks: [`ReadAhead::readers`] and [`Reader::position`] are held for no longer than it takes to
//! look there; [`Reader::fetching`] while a window is read, so that those who need it wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vac::reader::Node;

use super::ahead;
use crate::FileError;

const LEAST: u64 = 256 << 10;
const MOST: u64 = 4 << 20;
/// For all files that are being read together: less than the cache of blocks has.
const MOST_OF_ALL: u64 = 32 << 20;
/// Pieces that are so near each other belong together.
const NEAR: u64 = 1 << 20;
/// Files whose readers are remembered.
const READERS: usize = 256;

/// The files that are being read, by numbers that tell them apart.
#[derive(Default)]
pub(crate) struct ReadAhead {
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    files: HashMap<u64, (u64, Arc<Reader>)>,
    /// Counts looks: who was looked for last has the largest number.
    now: u64,
}

#[derive(Default)]
struct Reader {
    position: Mutex<Position>,
    fetching: Mutex<()>,
}

/// Where the reading of a file is.
#[derive(Clone, Copy)]
struct Position {
    /// Where the last piece ended.
    next: u64,
    /// Everything between these was read.
    start: u64,
    end: u64,
    /// Bytes to read at once.
    window: u64,
    /// Whether a piece came that goes on where another one ended.
    goes_on: bool,
}

impl Default for Position {
    fn default() -> Position {
        Position { next: 0, start: 0, end: 0, window: LEAST, goes_on: false }
    }
}

impl ReadAhead {
    /// Up to `size` bytes at `offset`; fewer only at the end of the file.
    pub(crate) fn read(
        &self,
        number: u64,
        node: &Node,
        offset: u64,
        size: u32,
    ) -> Result<Vec<u8>, FileError> {
        let left = node.size().saturating_sub(offset);
        let wanted = u64::from(size).min(left);
        if left > wanted || offset > 0 {
            let (reader, most) = self.readers.lock().reader(number);
            reader.advance(node, offset, offset + wanted, most);
        }
        if left == wanted {
            self.readers.lock().files.remove(&number);
        }
        let mut data = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let read = node.read_at(offset, &mut data)?;
        data.truncate(read);
        Ok(data)
    }

    /// Reads what will be asked for next, if a file is being read. For a thread that has answered.
    pub(crate) fn go_ahead(&self, number: u64, node: &Node) {
        let Some((reader, most)) = self.readers.lock().known(number) else { return };
        let Some(_fetching) = reader.fetching.try_lock() else { return };
        let Some(range) = reader.position.lock().next_window(node.size(), most) else { return };
        ahead::range(&**node.store(), node.content(), range.clone());
        reader.position.lock().has_read(range.end);
    }
}

impl Readers {
    /// The reader of a file, and how much it may read ahead.
    fn reader(&mut self, number: u64) -> (Arc<Reader>, u64) {
        if let Some(known) = self.known(number) {
            return known;
        }
        if self.files.len() >= READERS {
            let oldest = self.files.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                self.files.remove(&oldest);
            }
        }
        let reader = Arc::<Reader>::default();
        self.files.insert(number, (self.now, Arc::clone(&reader)));
        (reader, self.most())
    }

    fn known(&mut self, number: u64) -> Option<(Arc<Reader>, u64)> {
        self.now += 1;
        let (now, most) = (self.now, self.most());
        let (last, reader) = self.files.get_mut(&number)?;
        *last = now;
        Some((Arc::clone(reader), most))
    }

    fn most(&self) -> u64 {
        MOST.min(MOST_OF_ALL / (self.files.len() as u64 + 1))
    }
}

impl Reader {
    /// Reads a piece and a window behind it, if it goes on where the last one ended and was not
    /// read before.
    fn advance(&self, node: &Node, offset: u64, end: u64, most: u64) {
        if self.position.lock().come(offset, end) {
            return;
        }
        let _fetching = self.fetching.lock();
        let (start, end) = {
            let position = self.position.lock();
            if position.has(offset, end) {
                return;
            }
            let start = position.end.min(offset).max(offset.saturating_sub(NEAR));
            (start, end.saturating_add(position.window.min(most)).min(node.size()))
        };
        ahead::range(&**node.store(), node.content(), start..end);
        self.position.lock().has_read(end);
    }
}

impl Position {
    fn has(&self, offset: u64, end: u64) -> bool {
        self.start <= offset && end <= self.end
    }

    /// A piece is asked for. Returns whether nothing is to be read for it: because it was, or
    /// because its reader jumps.
    fn come(&mut self, offset: u64, end: u64) -> bool {
        let is_near = offset <= self.next + NEAR && end + NEAR >= self.next;
        if !is_near {
            *self = Position { next: end, start: end, end, ..Position::default() };
            return true;
        }
        self.goes_on |= self.next > self.start && end > self.next;
        self.next = self.next.max(end);
        self.has(offset, end)
    }

    /// What to read while the reader works on what it has.
    fn next_window(&self, size: u64, most: u64) -> Option<std::ops::Range<u64>> {
        let window = self.window.min(most);
        let is_due = self.goes_on && self.end < size && self.end < self.next + window;
        is_due.then(|| self.end..(self.end + window).min(size))
    }

    fn has_read(&mut self, end: u64) {
        self.end = self.end.max(end);
        self.window = (2 * self.window).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_and_come_before_they_are_needed() {
        let mut position = Position::default();
        assert!(!position.come(0, 1000) && position.next_window(1 << 30, MOST).is_none());
        position.has_read(1000 + LEAST);
        assert!(position.come(1000, 2000), "it was read");
        let range = position.next_window(1 << 30, MOST).unwrap();
        assert_eq!(range, 1000 + LEAST..1000 + 3 * LEAST);
        position.has_read(range.end);
        while let Some(range) = position.next_window(1 << 30, MOST) {
            position.has_read(range.end);
        }
        assert!((MOST..2 * MOST).contains(&(position.end - position.next)), "there is enough");
        let end = position.end;
        position.next = end - 100;
        assert!(position.come(end - 100, end));
        assert_eq!(position.next_window(end + 5, MOST), Some(end..end + 5));
        assert_eq!(position.next_window(end, MOST), None, "the file ends");
    }

    #[test]
    fn who_jumps_gets_what_it_asks_for() {
        let mut position = Position::default();
        position.come(0, 1000);
        position.has_read(1000);
        assert!(position.come(500 << 20, (500 << 20) + 1000));
        assert_eq!(position.next_window(1 << 30, MOST), None);
        assert!(position.come(10 << 20, (10 << 20) + 1000));
        assert!(!position.come((10 << 20) + 1000, (10 << 20) + 2000), "now it goes on");
        assert_eq!(position.window, LEAST);
    }
}
