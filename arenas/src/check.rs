//! Checking a store: its structure, and on demand every byte of it.
//!
//! The structure is the footers, the tables of contents, and that the index finds what they list;
//! an index that does not is corrected here. With the data, every record of every arena is read,
//! every payload hashed, and what the log holds compared with what the tables say.

use std::sync::Arc;

use serde::Serialize;
use venti_proto::BlockRequest;

use crate::arena::{ARENA_HEADER_SIZE, Found, Record, Scanner, TocEntry};
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader, Digest, open_payload};
use crate::disk::{DiskFile, DiskResult};
use crate::finding::{Finding, Severity};
use crate::log::Entries;
use crate::rebuild::Progress;
use crate::recovery::read_header;
use crate::store::Store;

/// Blocks whose index entries are checked at once.
const AT_ONCE: usize = 4096;

/// What to check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Read and hash every block, and not only what is said about them.
    pub data: bool,
}

/// What a check has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Arenas checked.
    pub arenas: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Bytes of blocks that were hashed.
    pub bytes_hashed: u64,
    /// What is wrong, or was: also what opening found.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether nothing is wrong: what a crash left and recovery put in order does not count.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Recovered)
    }
}

/// One arena as it is being checked.
struct Subject {
    number: u32,
    file: Arc<dyn DiskFile>,
    /// Where its log ends: what is behind that was checked otherwise, or is being written.
    end: u32,
    /// What should be in it, in the order of the log.
    entries: Vec<TocEntry>,
}

impl Store {
    /// Checks everything. Reads and writes may go on meanwhile; what is written after the start is
    /// not checked.
    /// Damage is no error but a finding.
    pub fn check(&self, options: CheckOptions, progress: &mut dyn FnMut(Progress)) -> CheckReport {
        let mut report = CheckReport::default();
        let subjects = self.subjects();
        let total = subjects.len() as u64;
        for (done, (number, end)) in subjects.into_iter().enumerate() {
            progress(Progress { unit: "arenas", done: done as u64, total });
            match self.subject(number, end) {
                Ok(subject) => self.check_arena(&subject, options, &mut report),
                Err(error) => {
                    let detail = format!("can not be read: {error}");
                    report.findings.push(Finding::of_arena(Severity::Damaged, number, detail));
                }
            }
        }
        progress(Progress { unit: "arenas", done: total, total });
        // What was met while reading is among the store's own findings by now.
        for finding in self.findings() {
            if !report.findings.contains(&finding) {
                report.findings.push(finding);
            }
        }
        report.findings.sort_by_key(|finding| (finding.arena, finding.offset));
        report
    }

    /// The numbers of all arenas and where their logs end.
    fn subjects(&self) -> Vec<(u32, Option<u32>)> {
        let shared = self.shared();
        let mut subjects: Vec<(u32, Option<u32>)> = shared
            .catalogue
            .footers()
            .into_iter()
            .map(|footer| (footer.number, Some(footer.log_end)))
            .collect();
        let mut add = |number: u32, end: Option<u32>| {
            if subjects.iter().all(|(known, _)| *known != number) {
                subjects.push((number, end));
            }
        };
        if let Some(log) = &shared.log {
            log.open_arenas().into_iter().for_each(|(number, end, _)| add(number, Some(end)));
        }
        for arena in shared.catalogue.scanned() {
            add(arena.number, arena.growing.then_some(arena.scanned_through));
        }
        subjects.sort_unstable();
        subjects
    }

    fn subject(&self, number: u32, end: Option<u32>) -> DiskResult<Subject> {
        let catalogue = &self.shared().catalogue;
        let file = catalogue.file(number)?;
        let end = match end {
            Some(end) => end,
            None => u32::try_from(file.len()?).unwrap_or(u32::MAX),
        };
        let footer = catalogue.footers().into_iter().find(|footer| footer.number == number);
        let entries = match footer {
            Some(footer) => catalogue.entries_of(&footer)?,
            None => self
                .mapped_arenas()
                .into_iter()
                .find(|(mapped, _)| *mapped == number)
                .map(|(_, entries)| up_to(&entries, end))
                .unwrap_or_default(),
        };
        Ok(Subject { number, file, end, entries })
    }

    fn check_arena(&self, subject: &Subject, options: CheckOptions, report: &mut CheckReport) {
        report.arenas += 1;
        report.blocks += subject.entries.len() as u64;
        if let Err(error) = read_header(&*subject.file) {
            let finding =
                Finding::of_arena(Severity::Repairable, subject.number, error.to_string());
            report.findings.push(finding.at(0, ARENA_HEADER_SIZE as u64));
        }
        self.check_index(subject, report);
        if options.data
            && let Err(error) = self.check_data(subject, report)
        {
            let detail = format!("can not be read: {error}");
            report.findings.push(Finding::of_arena(Severity::Damaged, subject.number, detail));
        }
    }

    /// Every block must be found. Looking corrects what the index has wrong; what is reported
    /// here is what stays missing.
    fn check_index(&self, subject: &Subject, report: &mut CheckReport) {
        let mut sizes = Vec::new();
        for entries in subject.entries.chunks(AT_ONCE) {
            let requests: Vec<BlockRequest> =
                entries.iter().map(|entry| entry.info.request()).collect();
            sizes.clear();
            let known: Vec<(BlockRequest, u32)> =
                requests.iter().map(|request| (*request, subject.number)).collect();
            self.shared().catalogue.drop_if_incomplete(&known);
            self.sizes(&requests, &mut sizes);
            for (entry, size) in entries.iter().zip(&sizes) {
                if !matches!(size, Ok(Some(_))) {
                    let detail = format!("block {} is not found", entry.info.score);
                    let length = entry.info.clump_size() as u64;
                    report.findings.push(
                        Finding::of_arena(Severity::Damaged, subject.number, detail)
                            .at(u64::from(entry.offset), length),
                    );
                }
            }
        }
    }

    /// Reads the whole log of an arena and proves every block.
    fn check_data(&self, subject: &Subject, report: &mut CheckReport) -> DiskResult<()> {
        let store = self.shared().catalogue.store;
        let start = u32::try_from(ARENA_HEADER_SIZE).unwrap_or(u32::MAX);
        let mut scanner = Scanner::new(Arc::clone(&subject.file), store, subject.number, start)?;
        let mut expected = subject.entries.iter().peekable();
        let mut scratch = Vec::new();
        let damaged = |detail: String, start: u32, end: u32| {
            Finding::of_arena(Severity::Damaged, subject.number, detail)
                .at(u64::from(start), u64::from(end - start))
        };
        while let Some(found) = scanner.next_found() {
            let (Found::Record { extent, .. } | Found::Unparseable(extent)) = &found;
            if extent.start >= subject.end {
                break;
            }
            let extent = extent.clone();
            match found {
                Found::Unparseable(_) => {
                    let end = extent.end.min(subject.end);
                    let detail = "bytes that are no record".to_owned();
                    report.findings.push(damaged(detail, extent.start, end));
                }
                Found::Record { record: Record::Clump(header), .. } => {
                    while expected.next_if(|entry| entry.offset < extent.start).is_some() {}
                    let listed = expected.next_if(|entry| entry.offset == extent.start);
                    if listed.is_none_or(|entry| entry.info != header.info) {
                        let detail = "the table of contents does not have this clump".to_owned();
                        report.findings.push(damaged(detail, extent.start, extent.end));
                    }
                    let bytes = scanner.bytes(extent.clone());
                    match prove(&header, bytes, &mut scratch) {
                        Ok(size) => report.bytes_hashed += size,
                        Err(detail) => {
                            report.findings.push(damaged(detail, extent.start, extent.end));
                        }
                    }
                }
                Found::Record { .. } => {}
            }
        }
        if scanner.unreadable() > 0 {
            let detail = format!("{} bytes can not be read from the disk", scanner.unreadable());
            report.findings.push(Finding::of_arena(Severity::Damaged, subject.number, detail));
        }
        Ok(())
    }
}

/// The entries of an arena that is written to, as far as they are written.
fn up_to(entries: &Entries, end: u32) -> Vec<TocEntry> {
    entries.iter().filter(|entry| entry.offset < end).copied().collect()
}

/// Proves a payload by both digests. Returns the size of the block.
fn prove(header: &ClumpHeader, clump: &[u8], scratch: &mut Vec<u8>) -> Result<u64, String> {
    let payload = clump
        .get(CLUMP_HEADER_SIZE..header.info.clump_size())
        .ok_or("the payload can not be read")?;
    let block = open_payload(&header.info, payload, scratch)
        .map_err(|error| format!("block {}: {error}", header.info.score))?;
    if Digest::of(block) == header.info.digest {
        return Ok(block.len() as u64);
    }
    Err(format!("block {} has another digest than its header says", header.info.score))
}
