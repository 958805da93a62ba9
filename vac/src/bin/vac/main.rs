//! The program vac. See vac(1) and `vac --help`.

mod arguments;
mod hooks;
mod lists;
mod memory;
mod recording;
mod report;
mod run;
mod selftest;
mod snapshot;
mod streams;

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
    if let Some(arguments::Task::Selftest { directory, through, .. }) = &arguments.task {
        return ExitCode::from(selftest::selftest(directory, through.as_deref()));
    }
    if let Some(container) = &arguments.keep_snapshot {
        return ExitCode::from(snapshot::keeper::keep(container));
    }
    ExitCode::from(run::run(&arguments))
}
