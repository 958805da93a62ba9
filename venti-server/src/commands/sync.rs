//! `venti sync`: everything written so far made durable.

use crate::cli::Where;
use crate::outcome::{Failure, Outcome};
use crate::place::Place;

const EXAMPLES: &str = "\
EXAMPLES
  Before pulling a plug:

    $ venti sync -h backup";

/// Return once everything that was written before is durable
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    Place::given(&arguments.place)?.open(false)?.sync()?;
    Ok(Outcome::Complete)
}
