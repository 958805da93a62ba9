//! The program vac. See vac(1) and `vac --help`.

mod arguments;
mod hooks;
mod memory;
mod recording;
mod report;
mod run;
mod score_file;
mod selftest;
mod snapshot;
mod streams;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Generate};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(what) = arguments.generate {
        return generate(what);
    }
    if let Some(arguments::Task::Selftest { directory }) = &arguments.task {
        return ExitCode::from(selftest::selftest(directory));
    }
    if let Some(container) = &arguments.keep_snapshot {
        return ExitCode::from(snapshot::keeper::keep(container));
    }
    ExitCode::from(run::run(&arguments))
}

/// Prints the man page or completions.
fn generate(what: Generate) -> ExitCode {
    let mut command = Arguments::command();
    let mut out = std::io::stdout();
    let shell = match what {
        Generate::Man => {
            let page = clap_mangen::Man::new(command);
            return ExitCode::from(u8::from(page.render(&mut out).is_err()));
        }
        Generate::Bash => clap_complete::Shell::Bash,
        Generate::Zsh => clap_complete::Shell::Zsh,
        Generate::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "vac", &mut out);
    ExitCode::SUCCESS
}
