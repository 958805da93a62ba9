//! The frame of every program here: from its command line to its exit status.

use std::io::IsTerminal;
use std::process::ExitCode;

use manual::Generated;
use serde_json::json;

use crate::json;
use crate::program::{Failure, system};

/// A program, as its command line says what it is to do.
pub trait Program: clap::Parser {
    /// What is to be made from the definition of the command line, if that is all that is wanted.
    fn generated(&self) -> Option<Generated>;

    /// Whether other programs read what it says.
    fn json(&self) -> bool {
        false
    }

    /// Does it, and returns the exit status.
    ///
    /// # Errors
    /// What is to be said at the end.
    fn run(&self) -> Result<u8, Failure>;
}

/// What a shell says of a program that SIGPIPE has ended.
const BROKEN_PIPE: u8 = 128 + 13;

/// Runs a program, and says why it failed, if it did.
pub fn start<P: Program>(program: &P) -> ExitCode {
    let result = match program.generated() {
        Some(what) => manual::generate(what, P::command(), "1", &mut std::io::stdout())
            .map(|()| 0)
            .map_err(system("can not write the page")),
        None => program.run(),
    };
    let failure = match result {
        Ok(code) => return ExitCode::from(code),
        // As for any program that writes on after `head` has seen enough.
        Err(failure) if failure.is_broken_pipe() => return ExitCode::from(BROKEN_PIPE),
        Err(failure) => failure,
    };
    let code = failure.exit_code();
    if program.json() {
        let fields = json!({"code": code, "message": failure.to_string()});
        eprintln!("{}", json::message("exit_error", fields));
    } else {
        eprintln!("{}: {failure}", P::command().get_name());
    }
    ExitCode::from(code)
}

/// What goes wrong in the background of a program that serves is said on standard error.
pub fn log_to_standard_error() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(tracing::Level::WARN)
        .init();
}
