//! The commands of `venti`, one module each.

pub mod check;
pub mod copy;
pub mod find_roots;
pub mod ping;
pub mod print;
pub mod read;
pub mod rebuild_index;
pub mod roots;
pub mod serve;
pub mod stats;
pub mod sync;
pub mod write;

use std::io::{self, Write};

use crate::cli::Command;
use crate::outcome::{Failure, Outcome};

/// Does what the command line asks for.
///
/// # Errors
/// [`Failure`], which knows its exit code.
pub fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Read(arguments) => read::run(&arguments),
        Command::Write(arguments) => write::run(&arguments),
        Command::Copy(arguments) => copy::run(&arguments),
        Command::Ping(arguments) => ping::run(&arguments),
        Command::Sync(arguments) => sync::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::FindRoots(arguments) => find_roots::run(&arguments),
        Command::Print(arguments) => print::run(&arguments),
        Command::Roots(arguments) => roots::run(&arguments),
        Command::RebuildIndex(arguments) => rebuild_index::run(&arguments),
    }
}

/// Writes to standard output.
pub(crate) fn output(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| Failure::Io { action: "writing to standard output".to_owned(), source })
}

/// Writes a value as one line of JSON to standard output.
pub(crate) fn output_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value).map_err(|source| Failure::Io {
        action: "writing JSON".to_owned(),
        source: source.into(),
    })?;
    line.push(b'\n');
    output(&line)
}
