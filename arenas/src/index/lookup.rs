//! Looking addresses up: filters of a run for the whole batch, then one page for each candidate.

use super::entry::{RawKey, decode_location, key_of};
use super::error::Damage;
use super::page::{self, PAGE_SIZE, Page};
use super::run::Run;
use super::stats::add;
use super::{Index, Location};
use venti_proto::BlockRequest;

/// What the index knows of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An arena should have the block here. The clump's own header decides.
    Found(Location),
    /// No sealed arena has the block.
    Absent,
    /// The index does not know: it does not cover all sealed arenas, or found itself damaged.
    Unknown,
}

/// Scratch of one batch.
struct Batch {
    keys: Vec<RawKey>,
    /// Positions of the requests that are not answered yet.
    pending: Vec<usize>,
    /// Page and position of those that the run in hand may have.
    candidates: Vec<(u32, usize)>,
    pages_read: u64,
    false_positives: u64,
}

impl Index {
    /// Looks up every request and puts the answers, in the same order, into `answers`, whose
    /// former content is lost. Memory answers most misses; a hit costs one read of 4 KiB.
    ///
    /// A run that turns out to be damaged is dropped, its arenas become
    /// [uncovered](Index::uncovered), and what was not found elsewhere is [`Lookup::Unknown`].
    pub fn lookup(&self, requests: &[BlockRequest], answers: &mut Vec<Lookup>) {
        let snapshot = self.snapshot();
        let mut complete = snapshot.uncovered.is_empty();
        let mut damaged = false;
        answers.clear();
        answers.resize(requests.len(), Lookup::Absent);
        let mut batch = Batch {
            keys: requests.iter().map(key_of).collect(),
            pending: (0..requests.len()).collect(),
            candidates: Vec::new(),
            pages_read: 0,
            false_positives: 0,
        };
        for run in &snapshot.runs {
            if batch.pending.is_empty() {
                break;
            }
            if run.is_damaged() {
                complete = false;
                continue;
            }
            if let Err(damage) = batch.ask(run, answers) {
                run.report_damage(&damage);
                damaged = true;
                complete = false;
            }
        }
        if !complete {
            batch.pending.iter().for_each(|at| answers[*at] = Lookup::Unknown);
        }
        add(&self.counters.lookups, requests.len() as u64);
        add(&self.counters.found, (requests.len() - batch.pending.len()) as u64);
        add(&self.counters.pages_read, batch.pages_read);
        add(&self.counters.false_positives, batch.false_positives);
        if damaged {
            self.retire_damaged();
        }
    }
}

impl Batch {
    /// Asks one run for everything that is pending.
    fn ask(&mut self, run: &Run, answers: &mut [Lookup]) -> Result<(), Damage> {
        self.candidates.clear();
        for at in &self.pending {
            if let Some(page) = run.page_for(&self.keys[*at]) {
                self.candidates.push((page, *at));
            }
        }
        // In the order of the file, so that neighbours share a read and a disk seeks one way.
        self.candidates.sort_unstable();
        let before = self.candidates.len();
        let searched = self.search(run, answers);
        if before > 0 {
            self.pending.retain(|at| !matches!(answers[*at], Lookup::Found(_)));
        }
        searched
    }

    /// Answers the candidates: those whose pages are in memory first. Of the others all pages are
    /// asked for before the first is waited for, so that a batch does not wait for each in turn.
    fn search(&mut self, run: &Run, answers: &mut [Lookup]) -> Result<(), Damage> {
        let mut reader = Reader { buffer: [0; PAGE_SIZE], page: None };
        let mut waiting = Vec::new();
        for (page, at) in std::mem::take(&mut self.candidates) {
            if reader.page == Some(page) || reader.take_cached(run, page)? {
                self.answer(run, &mut reader, page, at, answers)?;
            } else {
                waiting.push((page, at));
            }
        }
        if waiting.len() > 1 {
            waiting.iter().for_each(|(page, _)| run.will_need(*page));
        }
        for (page, at) in waiting {
            self.answer(run, &mut reader, page, at, answers)?;
        }
        Ok(())
    }

    /// Looks for one key on `page`, and before it as long as the key may be there.
    fn answer(
        &mut self,
        run: &Run,
        reader: &mut Reader,
        mut page: u32,
        at: usize,
        answers: &mut [Lookup],
    ) -> Result<(), Damage> {
        let key = &self.keys[at];
        self.pages_read += 1;
        loop {
            reader.take(run, page)?;
            if let Some(raw) = page::find(page::entries(&reader.buffer), key) {
                let number = u64::from(page);
                let bad = Damage::Field { part: "entry", field: "page", found: number };
                answers[at] = Lookup::Found(decode_location(raw).ok_or(bad)?);
                return Ok(());
            }
            let Some(previous) = run.previous_page_for(page, key) else { break };
            page = previous;
            self.pages_read += 1;
        }
        self.false_positives += 1;
        Ok(())
    }
}

/// The page that was read last: neighbours in a batch share it.
struct Reader {
    buffer: Page,
    /// Which page the buffer holds, checked.
    page: Option<u32>,
}

impl Reader {
    fn take(&mut self, run: &Run, page: u32) -> Result<(), Damage> {
        if self.page != Some(page) {
            self.page = None;
            run.read_page(page, &mut self.buffer)?;
            self.page = Some(page);
        }
        Ok(())
    }

    fn take_cached(&mut self, run: &Run, page: u32) -> Result<bool, Damage> {
        self.page = None;
        let cached = run.read_cached_page(page, &mut self.buffer)?;
        self.page = cached.then_some(page);
        Ok(cached)
    }
}
