//! `fossil-lite status`: the last dump of every archive of every host, and whether it is overdue.

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fossil_lite::dump::{Catalogue, Dump};
use fossil_lite::json::{self, Complaints};
use fossil_lite::past::Missing;
use fossil_lite::program::{Failure, Source, system};
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::{Value, json};
use venti_proto::roots::{ArchiveName, Completeness, HostName};

const EXAMPLES: &str = "\
EXAMPLES
  Is there a dump of every host that is not older than it should be?

    $ fossil-lite status
    moby  ...  complete...
    pequod  2004/0611  ...  complete  OVERDUE
    [1]

  moby every other day, pequod not any more, all others every 36 hours:

    $ fossil-lite status --expect moby=2d --expect pequod=never
    moby  ...  complete
    pequod  ...  complete

  For a monitor:

    $ venti=backup fossil-lite status --max-age 30h || mail -s 'no dump' root </dev/null
    ...";

/// Say when each host was dumped last
///
/// A line for every archive of every host: the last dump, its age, the bytes and files in it, by
/// how much these are more or less than in the one before, and whether it is complete. How many
/// bytes of a dump the store had not before is not recorded: a file that changed and kept its size
/// makes no difference here. Ends with status 1 if a dump is older than it should be or there is
/// none, otherwise with 3 if one is incomplete.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, mut_arg("host", |host| host.help("Only this host [default: all]")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// How old the last dump of an archive may be, such as 36h or 2days
    #[arg(long, value_name = "TIME", default_value = "36h", value_parser = duration)]
    max_age: Duration,

    /// How old it may be for one host, or one archive of it, which must have one; "never" expects
    /// none; may be given repeatedly
    #[arg(long, value_name = "HOST[/ARCHIVE]=TIME")]
    expect: Vec<Expectation>,

    /// Print lines of JSON, as docs/dump-json.md says
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is expected of a host, or of one of its archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expectation {
    host: HostName,
    archive: Option<ArchiveName>,
    /// `None` expects nothing.
    age: Option<Duration>,
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let (name, age) = text.rsplit_once('=').ok_or("expected HOST=TIME, as in moby=2days")?;
        let (host, archive) = match name.split_once('/') {
            Some((host, archive)) => (host, Some(archive)),
            None => (name, None),
        };
        Ok(Expectation {
            host: host.parse().map_err(|error| format!("{error}"))?,
            archive: archive.map(str::parse).transpose().map_err(|error| format!("{error}"))?,
            age: match age {
                "never" => None,
                age => Some(duration(age)?),
            },
        })
    }
}

impl Expectation {
    /// How well it fits: an archive better than its host.
    fn fits(&self, host: &HostName, archive: &ArchiveName) -> Option<bool> {
        let fits = self.host == *host && self.archive.as_ref().is_none_or(|own| own == archive);
        fits.then_some(self.archive.is_some())
    }
}

/// Reads `36h`, `2 days`, `1w`; a day has 24 hours.
fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time such as 36h, 2 days or 1w";
    let span: Span = text.parse().map_err(|_| EXPECTED.to_owned())?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(format!("{EXPECTED}: months and years have no fixed length"));
    }
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let time = time.map_err(|_| EXPECTED.to_owned())?;
    time.try_into().map_err(|_| "a time that is over already".to_owned())
}

/// An age that a person can read: hours and minutes for two days, then days.
fn in_words(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes / 60 {
        hours @ ..48 => format!("{hours}h{:02}m", minutes % 60),
        hours => format!("{} days", hours / 24),
    }
}

/// The last dump of an archive, if there is one.
struct Status {
    host: HostName,
    archive: Option<ArchiveName>,
    last: Option<Arc<Dump>>,
    before: Option<Arc<Dump>>,
    /// `None` expects nothing.
    most: Option<Duration>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let tree = arguments.source.open(None)?;
    let now = Timestamp::now();
    let found = statuses(arguments, tree.catalogue())?;
    if found.is_empty() {
        let complaints = Complaints { program: "fossil-lite", json: arguments.json };
        complaints.say(None, None, "no host was ever dumped");
        return Ok(1);
    }
    let mut out = std::io::stdout().lock();
    for status in &found {
        let line = match arguments.json {
            true => status.json(now).to_string(),
            false => status.line(now),
        };
        writeln!(out, "{line}").map_err(system("standard output"))?;
    }
    let overdue = found.iter().any(|status| status.is_overdue(now));
    let incomplete = found.iter().any(Status::is_incomplete);
    Ok(if overdue { 1 } else { 3 * u8::from(incomplete) })
}

/// Every archive of the hosts that are asked for, and those that are expected and not there.
fn statuses(arguments: &Arguments, catalogue: &Catalogue) -> Result<Vec<Status>, Failure> {
    let asked = |host: &HostName| arguments.source.host.as_ref().is_none_or(|asked| asked == host);
    let mut found = Vec::new();
    for host in catalogue.hosts().into_iter().filter(asked) {
        let mut archives: BTreeMap<ArchiveName, (Arc<Dump>, Option<Arc<Dump>>)> = BTreeMap::new();
        for dump in catalogue.dumps(&host)? {
            let archive = dump.record.root.archive.clone();
            let before = archives.remove(&archive).map(|(last, _)| last);
            archives.insert(archive, (dump, before));
        }
        for (archive, (last, before)) in archives {
            let fitting = |e: &Expectation| Some((e.fits(&host, &archive)?, e.age));
            let best = arguments.expect.iter().filter_map(fitting).max_by_key(|(exact, _)| *exact);
            let most = best.map_or(Some(arguments.max_age), |(_, age)| age);
            let (host, archive, last) = (host.clone(), Some(archive), Some(last));
            found.push(Status { host, archive, last, before, most });
        }
    }
    for expected in arguments.expect.iter().filter(|expected| asked(&expected.host)) {
        let is_there = |status: &Status| {
            status.host == expected.host
                && (expected.archive.is_none() || status.archive == expected.archive)
        };
        if expected.age.is_some() && !found.iter().any(is_there) {
            let (host, archive) = (expected.host.clone(), expected.archive.clone());
            found.push(Status { host, archive, last: None, before: None, most: expected.age });
        }
    }
    match &arguments.source.host {
        Some(host) if found.is_empty() => Err(Missing::Host { host: host.clone() }.into()),
        _ => Ok(found),
    }
}

impl Status {
    fn is_overdue(&self, now: Timestamp) -> bool {
        let age = self.last.as_ref().map(|last| age(last, now));
        self.most.is_some_and(|most| age.is_none_or(|age| age > most))
    }

    fn is_incomplete(&self) -> bool {
        let completeness = self.last.as_ref().map(|last| last.record.root.completeness);
        completeness == Some(Completeness::Incomplete)
    }

    fn line(&self, now: Timestamp) -> String {
        let mut line = self.host.to_string();
        if let Some(archive) = self.archive.as_ref().filter(|archive| archive.as_str() != "-") {
            line += &format!("/{archive}");
        }
        line += &match &self.last {
            None => "  no dump".to_owned(),
            Some(last) => {
                let root = &last.record.root;
                let before = self.before.as_ref().map_or_else(
                    || "the first".to_owned(),
                    |before| {
                        let old = &before.record.root;
                        let bytes = i128::from(root.bytes) - i128::from(old.bytes);
                        let files = i128::from(root.files) - i128::from(old.files);
                        format!("{bytes:+} bytes, {files:+} files since {}", before.name)
                    },
                );
                format!(
                    "  {}  {} old  {} bytes, {} files ({before})  {}",
                    last.name,
                    in_words(age(last, now)),
                    root.bytes,
                    root.files,
                    if self.is_incomplete() { "incomplete" } else { "complete" },
                )
            }
        };
        if self.is_overdue(now) {
            line += "  OVERDUE";
        }
        line
    }

    fn json(&self, now: Timestamp) -> Value {
        let root = self.last.as_ref().map(|last| &last.record.root);
        let fields = json!({
            "host": self.host.as_str(),
            "archive": self.archive.as_ref().map(ArchiveName::as_str),
            "dump": self.last.as_ref().map(|last| last.name.to_string()),
            "time": self.last.as_ref().map(|last| last.time().to_string()),
            "age_seconds": self.last.as_ref().map(|last| age(last, now).as_secs()),
            "max_age_seconds": self.most.map(|most| most.as_secs()),
            "overdue": self.is_overdue(now),
            "score": root.map(|root| root.score.to_string()),
            "bytes": root.map(|root| root.bytes),
            "files": root.map(|root| root.files),
            "status": root.map(|root| root.completeness.number()),
            "before": self.before.as_ref().map(|before| json!({
                "dump": before.name.to_string(),
                "bytes": before.record.root.bytes,
                "files": before.record.root.files,
            })),
        });
        json::message("status", fields)
    }
}

/// Nothing is older than now: clocks may differ.
fn age(dump: &Dump, now: Timestamp) -> Duration {
    now.duration_since(dump.time()).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_words() {
        for (minutes, expected) in [
            (0, "0h00m"),
            (61, "1h01m"),
            (48 * 60 - 1, "47h59m"),
            (48 * 60, "2 days"),
            (11_802_778, "8196 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs(minutes * 60 + 59)), expected);
        }
    }

    #[test]
    fn what_is_no_time_is_said_in_words() {
        for wrong in ["20y", "1month", "2", "soon", ""] {
            let said = duration(wrong).unwrap_err();
            assert!(said.starts_with("expected a time such as 36h"), "{wrong}: {said}");
            assert!(!said.contains("jiff"), "{said}");
        }
    }

    #[test]
    fn expectations_are_of_hosts_or_archives() {
        let read = |text: &str| text.parse::<Expectation>();
        let host = "moby".parse::<HostName>().unwrap();
        let two_days = Some(Duration::from_secs(2 * 24 * 3600));
        let expected = Expectation { host, archive: None, age: two_days };
        assert_eq!(read("moby=2d"), Ok(expected.clone()));
        assert_eq!(read("moby=48h"), Ok(expected.clone()));
        let archive = Some("usr-local".parse().unwrap());
        assert_eq!(read("moby/usr-local=2days"), Ok(Expectation { archive, ..expected.clone() }));
        assert_eq!(read("moby=never"), Ok(Expectation { age: None, ..expected }));
        for wrong in [
            "moby",
            "moby=",
            "=2d",
            "moby=2",
            "moby/=2d",
            "moby=2 moons",
            "moby=-2d",
            "moby=1month",
            ".=2d",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
