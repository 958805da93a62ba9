//! Recovery as two tables: what to do with an arena file, and with each stretch of an unsealed
//! one. docs/store-format.md, "Recovery", has the same rows in words, by the same labels.
//!
//! Every combination of facts matches exactly one row: a test walks them all.

/// What is known of an arena's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Good,
    Damaged,
    /// It belongs to another store, or has another number than the file.
    Foreign,
}

/// What is known of an arena file before it is decided what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArenaFacts {
    pub(crate) header: HeaderState,
    /// Whether the file ends with a valid footer.
    pub(crate) footer: bool,
    /// Whether it is one of the two with the highest numbers.
    pub(crate) newest: bool,
    /// Whether nobody may write to the file.
    pub(crate) read_only: bool,
    /// Whether every byte could be read. Only known, and only asked, without a footer.
    pub(crate) readable: bool,
    /// Whether there is any valid clump, mark or gap. Only asked without a footer.
    pub(crate) records: bool,
}

/// What to do with an arena file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArenaAction {
    /// Believe the footer.
    Serve,
    /// Believe the footer, and write the end of the file again: it may not be durable.
    ServeAndRewrite,
    /// Find the clumps by scanning, serve them, report, change nothing.
    Scan,
    /// Recover the tail and go on writing.
    Continue,
    /// Write the header, again if need be, and go on with an empty arena.
    Start,
    /// Report, and touch nothing.
    Ignore,
}

/// One row; `None` stands for either.
#[derive(Debug)]
pub(crate) struct ArenaRow {
    pub(crate) label: &'static str,
    foreign: bool,
    footer: Option<bool>,
    newest: Option<bool>,
    read_only: Option<bool>,
    readable: Option<bool>,
    records: Option<bool>,
    pub(crate) action: ArenaAction,
}

/// Either answer will do.
const ANY: Option<bool> = None;
const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

#[rustfmt::skip]
pub(crate) const ARENA_ROWS: [ArenaRow; 9] = [
    arena_row("A1 foreign", true, [ANY, ANY, ANY, ANY, ANY], ArenaAction::Ignore),
    arena_row("A2 sealed", false, [YES, NO, ANY, ANY, ANY], ArenaAction::Serve),
    arena_row("A3 sealed last", false, [YES, YES, YES, ANY, ANY], ArenaAction::Serve),
    arena_row("A4 sealed, not durably", false, [YES, YES, NO, ANY, ANY], ArenaAction::ServeAndRewrite),
    arena_row("A5 old, no footer", false, [NO, NO, ANY, ANY, ANY], ArenaAction::Scan),
    arena_row("A6 sealed once, no footer", false, [NO, YES, YES, ANY, ANY], ArenaAction::Scan),
    arena_row("A7 open, not readable", false, [NO, YES, NO, NO, ANY], ArenaAction::Scan),
    arena_row("A8 open", false, [NO, YES, NO, YES, YES], ArenaAction::Continue),
    arena_row("A9 just made", false, [NO, YES, NO, YES, NO], ArenaAction::Start),
];

const fn arena_row(
    label: &'static str,
    foreign: bool,
    facts: [Option<bool>; 5],
    action: ArenaAction,
) -> ArenaRow {
    let [footer, newest, read_only, readable, records] = facts;
    ArenaRow { label, foreign, footer, newest, read_only, readable, records, action }
}

impl ArenaRow {
    fn matches(&self, facts: &ArenaFacts) -> bool {
        let wanted = [self.footer, self.newest, self.read_only, self.readable, self.records];
        let found = [facts.footer, facts.newest, facts.read_only, facts.readable, facts.records];
        self.foreign == (facts.header == HeaderState::Foreign) && agree(&wanted, &found)
    }
}

fn agree(wanted: &[Option<bool>], found: &[bool]) -> bool {
    wanted.iter().zip(found).all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == *found))
}

/// The row for an arena file.
pub(crate) fn arena_row_for(facts: &ArenaFacts) -> &'static ArenaRow {
    // One always matches, as the test below shows.
    ARENA_ROWS.iter().find(|row| row.matches(facts)).unwrap_or(&ARENA_ROWS[0])
}

/// What is known of a stretch of an unsealed arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StretchFacts {
    /// Whether it is a valid clump, mark or gap.
    pub(crate) parses: bool,
    /// Whether some mark proves that its first byte was durable once.
    pub(crate) proved_durable: bool,
    /// Whether the payload matches its score. Only asked of clumps that are not proved durable.
    pub(crate) payload: bool,
    /// Whether a valid record follows somewhere behind it.
    pub(crate) followed: bool,
}

/// What to do with a stretch of an unsealed arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StretchAction {
    /// It stays as it is.
    Keep,
    /// It is written again, because only the page cache may have it.
    Rewrite,
    /// It is corruption: reported, kept, skipped.
    Report,
    /// It is a write that did not arrive: copied aside, and closed with a gap.
    Close,
    /// It is the torn tail: copied aside, and cut off.
    Cut,
}

/// One row; `None` stands for either.
#[derive(Debug)]
pub(crate) struct StretchRow {
    pub(crate) label: &'static str,
    facts: [Option<bool>; 4],
    pub(crate) action: StretchAction,
}

#[rustfmt::skip]
pub(crate) const STRETCH_ROWS: [StretchRow; 7] = [
    StretchRow { label: "S1 durable record", facts: [YES, YES, ANY, ANY], action: StretchAction::Keep },
    StretchRow { label: "S2 record since the last mark", facts: [YES, NO, YES, ANY], action: StretchAction::Rewrite },
    StretchRow { label: "S3 torn payload inside", facts: [YES, NO, NO, YES], action: StretchAction::Close },
    StretchRow { label: "S4 torn payload at the end", facts: [YES, NO, NO, NO], action: StretchAction::Cut },
    StretchRow { label: "S5 corruption", facts: [NO, YES, ANY, ANY], action: StretchAction::Report },
    StretchRow { label: "S6 hole", facts: [NO, NO, ANY, YES], action: StretchAction::Close },
    StretchRow { label: "S7 torn tail", facts: [NO, NO, ANY, NO], action: StretchAction::Cut },
];

impl StretchRow {
    fn matches(&self, facts: &StretchFacts) -> bool {
        let found = [facts.parses, facts.proved_durable, facts.payload, facts.followed];
        agree(&self.facts, &found)
    }
}

/// The row for a stretch.
pub(crate) fn stretch_row_for(facts: &StretchFacts) -> &'static StretchRow {
    STRETCH_ROWS.iter().find(|row| row.matches(facts)).unwrap_or(&STRETCH_ROWS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every list of `N` truth values.
    fn combinations<const N: usize>() -> impl Iterator<Item = [bool; N]> {
        (0..1_u32 << N).map(|bits| std::array::from_fn(|place| bits >> place & 1 == 1))
    }

    #[test]
    fn every_arena_matches_one_row_and_every_row_some_arena() {
        let mut used = [0; ARENA_ROWS.len()];
        for header in [HeaderState::Good, HeaderState::Damaged, HeaderState::Foreign] {
            for [footer, newest, read_only, readable, records] in combinations() {
                let facts = ArenaFacts { header, footer, newest, read_only, readable, records };
                let matching: Vec<usize> =
                    (0..ARENA_ROWS.len()).filter(|row| ARENA_ROWS[*row].matches(&facts)).collect();
                assert_eq!(matching.len(), 1, "{facts:?} matches {matching:?}");
                assert_eq!(arena_row_for(&facts).label, ARENA_ROWS[matching[0]].label);
                used[matching[0]] += 1;
            }
        }
        assert!(used.iter().all(|uses| *uses > 0), "{used:?}");
    }

    #[test]
    fn every_stretch_matches_one_row_and_every_row_some_stretch() {
        let mut used = [0; STRETCH_ROWS.len()];
        for [parses, proved_durable, payload, followed] in combinations() {
            let facts = StretchFacts { parses, proved_durable, payload, followed };
            let matching: Vec<usize> =
                (0..STRETCH_ROWS.len()).filter(|row| STRETCH_ROWS[*row].matches(&facts)).collect();
            assert_eq!(matching.len(), 1, "{facts:?} matches {matching:?}");
            assert_eq!(stretch_row_for(&facts).label, STRETCH_ROWS[matching[0]].label);
            used[matching[0]] += 1;
        }
        assert!(used.iter().all(|uses| *uses > 0), "{used:?}");
    }

    #[test]
    fn nothing_that_a_mark_proves_durable_is_ever_cut_or_closed() {
        for [parses, payload, followed] in combinations() {
            let facts = StretchFacts { parses, proved_durable: true, payload, followed };
            let action = stretch_row_for(&facts).action;
            assert!(matches!(action, StretchAction::Keep | StretchAction::Report));
        }
    }

    #[test]
    fn the_documentation_has_every_row() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/store-format.md");
        let text = std::fs::read_to_string(path).unwrap();
        let labels = ARENA_ROWS.iter().map(|row| row.label);
        for label in labels.chain(STRETCH_ROWS.iter().map(|row| row.label)) {
            assert!(text.contains(&format!("| {label} |")), "{label} is not in {path}");
        }
    }
}
