//! The program fossil-lite. See fossil-lite(1) and `fossil-lite --help`.

mod arguments;
mod bisect;
mod bisect_log;
mod find;
mod mount;
mod serve;
mod status;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use fossil_lite::frame::{Program, log_to_standard_error, start};
use fossil_lite::past::enter_if_asked;
use fossil_lite::program::Failure;
use manual::Generated;

fn main() -> ExitCode {
    enter_if_asked();
    let arguments = Arguments::parse();
    // Lines of JSON are nothing but that.
    if !arguments.json() {
        log_to_standard_error();
    }
    start(&arguments)
}

impl Program for Arguments {
    fn generated(&self) -> Option<Generated> {
        self.generate
    }

    fn json(&self) -> bool {
        match &self.command {
            Some(Command::Status(arguments)) => arguments.json,
            Some(Command::Find(arguments)) => arguments.json,
            _ => false,
        }
    }

    fn run(&self) -> Result<u8, Failure> {
        match &self.command {
            Some(Command::Mount(arguments)) => mount::run(arguments),
            Some(Command::Serve(arguments)) => serve::run(arguments),
            Some(Command::Status(arguments)) => status::run(arguments),
            Some(Command::Find(arguments)) => find::run(arguments),
            Some(Command::Bisect(arguments)) => bisect::run(arguments),
            None => Err(Failure::Usage { detail: "no command is given".to_owned() }),
        }
    }
}
