//! The program unvac. See unvac(1) and `unvac --help`.

mod arguments;
mod list;
mod progress;
mod report;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::Arguments;
use manual::generate;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(what) = arguments.generate {
        let written = generate(what, Arguments::command(), "1", &mut std::io::stdout());
        return ExitCode::from(u8::from(written.is_err()));
    }
    ExitCode::from(run::run(&arguments))
}
