//! `fossil-lite serve`: the dump over 9P.

use std::io::Write;
use std::sync::Arc;

use fossil_lite::p9::{Limits, ListenError, Listener, serve};
use fossil_lite::p9_dump::DumpFor;
use fossil_lite::program::{Failure, Source, system};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Serve the dump over 9P2000
///
/// Shows /HOST/yyyy/mmdd[.n]/... of every host, or with --host the years of that one. Whoever
/// comes over a Unix socket sees what their user may; whoever comes over TCP sees what everybody
/// may, unless the names that they claim are to be trusted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "For this machine:\n\n    \
    venti=backup fossil-lite serve --listen /run/dump\n\n\
    For a network in which nobody lies:\n\n    \
    venti=backup fossil-lite serve --listen 'tcp!*!9fs' --trust-names")]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// host:port, tcp!host!port, or the path of a Unix socket; may be given repeatedly
    #[arg(long, value_name = "ADDRESS", required = true)]
    listen: Vec<String>,

    /// Believe the user names that are claimed over TCP
    #[arg(long)]
    trust_names: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let tree = arguments.source.open(arguments.source.host.clone())?;
    let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(system("can not take signals"))?;
    let mut sockets = Vec::new();
    for address in &arguments.listen {
        let listener = Listener::bind(address).map_err(|error| match error {
            ListenError::Address { .. } => Failure::Usage { detail: error.to_string() },
            ListenError::InUse { .. } => Failure::Busy { detail: error.to_string() },
            ListenError::Io { source, .. } => Failure::System { action: address.clone(), source },
        })?;
        let shown = match (&listener, listener.tcp_address()) {
            (Listener::Unix(_, path), _) => {
                sockets.push(path.clone());
                path.display().to_string()
            }
            (Listener::Tcp(_), bound) => bound.map_or_else(String::new, |bound| bound.to_string()),
        };
        writeln!(std::io::stdout(), "listening on {shown}").map_err(system("standard output"))?;
        let (tree, trust) = (Arc::clone(&tree), arguments.trust_names);
        let accept = move || {
            serve(&listener, Limits::default(), |peer| {
                DumpFor::new(Arc::clone(&tree), peer, trust)
            });
        };
        std::thread::Builder::new()
            .name("9p listener".to_owned())
            .spawn(accept)
            .map_err(system("can not start a thread"))?;
    }
    signals.forever().next();
    // Nothing is lost with a connection to a file system that nobody writes to.
    for path in sockets {
        let _ = std::fs::remove_file(path);
    }
    Ok(0)
}
