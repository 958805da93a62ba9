//! The program vacfs. See vacfs(1) and `vacfs --help`.

mod archive_name;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, Parser};
use fossil_lite::dump::Tree;
use fossil_lite::frame::{Program, log_to_standard_error, start};
use fossil_lite::program::{Failure, connect};
use fossil_lite::show::{Sides, background, show};
use fossil_lite::store::BlockCache;
use manual::Generated;

const EXAMPLES: &str = "\
EXAMPLES
  Look into an archive:

    $ vac -f home.vac /home
    $ vacfs -m /mnt home.vac
    $ cat /mnt/home/rob/notes
    as ever
    $ umount /mnt

  Serve it to the programs of this machine that speak 9P:

    $ vacfs -s /run/home home.vac
    listening on /run/home

EXIT STATUS
  0 complete; 1 failed; 2 usage; 10 no such server or store; 11 in use; 12 not allowed";

/// Show one archive as a file system
///
/// ARCHIVE is vac: and 40 digits, or a file that holds them, as vac makes it. It is mounted on a
/// directory, served over 9P2000, or both. Nothing can be changed there. Permissions are those of
/// the archived files; if root mounts it everybody may come in, otherwise only who mounts it. It
/// goes into the background when everything is there, and ends when it is unmounted or gets SIGTERM.
/// A mount that a killed process left is replaced.
#[derive(Debug, Parser)]
#[command(
    name = "vacfs",
    version,
    disable_help_flag = true,
    arg_required_else_help = true,
    after_long_help = EXAMPLES
)]
struct Arguments {
    /// Server, or directory of a store [default: $venti]
    #[arg(short = 'h', long = "store", value_name = "HOST|DIRECTORY")]
    store: Option<String>,

    /// Memory for blocks, in megabytes
    #[arg(long, value_name = "MB", default_value_t = 64, hide = true)]
    memory: usize,

    /// Mount it here
    #[arg(short = 'm', long, value_name = "DIRECTORY", required_unless_present_any = ["listen", "generate"])]
    mount: Option<PathBuf>,

    /// Serve it over 9P: host:port, tcp!host!port, or the path of a Unix socket; may be given
    /// repeatedly
    #[arg(short = 's', long, value_name = "ADDRESS")]
    listen: Vec<String>,

    /// Believe the user names that are claimed over TCP
    #[arg(long, requires = "listen")]
    trust_names: bool,

    /// Stay in the foreground
    #[arg(short = 'f', long)]
    foreground: bool,

    /// The archive
    #[arg(value_name = "ARCHIVE", required_unless_present = "generate")]
    archive: Option<String>,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    generate: Option<Generated>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    log_to_standard_error();
    start(&Arguments::parse())
}

impl Program for Arguments {
    fn generated(&self) -> Option<Generated> {
        self.generate
    }

    fn run(&self) -> Result<u8, Failure> {
        run(self)
    }
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let archive = arguments.archive.as_deref().unwrap_or_default();
    let score = archive_name::score(archive)?;
    if !arguments.foreground && !background::is_here() {
        return background::start();
    }
    let blocks = connect(arguments.store.as_deref())?.blocks;
    let cache = Arc::new(BlockCache::new(Arc::clone(&blocks), arguments.memory << 20));
    let tree = Arc::new(Tree::of_archive(cache, score)?.with_beneath(blocks));
    let sides = Sides {
        mount: arguments.mount.clone(),
        listen: arguments.listen.clone(),
        trust_names: arguments.trust_names,
    };
    show(&tree, &sides)
}
