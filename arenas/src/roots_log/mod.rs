//! The log of named roots that a store owns: append-only, chained, sealed.
//!
//! Each record is in the file `roots/log` and, as two blocks, in the store itself; docs/roots.md
//! has the formats, the order of writing and the table of recovery. The file is what is read; the
//! blocks are what it is rebuilt from.
//!
//! Invariants: `State::records` is what the file holds, in order of sequence numbers, and nothing
//! is in it that the file does not have durably. A failed write or sync latches: nothing is
//! recorded any more until the store is opened again, and what was recorded stays readable.
//! One lock, held while a record is written: records are rare, and their order is their chain.

mod file;
mod of_store;
mod rebuild;
mod recover;
mod seen;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use venti_proto::roots::{
    HostName, MAX_PAGE, NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord, Seal,
};
use venti_proto::{
    BlockBatch, BlockRequest, BlockStore, BlockType, Presence, Root, Score, StoreError,
};

use crate::disk::{Disk, DiskError, DiskFile, write_all_at};
use recover::{Recovered, Recovery};
use zone::Settled;

pub use recover::RootBlocks;
pub use zone::DayZone;

/// The kind of the root blocks that lead to records.
pub const RECORD_KIND: &[u8] = b"root-record";

/// How often a log that another process writes is looked at by who watches it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a log is opened.
pub struct RootsLogOptions {
    /// The identity of the store: nobody else knows it, so nobody else can seal.
    pub identity: [u8; 16],
    /// Nothing is written, not even to repair the file.
    pub read_only: bool,
    /// The zone that days are cut in.
    pub time_zone: DayZone,
    /// Nanoseconds since 1970, UTC.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// What was found when a log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootsLogReport {
    /// Records in the log.
    pub records: u64,
    /// The file was missing, damaged or cut, and was rebuilt from the blocks.
    pub rebuilt: bool,
    /// Records that are known to have been there and are lost.
    pub missing: u64,
}

/// A store's log of roots.
pub struct RootsLog {
    blocks: Arc<dyn BlockStore>,
    /// Where another process may be recording, if this one only reads.
    follows: Option<Arc<dyn Disk>>,
    key: [u8; 32],
    options: RootsLogOptions,
    report: RootsLogReport,
    zone: Settled,
    state: Mutex<State>,
    grown: Condvar,
}

struct State {
    /// `None` if the log may not be written.
    file: Option<Arc<dyn DiskFile>>,
    /// Bytes in the file.
    length: u64,
    records: Vec<RootRecord>,
    /// Positions in `records`, oldest first.
    by_host: BTreeMap<HostName, Vec<usize>>,
    /// Where the records begin in `records` whose blocks may not be durable yet.
    unwritten: usize,
    /// Why nothing can be recorded any more.
    failed: Option<String>,
}

impl RootsLog {
    /// Opens the log on `disk`, making or rebuilding it if need be.
    ///
    /// # Errors
    /// If the disk or the store can not be read, or a repair can not be written.
    pub fn open(
        disk: &Arc<dyn Disk>,
        blocks: Arc<dyn BlockStore>,
        options: RootsLogOptions,
        roots: &dyn RootBlocks,
    ) -> Result<RootsLog, RootLogError> {
        let key = blake3::derive_key("venti roots v1", &options.identity);
        let read_only = options.read_only;
        let recovery = Recovery { disk: &**disk, blocks: &*blocks, roots, key: &key, read_only };
        let Recovered { records, length, report, looked } = recovery.run()?;
        let (file, length) = if options.read_only {
            (None, length)
        } else {
            let (file, length) = file::open(&**disk).map_err(|error| io(&error))?;
            (Some(file), length)
        };
        let zone = zone::settle(&**disk, &options.time_zone, options.read_only)?;
        let mut by_host: BTreeMap<HostName, Vec<usize>> = BTreeMap::new();
        for (position, record) in records.iter().enumerate() {
            by_host.entry(record.root.host.clone()).or_default().push(position);
        }
        // A crash between the two syncs can have lost the blocks of the last record only.
        let unwritten = records.len().saturating_sub(1);
        let state = State { file, length, records, by_host, unwritten, failed: None };
        let follows = options.read_only.then(|| Arc::clone(disk));
        let log = RootsLog {
            blocks,
            follows,
            key,
            options,
            report,
            zone,
            state: Mutex::new(state),
            grown: Condvar::new(),
        };
        log.repair_last()?;
        if !read_only {
            looked.note(&**disk, &key, roots, log.state.lock().next());
        }
        Ok(log)
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn report(&self) -> RootsLogReport {
        self.report
    }

    /// The IANA name of the zone that days are cut in.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.zone.name
    }

    /// The zone that days were cut in before the log was opened, if the store had one.
    #[must_use]
    pub fn time_zone_before(&self) -> Option<&str> {
        self.zone.before.as_deref()
    }

    /// Takes up what another process has recorded since.
    fn follow(&self, state: &mut State) -> Result<(), RootLogError> {
        let Some(disk) = &self.follows else { return Ok(()) };
        let last = state.records.last().map(|last| (last.sequence + 1, last.seal));
        let from = state.length;
        let Some(news) = file::load_from(&**disk, &self.key, from, last.unwrap_or_default())?
        else {
            return Ok(());
        };
        state.length = news.length;
        news.records.into_iter().for_each(|record| state.push(record));
        Ok(())
    }

    /// Writes the blocks of the last record again if they are not there.
    fn repair_last(&self) -> Result<(), RootLogError> {
        let mut state = self.state.lock();
        if state.file.is_none() || state.records.is_empty() {
            return Ok(());
        }
        let batch = record_blocks(&state.records[state.unwritten..])?.hash();
        let wanted: Vec<_> = batch.iter().map(|block| BlockRequest::from(&block)).collect();
        if self.blocks.probe(&wanted)?.contains(&Presence::Absent) {
            self.blocks.write(&batch)?;
            self.blocks.sync()?;
        }
        state.unwritten = state.records.len();
        Ok(())
    }

    fn next_record(&self, state: &State, root: &NewRoot) -> RootRecord {
        let last = state.records.last();
        let mut record = RootRecord {
            sequence: state.next(),
            // Clocks go back; the order of the log does not.
            time: (self.options.clock)().max(last.map_or(i64::MIN, |last| last.time)),
            root: root.clone(),
            previous: last.map_or([0; 32], |last| last.seal),
            seal: [0; 32],
        };
        record.seal = seal(&self.key, &record);
        record
    }
}

/// The seal that a record must have.
fn seal(key: &[u8; 32], record: &RootRecord) -> Seal {
    *blake3::keyed_hash(key, &record.encode_unsealed()).as_bytes()
}

fn io(error: &DiskError) -> RootLogError {
    RootLogError::Store(StoreError::Io { detail: error.to_string() })
}

/// The blocks of records: each record, and the root block that leads to it.
fn record_blocks(records: &[RootRecord]) -> Result<BlockBatch, RootLogError> {
    let mut batch = BlockBatch::default();
    for record in records {
        let bytes = record.encode();
        batch.push(BlockType::DATA, &bytes);
        let host = record.root.host.as_str().as_bytes();
        let name = host[..host.len().min(127)].to_vec();
        let root = Root { name, kind: RECORD_KIND.to_vec(), ..Root::vac(Score::of(&bytes), 8192) };
        let root = root.encode();
        let root = root.map_err(|error| RootLogError::Damaged { detail: error.to_string() })?;
        batch.push(BlockType::ROOT, &root);
    }
    Ok(batch)
}

impl State {
    fn next(&self) -> u64 {
        self.records.last().map_or(0, |last| last.sequence + 1)
    }

    /// Appends a record to the file and makes it durable; then it is one of the records.
    fn append(&mut self, record: RootRecord) -> Result<(), RootLogError> {
        let read_only = |detail: &str| StoreError::ReadOnly { detail: detail.to_owned() };
        if let Some(failed) = &self.failed {
            return Err(read_only(failed).into());
        }
        let Some(file) = &self.file else { return Err(read_only("it was opened so").into()) };
        let bytes = record.encode();
        let written = write_all_at(&**file, &bytes, self.length);
        if let Err(error) = written.and_then(|()| file.sync_data()) {
            // A full disk may have room again later, if nothing of this record stays.
            let undone = error.is_full() && file.set_len(self.length).is_ok();
            if !undone {
                self.failed = Some(error.to_string());
            }
            return Err(io(&error));
        }
        self.length += bytes.len() as u64;
        self.push(record);
        Ok(())
    }

    fn push(&mut self, record: RootRecord) {
        let position = self.records.len();
        self.by_host.entry(record.root.host.clone()).or_default().push(position);
        self.records.push(record);
    }

    /// The newest records that are wanted, newest first.
    fn select(&self, query: &RootQuery) -> Vec<RootRecord> {
        let limit = usize::from(query.limit.min(MAX_PAGE));
        if query.newest {
            return self.newest_of_each(query, limit);
        }
        let end = |position: &usize| self.records[*position].sequence < query.end;
        let wanted = |position: usize| Some(&self.records[position]).filter(|r| query.wants(r));
        match &query.host {
            Some(host) => {
                let positions = self.by_host.get(host).map_or(&[][..], Vec::as_slice);
                let positions = &positions[..positions.partition_point(end)];
                positions.iter().rev().filter_map(|p| wanted(*p)).take(limit).cloned().collect()
            }
            None => {
                let end = self.records.partition_point(|record| record.sequence < query.end);
                (0..end).rev().filter_map(wanted).take(limit).cloned().collect()
            }
        }
    }
}

impl State {
    fn newest_of_each(&self, query: &RootQuery, limit: usize) -> Vec<RootRecord> {
        let behind = match &query.host {
            Some(host) => (Bound::Excluded(host), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let newest = |positions: &Vec<usize>| {
            let mut records = positions.iter().rev().map(|position| &self.records[*position]);
            records.find(|record| query.wants(record)).cloned()
        };
        let hosts = self.by_host.range::<HostName, _>(behind);
        hosts.filter_map(|(_, positions)| newest(positions)).take(limit).collect()
    }
}

impl RootLog for RootsLog {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        let request = BlockRequest { score: root.score, block_type: BlockType::ROOT };
        if self.blocks.probe(&[request])? != [Presence::Present] {
            let BlockRequest { score, block_type } = request;
            return Err(StoreError::NotFound { score, block_type }.into());
        }
        let mut state = self.state.lock();
        let record = self.next_record(&state, root);
        state.append(record.clone())?;
        let batch = record_blocks(&state.records[state.unwritten..])?.hash();
        self.blocks.write(&batch)?;
        self.blocks.sync()?;
        state.unwritten = state.records.len();
        self.grown.notify_all();
        Ok(record)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        let mut state = self.state.lock();
        self.follow(&mut state)?;
        Ok(RootPage {
            records: state.select(query),
            next: state.next(),
            time_zone: self.zone.name.clone(),
        })
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        loop {
            self.follow(&mut state)?;
            let left = until.saturating_duration_since(Instant::now());
            if state.next() > known || left.is_zero() {
                return Ok(state.next());
            }
            // Who records in another process wakes nobody here.
            let nap = if self.follows.is_some() { left.min(LOOK_EVERY) } else { left };
            self.grown.wait_while_for(&mut state, |state| state.next() <= known, nap);
        }
    }
}
