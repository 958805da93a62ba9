//! What an arena file without a footer holds, stretch by stretch, and what the table says to it.

use std::ops::Range;
use std::sync::Arc;

use super::table::{StretchAction, StretchFacts, stretch_row_for};
use crate::Location;
use crate::arena::{ARENA_HEADER_SIZE, Found, Record, Scanner, TocEntry};
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader, Digest, open_payload};
use crate::disk::{DiskFile, DiskResult};
use crate::fields::StoreIdentity;
use crate::finding::{Finding, Severity};
use crate::log::Entries;

/// What a stretch is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Clump(ClumpHeader),
    Mark,
    Gap,
    /// Part of a table of contents, or a footer: made anew when the arena is sealed.
    Table,
    /// Bytes that are no record: rubbish or zeros.
    Nothing,
}

impl Kind {
    const fn is_log_record(&self) -> bool {
        matches!(self, Kind::Clump(_) | Kind::Mark | Kind::Gap)
    }
}

/// One stretch of the file.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) extent: Range<u32>,
    pub(super) kind: Kind,
    /// Whether the payload of a clump matches its score, or need not.
    proved: bool,
    pub(super) action: StretchAction,
    label: &'static str,
}

/// The whole file, behind its header.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(super) arena: u32,
    pub(super) stretches: Vec<Stretch>,
    /// Everything before this was durable once: the most that any mark says.
    pub(crate) boundary: u32,
    /// Sequence number of the last mark.
    pub(super) sequence: u64,
    /// Where the file ends.
    pub(super) end: u32,
    /// Bytes that could not be read.
    pub(crate) unreadable: u64,
}

impl Survey {
    /// Scans the file from `start` on, which is where a record starts.
    pub(crate) fn take(
        file: &Arc<dyn DiskFile>,
        store: StoreIdentity,
        arena: u32,
        start: u32,
    ) -> DiskResult<Survey> {
        let mut scanner = Scanner::new(Arc::clone(file), store, arena, start)?;
        let mut survey = Survey {
            arena,
            stretches: Vec::new(),
            boundary: 0,
            sequence: 0,
            end: scanner.end(),
            unreadable: 0,
        };
        while let Some(found) = scanner.next_found() {
            survey.add(found);
        }
        survey.unreadable = scanner.unreadable();
        survey.prove_payloads(&mut scanner);
        survey.unreadable = survey.unreadable.max(scanner.unreadable());
        survey.decide();
        Ok(survey)
    }

    /// The same from the first record of the file.
    pub(crate) fn of_file(
        file: &Arc<dyn DiskFile>,
        store: StoreIdentity,
        arena: u32,
    ) -> DiskResult<Survey> {
        let start = u32::try_from(ARENA_HEADER_SIZE).unwrap_or(u32::MAX);
        Survey::take(file, store, arena, start)
    }

    fn add(&mut self, found: Found) {
        let (extent, kind) = match found {
            Found::Unparseable(extent) => (extent, Kind::Nothing),
            Found::Record { extent, record } => match record {
                Record::Clump(header) => (extent, Kind::Clump(header)),
                Record::Mark(mark) => {
                    self.boundary = self.boundary.max(mark.durable_through);
                    self.sequence = self.sequence.max(mark.sequence);
                    (extent, Kind::Mark)
                }
                Record::Gap(_) => (extent, Kind::Gap),
                Record::Toc(_) | Record::Footer(_) => (extent, Kind::Table),
            },
        };
        if let (Kind::Nothing, Some(last)) = (&kind, self.stretches.last_mut())
            && matches!(last.kind, Kind::Nothing)
        {
            last.extent.end = extent.end;
            return;
        }
        let (proved, action, label) = (true, StretchAction::Keep, "");
        self.stretches.push(Stretch { extent, kind, proved, action, label });
    }

    /// A header that was not proved durable may have arrived without its payload.
    fn prove_payloads(&mut self, scanner: &mut Scanner) {
        let mut scratch = Vec::new();
        let boundary = self.boundary;
        for stretch in &mut self.stretches {
            if let Kind::Clump(header) = &stretch.kind
                && stretch.extent.start >= boundary
            {
                let bytes = scanner.bytes(stretch.extent.clone());
                let payload = bytes.get(CLUMP_HEADER_SIZE..header.info.clump_size());
                let block =
                    payload.map(|payload| open_payload(&header.info, payload, &mut scratch));
                stretch.proved =
                    matches!(block, Some(Ok(block)) if Digest::of(block) == header.info.digest);
            }
        }
    }

    fn decide(&mut self) {
        let mut followed = false;
        let boundary = self.boundary;
        for stretch in self.stretches.iter_mut().rev() {
            let facts = StretchFacts {
                parses: stretch.kind.is_log_record(),
                proved_durable: stretch.extent.start < boundary,
                payload: stretch.proved,
                followed,
            };
            let row = stretch_row_for(&facts);
            (stretch.action, stretch.label) = (row.action, row.label);
            followed |= stretch.is_kept();
        }
    }

    /// Whether the file has any record of the log.
    pub(crate) fn has_records(&self) -> bool {
        self.stretches.iter().any(|stretch| stretch.kind.is_log_record())
    }

    /// Whether anything but marks is there that no mark proves durable.
    pub(super) fn needs_repair(&self) -> bool {
        self.boundary == 0
            || self.stretches.iter().any(|stretch| match stretch.action {
                StretchAction::Keep | StretchAction::Report => false,
                StretchAction::Rewrite => !matches!(stretch.kind, Kind::Mark),
                StretchAction::Close | StretchAction::Cut => true,
            })
    }

    /// Where the log ends once the torn tail is cut. A file that is shorter than its header is
    /// filled up.
    pub(crate) fn log_end(&self) -> u32 {
        let cut = self.stretches.iter().find(|stretch| stretch.action == StretchAction::Cut);
        let least = u32::try_from(ARENA_HEADER_SIZE).unwrap_or(u32::MAX);
        cut.map_or(self.end, |stretch| stretch.extent.start).max(least)
    }

    /// Enters every clump that is kept, in the order of the log.
    pub(crate) fn enter(&self, entries: &mut Entries) {
        for stretch in self.stretches.iter().filter(|stretch| stretch.is_kept()) {
            if let Kind::Clump(header) = &stretch.kind {
                entries.push(TocEntry { offset: stretch.extent.start, info: header.info });
            }
        }
    }

    /// The same up to the first write that has not arrived yet. Returns where that is.
    pub(crate) fn enter_prefix(&self, entries: &mut Entries) -> u32 {
        for stretch in &self.stretches {
            if matches!(stretch.action, StretchAction::Close | StretchAction::Cut) {
                return stretch.extent.start;
            }
            if let (true, Kind::Clump(header)) = (stretch.is_kept(), &stretch.kind) {
                entries.push(TocEntry { offset: stretch.extent.start, info: header.info });
            }
        }
        self.log_end()
    }

    /// What is wrong with the arena. `repaired` says whether recovery puts it in order.
    pub(crate) fn findings(&self, repaired: bool) -> Vec<Finding> {
        let finding = |stretch: &Stretch| {
            if !repaired && matches!(stretch.kind, Kind::Table) {
                return None;
            }
            let (severity, detail) = match stretch.action {
                StretchAction::Keep | StretchAction::Rewrite => return None,
                StretchAction::Report => {
                    (Severity::Damaged, "bytes that were durable once do not parse any more")
                }
                StretchAction::Close => (Severity::Recovered, "a write that did not arrive"),
                StretchAction::Cut => (Severity::Recovered, "torn tail"),
            };
            // Where nothing is repaired, nobody can say that it was never durable.
            let severity = if repaired { severity } else { Severity::Damaged };
            let detail = format!("{detail} ({})", stretch.label);
            let length = u64::from(stretch.extent.end - stretch.extent.start);
            let at = u64::from(stretch.extent.start);
            Some(Finding::of_arena(severity, self.arena, detail).at(at, length))
        };
        let mut findings: Vec<Finding> = self.stretches.iter().filter_map(finding).collect();
        if self.unreadable > 0 {
            let detail = format!("{} bytes can not be read from the disk", self.unreadable);
            findings.push(Finding::of_arena(Severity::Damaged, self.arena, detail));
        }
        findings
    }
}

impl Stretch {
    /// Whether it is a record that counts.
    pub(super) fn is_kept(&self) -> bool {
        let stays = matches!(self.action, StretchAction::Keep | StretchAction::Rewrite);
        stays && self.kind.is_log_record()
    }

    /// Where it is.
    pub(super) const fn location(&self, arena: u32) -> Location {
        Location { arena, offset: self.extent.start }
    }
}
