//! `venti print`: the files of a store in words.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use arenas::describe;

use crate::cli::LocalStore;
use crate::commands::output_json;
use crate::outcome::{Failure, Outcome};

const EXAMPLES: &str = "\
EXAMPLES
  Which arenas are there, and which blocks are in the first?

    $ venti print /srv/venti
    arena 1: open, ... blocks of ... bytes in ... (... %)
    $ venti print --arena 1 /srv/venti
    ...

  Every record of an arena's file, also those that are no blocks:

    $ venti print --arena 1 --records /srv/venti
    ...";

/// Show the arenas of a store, or what is in one of them
///
/// Without --arena there is a line for each arena. May run beside a server.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    store: LocalStore,

    /// Print what this arena holds, a line for each block
    #[arg(long, value_name = "NUMBER")]
    arena: Option<u32>,

    /// Print every record of the arena's file: clumps, marks, contents, footer, and bytes that are
    /// none of these
    #[arg(long, requires = "arena")]
    records: bool,

    /// Print a line of JSON for each arena
    #[arg(long, conflicts_with = "arena")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = arguments.store.open(true)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let mut line = |line: &str| {
        written = writeln!(out, "{line}");
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match arguments.arena {
        Some(arena) if arguments.records => describe::records(&store, arena, &mut line)?,
        Some(arena) => describe::contents(&store, arena, &mut line)?,
        None if arguments.json => {
            for arena in describe::arenas(&store) {
                output_json(&arena)?;
            }
        }
        None => {
            for arena in describe::arenas(&store) {
                if line(&arena.to_string()).is_break() {
                    break;
                }
            }
        }
    }
    written.and_then(|()| out.flush()).map_err(|source| Failure::Io {
        action: "writing to standard output".to_owned(),
        source,
    })?;
    Ok(Outcome::Complete)
}
