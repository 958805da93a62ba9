//! `venti ping`: is the server there, and how far away?

use std::time::Instant;

use crate::cli::Where;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::place::{self, Place};

const EXAMPLES: &str = "\
EXAMPLES
  Wait for a server that is starting:

    $ until venti ping -h backup; do sleep 1; done
    backup... answers in ... microseconds";

/// Ask whether a server answers, and how fast
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    place: Where,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (name, microseconds) = match Place::given(&arguments.place)? {
        Place::Server(address) => {
            let client = place::connect(&address)?;
            let start = Instant::now();
            match client.ping() {
                // The original server greets, and does not know ping (golden conversations):
                // its answer shows that it is there.
                Err(error) if error.is_unknown_request() => {}
                answered => answered?,
            }
            (address.to_string(), start.elapsed().as_micros())
        }
        Place::Store(path) => {
            let start = Instant::now();
            place::open_store(&path, true)?;
            (path.display().to_string(), start.elapsed().as_micros())
        }
    };
    if arguments.json {
        output_json(&serde_json::json!({ "server": name, "microseconds": microseconds }))?;
    } else {
        output(format!("{name} answers in {microseconds} microseconds\n").as_bytes())?;
    }
    Ok(Outcome::Complete)
}
