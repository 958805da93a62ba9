//! `fossil-lite serve`: the dump over 9P.

use fossil_lite::dump::Tree;
use fossil_lite::program::{Failure, Source};
use fossil_lite::show::{Sides, background, show};

const EXAMPLES: &str = "\
EXAMPLES
  For this machine:

    $ venti=backup fossil-lite serve --background --listen /run/dump
    listening on /run/dump

  For a network in which nobody lies:

    $ venti=backup fossil-lite serve --background --listen 'tcp!*!9fs' --trust-names
    listening on ...:564";

/// Serve the dump over 9P2000
///
/// Shows /HOST/yyyy/mmdd[.n]/... of every host, or with --host the years of that one. Whoever
/// comes over a Unix socket sees what their user may; whoever comes over TCP sees what everybody
/// may, unless the names that they claim are to be trusted. Prints the addresses when they can be
/// connected to, and ends with SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, mut_arg("host", |host| host.help("Only this host [default: all]")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// host:port, tcp!host!port, or the path of a Unix socket; may be given repeatedly
    #[arg(long, value_name = "ADDRESS", required = true)]
    listen: Vec<String>,

    /// Believe the user names that are claimed over TCP
    #[arg(long)]
    trust_names: bool,

    /// Go into the background when the addresses can be connected to
    #[arg(short = 'b', long)]
    background: bool,
}

/// There may be dumps later, so it is no error that there are none.
pub(crate) fn say_if_empty(tree: &Tree) {
    if tree.catalogue().hosts().is_empty() {
        eprintln!("fossil-lite: no host was ever dumped: nothing is there until one is");
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if arguments.background && !background::is_here() {
        return background::start();
    }
    let tree = arguments.source.open(arguments.source.host.clone())?;
    say_if_empty(&tree);
    let (listen, trust_names) = (arguments.listen.clone(), arguments.trust_names);
    show(&tree, &Sides { mount: None, listen, trust_names })
}
