//! `fossil-lite mount`: the dump as a directory.

use std::path::PathBuf;

use fossil_lite::program::{Failure, Source};
use fossil_lite::show::{Sides, background, show};

/// Mount the dump
///
/// Shows /HOST/yyyy/mmdd[.n]/... of every host, or with --host the years of that one. Nothing can
/// be changed there. If root mounts it everybody sees what the archived permissions allow;
/// anybody else mounts it for themselves only. It goes into the background when the dump is there,
/// and ends when it is unmounted or gets SIGTERM. A mount that a killed process left is replaced.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "All hosts:\n\n    venti=backup fossil-lite mount /n/dump\n\n\
    This machine, so that /n/dump/2004/0611 is what it was then:\n\n    \
    venti=backup fossil-lite mount --host $(hostname) /n/dump\n\n\
    The end of it:\n\n    umount /n/dump")]
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
    show(&tree, &Sides { mount: Some(arguments.at.clone()), ..Sides::default() })
}
