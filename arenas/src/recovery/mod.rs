//! Opening the log: what each arena file is, and what is to be done with it.
//!
//! Sealed arenas are believed by their footers; only the one or two that are not sealed are
//! scanned. Decisions come from [`table`]; [`survey`] finds the facts; [`repair`] acts on them.
//! Opening read-only takes the same decisions and changes nothing.

mod repair;
mod survey;
mod table;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Location;
use crate::arena::{ARENA_HEADER_SIZE, ArenaHeader, FOOTER_SIZE, Footer, HeaderError};
use crate::disk::{Disk, DiskFile, DiskResult, OpenMode, read_exact_at, write_all_at};
use crate::environment::Environment;
use crate::fields::StoreIdentity;
use crate::finding::{Finding, Severity};
use crate::log::{Entries, OpenArena};
use crate::names;
use crate::store::OpenError;
use repair::Repair;
pub(crate) use survey::Survey;
use table::{ArenaAction, ArenaFacts, HeaderState, arena_row_for};

/// An arena that is known by an exact map because it has no table of contents to believe.
#[derive(Clone, Debug)]
pub(crate) struct ScannedArena {
    pub(crate) number: u32,
    pub(crate) entries: Arc<Entries>,
    /// Where the scan ended: a reader beside a writer goes on from here.
    pub(crate) scanned_through: u32,
    /// Whether a writer may be appending to it.
    pub(crate) growing: bool,
}

/// The log as recovery leaves it.
pub(crate) struct Recovered {
    pub(crate) sealed: Vec<Footer>,
    pub(crate) scanned: Vec<ScannedArena>,
    /// To be written to; empty if opened read-only.
    pub(crate) open: VecDeque<OpenArena>,
    pub(crate) findings: Vec<Finding>,
}

/// What recovery works on.
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) store: StoreIdentity,
    pub(crate) environment: &'a dyn Environment,
    pub(crate) read_only: bool,
}

/// One file, as far as it is known without scanning it.
struct Candidate {
    number: u32,
    file: Arc<dyn DiskFile>,
    header: Result<ArenaHeader, HeaderError>,
    footer: Option<Footer>,
}

/// The numbers of the arena files that are there, in order.
pub(crate) fn arena_numbers(disk: &dyn Disk) -> DiskResult<Vec<u32>> {
    let mut numbers: Vec<u32> =
        disk.list(names::ARENAS)?.iter().filter_map(|name| names::parse_arena(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads the header of an arena file.
pub(crate) fn read_header(file: &dyn DiskFile) -> Result<ArenaHeader, HeaderError> {
    let mut bytes = [0; ARENA_HEADER_SIZE];
    // Bytes that can not be read are taken for zeros, and those are no header.
    if read_exact_at(file, &mut bytes, 0).is_err() {
        bytes.fill(0);
    }
    ArenaHeader::decode(&bytes)
}

/// Reads the footer at the end of an arena file, if there is a valid one.
pub(crate) fn read_footer(
    file: &dyn DiskFile,
    store: &StoreIdentity,
    number: u32,
) -> Option<Footer> {
    let length = file.len().ok()?;
    let start = length.checked_sub(FOOTER_SIZE as u64)?;
    let place = Location { arena: number, offset: u32::try_from(start).ok()? };
    let mut bytes = [0; FOOTER_SIZE];
    read_exact_at(file, &mut bytes, start).ok()?;
    Footer::decode(store, place, &bytes).ok()
}

impl Recovery<'_> {
    /// Decides on every arena file and does what is decided.
    pub(crate) fn run(&self) -> Result<Recovered, OpenError> {
        let mut recovered = Recovered {
            sealed: Vec::new(),
            scanned: Vec::new(),
            open: VecDeque::new(),
            findings: Vec::new(),
        };
        let numbers = arena_numbers(self.disk)?;
        report_missing(&numbers, &mut recovered.findings);
        let newest = numbers.len().saturating_sub(2);
        for (place, number) in numbers.iter().enumerate() {
            self.arena(*number, place >= newest, &mut recovered)?;
        }
        let last = numbers.last().copied().unwrap_or(0);
        if !self.read_only && recovered.open.back().is_none_or(|arena| arena.number != last) {
            let now = self.environment.milliseconds();
            let arena = OpenArena::create(self.disk, self.store, last.saturating_add(1), now)?;
            recovered.open.push_back(arena);
        }
        Ok(recovered)
    }

    fn candidate(&self, number: u32) -> Result<Candidate, OpenError> {
        let file = self.disk.open(&names::arena(number), OpenMode::Read)?;
        let header = read_header(&*file);
        if let Err(HeaderError::Newer { found }) = header {
            return Err(OpenError::newer(found));
        }
        let footer = read_footer(&*file, &self.store, number);
        Ok(Candidate { number, file, header, footer })
    }

    fn arena(&self, number: u32, newest: bool, recovered: &mut Recovered) -> Result<(), OpenError> {
        let candidate = self.candidate(number)?;
        let header = match &candidate.header {
            Ok(header) if header.store != self.store || header.number != number => {
                HeaderState::Foreign
            }
            Ok(_) => HeaderState::Good,
            Err(_) => HeaderState::Damaged,
        };
        let survey = if candidate.footer.is_some() || header == HeaderState::Foreign {
            None
        } else {
            Some(Survey::of_file(&candidate.file, self.store, number)?)
        };
        let facts = ArenaFacts {
            header,
            footer: candidate.footer.is_some(),
            newest,
            read_only: self.disk.is_read_only(&names::arena(number))?,
            readable: survey.as_ref().is_none_or(|survey| survey.unreadable == 0),
            records: survey.as_ref().is_some_and(Survey::has_records),
        };
        let row = arena_row_for(&facts);
        // A header that no mark proves durable is part of the tail, and written again with it.
        let rewritten = matches!(row.action, ArenaAction::Continue | ArenaAction::Start)
            && survey.as_ref().is_some_and(|survey| survey.boundary == 0);
        if let (Err(error), false) = (&candidate.header, rewritten) {
            let detail = format!("{error}; the footer or the log make up for it");
            recovered.findings.push(Finding::of_arena(Severity::Repairable, number, detail));
        }
        match (row.action, candidate.footer, survey) {
            (ArenaAction::Serve, Some(footer), _) => recovered.sealed.push(footer),
            (ArenaAction::ServeAndRewrite, Some(footer), _) => {
                if !self.read_only {
                    self.write_end_again(&footer)?;
                }
                recovered.sealed.push(footer);
            }
            (ArenaAction::Continue | ArenaAction::Start, _, Some(survey)) => {
                self.recover_tail(&candidate, &survey, recovered)?;
            }
            (ArenaAction::Scan, _, Some(survey)) => {
                let detail = format!("no valid footer ({}): served by scanning", row.label);
                recovered.findings.push(Finding::of_arena(Severity::Damaged, number, detail));
                recovered.findings.extend(survey.findings(false));
                recovered.scanned.push(self.scanned(&survey, false));
            }
            _ => {
                let detail = format!(
                    "the file belongs to another store or another number ({}): left alone",
                    row.label
                );
                recovered.findings.push(Finding::of_arena(Severity::Damaged, number, detail));
            }
        }
        Ok(())
    }

    fn scanned(&self, survey: &Survey, growing: bool) -> ScannedArena {
        let mut entries = Entries::new(&self.store);
        let scanned_through = if growing {
            survey.enter_prefix(&mut entries)
        } else {
            survey.enter(&mut entries);
            survey.log_end()
        };
        let entries = Arc::new(entries);
        ScannedArena { number: survey.arena, entries, scanned_through, growing }
    }

    fn recover_tail(
        &self,
        candidate: &Candidate,
        survey: &Survey,
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        if self.read_only {
            // Its writer may be at work: what looks torn may be on its way.
            let left_alone = |mut finding: Finding| {
                if finding.severity == Severity::Recovered {
                    finding.detail.push_str("; left for the next writer, or still being written");
                }
                finding
            };
            recovered.findings.extend(survey.findings(true).into_iter().map(left_alone));
            recovered.scanned.push(self.scanned(survey, true));
            return Ok(());
        }
        let file = self.disk.open(&names::arena(candidate.number), OpenMode::Write)?;
        let repair = Repair {
            disk: self.disk,
            store: self.store,
            file,
            survey,
            header: candidate.header.as_ref().ok().copied(),
            now: self.environment.milliseconds(),
        };
        recovered.findings.extend(survey.findings(true));
        recovered.open.push_back(repair.run()?);
        Ok(())
    }

    /// A footer that is not known to be durable is made so: the same bytes once more.
    fn write_end_again(&self, footer: &Footer) -> DiskResult<()> {
        let name = names::arena(footer.number);
        let file = self.disk.open(&name, OpenMode::Write)?;
        let length = footer.offset as usize + FOOTER_SIZE - footer.log_end as usize;
        let mut end = vec![0; length];
        read_exact_at(&*file, &mut end, u64::from(footer.log_end))?;
        write_all_at(&*file, &end, u64::from(footer.log_end))?;
        file.sync_data()?;
        self.disk.sync_dir(names::ARENAS)?;
        self.disk.set_read_only(&name)
    }
}

fn report_missing(numbers: &[u32], findings: &mut Vec<Finding>) {
    for pair in numbers.windows(2) {
        if let [before, after] = pair
            && after - before > 1
        {
            let detail = format!("no file for arenas {} to {}", before + 1, after - 1);
            findings.push(Finding::of_arena(Severity::Damaged, before + 1, detail));
        }
    }
    if let Some(first) = numbers.first()
        && *first > 1
    {
        let detail = format!("no file for arenas 1 to {}", first - 1);
        findings.push(Finding::of_arena(Severity::Damaged, 1, detail));
    }
}
