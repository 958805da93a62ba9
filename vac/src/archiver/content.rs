//! Reads content into batches of blocks: whole small files, and pieces of large ones.
//!
//! A block that is all zero is not stored: it becomes a zero score. Every other block is read
//! into the batch or copied there from a buffer that stays in the processor's cache.

use std::os::fd::AsFd;

use rustix::io::{Errno, pread};
use venti_proto::{BlockBatch, BlockType, Score, zero_truncated_len};

/// Bytes read by one system call: what a core's own cache holds beside the batch.
const READ_BYTES: usize = 256 << 10;

/// A block that was read: its place in the batch, or that it is all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf(Option<u32>);

impl Leaf {
    /// The score, once the batch is hashed.
    pub(super) fn score(self, scores: &[Score]) -> Score {
        self.0.and_then(|position| scores.get(position as usize)).copied().unwrap_or(Score::ZERO)
    }
}

/// Reads files block by block.
pub(super) struct ContentReader {
    block_size: usize,
    buffer: Vec<u8>,
}

impl ContentReader {
    pub(super) fn new(block_size: usize) -> ContentReader {
        let size = (READ_BYTES / block_size).max(1) * block_size;
        ContentReader { block_size, buffer: vec![0; size] }
    }

    /// Reads up to `length` bytes from `offset` on and appends their blocks. Returns how many
    /// bytes there were: fewer only at the end of the file.
    pub(super) fn read(
        &mut self,
        file: impl AsFd,
        offset: u64,
        length: u64,
        batch: &mut BlockBatch,
        leaves: &mut Vec<Leaf>,
    ) -> Result<u64, Errno> {
        let file = file.as_fd();
        if length <= self.block_size as u64 {
            return read_block(file, offset, length, batch, leaves);
        }
        let mut done = 0;
        while done < length {
            let wanted = usize::try_from(length - done).unwrap_or(usize::MAX);
            let wanted = wanted.min(self.buffer.len());
            let found = read_fully(file, &mut self.buffer[..wanted], offset + done)?;
            for block in self.buffer[..found].chunks(self.block_size) {
                leaves.push(push_block(block, batch));
            }
            done += found as u64;
            if found < wanted {
                break;
            }
        }
        Ok(done)
    }
}

/// Reads one block straight into the batch.
fn read_block(
    file: impl AsFd,
    offset: u64,
    length: u64,
    batch: &mut BlockBatch,
    leaves: &mut Vec<Leaf>,
) -> Result<u64, Errno> {
    let mut found = 0;
    let length = usize::try_from(length).map_err(|_| Errno::INVAL)?;
    let pushed = batch.push_with(BlockType::DATA, length, |block| {
        found = read_fully(&file, block, offset).map_err(Some)?;
        match zero_truncated_len(BlockType::DATA, &block[..found]) {
            0 => Err(None),
            kept => Ok(kept),
        }
    });
    match pushed {
        Ok(position) => leaves.push(leaf_at(position)),
        Err(Some(errno)) => return Err(errno),
        Err(None) if found > 0 => leaves.push(Leaf(None)),
        Err(None) => {}
    }
    Ok(found as u64)
}

/// Appends a block of a file that is in memory.
pub(super) fn push_block(block: &[u8], batch: &mut BlockBatch) -> Leaf {
    match zero_truncated_len(BlockType::DATA, block) {
        0 => Leaf(None),
        kept => leaf_at(batch.push(BlockType::DATA, &block[..kept])),
    }
}

fn leaf_at(position: usize) -> Leaf {
    Leaf(u32::try_from(position).ok())
}

/// Reads until the buffer is full or the file ends.
fn read_fully(file: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(&file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn leaves_of(content: &[u8], length: u64) -> (u64, Vec<Score>, usize) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut batch = BlockBatch::default();
        let mut leaves = Vec::new();
        let mut reader = ContentReader::new(512);
        let found = reader.read(&file, 0, length, &mut batch, &mut leaves).unwrap();
        let hashed = batch.hash();
        (found, leaves.iter().map(|leaf| leaf.score(hashed.scores())).collect(), hashed.len())
    }

    #[test]
    fn blocks_are_truncated_and_zeros_left_out() {
        let mut content = vec![0; 512 * 3];
        content[512..515].copy_from_slice(b"abc");
        content.extend_from_slice(b"end");
        let (found, scores, stored) = leaves_of(&content, 1539);
        assert_eq!(found, 1539);
        let expected = [Score::ZERO, Score::of(b"abc"), Score::ZERO, Score::of(b"end")];
        assert_eq!(scores, expected);
        assert_eq!(stored, 2);
    }

    #[test]
    fn one_block_is_as_many() {
        assert_eq!(leaves_of(b"one", 3), (3, vec![Score::of(b"one")], 1));
        assert_eq!(leaves_of(&[0; 100], 100), (100, vec![Score::ZERO], 0));
        assert_eq!(leaves_of(b"", 0), (0, vec![], 0));
    }

    #[test]
    fn a_file_that_shrank_says_so() {
        assert_eq!(leaves_of(b"abc", 300).0, 3);
        assert_eq!(leaves_of(&[1; 600], 5000).0, 600);
    }
}
