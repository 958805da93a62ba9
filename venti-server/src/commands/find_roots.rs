//! `venti find-roots`: archives whose score was lost.

use std::ops::ControlFlow;

use arenas::FoundRoot;
use serde_json::{Value, json};
use venti_proto::Root;

use crate::cli::LocalStore;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};

const EXAMPLES: &str = "\
EXAMPLES
  The score of the last archive that was made, whatever became of the log of roots:

    $ venti find-roots --limit 1 /srv/venti
    ... root-record:... blocks of 8192 bytes, moby";

/// List every root block of a store, the newest first
///
/// A root block is the top of an archive, and its score is all that is needed to read it: so a
/// lost score is never a lost archive. May run beside a server.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    store: LocalStore,

    /// Print so many at most
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Print a line of JSON for each
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = arguments.store.open(true)?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let (mut unreadable, mut failed) = (false, None);
    store.roots(&mut |found| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        unreadable |= found.root.is_none();
        let printed = if arguments.json {
            output_json(&in_json(&found))
        } else {
            output(in_words(&found).as_bytes())
        };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                failed = Some(failure);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(failure) => Err(failure),
        None if unreadable => Ok(Outcome::Incomplete),
        None => Ok(Outcome::Complete),
    }
}

/// The time that the store gave the block, as people and programs write it.
fn time(found: &FoundRoot) -> Option<String> {
    let milliseconds = i64::try_from(found.time).ok()?;
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    Some(format!("{time:.0}"))
}

fn in_words(found: &FoundRoot) -> String {
    let when = time(found).unwrap_or_else(|| "unknown time".to_owned());
    match &found.root {
        None => format!("{when} {} can not be read\n", found.score),
        Some(Root { name, kind, block_size, .. }) => format!(
            "{when} {}:{} blocks of {block_size} bytes{}{}\n",
            String::from_utf8_lossy(kind),
            found.score,
            if name.is_empty() { "" } else { ", " },
            String::from_utf8_lossy(name),
        ),
    }
}

fn in_json(found: &FoundRoot) -> Value {
    let root = found.root.as_ref().map(|root| {
        json!({
            "name": String::from_utf8_lossy(&root.name),
            "type": String::from_utf8_lossy(&root.kind),
            "directory": root.score.to_string(),
            "block_size": root.block_size,
            "previous": root.parent().map(|score| score.to_string()),
        })
    });
    json!({
        "message_type": "root",
        "score": found.score.to_string(),
        "time": time(found),
        "arena": found.arena,
        "offset": found.offset,
        "root": root,
    })
}
