//! Hands out files in the order in which the log has them.
//!
//! The blocks of an archive of many nights lie where they were first written: those of two files
//! of one directory may be a year apart. Read in the order of names, the log is read in leaps. So
//! files are gathered, some thousand at a time, and the store is asked where the first block of
//! each lies: the others are mostly behind it. Pointer blocks say nothing, for they are written
//! long after what they point to, so those of files of a few blocks are read first, together; a
//! large file is in order by itself. Nothing depends on the answers. A store that has none is not
//! asked again, and its files go straight on. So do, for a while, those of an archive that turns
//! out to be in order, as that of a first night is: gathering makes the workers wait.
//!
//! What bounds the gathering is the files and what their pointer blocks may hold, for the memory,
//! and their directories, for each is open. It begins with few, so that the workers have something
//! to do early.

use std::sync::Arc;

use venti_proto::{BlockRequest, Score};

use super::batch::Task;
use super::medium;
use super::session::Session;

/// Files that are gathered at first, and in the end.
const FIRST_FILES: usize = 256;
const MOST_FILES: usize = 8192;
/// Files that go straight on after some that were in order.
const STRAIGHT_ON: usize = 4096;
/// One file in so many may lie before the one that it follows where the archive is in order:
/// several threads wrote it.
const SELDOM: usize = 16;
/// Directories that they may be in.
const MOST_DIRECTORIES: usize = 512;
/// Blocks that they may have, those of large files not counted.
const MOST_BLOCKS: u64 = 1 << 17;

/// Files that wait to be handed out.
pub(super) struct LogOrder<'s> {
    files: Vec<Task<'s>>,
    /// How often a file was not in the directory of the one before.
    directories: usize,
    blocks: u64,
    /// Files that are gathered this time.
    limit: usize,
    /// Files that are to go straight on.
    straight_on: usize,
}

impl<'s> LogOrder<'s> {
    pub(super) fn new() -> LogOrder<'s> {
        LogOrder {
            files: Vec::new(),
            directories: 0,
            blocks: 0,
            limit: FIRST_FILES,
            straight_on: 0,
        }
    }

    /// Takes a file, and says whether it is time to [take](LogOrder::take) all of them.
    #[must_use]
    pub(super) fn push(&mut self, task: Task<'s>) -> bool {
        let last = self.files.last();
        if last.is_none_or(|last| !Arc::ptr_eq(&last.directory, &task.directory)) {
            self.directories += 1;
        }
        let content = task.node.content();
        if content.depth == 1 {
            self.blocks += content.size.min(medium::LARGEST) / u64::from(content.data_size.max(1));
        }
        self.files.push(task);
        self.straight_on > 0
            || self.files.len() >= self.limit
            || self.directories >= MOST_DIRECTORIES
            || self.blocks >= MOST_BLOCKS
    }

    /// The files, in the order of the log.
    pub(super) fn take(&mut self, session: &Session<'_>) -> Vec<Task<'s>> {
        let mut files = std::mem::take(&mut self.files);
        (self.directories, self.blocks) = (0, 0);
        if self.straight_on > 0 {
            self.straight_on -= usize::from(self.straight_on < usize::MAX);
            return files;
        }
        medium::read_pointers(files.iter_mut().filter(|file| medium::is_medium(session, file)));
        let Some(places) = places_of(&files) else {
            self.straight_on = usize::MAX;
            return files;
        };
        if are_in_order(&places) {
            (self.limit, self.straight_on) = (FIRST_FILES, STRAIGHT_ON);
        } else {
            self.limit = (2 * self.limit).min(MOST_FILES);
        }
        sorted(files, &places)
    }
}

/// Whether these are nearly in order already.
fn are_in_order(places: &[Option<u64>]) -> bool {
    let known: Vec<u64> = places.iter().copied().flatten().collect();
    let back = known.windows(2).filter(|pair| pair[1] < pair[0]).count();
    back * SELDOM <= known.len()
}

/// Where the first block of each file is, as far as there is one and it is known.
fn places_of(files: &[Task<'_>]) -> Option<Vec<Option<u64>>> {
    let mut places = vec![None; files.len()];
    let (mut requests, mut asked) = (Vec::new(), Vec::new());
    for (position, file) in files.iter().enumerate() {
        if let Some(first) = medium::first_block(file).or_else(|| top_block(file)) {
            requests.push(first);
            asked.push(position);
        }
    }
    let Some(first) = files.first() else { return Some(places) };
    for (position, place) in asked.into_iter().zip(first.node.store().places(&requests)?) {
        places[position] = place;
    }
    Some(places)
}

fn top_block(file: &Task<'_>) -> Option<BlockRequest> {
    let content = file.node.content();
    let block_type = content.top_type().filter(|_| content.score != Score::ZERO)?;
    Some(BlockRequest { score: content.score, block_type })
}

/// Files without a place come first: most of them have no block.
fn sorted<T>(files: Vec<T>, places: &[Option<u64>]) -> Vec<T> {
    let mut placed: Vec<_> = places.iter().copied().zip(files).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, file)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_of_one_night_is_in_order_and_one_of_many_is_not() {
        let one_night: Vec<_> = (0..100).map(|file| Some((file ^ 32) * 10)).collect();
        assert!(are_in_order(&one_night));
        let nights: Vec<_> = (0..100).map(|file| Some(file * 10 + file % 3 * 5000)).collect();
        assert!(!are_in_order(&nights));
        assert!(are_in_order(&[None, Some(1)]));
    }

    #[test]
    fn what_has_no_place_comes_first_and_the_rest_in_order() {
        let places = [Some(7), None, Some(3), Some(u64::MAX), None];
        assert_eq!(sorted(vec!['a', 'b', 'c', 'd', 'e'], &places), ['b', 'e', 'c', 'a', 'd']);
    }
}
