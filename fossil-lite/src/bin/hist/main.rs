//! The program hist. See hist(1) and `hist --help`.

use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clap::{ArgAction, CommandFactory, Parser};
use fossil_lite::FileError;
use fossil_lite::date::When;
use fossil_lite::dump::{Dump, Tree};
use fossil_lite::past::{History, HistoryCache, Missing, Version, extract, history, resolve};
use fossil_lite::program::{Failure, Generate, Source, end, generate, system};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use venti_proto::roots::HostName;

/// Show the history of files
///
/// Prints every distinct version of each FILE, newest first: when it changed, its name in the dump,
/// its size, and who changed it last or owns it. A file that was deleted and made again is said to
/// be another one.
#[derive(Debug, Parser)]
#[command(
    name = "hist",
    version,
    disable_help_flag = true,
    arg_required_else_help = true,
    after_long_help = "What changed in the profile?\n\n    venti=backup hist -d ~/.profile\n\n\
        0 complete; 1 no version was found; 2 usage; 3 a dump could not be read; 10 no such server \
        or store; 12 not allowed"
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
    #[arg(long, value_name = "DIRECTORY", default_value = "/n/dump")]
    mount: PathBuf,

    /// Neither use nor keep what was found before
    #[arg(long)]
    no_cache: bool,

    /// Print JSON, one line each
    #[arg(long)]
    json: bool,

    /// Files of today or of any day
    #[arg(value_name = "FILE", required_unless_present = "generate")]
    files: Vec<PathBuf>,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    generate: Option<Generate>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.generate {
        Some(what) => generate(what, Arguments::command()),
        None => run(&arguments),
    };
    end("hist", result)
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = arguments.source.host()?;
    let tree = arguments.source.open(None)?;
    let dumps = chosen(&tree, &host, arguments)?;
    let mut code = 0;
    for file in &arguments.files {
        let path = std::path::absolute(file).map_err(system(file.display().to_string()))?;
        let path = path.into_os_string().into_vec();
        let mut cache = match cache_directory().filter(|_| !arguments.no_cache) {
            Some(directory) => HistoryCache::load(&directory, &host, &path),
            None => HistoryCache::empty(),
        };
        let found = history(&tree, &host, &dumps, &path, &mut cache)?;
        cache.save();
        for (dump, error) in &found.unreadable {
            eprintln!("hist: {}: {error}", dump.name);
            code = 3;
        }
        if found.versions.is_empty() {
            eprintln!("hist: {}: in no dump of {host}", file.display());
            code = code.max(1);
        }
        let shown = Shown { arguments, tree: &tree, host: &host, path: &path };
        shown.print(&found)?;
    }
    Ok(code)
}

/// The dumps between the two dates.
fn chosen(tree: &Tree, host: &HostName, arguments: &Arguments) -> Result<Vec<Arc<Dump>>, Failure> {
    let mut dumps = tree.catalogue().dumps(host);
    if dumps.is_empty() {
        return Err(Missing::Host { host: host.clone() }.into());
    }
    let now = Timestamp::now().to_zoned(tree.catalogue().time_zone());
    if let Some(start) = &arguments.start {
        let when = When::parse(start, &now)?;
        dumps.retain(|dump| when.includes(dump.name, dump.time()));
    }
    if let Some(since) = &arguments.since {
        let before = match When::parse(since, &now)? {
            When::Day(day) => When::Before(day),
            other => other,
        };
        dumps.retain(|dump| !before.includes(dump.name, dump.time()));
    }
    Ok(dumps)
}

fn cache_directory() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.filter(|path| path.is_absolute()).or_else(home).map(|path| path.join("fossil-lite/hist"))
}

struct Shown<'a> {
    arguments: &'a Arguments,
    tree: &'a Tree,
    host: &'a HostName,
    path: &'a [u8],
}

impl Shown<'_> {
    fn print(&self, history: &History) -> Result<(), Failure> {
        let versions = &history.versions;
        for (position, version) in versions.iter().enumerate() {
            // The version before this one in time.
            let before = versions.get(position + 1);
            let line = match self.arguments.json {
                true => self.json(version),
                false => self.line(version, before),
            };
            std::io::stdout().write_all(&line).map_err(system("standard output"))?;
            let older = versions[position + 1..].iter().find(|older| older.snapshot.is_some());
            if let (true, Some(older), true) =
                (self.arguments.diff, older, version.snapshot.is_some())
            {
                self.diff(older, version)?;
            }
        }
        Ok(())
    }

    /// The name in the mounted dump.
    fn name(&self, dump: &Dump) -> Vec<u8> {
        let top = self.arguments.mount.join(self.host.as_str());
        let top = if top.is_dir() { top } else { self.arguments.mount.clone() };
        [top.as_os_str().as_bytes(), b"/", dump.name.to_string().as_bytes(), self.path].concat()
    }

    fn line(&self, version: &Version, before: Option<&Version>) -> Vec<u8> {
        let name = self.name(&version.newest);
        let Some(snapshot) = &version.snapshot else {
            return [b"deleted before ", &self.name(&version.oldest)[..], b"\n"].concat();
        };
        let zone = if self.arguments.utc { TimeZone::UTC } else { TimeZone::system() };
        let time = Timestamp::from_second(snapshot.modified).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(zone).strftime("%b %e %H:%M:%S %Z %Y").to_string();
        let before = before.and_then(|before| before.snapshot.as_ref());
        let mut note = match before {
            Some(before) if before.kind != snapshot.kind => format!(" was a {}", before.kind),
            Some(before) if before.path_id != snapshot.path_id => " another file".to_owned(),
            _ => String::new(),
        };
        if snapshot.kind != "file" {
            note = format!(" {}{note}", snapshot.kind);
        }
        let rest = format!(" {} {}{note}\n", snapshot.size, snapshot.who);
        [time.as_bytes(), b" ", &name, rest.as_bytes()].concat()
    }

    fn json(&self, version: &Version) -> Vec<u8> {
        let mut line = serde_json::json!({
            "path": String::from_utf8_lossy(self.path),
            "host": self.host.as_str(),
            "newest_dump": version.newest.name.to_string(),
            "oldest_dump": version.oldest.name.to_string(),
            "present": version.snapshot.is_some(),
        });
        if let (Some(object), Some(snapshot)) = (line.as_object_mut(), &version.snapshot) {
            object.insert("version".to_owned(), serde_json::json!(snapshot));
        }
        format!("{line}\n").into_bytes()
    }

    /// Runs diff on two versions, each under its own name.
    fn diff(&self, older: &Version, newer: &Version) -> Result<(), Failure> {
        let directory = tempfile::tempdir().map_err(system("can not make a directory"))?;
        let mut command = Command::new("diff");
        command.arg("-ru");
        for (place, version) in [("older", older), ("newer", newer)] {
            let root = self.tree.open_dump(self.host, &version.newest)?;
            let file = resolve(self.tree, &root, self.path, false)?;
            let target = directory.path().join(place);
            let restored = extract(&file, &target)?;
            if !file.node().is_directory() {
                let name = self.name(&version.newest);
                command.arg("--label").arg(std::ffi::OsStr::from_bytes(&name));
            }
            command.arg(restored);
        }
        std::io::stdout().flush().map_err(system("standard output"))?;
        // 1 says that they differ, as they should.
        let status = command.status().map_err(system("can not run diff"))?;
        match status.code() {
            Some(0 | 1) => Ok(()),
            _ => Err(FileError::Io { detail: format!("diff: {status}") }.into()),
        }
    }
}
