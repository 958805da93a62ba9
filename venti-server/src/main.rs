//! The program `venti`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use manual::generate;
use tracing_subscriber::EnvFilter;
use venti_server::cli::Cli;
use venti_server::commands;
use venti_server::outcome::{Failure, Outcome, exit_code};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    let result = match (cli.generate, cli.command) {
        (Some(what), _) => generate(what, Cli::command(), "8", &mut io::stdout().lock())
            .map(|()| Outcome::Complete)
            .map_err(|source| Failure::Io { action: "writing".to_owned(), source }),
        (None, Some(command)) => commands::run(command),
        (None, None) => Err(Failure::Usage { detail: "no command is given".to_owned() }),
    };
    if let Err(failure) = &result {
        report(failure);
    }
    exit_code(&result)
}

/// Says on standard error why a command did not do its work: as JSON if JSON was asked for.
fn report(failure: &Failure) {
    let advice = failure.advice();
    if std::env::args_os().any(|argument| argument == "--json") {
        let code = failure.code();
        let message = failure.to_string();
        eprintln!(
            "{}",
            serde_json::json!({
                "message_type": "exit_error", "code": code, "message": message, "advice": advice,
            })
        );
        return;
    }
    eprintln!("venti: {failure}");
    if let Some(advice) = advice {
        eprintln!("venti: {advice}");
    }
}

/// Logs go to standard error; `$VENTI_LOG` chooses what, in the syntax of `tracing`. A service
/// manager puts its own times before the lines.
fn start_log() {
    let filter = EnvFilter::try_from_env("VENTI_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(terminal);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
}
