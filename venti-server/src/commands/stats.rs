//! `venti stats`: what a store holds.

use std::fmt::Write as _;

use arenas::StoreStats;

use crate::cli::LocalStore;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::size::human;

const EXAMPLES: &str = "\
EXAMPLES
  How much do duplicates and compression save?

    $ venti stats /srv/venti
    blocks             ...
    bytes in blocks    ...
    stored as          ...
    ...";

/// Say what a store holds
///
/// Also of a store that a server has open. What a server did since it started is on its status
/// pages (venti serve --http).
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    store: LocalStore,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let stats = arguments.store.open(true)?.stats();
    if arguments.json {
        output_json(&stats)?;
    } else {
        output(text(&stats).as_bytes())?;
    }
    Ok(Outcome::Complete)
}

fn text(stats: &StoreStats) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<18} {value}");
    };
    row("blocks", stats.blocks.to_string());
    row("bytes in blocks", human(stats.block_bytes));
    row("stored as", format!("{} ({})", human(stats.stored_bytes), saved(stats)));
    row("sealed arenas", stats.sealed_arenas.to_string());
    row("open arenas", stats.open_arenas.to_string());
    row("scanned arenas", stats.scanned_arenas.to_string());
    for finding in &stats.findings {
        row("found", finding.to_string());
    }
    text
}

fn saved(stats: &StoreStats) -> String {
    match (stats.stored_bytes * 100).checked_div(stats.block_bytes) {
        Some(percent) => format!("{percent} %"),
        None => "empty".to_owned(),
    }
}
