//! `venti copy`: a whole tree from one server or store to another.

use std::cell::Cell;
use std::time::Duration;

use venti_proto::{BlockStore, Score};

use crate::block_name::{all_types, parse_type};
use crate::commands::read::types_of;
use crate::commands::{output, output_json};
use crate::copy::{Copier, CopyError, CopyEvent, CopyOptions, CopyReport, NodeKind, OnReadError};
use crate::outcome::{Failure, Outcome};
use crate::place::Place;
use crate::progress::Progress;
use crate::size::human;

const EXAMPLES: &str = "\
EXAMPLES
  Bring an archive from one server to another:

    $ vac -h old-server -f home.vac /home
    $ venti copy -m old-server backup $(cat home.vac)
    $ unvac -h backup -t home.vac home/rob/notes
    ...
    home/rob/notes";

/// Copy everything that a score leads to from one server or store to another
///
/// Children are written before the blocks that lead to them. An interrupted copy is continued by
/// the same command, and quickly with -f.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Where the tree is: a server or a store
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Where it is to be: a server or a store
    #[arg(value_name = "DESTINATION")]
    destination: String,

    /// Score, usually that of a root
    #[arg(value_name = "SCORE")]
    score: String,

    /// Take it that a block which the destination has is there with everything below it
    #[arg(short = 'f', long)]
    fast: bool,

    /// Remember what was copied, and look at no block twice; needs about 1 % of the bytes copied
    #[arg(short = 'm', long)]
    remember: bool,

    /// Leave out blocks that can not be read; fast mode can not be trusted afterwards
    #[arg(short = 'i', long, conflicts_with = "rewrite")]
    ignore_errors: bool,

    /// Replace pointers to blocks that can not be read by pointers to nothing, and print the new
    /// score
    #[arg(short = 'r', long)]
    rewrite: bool,

    /// Print scores as they are copied, and totals
    #[arg(short = 'v', long)]
    verbose: bool,

    /// Type of the first block; without it every type is tried
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_type)]
    first_type: Option<NodeKind>,

    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let score: Score =
        arguments.score.parse().map_err(|error| Failure::Usage { detail: format!("{error}") })?;
    let source = Place::named(&arguments.source)?.open(true)?;
    let destination = Place::named(&arguments.destination)?.open(false)?;
    let kind = match arguments.first_type {
        Some(kind) => kind,
        None => first_kind(&*source, score)?,
    };
    let options = CopyOptions {
        fast: arguments.fast,
        remember: arguments.remember,
        on_read_error: match (arguments.ignore_errors, arguments.rewrite) {
            (true, _) => OnReadError::Ignore,
            (_, true) => OnReadError::Rewrite,
            _ => OnReadError::Fail,
        },
    };
    let progress = Progress::spinner("copying");
    let total = Cell::new((0, 0));
    let mut event = |event: CopyEvent<'_>| tell(arguments.verbose, &progress, &total, &event);
    let copied = Copier::new(&*source, &*destination, options, &mut event).run(score, kind);
    progress.finish();
    let (root, report) = copied.map_err(failure)?;
    summarise(arguments, root, &report)?;
    let complete = report.unreadable == 0;
    Ok(if complete { Outcome::Complete } else { Outcome::Incomplete })
}

/// The type under which the source has the score; a root if it has it as one.
fn first_kind(source: &dyn BlockStore, score: Score) -> Result<NodeKind, Failure> {
    let found = types_of(source, score)?;
    let root = found.contains(&NodeKind::ROOT.block_type);
    let kinds = all_types();
    let kind = kinds.iter().find(|kind| found.contains(&kind.block_type));
    if root { Some(NodeKind::ROOT) } else { kind.copied() }.ok_or(Failure::NoBlock { score })
}

fn tell(verbose: bool, progress: &Progress, total: &Cell<(u64, u64)>, event: &CopyEvent<'_>) {
    match event {
        CopyEvent::Written { block, depth, size } => {
            let (blocks, bytes) = total.get();
            total.set((blocks + 1, bytes + *size as u64));
            if verbose {
                progress.line(&format!("{:depth$}{} {}", "", block.score, block.block_type));
            }
            progress.message(Duration::from_millis(100), || {
                format!("{} blocks, {}", total.get().0, human(total.get().1))
            });
        }
        CopyEvent::Skipped { block, depth } if verbose => {
            progress.line(&format!("{:depth$}skip {} {}", "", block.score, block.block_type));
        }
        CopyEvent::Skipped { .. } => {}
        CopyEvent::Unreadable { block, error } => progress.line(&format!(
            "venti copy: block {} of type {}: {error}",
            block.score, block.block_type
        )),
        CopyEvent::Malformed { block, detail } => progress.line(&format!(
            "venti copy: warning: block {} of type {}: {detail}",
            block.score, block.block_type
        )),
    }
}

fn failure(error: CopyError) -> Failure {
    match error {
        CopyError::Write(source) => Failure::Store { source },
        other => Failure::NotATree { detail: other.to_string() },
    }
}

fn summarise(arguments: &Arguments, root: Score, report: &CopyReport) -> Result<(), Failure> {
    if arguments.verbose {
        let (skipped, written) = (report.skipped, report.written);
        eprintln!("{skipped} skipped, {written} written ({})", human(report.bytes));
    }
    if report.unreadable > 0 {
        eprintln!("venti copy: {} blocks could not be read", report.unreadable);
    }
    if arguments.json {
        return output_json(&serde_json::json!({
            "message_type": "summary",
            "score": root.to_string(),
            "copied": report,
        }));
    }
    if report.rewritten > 0 {
        let prefix = arguments.score.rsplit_once(':').map_or("", |(prefix, _)| prefix);
        let rewritten = report.rewritten;
        output(format!("{prefix}:{root} ({rewritten} pointers rewritten)\n").as_bytes())?;
    }
    Ok(())
}
