//! The options of vac. The one-letter ones are those of vac(1); man page and completions are
//! made from this.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use manual::Generated;
use venti_proto::roots::HostName;

/// Archive file trees in a Venti store.
///
/// Stores FILES in a Venti store and prints the score of the archive as the last line of
/// standard output: vac: and 40 hexadecimal digits. unvac and vacfs read it back. What the store
/// has already takes no space again.
///
/// A file is kept under the last component of its path. Of / . and .. the content is kept at the
/// top of the archive. Everything that Unix knows of a file is kept; what can not be read is
/// named, and makes the exit status 3.
#[derive(Debug, Parser)]
#[command(
    name = "vac",
    version,
    disable_help_flag = true,
    after_long_help = EXAMPLES,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    /// Files and directories to be archived
    #[arg(
        value_name = "FILE",
        required_unless_present_any = ["stdin", "files_from", "files_from0", "generate"]
    )]
    pub(crate) files: Vec<PathBuf>,

    /// Server to send to, or directory of a store to be opened in this process [default: $venti]
    ///
    /// tls:HOST speaks TLS: $VENTI_CA names a file of the authorities to trust, $VENTI_CERT and
    /// $VENTI_KEY those of the certificate to show.
    #[arg(short = 'h', long = "store", value_name = "HOST|DIRECTORY")]
    pub(crate) store: Option<String>,

    /// Add to the archive in FILE, under yyyy/mmdd, comparing with the latest day in it
    #[arg(
        short = 'a',
        long = "archive",
        value_name = "FILE",
        conflicts_with_all = ["output", "diff"]
    )]
    pub(crate) archive: Option<PathBuf>,

    /// Bytes in a block, 512 to 56k
    #[arg(short = 'b', long, value_name = "SIZE", default_value = "8k", value_parser = parse_size)]
    pub(crate) block_size: u64,

    /// Send only what is not in this older archive: a score, a file that holds one, or `latest`
    /// for the newest one of this host [default: the newest one of this host and these FILEs,
    /// as with -q]
    #[arg(short = 'd', long = "diff", value_name = "OLD")]
    pub(crate) diff: Option<String>,

    /// Leave out what matches PATTERN: * and ? do not match a slash, ... matches anything
    #[arg(short = 'e', long = "exclude-pattern", value_name = "PATTERN")]
    pub(crate) exclude_patterns: Vec<OsString>,

    /// Write the score to FILE instead of standard output
    #[arg(short = 'f', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Archive standard input, too, as NAME
    #[arg(short = 'i', long = "stdin", value_name = "NAME")]
    pub(crate) stdin: Option<OsString>,

    /// Archive what COMMAND writes instead of standard input; if it fails there is no archive
    #[arg(long, value_name = "COMMAND", requires = "stdin")]
    pub(crate) command: Option<OsString>,

    /// Expand archives that are found as NAME.vac
    #[arg(short = 'm', long)]
    pub(crate) merge: bool,

    /// With -d or -a: take a file to be unchanged if its size, times and inode are
    #[arg(short = 'q', long)]
    pub(crate) quick: bool,

    /// Print statistics
    #[arg(short = 's', long)]
    pub(crate) statistics: bool,

    /// Print the name of every file; with -q, of those that changed
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,

    /// Leave out what the lines of FILE say: include PATTERN or exclude PATTERN, first one counts
    #[arg(short = 'x', long = "exclude-file", value_name = "FILE")]
    pub(crate) exclude_files: Vec<PathBuf>,

    /// Leave out what matches GLOB, as rsync and git have them. In it * is any characters but a
    /// slash, ? one of them, ** any characters, [a-z] one of a class and [!a-z] none of it, {a,b}
    /// either, \x the character x. It matches a name at any depth, with a slash in the middle the
    /// end of a path. With a slash at its start (or ./) it is bound to the archived directory: it
    /// matches the path below that, or the path from the root directory on. With a slash at its end
    /// it matches directories only
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<OsString>,

    /// Leave out the content of directories with a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,

    /// Leave out the content of directories in which there is a file NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_if_present: Vec<OsString>,

    /// Leave out files of more than SIZE bytes
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) exclude_larger_than: Option<u64>,

    /// Do not enter other file systems
    #[arg(long)]
    pub(crate) one_file_system: bool,

    /// Do not enter file systems of this type; pseudo and network ones are never entered
    #[arg(long, value_name = "TYPE")]
    pub(crate) exclude_fs: Vec<String>,

    /// Enter file systems of this type though they are left out by themselves
    #[arg(long, value_name = "TYPE")]
    pub(crate) include_fs: Vec<String>,

    /// Archive the files that FILE names, one a line (- for standard input). They keep their paths:
    /// the archive is of the working directory, or of / if a path is absolute or leads out of it,
    /// and has of that what is named, with everything below. FILEs beside it are taken like its lines
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Vec<PathBuf>,

    /// The same, but each name is ended by a zero byte
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from0: Vec<PathBuf>,

    /// Keep times of last reading
    #[arg(long)]
    pub(crate) atime: bool,

    /// Do not tell the server of the archive, and do not ask it for the last one
    #[arg(long)]
    pub(crate) no_record: bool,

    /// Name of the machine that the files are of [default: this machine's]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<HostName>,

    /// Run COMMAND first; if it fails nothing is archived
    #[arg(long, value_name = "COMMAND")]
    pub(crate) pre: Option<OsString>,

    /// Run COMMAND afterwards, whatever happened since --pre ($VAC_EXIT, $VAC_SCORE)
    #[arg(long, value_name = "COMMAND")]
    pub(crate) post: Option<OsString>,

    /// Archive a Btrfs subvolume as it was at one instant, by a snapshot that is removed again:
    /// where the superuser can, never, or not at all without one. What is called
    /// .vac-snapshot-NUMBER-NUMBER is never archived
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = SnapshotUse::Auto)]
    pub(crate) snapshot: SnapshotUse,

    /// Wait for the end of standard input, then remove a snapshot
    #[arg(long, value_name = "DIRECTORY", hide = true, exclusive = true)]
    pub(crate) keep_snapshot: Option<PathBuf>,

    /// Send at most RATE bytes a second
    #[arg(long, value_name = "RATE", value_parser = parse_size)]
    pub(crate) limit_upload: Option<u64>,

    /// Connections to the server: more help where it is far away
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=64)
    )]
    pub(crate) connections: u8,

    /// Threads that read and hash [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) readers: Option<u8>,

    /// Send blocks without asking the server first whether it has them
    #[arg(long)]
    pub(crate) no_probe: bool,

    /// Keep how far the archive is after SIZE bytes read, and every two minutes: a run that is
    /// killed is gone on with by the next one, which reads only what is missing
    #[arg(long, value_name = "SIZE", default_value = "4g", value_parser = parse_size)]
    pub(crate) checkpoint: u64,

    /// Read every file, whatever is remembered of the last archive of the same files
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Report as lines of JSON on standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress on a terminal
    #[arg(long)]
    pub(crate) no_progress: bool,

    /// Print the man page or the completions of a shell
    #[arg(long, value_enum, value_name = "WHAT", hide = true, exclusive = true)]
    pub(crate) generate: Option<Generated>,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: (),

    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

/// What vac does beside archiving.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Make one of everything in DIRECTORY, archive and restore it, and show what came back
    ///
    /// To archive a file of this name say ./selftest.
    #[command(
        disable_help_flag = true,
        after_long_help = "EXAMPLES\n  What comes back of all that a file system can hold?\n\n    \
            $ vac selftest /srv\n    ..."
    )]
    Selftest {
        /// Where to make the files; they are removed in the end
        directory: PathBuf,

        /// Let COMMAND copy $TREE to $RESTORED instead, by whatever program, and show what that
        /// one brings back
        #[arg(long, value_name = "COMMAND")]
        through: Option<OsString>,

        /// Print this help
        #[arg(long, action = clap::ArgAction::Help)]
        help: Option<bool>,
    },
}

/// When snapshots are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnapshotUse {
    /// If the superuser archives what is on a Btrfs; what has none is named
    Auto,
    /// Never
    Never,
    /// There is no archive of anything that has none
    Require,
}

const EXAMPLES: &str = r"EXAMPLES
  Archive a directory into a store of its own, made if there is none:

    $ vac -h /srv/home /home
    vac: made a new store
    vac:...

  The nightly dump of this machine: only what changed since the last one is read and sent:

    $ venti=backup vac --one-file-system /
    vac: /dev: not entered: a file system of type devtmpfs
    ...
    vac:...
    $ venti=backup vac --one-file-system -d latest /
    ...
    vac:...

  As another host, and without telling the server of it:

    $ venti=backup vac --host pequod /home
    vac:...
    $ venti=backup vac --no-record -f home.vac /home

  With the score kept in a file, and compared with that:

    $ venti=backup vac -d home.vac -q -f home.vac /home

  Every night under yyyy/mmdd in one archive, as the original does it:

    $ vac -q -a /var/lib/dump.vac /home
    vac:...

  A dump of a database:

    $ vac -h backup -i db.sql --command 'pg_dump db'
    vac:...

  A logical volume as it was at one instant, by a snapshot that is removed again:

    $ vac -h backup --pre 'lvcreate -s -L 5G -n before vg/home &&
    >     mount -o ro /dev/vg/before /mnt/before' \
    >     --post 'umount /mnt/before; lvremove -f vg/before' /mnt/before
    vac:...

EXIT STATUS
  0 complete; 1 no archive; 2 usage; 3 archive made, but not of everything; 10 no such server
  or store; 11 store in use; 12 not allowed; 130 interrupted";

/// Reads a size: a number, and perhaps k, m, g or t for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        unit => return Err(format!("{unit:?} is no unit; expected k, m, g or t")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{digits:?} is not a number"))?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("8k"), Ok(8192));
        assert_eq!(parse_size("56K"), Ok(57_344));
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("1t"), Ok(1 << 40));
        for bad in ["", "k", "1x", "-1", "99999999999t"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
