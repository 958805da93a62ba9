//! `venti sync`: everything written so far made durable.

use crate::cli::Where;
use crate::outcome::{Failure, Outcome};
use crate::place::Place;

/// Return once everything that was written before is durable
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Before pulling a plug:\n\n    venti sync -h backup")]
pub struct Arguments {
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    Place::given(&arguments.place)?.open(false)?.sync()?;
    Ok(Outcome::Complete)
}
