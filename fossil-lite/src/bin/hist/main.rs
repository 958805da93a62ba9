//! The program hist. See hist(1) and `hist --help`.

mod in_json;
mod shown;

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, Parser};
use fossil_lite::date::When;
use fossil_lite::dump::{Dump, Tree};
use fossil_lite::frame::{Program, start};
use fossil_lite::json::Complaints;
use fossil_lite::past::{Asked, DumpNames, Missing, followed_history, meant};
use fossil_lite::program::{Failure, Source, system};
use jiff::Timestamp;
use manual::Generated;
use shown::Shown;
use venti_proto::roots::HostName;

/// Something in a dump could not be read.
const INCOMPLETE: u8 = 3;

const EXAMPLES: &str = r#"EXAMPLES
  Which versions of the library were there? (Here /lib is a link to usr/lib, and was one then.)

    $ hist /lib/libc.a
    ... /n/dump/.../usr/lib/libc.a 6 root
    ... /n/dump/.../usr/lib/libc.a 6 root
    ... /n/dump/2004/1231/usr/lib/libc.a 7 root
    ... /n/dump/2004/0611/usr/lib/libc.a 7 root
    ... /n/dump/2004/0601/usr/lib/libc.a 7 root

  What changed in the profile?

    $ hist -d ~/.profile
    ... /n/dump/.../home/rob/.profile ... root
    --- /n/dump/2004/1231/home/rob/.profile
    +++ /n/dump/.../home/rob/.profile
    ...
    -PATH=/bin
    +PATH=/bin:/usr/bin
    ...

  The versions of two months, with times in UTC, and for a program:

    $ hist -u --since 2004/0601 -s 2004/0731 /lib/libc.a
    ... UTC ... /n/dump/2004/0611/usr/lib/libc.a 7 root
    ... UTC ... /n/dump/2004/0601/usr/lib/libc.a 7 root
    $ hist --json -s 2004/0601 /lib/libc.a
    {...,"newest_dump":"2004/0601",...}

  A file that had another name before, and one that is no more:

    $ hist ~/notes ~/letters/anna.tex
    ... /n/dump/.../home/rob/notes 8 root renamed from /home/rob/draft
    ... /n/dump/2004/1231/home/rob/draft 8 root
    deleted before /n/dump/.../home/rob/letters/anna.tex
    ... /n/dump/2004/1231/home/rob/letters/anna.tex 10 root

EXIT STATUS
  0 complete; 1 no version was found; 2 usage; 3 a dump could not be read; 10 no such server or
  store; 12 not allowed"#;

/// Show the history of files
///
/// Prints every distinct version of each FILE, newest first: when it changed, its name in the dump,
/// its size, and who changed it last or owns it. A file that was deleted and made again is said to
/// be another one. A file that had another name before is followed to that, as long as nothing
/// else has its present name.
#[derive(Debug, Parser)]
#[command(
    name = "hist",
    version,
    disable_help_flag = true,
    arg_required_else_help = true,
    after_long_help = EXAMPLES
)]
struct Arguments {
    #[command(flatten)]
    source: Source,

    /// Run diff -u on each version and the one before
    #[arg(short = 'd', long)]
    diff: bool,

    /// Print times in UTC
    #[arg(short = 'u', long)]
    utc: bool,

    /// Begin with the dump of this date
    #[arg(short = 's', long = "start", value_name = "DATE")]
    start: Option<String>,

    /// End with the dumps of this date
    #[arg(long, value_name = "DATE")]
    since: Option<String>,

    /// Where the dump is mounted, for the names that are printed
    #[arg(long, value_name = "DIRECTORY", default_value = "/n/dump", env = "DUMP")]
    mount: PathBuf,

    /// Neither use nor keep what was found before
    #[arg(long)]
    no_cache: bool,

    /// Print lines of JSON, as docs/dump-json.md says
    #[arg(long)]
    json: bool,

    /// Files of today or of any day
    #[arg(value_name = "FILE", required_unless_present = "generate")]
    files: Vec<PathBuf>,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    generate: Option<Generated>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    start(&Arguments::parse())
}

impl Program for Arguments {
    fn generated(&self) -> Option<Generated> {
        self.generate
    }

    fn json(&self) -> bool {
        self.json
    }

    fn run(&self) -> Result<u8, Failure> {
        run(self)
    }
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = arguments.source.host()?;
    let tree = arguments.source.open(None)?;
    let dumps = chosen(&tree, &host, arguments)?;
    let cache = cache_directory().filter(|_| !arguments.no_cache);
    let complaints = Complaints { program: "hist", json: arguments.json };
    let mut code = 0;
    for file in &arguments.files {
        let path = meant(file).map_err(system(file.display().to_string()))?;
        let path = path.into_os_string().into_vec();
        let asked = Asked { tree: &tree, host: &host, cache: cache.as_deref() };
        let found = followed_history(&asked, &dumps, &path)?;
        for (dump, error) in &found.unreadable {
            complaints.say(Some(dump.name), None, &error.to_string());
            code = INCOMPLETE;
        }
        if found.versions.is_empty() {
            let all = arguments.start.is_none() && arguments.since.is_none();
            let none = if all { "no dump" } else { "no dump of that time" };
            let read = if found.unreadable.is_empty() { "" } else { " that could be read" };
            // Where nothing could be read, nothing is known.
            if found.unreadable.is_empty() || found.unreadable.len() < dumps.len() {
                let file = file.as_os_str().as_bytes();
                complaints.say(None, Some(file), &format!("in {none} of {host}{read}"));
            }
            code = code.max(1);
        }
        let names = DumpNames::new(&arguments.mount, &host);
        let shown = Shown { arguments, tree: &tree, host: &host, names, complaints };
        if !shown.print(&found)? {
            code = INCOMPLETE;
        }
    }
    Ok(code)
}

/// The dumps between the two dates.
fn chosen(tree: &Tree, host: &HostName, arguments: &Arguments) -> Result<Vec<Arc<Dump>>, Failure> {
    let dumps = tree.catalogue().dumps(host)?;
    let (Some(first), Some(last)) = (dumps.first(), dumps.last()) else {
        return Err(Missing::Host { host: host.clone() }.into());
    };
    let now = Timestamp::now().to_zoned(tree.catalogue().time_zone());
    let parse = |date: &Option<String>| -> Result<Option<When>, Failure> {
        Ok(date.as_deref().map(|date| When::parse(date, &now)).transpose()?)
    };
    let (start, since) = (parse(&arguments.start)?, parse(&arguments.since)?);
    if let (Some(start), Some(since)) = (&start, &since)
        && start.is_before(since, now.time_zone())
    {
        let detail = "the history is to end with dumps later than those that it begins with: \
            --since is the older date, -s the newer one";
        return Err(Failure::Usage { detail: detail.to_owned() });
    }
    let end = start.as_ref().map_or(dumps.len(), |when| {
        dumps.partition_point(|dump| when.includes(dump.name, dump.time()))
    });
    if let Some(when) = start.filter(|_| end == 0) {
        let (host, first) = (host.clone(), first.name);
        return Err(Missing::Dump { host, when, first }.into());
    }
    let Some(since) = since else { return Ok(dumps[..end].to_vec()) };
    let begin = dumps.partition_point(|dump| match &since {
        When::Day(day) => dump.name.day < *day,
        When::Dump(name) => dump.name < *name,
        other => other.includes(dump.name, dump.time()),
    });
    if begin == dumps.len() {
        let (host, last) = (host.clone(), last.name);
        let since = arguments.since.clone().unwrap_or_default();
        return Err(Missing::Since { host, since, last }.into());
    }
    Ok(dumps.get(begin..end).unwrap_or_default().to_vec())
}

fn cache_directory() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.filter(|path| path.is_absolute()).or_else(home).map(|path| path.join("fossil-lite/hist"))
}
