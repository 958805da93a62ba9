//! The program fossil-lite. See fossil-lite(1) and `fossil-lite --help`.

mod arguments;
mod bisect;
mod find;
mod mount;
mod serve;
mod status;

use std::io::IsTerminal;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use fossil_lite::past::enter_if_asked;
use fossil_lite::program::{Failure, end, generate};

fn main() -> ExitCode {
    enter_if_asked();
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(tracing::Level::WARN)
        .init();
    let result = match (arguments.generate, arguments.command) {
        (Some(what), _) => generate(what, Arguments::command()),
        (None, Some(Command::Mount(arguments))) => mount::run(&arguments),
        (None, Some(Command::Serve(arguments))) => serve::run(&arguments),
        (None, Some(Command::Status(arguments))) => status::run(&arguments),
        (None, Some(Command::Find(arguments))) => find::run(&arguments),
        (None, Some(Command::Bisect(arguments))) => bisect::run(&arguments),
        (None, None) => Err(Failure::Usage { detail: "no command is given".to_owned() }),
    };
    end("fossil-lite", result)
}
