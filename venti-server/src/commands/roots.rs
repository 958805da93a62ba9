//! `venti roots`: which archives there are, as the server's own log has it.

use arenas::StoreOptions;
use arenas::roots_log::DayZone;
use serde_json::json;
use venti_proto::roots::{
    Completeness, DumpName, HostName, JSON_SCHEMA, RootLog, RootQuery, RootRecord, each_named,
};

use crate::cli::Where;
use crate::commands::{output, output_json};
use crate::outcome::{Failure, Outcome};
use crate::place::{self, Place, open_failure};
use crate::server::StoredBlocks;
use crate::size::human;

const EXAMPLES: &str = "\
EXAMPLES
  The last archive of one host:

    $ venti roots -h backup --host moby --limit 1
    ... moby - vac:... 2... 10 files, 1.00 kB";

/// List the archives that hosts have recorded, the newest first
///
/// The log of roots belongs to the server: nobody can change, remove or re-date what is in it.
/// Of each archive: the server's time, host, name, score, the name of its dump among those of the
/// host, and its size.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    place: Where,

    /// Only archives of this host
    #[arg(long, value_name = "NAME")]
    host: Option<HostName>,

    /// Print so many at most
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Print lines of JSON, as docs/dump-json.md says
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match Place::given(&arguments.place)? {
        Place::Server(address) => list(arguments, &place::connect(&address)?),
        Place::Store(path) => {
            let options = StoreOptions { read_only: true, ..StoreOptions::default() };
            let stored = StoredBlocks::open(&path, options, DayZone::Keep("UTC".to_owned()))
                .map_err(|error| open_failure(&path, error))?;
            list(arguments, stored.root_log())
        }
    }
}

fn list(arguments: &Arguments, log: &dyn RootLog) -> Result<Outcome, Failure> {
    let host = arguments.host.as_ref();
    let query = RootQuery { host: host.cloned(), limit: 1, ..RootQuery::default() };
    let zone = jiff::tz::TimeZone::get(&log.list(&query)?.time_zone);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut printed = Ok(());
    let mut recorded = false;
    let mut show = |record: &RootRecord, name: Option<DumpName>| {
        recorded = true;
        if left == 0 {
            return false;
        }
        left -= 1;
        printed = match arguments.json {
            true => output_json(&in_json(record, name)),
            false => output(in_words(record, name).as_bytes()),
        };
        printed.is_ok()
    };
    match zone {
        Ok(zone) => each_named(log, host, &zone, &mut |record, name| show(record, Some(name)))?,
        // They are listed all the same, without what nobody here knows.
        Err(_) => log.each(&query, &mut |record| show(&record, None))?,
    }
    match recorded {
        true => printed.map(|()| Outcome::Complete),
        false => Err(Failure::NoArchive { host: host.cloned() }),
    }
}

/// The time as people and programs write it.
fn time(record: &RootRecord) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(record.time)) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{} ns", record.time),
    }
}

fn in_words(record: &RootRecord, name: Option<DumpName>) -> String {
    let root = &record.root;
    let incomplete = match root.completeness {
        Completeness::Complete => "",
        Completeness::Incomplete => ", incomplete",
    };
    format!(
        "{} {} {} vac:{} {} {} files, {}{incomplete}\n",
        time(record),
        root.host,
        root.archive,
        root.score,
        name.map_or_else(|| "-".to_owned(), |name| name.to_string()),
        root.files,
        human(root.bytes)
    )
}

fn in_json(record: &RootRecord, name: Option<DumpName>) -> serde_json::Value {
    let root = &record.root;
    json!({
        "message_type": "root",
        "schema": JSON_SCHEMA,
        "sequence": record.sequence,
        "time": time(record),
        "host": root.host.to_string(),
        "archive": root.archive.to_string(),
        "dump": name.map(|name| name.to_string()),
        "score": root.score.to_string(),
        "bytes": root.bytes,
        "files": root.files,
        "status": root.completeness.number(),
    })
}
