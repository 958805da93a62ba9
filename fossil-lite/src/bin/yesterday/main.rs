//! The program yesterday. See yesterday(1) and `yesterday --help`.

mod copy_back;
mod fixed;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, Parser};
use copy_back::copy_back;
use fossil_lite::FileError;
use fossil_lite::date::When;
use fossil_lite::dump::Tree;
use fossil_lite::frame::{Program, start};
use fossil_lite::past::{
    DumpNames, Found, Side, SideVersion, enter_if_asked, find, is_unchanged, meant, run_in_past,
    show_difference,
};
use fossil_lite::program::{Failure, Source, system};
use jiff::Timestamp;
use manual::Generated;
use vac::extractor::ExtractError;
use vac::format::FileKind;
use vac::reader::Piece;
use venti_proto::roots::HostName;

/// A file was copied back, but not with everything that it had.
const INCOMPLETE: u8 = 3;

/// Exit status of diff when it could not compare.
const NOT_COMPARED: u8 = 2;

const EXAMPLES: &str = r#"EXAMPLES
  The name of a file as it was on 11 June 2004, in the dump that is mounted on /n/dump:

    $ yesterday -d 2004/0611 /lib/libc.a
    /n/dump/2004/0611/usr/lib/libc.a

  See what has changed in the last week in the profile:

    $ yesterday --diff -n 7 ~/.profile
    --- ...home/rob/.profile
    +++ /home/rob/.profile
    ...
    -PATH=/bin:/usr/bin
    +PATH=/bin:/usr/bin:/usr/games
    [1]

  Restore it; the present version is kept:

    $ yesterday -c ~/.profile
    /home/rob/.profile: as in ...
    $ ls ~/.profile*
    /home/rob/.profile
    /home/rob/.profile.before-yesterday

  Restore it if it differs, and keep nothing:

    $ yesterday -C --discard ~/.profile

  Print a file that is no more:

    $ yesterday --cat ~/letters/anna.tex
    yesterday: /home/rob/letters/anna.tex is not in the dump ...; it is in 2004/1231
    [1]
    $ yesterday --cat -d 2004/1231 ~/letters/anna.tex
    /home/rob/letters/anna.tex: as in 2004/1231
    Dear Anna

  A program with the library of that day, and of two weeks ago:

    $ yesterday -b -d 2004/0611 /lib/libc.a -- cat /lib/libc.a
    /lib/libc.a: as in 2004/0611
    good 2
    $ yesterday -b -d '2 weeks ago' /lib/libc.a -- cat /lib/libc.a
    /lib/libc.a: as in ...
    bad 4
    $ cat /lib/libc.a
    bad 5

EXIT STATUS
  0 complete; 1 not there, or not all of it can be had; 2 usage; 3 copied back, but not with
  everything that it had; 10 no such server or store; 11 FILE.before-yesterday is there, or
  something is mounted in FILE; 12 not allowed. With --diff that of diff, with -b that of the
  command."#;

/// Print the names of files in the dump, or get them back
///
/// Without an option: the name of the last version before today of each FILE. The dump must be
/// mounted for names; everything else comes straight from the server.
#[derive(Debug, Parser)]
#[command(
    name = "yesterday",
    version,
    disable_help_flag = true,
    arg_required_else_help = true,
    after_long_help = EXAMPLES
)]
struct Arguments {
    #[command(flatten)]
    source: Source,

    /// The last version on or before DATE: 2004/0611, 0611, 11, 2004-06-11 18:30, monday,
    /// '2 weeks ago', or a dump of several of a day: 2004/0611.0 is the first, 2004/0611.1 the
    /// second; -2004/0611 is the same as -d 2004/0611, for all that begin with a digit
    #[arg(short = 'd', long = "date", value_name = "DATE", conflicts_with = "days")]
    date: Option<String>,

    /// The last version so many days ago or before
    #[arg(short = 'n', long, value_name = "DAYS")]
    days: Option<u32>,

    /// Copy it back, all of it or nothing; the present version is kept as FILE.before-yesterday;
    /// a directory in which a file system is mounted is not replaced
    #[arg(short = 'c', long, group = "what")]
    copy: bool,

    /// Copy it back if it differs
    #[arg(short = 'C', long, group = "what")]
    copy_if_different: bool,

    /// Compare it with the present version
    #[arg(long, group = "what")]
    diff: bool,

    /// Print it, if it is a file
    #[arg(long, group = "what")]
    cat: bool,

    /// Run COMMAND, or a shell, with the versions of then in the place of today's, until it ends
    #[arg(short = 'b', long, group = "what")]
    bind: bool,

    /// Do not keep the present version
    #[arg(long)]
    discard: bool,

    /// Where the dump is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/n/dump", env = "DUMP")]
    mount: PathBuf,

    /// Files of today or of any day
    #[arg(value_name = "FILE", required_unless_present = "generate")]
    files: Vec<PathBuf>,

    /// What to run, with -b
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    generate: Option<Generated>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    enter_if_asked();
    start(&Arguments::parse_from(with_dates(std::env::args_os())))
}

impl Program for Arguments {
    fn generated(&self) -> Option<Generated> {
        self.generate
    }

    fn run(&self) -> Result<u8, Failure> {
        run(self)
    }
}

/// `-0611` and the like, as yesterday(1) always had them: no other option begins with a digit.
fn with_dates(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all = Vec::new();
    let mut in_command = false;
    for argument in arguments {
        in_command |= argument == "--";
        let date = argument.to_str().and_then(|text| text.strip_prefix('-'));
        match date.filter(|date| date.starts_with(|first: char| first.is_ascii_digit())) {
            Some(date) if !in_command => all.extend(["-d".into(), date.into()]),
            _ => all.push(argument),
        }
    }
    all
}

/// What is known when the files are gone through.
struct Yesterday<'a> {
    arguments: &'a Arguments,
    tree: &'a Tree,
    host: HostName,
    when: When,
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if !arguments.command.is_empty() && !arguments.bind {
        let detail = "a command is run with -b only".to_owned();
        return Err(Failure::Usage { detail });
    }
    let host = arguments.source.host()?;
    let tree = arguments.source.open(None)?;
    let now = Timestamp::now().to_zoned(tree.catalogue().time_zone());
    let when = match (&arguments.date, arguments.days) {
        (Some(date), _) => When::parse(date, &now)?,
        (None, Some(days)) => When::days_ago(days, &now)?,
        (None, None) => When::Before(now.date()),
    };
    let yesterday = Yesterday { arguments, tree: &tree, host, when };
    if arguments.bind {
        return yesterday.run_command(&tree);
    }
    let mut code = 0;
    for file in &arguments.files {
        let done = match yesterday.find(file) {
            Ok((path, found)) => yesterday.act(file, &path, &found),
            Err(failure) => Err(failure),
        };
        match done {
            Ok(one) => code = code.max(one),
            Err(failure) if failure.is_of_every_file() => return Err(failure),
            Err(failure) => {
                say(file, &failure);
                code = code.max(failure.exit_code());
            }
        }
    }
    Ok(code)
}

/// Says why something failed. What is missing is named in its own words.
fn say(file: &Path, failure: &Failure) {
    match failure {
        Failure::Missing(missing) => eprintln!("yesterday: {missing}"),
        failure => eprintln!("yesterday: {}: {failure}", file.display()),
    }
}

/// Says what could not be got out of the dump.
fn tell(path: &[u8], error: &ExtractError) {
    eprintln!("yesterday: {}: {error}", String::from_utf8_lossy(path));
}

impl Yesterday<'_> {
    /// The version that is meant, and the path of the file.
    fn find(&self, file: &Path) -> Result<(PathBuf, Found), Failure> {
        let path = meant(file).map_err(system(file.display().to_string()))?;
        let bytes = path.as_os_str().as_bytes();
        // What is copied back takes the place of a link, not of what the link leads to.
        let copies = self.arguments.copy || self.arguments.copy_if_different;
        let found = find(self.tree, &self.host, &self.when, bytes, !copies)??;
        Ok((path, found))
    }

    fn run_command(&self, tree: &Arc<Tree>) -> Result<u8, Failure> {
        let mut pairs = Vec::new();
        for file in &self.arguments.files {
            let (path, found) = self.find(file)?;
            eprintln!("{}: as in {}", path.display(), found.dump.name);
            pairs.push((path, found));
        }
        Ok(run_in_past(tree, &pairs, &self.arguments.command)?.exit_code())
    }

    fn act(&self, file: &Path, path: &Path, found: &Found) -> Result<u8, Failure> {
        let Arguments { copy, copy_if_different, diff, cat, discard, .. } = self.arguments;
        let as_in = || eprintln!("{}: as in {}", file.display(), found.dump.name);
        if *copy || *copy_if_different {
            if *copy_if_different && is_unchanged(&found.file, path)? {
                return Ok(0);
            }
            let complete = copy_back(path, found, *discard)?;
            as_in();
            return Ok(if complete { 0 } else { INCOMPLETE });
        }
        if *diff {
            return Ok(self.diff(file, path, found));
        }
        if *cat {
            return print(found, as_in);
        }
        self.print_name(found)
    }

    fn print_name(&self, found: &Found) -> Result<u8, Failure> {
        let mount = &self.arguments.mount;
        let names = DumpNames::new(mount, &self.host);
        if !names.has(&found.dump) {
            let detail = format!(
                "{} is not there: is the dump mounted? (fossil-lite mount {})",
                names.of_dump(&found.dump).display(),
                mount.display()
            );
            return Err(FileError::Io { detail }.into());
        }
        let place = [b"/", &found.file.path()[..], b"\n"].concat();
        let line = names.name(&found.dump, &place);
        std::io::stdout().write_all(&line).map_err(system("standard output"))?;
        Ok(0)
    }

    /// Compares it with the present version. Not being able to is told apart from a difference, as
    /// diff does it.
    fn diff(&self, file: &Path, path: &Path, found: &Found) -> u8 {
        let name = found.dump.name.to_string();
        let then = Side {
            label: [name.as_bytes(), b"/", &found.file.path()].concat(),
            version: SideVersion::Then(found.file.clone()),
        };
        let today = Side {
            label: file.as_os_str().as_bytes().to_vec(),
            version: SideVersion::Today(path.to_owned()),
        };
        match show_difference(&then, &today, &tell, &mut std::io::stdout()) {
            Ok(differs) => u8::from(differs),
            Err(failure) => {
                say(file, &failure);
                NOT_COMPARED
            }
        }
    }
}

/// Prints a file, after `say`.
fn print(found: &Found, say: impl FnOnce()) -> Result<u8, Failure> {
    let what = match found.file.attributes()?.kind {
        FileKind::Regular => None,
        FileKind::Directory => return Err(FileError::IsADirectory.into()),
        FileKind::Symlink => Some("a link"),
        FileKind::CharDevice | FileKind::BlockDevice => Some("a device"),
        FileKind::Fifo => Some("a pipe"),
        FileKind::Socket => Some("a socket"),
    };
    if let Some(what) = what {
        return Err(Failure::NotPossible { detail: format!("is {what}") });
    }
    say();
    let mut out = std::io::stdout().lock();
    found.file.node().read_in_order::<Failure>(&mut |piece| {
        let written = match piece {
            Piece::Data(data) => out.write_all(data),
            Piece::Zeros(length) => write_zeros(&mut out, length),
        };
        written.map_err(system("standard output"))
    })?;
    Ok(0)
}

fn write_zeros(out: &mut dyn Write, length: u64) -> std::io::Result<()> {
    let zeros = [0; 8192];
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        out.write_all(&zeros[..size])?;
        left -= size as u64;
    }
    Ok(())
}
