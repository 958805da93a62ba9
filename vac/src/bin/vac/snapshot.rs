//! Archives a Btrfs subvolume as it was at one instant (`--snapshot`).
//!
//! The snapshot lies in a directory `.vac-snapshot-PID-N` at the top of its subvolume, which only
//! the superuser can enter, and which is locked for as long as the program lives. A [`keeper`]
//! removes it when the program dies; if the whole machine does, whoever comes next removes what
//! nobody holds. Finding those and making one's own are one step under a lock of the top of the
//! subvolume.

pub(crate) mod keeper;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use rustix::fs::{
    FlockOperation, Timespec, Timestamps, UTIME_OMIT, flock, fstat, futimens, statfs,
};
use rustix::io::Errno;
use vac::archiver::Source;
use vac::walk::{Attributes, FileSystems, Identity};

use crate::arguments::SnapshotUse;
use keeper::Keeper;

/// `BTRFS_SUPER_MAGIC` of linux/magic.h.
const BTRFS_MAGIC: u32 = 0x9123_683e;
/// The inode of the top of every subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
const SUBVOLUME_INODE: u64 = 256;
/// Directories with snapshots start so.
const PREFIX: &str = ".vac-snapshot-";
/// What is never archived: snapshots of this run, of others, and what a crash has left of them.
pub(crate) const NAMES: &str = ".vac-snapshot-[0-9]*-[0-9]*";

/// The snapshots of this run. Dropped, they are removed.
#[derive(Default)]
pub(crate) struct Snapshots(Vec<Snapshot>);

/// What a run wants of snapshots.
pub(crate) struct Wanted<'a> {
    pub(crate) usage: SnapshotUse,
    /// Stay on the file systems of the arguments: then what is mounted below them is not missed.
    pub(crate) one_file_system: bool,
    /// What is mounted.
    pub(crate) mounted: &'a FileSystems,
    /// Is told why there is no snapshot of something.
    pub(crate) note: &'a dyn Fn(&str),
}

struct Snapshot {
    /// The top of the subvolume.
    root: PathBuf,
    container: PathBuf,
    /// The snapshot, in the container.
    copy: PathBuf,
    /// Locked.
    _container: File,
    /// Dropped last, when the lock is let go.
    _keeper: Keeper,
    removed: bool,
}

/// A path in a subvolume.
struct Place {
    root: PathBuf,
    /// Without symbolic links on the way.
    whole: PathBuf,
}

impl Snapshots {
    /// Takes a snapshot of every subvolume that one of the paths is in, and returns what is to be
    /// archived in place of the paths.
    pub(crate) fn take(
        &mut self,
        paths: Vec<PathBuf>,
        wanted: &Wanted<'_>,
    ) -> anyhow::Result<Vec<Source>> {
        let superuser = rustix::process::geteuid().is_root();
        match wanted.usage {
            SnapshotUse::Never => return Ok(paths.into_iter().map(Source::Path).collect()),
            SnapshotUse::Auto if !superuser => {
                return Ok(paths.into_iter().map(Source::Path).collect());
            }
            SnapshotUse::Require if !superuser => {
                bail!("--snapshot require: only the superuser can remove snapshots again");
            }
            SnapshotUse::Auto | SnapshotUse::Require => {}
        }
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            let required = wanted.usage == SnapshotUse::Require;
            let taken = match place_of(&path) {
                Some(place) => self.source_in(&place, wanted).map(Some),
                None if required => Err(anyhow::anyhow!("it is not in a Btrfs subvolume")),
                None => Ok(None),
            };
            sources.push(match taken {
                Ok(Some(real)) => Source::Snapshot { real, shown: path },
                Ok(None) => Source::Path(path),
                Err(error) if required => {
                    return Err(error.context(format!("no snapshot of {}", path.display())));
                }
                Err(error) => {
                    (wanted.note)(&format!(
                        "no snapshot of {}, archived as it is: {error:#}",
                        path.display()
                    ));
                    Source::Path(path)
                }
            });
        }
        Ok(sources)
    }

    /// The path in a snapshot that stands for this one.
    fn source_in(&mut self, place: &Place, wanted: &Wanted<'_>) -> anyhow::Result<PathBuf> {
        if !wanted.one_file_system
            && let Some(below) = wanted.mounted.entered_below(&place.whole)
        {
            bail!("{} is mounted there and would be missed", String::from_utf8_lossy(&below.at));
        }
        if let Some(nested) = subvolume_below(place)? {
            bail!("the subvolume {} is below it and would be missed", nested.display());
        }
        let known = self.0.iter().position(|snapshot| snapshot.root == place.root);
        let position = match known {
            Some(position) => position,
            None => {
                self.0.push(Snapshot::take(&place.root)?);
                self.0.len() - 1
            }
        };
        let snapshot = self.0.get(position).context("no snapshot")?;
        Ok(snapshot.copy.join(place.whole.strip_prefix(&place.root)?))
    }

    /// What this directory is in the snapshots.
    pub(crate) fn twins(&self, original: Identity) -> impl Iterator<Item = Identity> {
        self.0.iter().filter_map(move |snapshot| {
            let device_of = |path: &Path| Some(identity(path)?.device);
            let same = device_of(&snapshot.root) == Some(original.device);
            let device = device_of(&snapshot.copy).filter(|_| same)?;
            Some(Identity { device, ..original })
        })
    }

    /// Removes the snapshots, and says which can not be removed.
    pub(crate) fn remove(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for snapshot in &mut self.0 {
            outcome = snapshot.remove().and(outcome);
        }
        outcome
    }
}

impl Snapshot {
    fn take(root: &Path) -> anyhow::Result<Snapshot> {
        let directory = File::open(root)?;
        flock(&directory, FlockOperation::LockExclusive)?;
        let restore_times = keep_times(&directory)?;
        remove_stale(root)?;
        let (path, container) = make_container(root)?;
        flock(&container, FlockOperation::NonBlockingLockExclusive)?;
        let keeper = Keeper::start(&path)?;
        let copy = path.join(root.file_name().unwrap_or("root".as_ref()));
        let snapshot = Snapshot {
            root: root.to_owned(),
            container: path,
            copy,
            _container: container,
            _keeper: keeper,
            removed: false,
        };
        restore_times()?;
        let (from, to) = (snapshot.root.as_ref(), snapshot.copy.as_ref());
        btrfs([OsStr::new("subvolume"), "snapshot".as_ref(), "-r".as_ref(), from, to])?;
        Ok(snapshot)
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        let directory = File::open(&self.root)?;
        flock(&directory, FlockOperation::LockExclusive)?;
        let restore_times = keep_times(&directory)?;
        remove_container(&self.container)?;
        restore_times()?;
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // Whoever comes next tries again, and says why that fails.
        let _ = self.remove();
    }
}

/// Notes the time of the last change of a directory: what is returned puts it back.
fn keep_times(directory: &File) -> Result<impl Fn() -> Result<(), Errno>, Errno> {
    let stat = fstat(directory)?;
    let last_modification =
        Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) };
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access, last_modification };
    Ok(move || futimens(directory, &times))
}

fn make_container(root: &Path) -> anyhow::Result<(PathBuf, File)> {
    for number in 0..1000 {
        let path = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let container = File::open(&path)?;
                return Ok((path, container));
            }
            // A process of another name space has the same number.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context(format!("can not make {}", path.display())),
        }
    }
    bail!("every name for a snapshot in {} is taken", root.display())
}

/// Removes what runs that crashed have left.
fn remove_stale(root: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        let metadata = fs::symlink_metadata(entry.path())?;
        // Nobody else can have put anything into one of ours.
        let ours = metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o777 == 0o700;
        if !ours {
            continue;
        }
        let container = File::open(entry.path())?;
        match flock(container.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => remove_container(&entry.path())?,
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn remove_container(container: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(container)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() && metadata.ino() == SUBVOLUME_INODE {
            btrfs([OsStr::new("subvolume"), "delete".as_ref(), path.as_ref()])?;
        }
    }
    fs::remove_dir(container).with_context(|| format!("can not remove {}", container.display()))
}

/// Runs the program of that name, and returns what it printed.
fn btrfs<const N: usize>(arguments: [&OsStr; N]) -> anyhow::Result<String> {
    let output =
        Command::new("btrfs").args(arguments).output().context("can not run the program btrfs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("btrfs {}: {}", arguments.map(OsStr::to_string_lossy).join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A subvolume below the path: a snapshot of the one that it is in has nothing of that.
fn subvolume_below(place: &Place) -> anyhow::Result<Option<PathBuf>> {
    let list = |options: &str| {
        let root = place.root.as_ref();
        btrfs([OsStr::new("subvolume"), "list".as_ref(), options.as_ref(), root])
    };
    // Names are those from the top of the file system, also where another part of it is mounted.
    let own = btrfs([OsStr::new("subvolume"), "show".as_ref(), place.root.as_ref()])?;
    let own = own.lines().next().unwrap_or_default().trim().trim_start_matches('/').to_owned();
    let found = list("-o")?;
    let mut below = found.lines().filter_map(|line| {
        let (_, name) = line.split_once(" path ")?;
        let name = Path::new(name).strip_prefix(&own).ok()?;
        Some(place.root.join(name))
    });
    let is_ours = |path: &PathBuf| path.to_string_lossy().contains(PREFIX);
    Ok(below.find(|path| path.starts_with(&place.whole) && !is_ours(path)))
}

/// Where a path is, if it is in a Btrfs subvolume of which the top can be reached. Whatever can
/// not be looked at is left to the archiver, which says so.
fn place_of(path: &Path) -> Option<Place> {
    let (directory, whole) = match path.file_name() {
        Some(name) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = fs::canonicalize(parent.unwrap_or(".".as_ref())).ok()?;
            let whole = parent.join(name);
            // The last component is archived as what it is, a symbolic link too.
            let is_directory = fs::symlink_metadata(&whole).ok()?.is_dir();
            (if is_directory { whole.clone() } else { parent }, whole)
        }
        None => {
            let whole = fs::canonicalize(path).ok()?;
            (whole.clone(), whole)
        }
    };
    if u32::try_from(statfs(&directory).ok()?.f_type) != Ok(BTRFS_MAGIC) {
        return None;
    }
    let device = identity(&directory)?.device;
    let root = directory.ancestors().find_map(|above| {
        let found = identity(above)?;
        (found.device != device || found.inode == SUBVOLUME_INODE).then_some((above, found))
    });
    let (root, found) = root?;
    (found.device == device).then(|| Place { root: root.to_owned(), whole })
}

fn identity(path: &Path) -> Option<Identity> {
    Some(Attributes::of_open(&File::open(path).ok()?).ok()?.identity)
}
