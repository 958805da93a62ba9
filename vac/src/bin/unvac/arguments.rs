//! The options of unvac. The one-letter ones are those of unvac(1); man page and completions are
//! made from this.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use manual::Generated;
use vac::extractor::{ExtractOptions, Limits, Owners};

const EXAMPLES: &str = "\
EXAMPLES
  List what is in an archive:

    $ vac -f home.vac /home
    $ unvac -t -v home.vac
    ...
    -rw-r--r-- root       root  ... home/rob/notes
    ...

  Restore all of it into a directory:

    $ unvac -C /restore home.vac
    $ diff /home/rob/notes /restore/home/rob/notes

  One file, below the present directory, and one to look at:

    $ unvac home.vac home/rob/notes
    $ unvac -c home.vac home/rob/notes
    as ever

  Say how a directory differs, and make it what it was, writing only what differs:

    $ echo changed > /restore/home/rob/notes
    $ touch /restore/home/rob/more
    $ unvac --verify -C /restore home.vac
    ...
    [3]
    $ unvac -n -d --delete -C /restore home.vac
    ...
    $ unvac -d --delete -C /restore home.vac
    $ unvac --verify -C /restore home.vac

  Restore where there is no unvac:

    $ unvac --tar home.vac | ssh host tar xpf -

EXIT STATUS
  0 everything was restored; 1 nothing was restored, or the archive is malformed: the entries are
  named; 2 usage; 3 something could not be restored, or differs: it is named; 10 no such server or
  store; 11 store in use; 12 not allowed; 130 interrupted: a second signal ends unvac at once";

/// Restore files from an archive in a Venti store.
///
/// ARCHIVE is the score that vac printed, or a file that holds it. With FILES only these are
/// restored, directories with all that is in them. Nothing is written outside of the directory,
/// whatever the archive says, and no file is left that is not whole. Only if unvac is killed, or
/// the system goes down, the last files of less than a block (8 KiB) may be short: the next unvac
/// replaces them, with -d too, for that compares the content of every file.
///
/// The superuser restores owners, devices and set-uid bits; others what they may: a group that they
/// belong to, and no set-uid or set-gid bit of an owner or group that they can not set. They are
/// told what not, and that alone does not make the restore incomplete.
#[derive(Debug, Parser)]
#[command(name = "unvac", version, disable_help_flag = true, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Score of the archive (vac: and 40 digits), or a file that holds it
    #[arg(value_name = "ARCHIVE", required_unless_present = "generate")]
    pub(crate) archive: Option<String>,

    /// What to restore [default: everything]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<OsString>,

    /// Server to read from, or directory of a store [default: $venti]
    ///
    /// tls:HOST speaks TLS: $VENTI_CA names a file of the authorities to trust, $VENTI_CERT and
    /// $VENTI_KEY those of the certificate to show.
    #[arg(short = 'h', long = "store", value_name = "HOST|DIRECTORY")]
    pub(crate) store: Option<String>,

    /// Restore into DIRECTORY, which is made if there is none [default: the present one]. If
    /// everything is restored and the archive is of one directory (as of / or .), DIRECTORY gets
    /// its owner, permissions and times, too; the present one does only if it is named
    #[arg(short = 'C', long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,

    /// Set modification times: always done, the option is the original's
    #[arg(short = 'T', long)]
    pub(crate) times: bool,

    /// Do not set modification times
    #[arg(long, conflicts_with = "times")]
    pub(crate) no_times: bool,

    /// Write the content of files to standard output instead; a FILE that has none, as a link or a
    /// device, is named
    #[arg(short = 'c', long, conflicts_with_all = ["diff", "list", "tar", "verify"])]
    pub(crate) stdout: bool,

    /// Compare with the files that are there, and write only what differs: content, owner,
    /// permissions, times, extended attributes and flags
    #[arg(short = 'd', long)]
    pub(crate) diff: bool,

    /// List the files instead of restoring them; with -v as ls -l does
    #[arg(short = 't', long, conflicts_with_all = ["tar", "verify", "delete"])]
    pub(crate) list: bool,

    /// Name each file
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,

    /// Print the bytes written at the end
    #[arg(short = 's', long)]
    pub(crate) statistics: bool,

    /// Remove from the directories what the archive does not have. Nothing is removed where another
    /// file system is mounted, nor from directories that vac left out (mounts, marked caches) or
    /// could not read; what --exclude kept out of the archive is removed unless it is excluded here,
    /// too
    #[arg(long, conflicts_with_all = ["tar", "verify", "stdout"])]
    pub(crate) delete: bool,

    /// Change nothing: say what would be made, changed or removed
    #[arg(short = 'n', long, conflicts_with_all = ["tar", "verify", "stdout", "list"])]
    pub(crate) dry_run: bool,

    /// Change nothing: say how the directory differs from the archive, and exit 3 if it does
    #[arg(long)]
    pub(crate) verify: bool,

    /// Write a tar stream to standard output instead
    #[arg(long, conflicts_with = "verify")]
    pub(crate) tar: bool,

    /// Leave out what matches GLOB, as rsync and git have them. In it * is any characters but a
    /// slash, ? one of them, ** any characters, [a-z] one of a class and [!a-z] none of it, {a,b}
    /// either, \x the character x. It matches a name at any depth, with a slash in the middle the
    /// end of a path. With a slash at its start (or ./) it is bound to the top of the archive, with
    /// one at its end it matches directories only
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<OsString>,

    /// Restore only what matches GLOB (see --exclude), with all that is below it
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<OsString>,

    /// Which record of owners counts
    #[arg(long, value_name = "WHICH", default_value = "numbers")]
    pub(crate) owners: OwnersOption,

    /// Make no devices, and set no set-uid and set-gid bits
    #[arg(long)]
    pub(crate) no_special: bool,

    /// Set no extended attributes (ACLs and capabilities too) and no inode flags
    #[arg(long)]
    pub(crate) no_attributes: bool,

    /// Threads that read and write files
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,

    /// Connections to the server
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,

    /// Levels of directories that are restored at most
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().depth)]
    pub(crate) max_depth: u64,

    /// Bytes of the longest path that is restored
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().path)]
    pub(crate) max_path: u64,

    /// Names that are restored at most
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().entries)]
    pub(crate) max_entries: u64,

    /// How often the same directories may come again, on average
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().copies)]
    pub(crate) max_copies: u64,

    /// Write what happens as lines of JSON to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress on a terminal
    #[arg(long)]
    pub(crate) no_progress: bool,

    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    pub(crate) help: Option<bool>,

    /// Print the man page, or completions for a shell
    #[arg(long, value_name = "WHAT", hide = true)]
    pub(crate) generate: Option<Generated>,
}

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OwnersOption {
    /// The numbers that the archive has; names where it has none
    Numbers,
    /// The names where this system knows them
    Names,
    /// Everything is mine
    Mine,
}

impl Arguments {
    /// Where to restore.
    pub(crate) fn target(&self) -> &Path {
        self.directory.as_deref().unwrap_or(Path::new("."))
    }

    pub(crate) fn options(&self) -> ExtractOptions {
        ExtractOptions {
            differences: self.diff,
            delete: self.delete,
            root: self.directory.is_some(),
            owners: match self.owners {
                OwnersOption::Numbers => Owners::Numbers,
                OwnersOption::Names => Owners::Names,
                OwnersOption::Mine => Owners::Mine,
            },
            times: !self.no_times,
            special: !self.no_special,
            attributes: !self.no_attributes,
            cleared_umask: None,
            workers: usize::from(self.workers),
            limits: Limits {
                depth: self.max_depth,
                path: self.max_path,
                entries: self.max_entries,
                copies: self.max_copies,
                ..Limits::default()
            },
        }
    }
}
