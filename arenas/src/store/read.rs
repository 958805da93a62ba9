//! The read path: find all, go through them in the order of the log, prove each, hand it out.
//!
//! Nothing leaves the store that was not hashed on the way. Bytes come from the cache of the
//! log's groups, of which a reader that goes through the log in order gets the whole, or from one
//! read that covers the neighbours that the same call wants. Reads go on whatever became of the log's end.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use venti_proto::{BlockRequest, Deliver, Score, StoreError};

use super::locate::{Answer, Located};
use super::stats::count;
use super::{Shared, Store};
use crate::Location;
use crate::cache::GroupKey;
use crate::clump::{CLUMP_HEADER_SIZE, ClumpInfo, prove, unpack_payload};
use crate::disk::{DiskFile, DiskResult, read_exact_at, read_full_at};

/// Bytes of a group of the log: what is read ahead at once.
pub(super) const GROUP_SIZE: u32 = 512 << 10;
/// Bytes of blocks that are unpacked before they are proved together.
const PROVED_AT_ONCE: usize = 256 << 10;
/// Bytes that one read covers at most where nothing is cached.
const MOST_AT_ONCE: usize = 256 << 10;

/// A block that was asked for and found.
#[derive(Clone, Copy, Debug)]
struct Planned {
    position: usize,
    location: Location,
    info: ClumpInfo,
}

impl Planned {
    /// First byte of the payload in the arena's file.
    fn payload(&self) -> u64 {
        u64::from(self.location.offset) + CLUMP_HEADER_SIZE as u64
    }

    fn end(&self) -> u64 {
        self.payload() + u64::from(self.info.stored)
    }
}

/// Buffers of one thread, used for call after call.
#[derive(Default)]
struct Scratch {
    window: Window,
    unproved: Unproved,
}

/// Blocks that were unpacked and not yet hashed: sixteen are hashed faster than six one by one.
#[derive(Default)]
struct Unproved {
    bytes: Vec<u8>,
    blocks: Vec<(Planned, Range<usize>)>,
    scores: Vec<Score>,
}

/// Bytes of one arena's file that were read for several blocks.
#[derive(Default)]
struct Window {
    arena: u32,
    start: u64,
    /// A whole group that is shared with the cache; if there is none, `bytes` count.
    group: Option<Arc<Vec<u8>>>,
    bytes: Vec<u8>,
}

impl Window {
    fn clear(&mut self) {
        self.group = None;
        self.bytes.clear();
    }

    fn get(&self, arena: u32, start: u64, end: u64) -> Option<&[u8]> {
        if self.arena != arena || start < self.start {
            return None;
        }
        let from = usize::try_from(start - self.start).ok()?;
        let to = usize::try_from(end - self.start).ok()?;
        self.group.as_deref().unwrap_or(&self.bytes).get(from..to)
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Store {
    /// The size in bytes of every requested block, without reading it; `None` if it is not
    /// stored. `sizes` gets one answer for each, in the same order.
    pub fn sizes(
        &self,
        requests: &[BlockRequest],
        sizes: &mut Vec<Result<Option<u32>, StoreError>>,
    ) {
        let shared = self.shared();
        let found = shared.find(requests);
        sizes.extend(requests.iter().zip(found).map(|(request, found)| match found {
            Ok(Some((_, info))) => Ok(Some(info.size)),
            Ok(None) if request.score == Score::ZERO => Ok(Some(0)),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }));
    }
}

pub(crate) type Find = Result<Option<(Location, ClumpInfo)>, StoreError>;

impl Shared {
    /// Finds blocks, and waits for those whose bytes are on their way.
    pub(crate) fn find(&self, requests: &[BlockRequest]) -> Vec<Find> {
        let mut found = self.find_once(requests);
        let absent = |(request, found): (&BlockRequest, &Find)| {
            request.score != Score::ZERO && matches!(found, Ok(None))
        };
        if self.log.is_none() && requests.iter().zip(&found).any(absent) && self.refresh() {
            found = self.find_once(requests);
        }
        found
    }

    /// Where blocks probably are: what the index says is not compared with the log.
    pub(super) fn guess(&self, requests: &[BlockRequest]) -> Vec<Option<Location>> {
        let mut open = Vec::with_capacity(requests.len());
        match &self.log {
            Some(log) => {
                log.find(requests.iter().copied(), &mut open);
            }
            None => open.resize(requests.len(), None),
        }
        let mut found: Vec<_> = open.iter().map(|open| open.map(|find| find.location)).collect();
        self.catalogue.guess(requests, &mut found);
        found
    }

    fn find_once(&self, requests: &[BlockRequest]) -> Vec<Find> {
        let mut open = Vec::with_capacity(requests.len());
        match &self.log {
            Some(log) => {
                log.find(requests.iter().copied(), &mut open);
            }
            None => open.resize(requests.len(), None),
        }
        let rest: Vec<BlockRequest> = requests
            .iter()
            .zip(&open)
            .filter(|(request, open)| open.is_none() && request.score != Score::ZERO)
            .map(|(request, _)| *request)
            .collect();
        let mut answers = Vec::new();
        self.catalogue.locate(&rest, &mut answers);
        let mut answers = answers.into_iter();
        let answer = |(request, open): (&BlockRequest, Option<crate::log::OpenFind>)| match (
            open, &self.log,
        ) {
            (Some(find), Some(log)) if find.pending => {
                log.wait_written(find.location).map(|()| Some((find.location, find.info)))
            }
            (Some(find), _) => Ok(Some((find.location, find.info))),
            (None, _) if request.score == Score::ZERO => Ok(None),
            (None, _) => match answers.next().unwrap_or(Answer::Absent) {
                Answer::Absent => Ok(None),
                Answer::Found(Located { location, info }) => Ok(Some((location, info))),
                Answer::Unknown(detail) => Err(StoreError::Io { detail }),
            },
        };
        requests.iter().zip(open).map(answer).collect()
    }

    pub(super) fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        let mut plan = Vec::with_capacity(requests.len());
        for (position, found) in self.find(requests).into_iter().enumerate() {
            let BlockRequest { score, block_type } = requests[position];
            match found {
                Ok(Some((location, info))) => plan.push(Planned { position, location, info }),
                Ok(None) if score == Score::ZERO => deliver(position, Ok(&[])),
                Ok(None) => deliver(position, Err(StoreError::NotFound { score, block_type })),
                Err(error) => deliver(position, Err(error)),
            }
        }
        plan.sort_unstable_by_key(|planned| planned.location);
        let mut scratch = SCRATCH.take().unwrap_or_default();
        // The bytes of an arena that is not sealed may have changed since the last call.
        scratch.window.clear();
        let mut file = None;
        for place in 0..plan.len() {
            let planned = plan[place];
            let unpacked = self
                .file_of(planned.location.arena, &mut file)
                .map_err(|error| error.to_string())
                .and_then(|file| self.unpack(&*file, &plan[place..], &mut scratch));
            if let Err(detail) = unpacked {
                self.deliver_damaged(&planned, &detail, deliver);
            }
            if scratch.unproved.bytes.len() >= PROVED_AT_ONCE {
                self.prove_and_deliver(&mut scratch.unproved, deliver);
            }
        }
        self.prove_and_deliver(&mut scratch.unproved, deliver);
        scratch.window.clear();
        SCRATCH.set(Some(scratch));
    }

    /// Hashes what was unpacked, and hands out the blocks that are what they should be.
    fn prove_and_deliver(&self, unproved: &mut Unproved, deliver: &mut Deliver<'_>) {
        let Unproved { bytes, blocks, scores } = unproved;
        scores.resize(blocks.len(), Score::ZERO);
        Score::of_all(blocks.iter().map(|(_, range)| &bytes[range.clone()]), scores);
        count(&self.counters.blocks_read, blocks.len() as u64);
        count(&self.counters.bytes_read, bytes.len() as u64);
        for ((planned, range), score) in blocks.drain(..).zip(scores.drain(..)) {
            match prove(&planned.info, score) {
                Ok(()) => deliver(planned.position, Ok(&bytes[range])),
                Err(error) => self.deliver_damaged(&planned, &error.to_string(), deliver),
            }
        }
        bytes.clear();
    }

    fn deliver_damaged(&self, planned: &Planned, detail: &str, deliver: &mut Deliver<'_>) {
        count(&self.counters.damaged_reads, 1);
        let (score, location) = (planned.info.score, planned.location);
        let detail = format!("{location}: {detail}");
        deliver(planned.position, Err(StoreError::Damaged { score, detail }));
    }

    /// The file of an arena; `last` keeps the one that was asked for last.
    fn file_of(
        &self,
        arena: u32,
        last: &mut Option<(u32, Arc<dyn DiskFile>)>,
    ) -> DiskResult<Arc<dyn DiskFile>> {
        if let Some((number, file)) = last
            && *number == arena
        {
            return Ok(Arc::clone(file));
        }
        let open = self.log.as_ref().and_then(|log| log.file(arena));
        let file = open.map_or_else(|| self.catalogue.file(arena), Ok)?;
        *last = Some((arena, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads and unpacks the first block of `plan`.
    fn unpack(
        &self,
        file: &dyn DiskFile,
        plan: &[Planned],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        let Some(planned) = plan.first() else { return Err("nothing was asked for".to_owned()) };
        let Scratch { window, unproved } = scratch;
        let arena = planned.location.arena;
        let (start, end) = (planned.payload(), planned.end());
        if window.get(arena, start, end).is_none() {
            self.fill(file, plan, window).map_err(|error| error.to_string())?;
        }
        let payload = window.get(arena, start, end).ok_or("the file ends before it does")?;
        let first = unproved.bytes.len();
        unpack_payload(&planned.info, payload, &mut unproved.bytes)
            .map_err(|error| error.to_string())?;
        unproved.blocks.push((*planned, first..unproved.bytes.len()));
        Ok(())
    }

    /// Puts the payload of the first block of `plan` into the window, with its neighbours.
    fn fill(&self, file: &dyn DiskFile, plan: &[Planned], window: &mut Window) -> DiskResult<()> {
        let Some(planned) = plan.first() else { return Ok(()) };
        let location = planned.location;
        window.arena = location.arena;
        if self.catalogue.is_sealed(location.arena)
            && let Some(group) = self.group(file, planned)?
        {
            window.start = u64::from(location.offset / GROUP_SIZE * GROUP_SIZE);
            window.group = Some(group);
            return Ok(());
        }
        window.group = None;
        let start = planned.payload();
        let most = if self.is_between_groups(planned) { 0 } else { MOST_AT_ONCE as u64 };
        let near =
            |next: &&Planned| next.location.arena == location.arena && next.end() - start <= most;
        let last = plan.iter().take_while(near).last().unwrap_or(planned);
        let length = usize::try_from(last.end() - start).unwrap_or(0);
        window.start = start;
        window.bytes.resize(length, 0);
        let read = read_exact_at(file, &mut window.bytes, start);
        if read.is_err() && length > planned.info.stored as usize {
            // One bad sector among the neighbours must not take this block with it.
            window.bytes.truncate(planned.info.stored as usize);
            return read_exact_at(file, &mut window.bytes, start);
        }
        match &read {
            Ok(()) => self.catalogue.trails.note(location.arena, offset_of(last.end())),
            Err(_) => window.bytes.clear(),
        }
        read
    }

    /// Whether a block reaches from a group that was read whole into the next, which will be: it is
    /// then read alone.
    fn is_between_groups(&self, planned: &Planned) -> bool {
        let Location { arena, offset } = planned.location;
        let end = (offset / GROUP_SIZE).saturating_add(1).saturating_mul(GROUP_SIZE);
        planned.end() > u64::from(end) && self.catalogue.trails.goes_on(arena, end)
    }

    /// The group of the log that a payload is in, if it is cached or reading has come to it in
    /// order.
    fn group(&self, file: &dyn DiskFile, planned: &Planned) -> DiskResult<Option<Arc<Vec<u8>>>> {
        let number = planned.location.offset / GROUP_SIZE;
        let end = u64::from(number + 1) * u64::from(GROUP_SIZE);
        if planned.end() > end {
            return Ok(None);
        }
        let key = GroupKey { arena: planned.location.arena, group: number };
        if let Some(group) = self.catalogue.data.get(key) {
            return Ok(Some(group));
        }
        let trails = &self.catalogue.trails;
        if !trails.goes_on(key.arena, planned.location.offset) {
            return Ok(None);
        }
        let mut bytes = vec![0; GROUP_SIZE as usize];
        let Ok(length) = read_full_at(file, &mut bytes, end - u64::from(GROUP_SIZE)) else {
            return Ok(None);
        };
        bytes.truncate(length);
        let group = Arc::new(bytes);
        trails.note(key.arena, offset_of(end));
        self.catalogue.data.insert(key, Arc::clone(&group));
        Ok(Some(group))
    }
}

/// A place in an arena's file, none of which has more than 4 GiB.
fn offset_of(place: u64) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
