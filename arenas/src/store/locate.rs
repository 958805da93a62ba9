//! Finding a block in the arenas that take no clumps any more.
//!
//! An answer is never guessed. A place from the index counts once the clump's header or the table
//! of contents agrees; an absence counts once the index covers every arena; and if the disk lets
//! neither be known, that is the answer.

use std::sync::atomic::Ordering;

use venti_proto::BlockRequest;

use super::catalogue::{Catalogue, Fact, HISTORY};
use crate::Location;
use crate::arena::Footer;
use crate::cache::GroupKey;
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader, ClumpInfo};
use crate::disk::read_exact_at;
use crate::finding::{Finding, Severity};
use crate::index::Lookup;

/// How often an index that drops parts of itself while it is asked is asked again.
const MOST_ROUNDS: usize = 4;

/// A block that was found, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) location: Location,
    pub(crate) info: ClumpInfo,
}

/// What is known of an address.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Absent,
    Found(Located),
    /// The disk does not let it be known: where, and what happened.
    Unknown(String),
}

/// What a look at the place that the index names has shown.
enum Confirmed {
    Found(Located),
    /// Another block is there: the index is wrong.
    Wrong,
    /// Neither the clump nor the table of contents can be read.
    Unreadable(String),
}

impl Catalogue {
    /// Looks for blocks; `answers` gets one for each request, in the same order.
    pub(super) fn locate(&self, requests: &[BlockRequest], answers: &mut Vec<Answer>) {
        answers.clear();
        answers.extend(requests.iter().map(|request| match self.locate_cached(request) {
            Some(located) => Answer::Found(located),
            None => Answer::Absent,
        }));
        let absent = |answers: &[Answer], place: usize| matches!(answers[place], Answer::Absent);
        let mut rest: Vec<usize> =
            (0..requests.len()).filter(|place| absent(answers, *place)).collect();
        let mut round = 0;
        while !rest.is_empty() {
            round += 1;
            let doubtful = self.ask_index(requests, &rest, answers);
            rest.retain(|place| absent(answers, *place));
            if !doubtful || rest.is_empty() {
                return;
            }
            let covered = self.cover(round >= MOST_ROUNDS);
            for place in &rest {
                if let Some(located) = self.locate_scanned(&requests[*place]) {
                    answers[*place] = Answer::Found(located);
                }
            }
            rest.retain(|place| absent(answers, *place));
            // Once more even if there was nothing to add: another thread may just have added it.
            if round > MOST_ROUNDS || (!covered && round > 1) {
                break;
            }
        }
        if let Some(arena) = self.unknown_arena() {
            for place in rest {
                let detail = format!("arena {arena} can not be read, and may have the block");
                answers[place] = Answer::Unknown(detail);
            }
        }
    }

    /// Fills in where blocks are that `found` has no place for, by what is in memory and in the
    /// index, without a look at the log.
    pub(super) fn guess(&self, requests: &[BlockRequest], found: &mut [Option<Location>]) {
        let mut rest = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            if found[place].is_none() {
                found[place] = self.locate_cached(request).map(|located| located.location);
            }
            if found[place].is_none() {
                rest.push(place);
            }
        }
        let asked: Vec<BlockRequest> = rest.iter().map(|place| requests[*place]).collect();
        let mut lookups = Vec::new();
        self.index.lookup(&asked, &mut lookups);
        for (place, lookup) in rest.into_iter().zip(lookups) {
            if let Lookup::Found(location) = lookup {
                found[place] = Some(location);
            }
        }
    }

    /// Asks the index about those of `requests` in `rest`. Returns whether an absence may be due
    /// to something that the index does not know.
    fn ask_index(&self, requests: &[BlockRequest], rest: &[usize], answers: &mut [Answer]) -> bool {
        let asked: Vec<BlockRequest> = rest.iter().map(|place| requests[*place]).collect();
        let mut lookups = Vec::new();
        self.index.lookup(&asked, &mut lookups);
        let mut doubtful = false;
        for ((place, request), lookup) in rest.iter().zip(&asked).zip(&lookups) {
            let location = match lookup {
                Lookup::Found(location) => *location,
                Lookup::Unknown => {
                    doubtful = true;
                    continue;
                }
                Lookup::Absent => continue,
            };
            // The one before may have brought its neighbours.
            if let Some(located) = self.locate_cached(request) {
                answers[*place] = Answer::Found(located);
                continue;
            }
            match self.confirm(location, request) {
                Confirmed::Found(located) => answers[*place] = Answer::Found(located),
                Confirmed::Unreadable(detail) => answers[*place] = Answer::Unknown(detail),
                Confirmed::Wrong => {
                    let score = request.score;
                    let detail = format!("the index has {score} at {location}, which is wrong");
                    let finding = Finding::of_arena(Severity::Repairable, location.arena, detail);
                    self.report(finding);
                    self.index.invalidate(location.arena);
                    doubtful = true;
                }
            }
        }
        doubtful
    }

    fn locate_cached(&self, request: &BlockRequest) -> Option<Located> {
        if let Some(located) = self.locate_scanned(request) {
            return Some(located);
        }
        let (location, info) = self.fingerprints.get(request)?;
        Some(Located { location, info })
    }

    fn locate_scanned(&self, request: &BlockRequest) -> Option<Located> {
        self.scanned.read().iter().rev().find_map(|arena| {
            let entry = arena.entries.find(request)?;
            Some(Located { location: entry.location(arena.number), info: entry.info })
        })
    }

    /// Compares what the index says with the clump, or where that is damaged with the table of
    /// contents.
    fn confirm(&self, location: Location, request: &BlockRequest) -> Confirmed {
        let footer = self.sealed.read().get(&location.arena).copied();
        let Some(footer) = footer else { return Confirmed::Wrong };
        // The second block from one neighbourhood brings all of it.
        if self.touch(location) {
            self.load_neighbours(&footer, location);
        }
        let mut header = [0; CLUMP_HEADER_SIZE];
        let read = self
            .file(location.arena)
            .and_then(|file| read_exact_at(&*file, &mut header, location.offset.into()));
        if read.is_ok()
            && let Ok(clump) = ClumpHeader::decode(&self.store, location, &header)
        {
            return judge(location, clump.info, request);
        }
        match self.toc(&footer).map(|toc| toc.entry_at(location.offset)) {
            Ok(Ok(Some(entry))) => judge(location, entry.info, request),
            Ok(Ok(None)) => Confirmed::Wrong,
            Ok(Err(error)) => Confirmed::Unreadable(format!("{location}: {error}")),
            Err(error) => Confirmed::Unreadable(format!("{location}: {error}")),
        }
    }

    fn load_neighbours(&self, footer: &Footer, location: Location) {
        let Ok(toc) = self.toc(footer) else { return };
        // A table that can not be read costs speed here, and is reported where it is needed.
        if let Ok((group, entries)) = toc.group_at(location.offset) {
            let facts: Vec<(BlockRequest, Fact)> = entries
                .iter()
                .map(|entry| (entry.info.request(), (entry.location(footer.number), entry.info)))
                .collect();
            let key = GroupKey { arena: footer.number, group };
            self.fingerprints.insert_group(key, &facts);
        }
    }

    /// Whether this neighbourhood was touched lately, and notes that it is now.
    fn touch(&self, location: Location) -> bool {
        let neighbourhood = u64::from(location.offset >> 19);
        let key = u64::from(location.arena) << 16 | neighbourhood;
        let slot = usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).unwrap_or(0);
        self.touched[slot % HISTORY].swap(key, Ordering::Relaxed) == key
    }
}

/// Whether what is at a place is what was asked for.
fn judge(location: Location, info: ClumpInfo, request: &BlockRequest) -> Confirmed {
    if info.request() == *request {
        Confirmed::Found(Located { location, info })
    } else {
        Confirmed::Wrong
    }
}
