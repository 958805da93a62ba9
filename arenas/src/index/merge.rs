//! Several runs become one, a segment at a time.
//!
//! A merge holds its place in memory between steps: inputs stay listed and readable until the
//! manifest that replaces them is durable, and a merge that a crash cuts short leaves one file
//! that no manifest names. Inputs are read 64 pages at a time, and every page is checked.

use std::cmp::Ordering;
use std::sync::Arc;

use super::builder::RunBuilder;
use super::entry::{ENTRY_SIZE, RawEntry, prefix};
use super::error::{Damage, IndexError};
use super::manifest::RunRecord;
use super::page::{self, PAGE_SIZE};
use super::run::Run;

/// Pages of an input that are read at once.
const READ_PAGES: u32 = 64;

/// A merge that is under way.
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    builder: RunBuilder,
}

/// Where a step left a merge.
pub(super) enum Step {
    /// A segment was written, and there is more to do.
    Paused(Box<Merge>),
    /// The new run is durable and can replace `inputs`.
    Finished {
        /// What to put into the manifest.
        record: RunRecord,
        /// What to take out of it.
        inputs: Vec<Arc<Run>>,
    },
    /// An input does not verify: it has been marked, and the merge is given up.
    Damaged,
}

/// The runs to merge next, and the level of the result: the oldest `factor` runs of the lowest
/// level that has so many.
pub(super) fn choose(runs: &[Arc<Run>], factor: usize) -> Option<(Vec<Arc<Run>>, u32)> {
    let mut ordered: Vec<&Arc<Run>> = runs.iter().collect();
    ordered.sort_unstable_by_key(|run| (run.record.level, run.record.number));
    let full = ordered
        .chunk_by(|one, other| one.record.level == other.record.level)
        .find(|level| level.len() >= factor)?;
    let level = full.first()?.record.level.saturating_add(1);
    Some((full[..factor].iter().map(|run| Arc::clone(run)).collect(), level))
}

impl Merge {
    /// Begins to merge `inputs` into the run that `builder` writes.
    pub(super) fn new(inputs: Vec<Arc<Run>>, builder: RunBuilder) -> Box<Merge> {
        Box::new(Merge { cursors: inputs.into_iter().map(Cursor::new).collect(), builder })
    }

    /// Whether all inputs are still among `runs`.
    pub(super) fn inputs_are_in(&self, runs: &[Arc<Run>]) -> bool {
        let listed = |cursor: &Cursor| runs.iter().any(|run| Arc::ptr_eq(run, &cursor.run));
        self.cursors.iter().all(listed)
    }

    /// The file that is being written.
    pub(super) fn name(&self) -> String {
        self.builder.name()
    }

    /// Writes one segment.
    pub(super) fn step(mut self: Box<Self>) -> Result<Step, IndexError> {
        let filled = self.cursors.iter_mut().all(Cursor::fill);
        if !filled {
            return Ok(Step::Damaged);
        }
        while let Some(least) = least(&self.cursors) {
            let cursor = &mut self.cursors[least];
            if let Some(raw) = cursor.head.take() {
                self.builder.push(&raw)?;
            }
            if !cursor.fill() {
                return Ok(Step::Damaged);
            }
            if self.builder.is_between_segments() {
                self.builder.sync()?;
                return Ok(Step::Paused(self));
            }
        }
        let record = self.builder.finish()?;
        let inputs = self.cursors.into_iter().map(|cursor| cursor.run).collect();
        Ok(Step::Finished { record, inputs })
    }
}

/// The cursor whose head comes first: a scan, because there are about eight.
fn least(cursors: &[Cursor]) -> Option<usize> {
    let mut least: Option<(usize, &Cursor)> = None;
    for (at, cursor) in cursors.iter().enumerate().filter(|(_, cursor)| cursor.head.is_some()) {
        let before = |other: &Cursor| match cursor.head_prefix.cmp(&other.head_prefix) {
            Ordering::Equal => cursor.head < other.head,
            order => order == Ordering::Less,
        };
        if least.is_none_or(|(_, other)| before(other)) {
            least = Some((at, cursor));
        }
    }
    least.map(|(at, _)| at)
}

/// A place in a run.
struct Cursor {
    run: Arc<Run>,
    /// Ranges of pages that were not read yet, last first.
    ranges: Vec<(u32, u32)>,
    buffer: Vec<u8>,
    /// The page in the file that `buffer` starts with.
    buffer_page: u32,
    /// The page in `buffer` that comes next.
    next_page: usize,
    /// Entries of the page in hand: first and end, in bytes of `buffer`.
    at: usize,
    end: usize,
    /// The entry in hand, and its first eight bytes as a number.
    head: Option<RawEntry>,
    head_prefix: u64,
}

impl Cursor {
    fn new(run: Arc<Run>) -> Cursor {
        let mut ranges: Vec<_> = run.page_ranges().collect();
        ranges.reverse();
        Cursor {
            run,
            ranges,
            buffer: Vec::new(),
            buffer_page: 0,
            next_page: 0,
            at: 0,
            end: 0,
            head: None,
            head_prefix: 0,
        }
    }

    /// Takes the next entry in hand if there is none; there is none after this at the end.
    /// Returns `false` if the run is damaged, which is then known of it.
    fn fill(&mut self) -> bool {
        if self.head.is_some() {
            return true;
        }
        if self.at == self.end {
            match self.take_page() {
                Ok(true) => {}
                Ok(false) => return true,
                Err(damage) => {
                    self.run.report_damage(&damage);
                    return false;
                }
            }
        }
        self.head = self.buffer[self.at..].first_chunk().copied();
        self.head_prefix = prefix(&self.buffer[self.at..]);
        self.at += ENTRY_SIZE;
        true
    }

    /// Checks the next page and goes to its first entry; `false` at the end of the run.
    fn take_page(&mut self) -> Result<bool, Damage> {
        if self.next_page * PAGE_SIZE == self.buffer.len() && !self.read_pages()? {
            return Ok(false);
        }
        let start = self.next_page * PAGE_SIZE;
        let Some(page) = self.buffer[start..].first_chunk::<PAGE_SIZE>() else { return Ok(false) };
        let number = u64::from(self.buffer_page) + self.next_page as u64;
        let entries = page::verify(page, self.run.identity(), number)?;
        self.at = start;
        self.end = start + size_of_val(entries);
        self.next_page += 1;
        Ok(true)
    }

    /// Reads the next pages into the buffer; `false` at the end of the run.
    fn read_pages(&mut self) -> Result<bool, Damage> {
        let Some((first, count)) = self.ranges.pop() else { return Ok(false) };
        let now = count.min(READ_PAGES);
        if now < count {
            self.ranges.push((first + now, count - now));
        }
        self.buffer.resize(now as usize * PAGE_SIZE, 0);
        self.run.read_pages(first, &mut self.buffer)?;
        self.buffer_page = first;
        self.next_page = 0;
        Ok(now > 0)
    }
}
