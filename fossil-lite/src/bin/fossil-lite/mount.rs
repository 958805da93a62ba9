//! `fossil-lite mount`: the dump as a directory.

use std::path::PathBuf;

use fossil_lite::program::{Failure, Source};
use fossil_lite::show::{Sides, background, show};

use crate::serve::say_if_empty;

const EXAMPLES: &str = "\
EXAMPLES
  All hosts:

    $ venti=backup fossil-lite mount /n/dump
    $ ls /n/dump /n/dump/moby
    /n/dump:
    moby
    pequod
    ...
    /n/dump/moby:
    2004
    ...
    latest
    $ umount /n/dump

  This machine, so that /n/dump/2004/0611 is what it was then:

    $ venti=backup fossil-lite mount --host $(hostname) /n/dump
    $ ls -l /n/dump/2004/0611/lib/
    ...
    -rw-r--r-- ... libc.a
    $ umount /n/dump";

/// Mount the dump
///
/// Shows /HOST/yyyy/mmdd[.n]/... of every host, or with --host the years of that one. Nothing can
/// be changed there. If root mounts it everybody sees what the archived permissions allow;
/// anybody else mounts it for themselves only. It goes into the background when the dump is there,
/// and ends when it is unmounted or gets SIGTERM. A mount that a killed process left is replaced.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, mut_arg("host", |host| host.help("Only this host [default: all]")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// Stay in the foreground
    #[arg(short = 'f', long)]
    foreground: bool,

    /// Where
    #[arg(value_name = "DIRECTORY")]
    at: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if !arguments.foreground && !background::is_here() {
        return background::start();
    }
    let tree = arguments.source.open(arguments.source.host.clone())?;
    say_if_empty(&tree);
    show(&tree, &Sides { mount: Some(arguments.at.clone()), ..Sides::default() })
}
