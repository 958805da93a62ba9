//! `venti write`: a block from standard input.

use std::io::{self, Read as _};

use venti_proto::{BlockBatch, BlockType, MAX_BLOCK_SIZE, StreamKind, zero_truncated_len};

use crate::block_name::parse_type;
use crate::cli::Where;
use crate::commands::output;
use crate::copy::NodeKind;
use crate::outcome::{Failure, Outcome};
use crate::place::Place;

const EXAMPLES: &str = "\
EXAMPLES
  Store a line and get it back:

    $ score=$(echo hello venti | venti write -h backup)
    $ venti read -h backup $score data
    hello venti";

/// Store standard input as one block and print its score
///
/// At most 56 KiB are taken. The score is printed once the block is durable.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    place: Where,

    /// Type: data, directory, root, pointer0 to pointer6, or its number 0 to 16
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_type)]
    block_type: Option<NodeKind>,

    /// Cut zeros off the end first, as archives have their blocks
    #[arg(short = 'z', long)]
    zero_truncate: bool,
}

/// What is written without `-t`.
const DATA: NodeKind = NodeKind { block_type: BlockType::DATA, leaves: StreamKind::Data };

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let place = Place::given(&arguments.place)?;
    let mut block = Vec::new();
    let limit = MAX_BLOCK_SIZE as u64;
    io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut block)
        .map_err(|source| Failure::Io { action: "reading standard input".to_owned(), source })?;
    if block.len() > MAX_BLOCK_SIZE {
        return Err(Failure::TooLarge { limit });
    }
    let block_type = arguments.block_type.unwrap_or(DATA).block_type;
    if arguments.zero_truncate {
        block.truncate(zero_truncated_len(block_type, &block));
    }
    let store = place.open(false)?;
    let mut batch = BlockBatch::with_capacity(block.len());
    batch.push(block_type, &block);
    let batch = batch.hash();
    store.write(&batch)?;
    store.sync()?;
    let lines: String = batch.scores().iter().map(|score| format!("{score}\n")).collect();
    output(lines.as_bytes())?;
    Ok(Outcome::Complete)
}
