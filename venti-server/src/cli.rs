//! The command line of `venti`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use manual::Generated;

use crate::commands;

/// An archival block store: the server and its tools
///
/// A block of at most 56 KiB is stored under the SHA-1 of its bytes and a type, once, for ever.
/// Programs such as vac(1) make trees of files out of blocks.
#[derive(Debug, Parser)]
#[command(
    name = "venti",
    version,
    disable_help_flag = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "EXIT STATUS\n  0 complete; 1 failed; 2 usage; 3 done but incomplete, or \
          something wrong was found; 10 no such server or store; 11 busy; 12 not allowed; \
          130 interrupted. New codes may appear."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Print a man page or completions, made from these definitions
    #[arg(long, hide = true, value_name = "WHAT")]
    pub generate: Option<Generated>,

    /// Print help
    #[arg(long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}

/// The commands, one module each.
#[expect(missing_docs, reason = "the help of a command is on its arguments")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Box<commands::serve::Arguments>),
    Read(commands::read::Arguments),
    Write(commands::write::Arguments),
    Copy(commands::copy::Arguments),
    Ping(commands::ping::Arguments),
    Sync(commands::sync::Arguments),
    Stats(commands::stats::Arguments),
    Check(commands::check::Arguments),
    FindRoots(commands::find_roots::Arguments),
    Print(commands::print::Arguments),
    Roots(commands::roots::Arguments),
    RebuildIndex(commands::rebuild_index::Arguments),
}

/// Which server or store a command works on.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// Server (host, host:port, tls:host, tcp!host!port, or a Unix socket), or directory of a
    /// store. Under TLS, $VENTI_CA names a file of the authorities to trust, $VENTI_CERT and
    /// $VENTI_KEY those of the certificate to show
    #[arg(short = 'h', long = "store", value_name = "WHERE", env = "venti")]
    pub at: Option<String>,
}

/// The path of a store on this machine, for commands that no server does for others.
#[derive(Clone, Debug, Args)]
pub struct LocalStore {
    /// Directory of the store; without it, the one that -h or $venti names
    #[arg(value_name = "STORE")]
    pub store: Option<PathBuf>,

    /// Where to look, without STORE
    #[command(flatten)]
    pub place: Where,
}
