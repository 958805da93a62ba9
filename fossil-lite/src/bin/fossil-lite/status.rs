//! `fossil-lite status`: the last dump of every host, and whether it is overdue.

use std::io::Write;

use fossil_lite::program::{Failure, Source, system};
use jiff::{SignedDuration, Timestamp};

const EXAMPLES: &str = "\
EXAMPLES
  Is there a dump of every host that is not older than it should be?

    $ fossil-lite status
    moby  ...  complete...
    pequod  2004/0611  ...  complete  OVERDUE
    [1]

  For a monitor:

    $ venti=backup fossil-lite status --max-age 30h || mail -s 'no dump' root </dev/null
    ...";

/// Say when each host was dumped last
///
/// A line for every host: the last dump, its age, its size and how much that is more than the one
/// before, and whether it is complete. Ends with status 1 if one is older than it should be, or if
/// there is none.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// How old the last dump may be
    #[arg(long, value_name = "TIME", default_value = "36h")]
    max_age: SignedDuration,

    /// Print JSON, one line each
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let tree = arguments.source.open(None)?;
    let catalogue = tree.catalogue();
    let now = Timestamp::now();
    let mut overdue = false;
    let mut out = std::io::stdout().lock();
    let hosts = match &arguments.source.host {
        Some(host) if !catalogue.has(host) => {
            return Err(Failure::Missing(fossil_lite::past::Missing::Host { host: host.clone() }));
        }
        Some(host) => vec![host.clone()],
        None => catalogue.hosts(),
    };
    if hosts.is_empty() {
        eprintln!("fossil-lite: no host was ever dumped");
        return Ok(1);
    }
    for host in hosts {
        let dumps = catalogue.dumps(&host);
        let Some(last) = dumps.last() else { continue };
        let root = &last.record.root;
        let before = dumps.iter().rev().skip(1).find(|d| d.record.root.archive == root.archive);
        let added = i128::from(root.bytes) - before.map_or(0, |d| i128::from(d.record.root.bytes));
        let age = now.duration_since(last.time());
        let late = age > arguments.max_age;
        overdue |= late;
        let status = root.completeness.number();
        let written = if arguments.json {
            let line = serde_json::json!({
                "host": host.as_str(), "dump": last.name.to_string(),
                "time": last.time().to_string(), "age_seconds": age.as_secs(),
                "archive": root.archive.as_str(), "score": root.score.to_string(),
                "bytes": root.bytes, "added_bytes": i64::try_from(added).unwrap_or(i64::MAX),
                "files": root.files, "status": status, "overdue": late,
            });
            writeln!(out, "{line}")
        } else {
            let state = if status == 0 { "complete" } else { "incomplete" };
            let late = if late { "  OVERDUE" } else { "" };
            let (hours, minutes) = (age.as_hours(), age.as_mins() % 60);
            let (bytes, files) = (root.bytes, root.files);
            writeln!(
                out,
                "{host}  {}  {hours}h{minutes:02}m old  {bytes} bytes ({added:+})  {files} files  \
                 {state}{late}",
                last.name
            )
        };
        written.map_err(system("standard output"))?;
    }
    Ok(u8::from(overdue))
}
