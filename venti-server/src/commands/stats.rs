//! `venti stats`: what a store holds.

use std::fmt::Write as _;

use arenas::StoreStats;
use serde::Deserialize;
use venti_proto::address::Address;

use crate::cli::LocalStore;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::place::{self, Place};
use crate::size::human;

const EXAMPLES: &str = "\
EXAMPLES
  How much do duplicates and compression save?

    $ venti stats /srv/venti
    blocks             ...
    bytes in blocks    ...
    stored as          ...
    ...

  The same of a server, for a script:

    $ venti stats -h backup --json
    ...";

/// Say what a store holds
///
/// Of a server, or of a store in a directory, also one that a server has open. What else a server
/// did since it started is on its status pages (venti serve --http).
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
    match arguments.store.place()? {
        Place::Store(path) => print(arguments, &place::open_store(&path, true)?.stats())?,
        Place::Server(address) => print(arguments, &of_server(&address)?)?,
    }
    Ok(Outcome::Complete)
}

fn print(arguments: &Arguments, stats: &StoreStats) -> Result<(), Failure> {
    match arguments.json {
        true => output_json(stats),
        false => output(text(stats).as_bytes()),
    }
}

/// Asks a server for its figures. One that does not know the question leaves the directory of its
/// store to be looked at.
fn of_server(address: &Address) -> Result<StoreStats, Failure> {
    let answer = match place::connect(address)?.stats() {
        Err(error) if error.is_unknown_request() => {
            return Err(Failure::NotLocal { address: address.to_string() });
        }
        answer => answer?,
    };
    let figures: Figures = serde_json::from_slice(&answer).map_err(|error| Failure::Io {
        action: format!("reading the figures of {address}"),
        source: error.into(),
    })?;
    Ok(figures.store)
}

/// What of a server's figures is about its store.
#[derive(Deserialize)]
struct Figures {
    store: StoreStats,
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
