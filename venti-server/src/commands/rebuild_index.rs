//! `venti rebuild-index`: the index made anew from the log.

use crate::cli::LocalStore;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::progress::Progress;

const EXAMPLES: &str = "\
EXAMPLES
  After a disk has lost files of the index:

    $ systemctl stop venti
    $ venti rebuild-index /srv/venti
    ...
    $ systemctl start venti";

/// Throw the index of a store away and make it anew from the arenas
///
/// No block depends on the index. A server makes what is missing of it by itself; this is for
/// when one wants to be sure. The store must not be in use.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    store: LocalStore,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = arguments.store.open(false)?;
    let progress = Progress::bar("rebuilding");
    let rebuilt = store.rebuild_index(&mut |done| progress.show(done));
    progress.finish();
    rebuilt?;
    let stats = store.stats();
    store.close()?;
    let (arenas, blocks) = (stats.sealed_arenas, stats.blocks);
    if arguments.json {
        output_json(&serde_json::json!({
            "message_type": "summary", "sealed_arenas": arenas, "blocks": blocks,
        }))?;
    } else {
        output(
            format!("index of {arenas} sealed arenas rebuilt, {blocks} blocks in all\n").as_bytes(),
        )?;
    }
    Ok(Outcome::Complete)
}
