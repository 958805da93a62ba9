//! `venti check`: is the store in order?

mod recorded;

use arenas::{CheckOptions, CheckReport, Severity};

use crate::cli::LocalStore;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::progress::Progress;
use crate::size::human;

const EXAMPLES: &str = "\
EXAMPLES
  Once a month, with every byte; the server may run meanwhile:

    $ venti check --data /srv/venti
    ... arenas, ... blocks, ... read and hashed: in order";

/// Check a store and list what is wrong with it
///
/// Looks at the structure of every arena and at the index; with --data also reads and hashes
/// every block, and looks for the root of every archive that the log of roots has. Changes nothing, and may run beside a server. Exit code 3 says that something is
/// wrong.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    store: LocalStore,

    /// Read and hash every block
    #[arg(long)]
    data: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = arguments.store.open(true)?;
    let progress = Progress::bar("checking");
    let options = CheckOptions { data: arguments.data };
    let mut report = store.check(options, &mut |done| progress.show(done));
    report.findings.extend(recorded::lost(&store));
    progress.finish();
    if arguments.json {
        output_json(&report)?;
    } else {
        output(text(&report, arguments.data).as_bytes())?;
    }
    Ok(if report.is_clean() { Outcome::Complete } else { Outcome::Incomplete })
}

fn text(report: &CheckReport, data: bool) -> String {
    let mut text: String = report
        .findings
        .iter()
        .map(|found| format!("{}: {found}\n", name(found.severity)))
        .collect();
    let (arenas, blocks) = (report.arenas, report.blocks);
    let hashed = if data {
        format!(", {} read and hashed", human(report.bytes_hashed))
    } else {
        String::new()
    };
    let verdict = if report.is_clean() { "in order" } else { "NOT in order" };
    text.push_str(&format!("{arenas} arenas, {blocks} blocks{hashed}: {verdict}\n"));
    text
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Recovered => "recovered",
        Severity::Repairable => "repairable",
        Severity::Damaged => "DAMAGED",
    }
}
