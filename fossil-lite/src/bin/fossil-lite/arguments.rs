//! The command line of fossil-lite.

use clap::{ArgAction, Parser, Subcommand};
use manual::Generated;

use crate::{bisect, find, mount, serve, status};

const EXIT_STATUS: &str = "\
EXIT STATUS
  0 complete; 1 failed, or a dump is overdue; 2 usage; 3 incomplete: a dump (status), what could be
  read (find), or the range was not narrowed down to one dump (bisect); 10 no such server or store;
  11 in use; 12 not allowed; 128 and the number of a signal by which a bisection was ended";

/// Show the dump: every host, every day, as directories
#[derive(Debug, Parser)]
#[command(
    name = "fossil-lite",
    version,
    disable_help_flag = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_long_help = EXIT_STATUS
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    pub(crate) generate: Option<Generated>,

    /// Print help
    #[arg(long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}

/// The commands, one module each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Mount(mount::Arguments),
    Serve(serve::Arguments),
    Status(status::Arguments),
    Find(find::Arguments),
    Bisect(bisect::Arguments),
}
