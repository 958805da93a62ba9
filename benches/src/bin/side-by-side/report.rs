//! The table of a run: medians, and each figure as a ratio to what it is held against.

use std::collections::BTreeMap;

use serde::Serialize;
use venti_benches::process::Cost;
use venti_benches::table::{Table, median};

use crate::compare::Differences;
use crate::recipe::{FIND, TAR};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    First,
    Unchanged,
    Changed,
    Restore,
    OneFile,
}

/// Everything that was measured of one program.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) costs: BTreeMap<Step, Vec<Cost>>,
    /// Bytes on the disk after the first archive.
    pub(crate) store_bytes: Option<u64>,
    /// The most memory of the server over all steps, in bytes.
    pub(crate) server_memory: Option<u64>,
    /// Of the last restore.
    pub(crate) differences: Option<Differences>,
    /// Why it was given up.
    pub(crate) failure: Option<String>,
}

impl Measured {
    fn of(&self, step: Step, value: impl Fn(&Cost) -> f64) -> Option<f64> {
        median(&self.costs.get(&step)?.iter().map(value).collect::<Vec<_>>())
    }

    pub(crate) fn seconds(&self, step: Step) -> Option<f64> {
        self.of(step, |cost| cost.seconds)
    }

    /// Megabytes of client memory, the most over all steps.
    fn client_memory(&self) -> Option<f64> {
        let peaks = self.costs.values().flatten().map(|cost| cost.peak_memory);
        peaks.max().map(megabytes)
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The tables of everything measured, in Markdown.
pub(crate) fn tables(all: &[Measured]) -> String {
    let baseline =
        |name: &str, step| all.iter().find(|m| m.name == name).and_then(|m| m.seconds(step));
    let mut times = Table::new([
        "program",
        "first s",
        "/ tar",
        "unchanged s",
        "/ find",
        "1 % s",
        "/ first",
        "restore s",
        "/ untar",
        "one file s",
    ]);
    let mut sizes = Table::new([
        "program",
        "first CPU s",
        "unchanged CPU s",
        "1 % CPU s",
        "restore CPU s",
        "store MB",
        "client MB",
        "server MB",
        "differences after restore",
    ]);
    for m in all {
        let seconds = |step| m.seconds(step);
        let processor = |step| number(m.of(step, |cost| cost.processor_seconds), 2);
        let over = |step, base: Option<f64>| number(ratio(seconds(step), base), 2);
        times.push(vec![
            m.name.clone(),
            number(seconds(Step::First), 2),
            over(Step::First, baseline(TAR, Step::First)),
            number(seconds(Step::Unchanged), 3),
            over(Step::Unchanged, baseline(FIND, Step::Unchanged)),
            number(seconds(Step::Changed), 2),
            over(Step::Changed, seconds(Step::First)),
            number(seconds(Step::Restore), 2),
            over(Step::Restore, baseline(TAR, Step::Restore)),
            number(seconds(Step::OneFile), 3),
        ]);
        sizes.push(vec![
            m.name.clone(),
            processor(Step::First),
            processor(Step::Unchanged),
            processor(Step::Changed),
            processor(Step::Restore),
            number(m.store_bytes.map(megabytes), 0),
            number(m.client_memory(), 0),
            number(m.server_memory.map(megabytes), 0),
            m.differences.map_or_else(String::new, |d| d.to_string()),
        ]);
    }
    let failures = all.iter().filter_map(|m| m.failure.as_ref().map(|why| format!("* {why}\n")));
    format!("{times}\n{sizes}\n{}", failures.collect::<String>())
}

fn ratio(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    Some(value? / base?)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, seconds: f64) -> Measured {
        let cost = Cost { seconds, processor_seconds: 1.0, peak_memory: 5_000_000 };
        let costs = BTreeMap::from([(Step::First, vec![cost])]);
        Measured { name: name.to_owned(), costs, ..Measured::default() }
    }

    #[test]
    fn figures_stand_as_ratios_to_tar() {
        let text = tables(&[measured(TAR, 2.0), measured("vac", 3.0)]);
        let row = text.lines().find(|line| line.starts_with("| vac")).expect("a row");
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1..4], ["vac", "3.00", "1.50"]);
    }
}
