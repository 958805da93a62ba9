//! `venti read`: one block to standard output.

use venti_proto::{BlockRequest, BlockStore, BlockType, Presence, Score, StoreError};

use crate::block_name::{all_types, parse_type};
use crate::cli::Where;
use crate::commands::output;
use crate::copy::NodeKind;
use crate::outcome::{Failure, Outcome};
use crate::place::Place;

const EXAMPLES: &str = "\
EXAMPLES
  The size of the root block of an archive:

    $ score=$(vac -h backup /home)
    $ venti read -h backup $score root | wc -c
    300";

/// Write a block to standard output
///
/// Without a type every type is tried, and the command that names the type found is printed to
/// standard error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    place: Where,

    /// Type: data, directory, root, pointer0 to pointer6, or its number 0 to 16
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_type)]
    type_option: Option<NodeKind>,

    /// Score: 40 hexadecimal digits
    #[arg(value_name = "SCORE")]
    score: Score,

    /// Type, as with -t
    #[arg(value_name = "TYPE", value_parser = parse_type, conflicts_with = "type_option")]
    type_argument: Option<NodeKind>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Place::given(&arguments.place)?.open(true)?;
    let score = arguments.score;
    let block_type = match arguments.type_option.or(arguments.type_argument) {
        Some(kind) => kind.block_type,
        None => {
            let found = types_of(&*store, score)?;
            let block_type = *found.first().ok_or(Failure::NoBlock { score })?;
            eprintln!("venti read {score} {block_type}");
            block_type
        }
    };
    match store.read_block(score, block_type) {
        Ok(block) => output(&block)?,
        Err(error) => return Err(explain(&*store, error)),
    }
    Ok(Outcome::Complete)
}

/// Says under which types the block is stored, if not under the one asked for.
fn explain(store: &dyn BlockStore, error: StoreError) -> Failure {
    let StoreError::NotFound { score, block_type } = error else { return error.into() };
    match types_of(store, score) {
        Ok(found) if found.is_empty() => Failure::NoBlock { score },
        Ok(found) => Failure::WrongType { score, wanted: block_type, found },
        Err(_) => error.into(),
    }
}

/// The types under which a score is stored.
pub(crate) fn types_of(store: &dyn BlockStore, score: Score) -> Result<Vec<BlockType>, Failure> {
    let types: Vec<_> = all_types().iter().map(|kind| kind.block_type).collect();
    let requests: Vec<_> =
        types.iter().map(|block_type| BlockRequest { score, block_type: *block_type }).collect();
    let presence = store.probe(&requests)?;
    let found = types.into_iter().zip(presence).filter(|(_, p)| *p == Presence::Present);
    Ok(found.map(|(block_type, _)| block_type).collect())
}
