//! A store in words, for `venti print`: which arenas there are, and what is in one of them.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use venti_proto::StoreError;

use crate::arena::{ARENA_HEADER_SIZE, Found, Record, Scanner, TocEntry};
use crate::clump::ClumpInfo;
use crate::disk::DiskError;
use crate::log::Totals;
use crate::recovery::{read_footer, read_header};
use crate::store::Store;

/// Takes line after line, until it breaks.
pub type Lines<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// What state an arena is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArenaState {
    /// It has a footer that is believed, and is never written again.
    Sealed,
    /// It takes blocks, or waits to be sealed.
    Open,
    /// It has no footer that can be believed, and its blocks were found by scanning.
    Scanned,
}

/// One arena in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArenaSummary {
    /// Its number.
    pub number: u32,
    /// Its state.
    pub state: ArenaState,
    /// Blocks in it.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub block_bytes: u64,
    /// Bytes of these blocks as they are stored, without headers.
    pub stored_bytes: u64,
}

/// `arena 1: sealed, 65536 blocks of 536870912 bytes in 268435456 (50 %)`
impl fmt::Display for ArenaSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ArenaState::Sealed => "sealed",
            ArenaState::Open => "open",
            ArenaState::Scanned => "no valid footer, scanned",
        };
        let percent = (self.stored_bytes * 100).checked_div(self.block_bytes).unwrap_or(100);
        let ArenaSummary { number, blocks, block_bytes, stored_bytes, .. } = self;
        write!(
            f,
            "arena {number}: {state}, {blocks} blocks of {block_bytes} bytes in {stored_bytes} \
             ({percent} %)"
        )
    }
}

/// All arenas of a store in order.
#[must_use]
pub fn arenas(store: &Store) -> Vec<ArenaSummary> {
    let shared = store.shared();
    let footers = shared.catalogue.footers();
    let mut summaries: Vec<ArenaSummary> = footers
        .iter()
        .map(|footer| ArenaSummary {
            number: footer.number,
            state: ArenaState::Sealed,
            blocks: u64::from(footer.clumps),
            block_bytes: footer.block_bytes,
            stored_bytes: footer.stored_bytes,
        })
        .collect();
    let growing: Vec<u32> = match &shared.log {
        Some(log) => log.open_arenas().into_iter().map(|(number, ..)| number).collect(),
        None => {
            let scanned = shared.catalogue.scanned().into_iter();
            scanned.filter(|arena| arena.growing).map(|arena| arena.number).collect()
        }
    };
    for (number, entries) in store.mapped_arenas() {
        if footers.iter().any(|footer| footer.number == number) {
            continue;
        }
        let state = if growing.contains(&number) { ArenaState::Open } else { ArenaState::Scanned };
        let Totals { blocks, block_bytes, stored_bytes } = entries.totals();
        summaries.push(ArenaSummary { number, state, blocks, block_bytes, stored_bytes });
    }
    summaries.sort_by_key(|summary| summary.number);
    summaries
}

/// Every record of an arena's file in the order of the log, a line each.
///
/// # Errors
/// `Io` if the file can not be read; `Refused` if there is no such arena.
pub fn records(store: &Store, number: u32, lines: &mut Lines<'_>) -> Result<(), StoreError> {
    let catalogue = &store.shared().catalogue;
    let file = catalogue.file(number).map_err(|error| no_arena(number, &error))?;
    let header = match read_header(&*file) {
        Ok(header) => {
            format!("       0 header: arena {}, made at {}", header.number, header.created)
        }
        Err(error) => format!("       0 header is damaged: {error}"),
    };
    if lines(&header).is_break() {
        return Ok(());
    }
    let start = u32::try_from(ARENA_HEADER_SIZE).unwrap_or(u32::MAX);
    let scanner = Scanner::new(Arc::clone(&file), catalogue.store, number, start);
    let mut scanner = scanner.map_err(|error| no_arena(number, &error))?;
    while let Some(found) = scanner.next_found() {
        if lines(&found_line(&found)).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// What an arena holds, a line for each block.
///
/// # Errors
/// As [`records`].
pub fn contents(store: &Store, number: u32, lines: &mut Lines<'_>) -> Result<(), StoreError> {
    let catalogue = &store.shared().catalogue;
    let file = catalogue.file(number).map_err(|error| no_arena(number, &error))?;
    let mapped = store.mapped_arenas().into_iter().find(|(mapped, _)| *mapped == number);
    let entries: Vec<TocEntry> = match (mapped, read_footer(&*file, &catalogue.store, number)) {
        (Some((_, entries)), _) => entries.iter().copied().collect(),
        (None, Some(footer)) => {
            catalogue.entries_of(&footer).map_err(|error| no_arena(number, &error))?
        }
        (None, None) => Vec::new(),
    };
    for entry in entries {
        if lines(&format!("{:8} {}", entry.offset, info_words(&entry.info))).is_break() {
            break;
        }
    }
    Ok(())
}

fn no_arena(number: u32, error: &DiskError) -> StoreError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return StoreError::Refused { message: format!("there is no arena {number}") };
    }
    StoreError::Io { detail: error.to_string() }
}

fn found_line(found: &Found) -> String {
    match found {
        Found::Unparseable(extent) => {
            format!("{:8} {} bytes that are no record", extent.start, extent.end - extent.start)
        }
        Found::Record { extent, record } => format!("{:8} {}", extent.start, words(record)),
    }
}

fn words(record: &Record) -> String {
    match record {
        Record::Clump(header) => {
            format!("clump: {}, at {}", info_words(&header.info), header.time)
        }
        Record::Mark(mark) => format!(
            "mark {}: durable through {}, {} clumps, at {}",
            mark.sequence, mark.durable_through, mark.clumps, mark.time
        ),
        Record::Gap(gap) => format!("gap of {} bytes", gap.length),
        Record::Toc(page) => {
            format!("contents page {}: {} entries", page.number, page.entries.len())
        }
        Record::Footer(footer) => format!(
            "footer: {} clumps, {} bytes in {}, sealed at {}",
            footer.clumps, footer.block_bytes, footer.stored_bytes, footer.sealed
        ),
    }
}

fn info_words(info: &ClumpInfo) -> String {
    let ClumpInfo { score, block_type, codec, stored, size, .. } = info;
    format!("{score} {block_type}, {size} bytes, {} {stored}", codec.name())
}
