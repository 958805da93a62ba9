//! Puts the version of then in the place of the present one.
//!
//! It is got out beside the present one first, and only if that was all of it, and is on the disk,
//! the two are exchanged in one step: at no time is there nothing under the name, or half of it.
//! What was there before then gets its other name, which it takes from nobody. Immutable files are
//! made changeable for that moment, where that may be. Where a file system is mounted nothing is
//! replaced: it would go with the present version.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fossil_lite::past::{Extracted, Found, Purpose, extract};
use fossil_lite::program::{Failure, system};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;
use vac::extractor::remove_directory;
use vac::walk::FileSystems;

use crate::fixed::{Lifted, is_fixed};
use crate::tell;

/// What the present version is called afterwards: its name with this behind.
const KEPT: &str = ".before-yesterday";

/// Puts it there. Returns whether it has all the properties that it had.
pub(crate) fn copy_back(path: &Path, found: &Found, discard: bool) -> Result<bool, Failure> {
    let shown = path.display().to_string();
    let kept = kept_name(path);
    if std::fs::symlink_metadata(path).is_ok() {
        if !discard {
            is_free(&kept)?;
        }
        check_mounts(path)?;
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    if let Err(error) = std::fs::metadata(parent)
        && error.kind() == ErrorKind::NotFound
    {
        let gone = parent.display();
        let detail = format!("the directory {gone} is not there: copy that back, or make it");
        return Err(Failure::NotPossible { detail });
    }
    let _changeable = Lifted::of(parent);
    let mut beside = Beside::new(parent).map_err(|error| refused(path, parent, error))?;
    let extracted = extract(&found.file, &beside.directory, Purpose::Restore, &tell)?;
    let file_system = File::open(parent).map_err(system(shown.clone()))?;
    syncfs(&file_system).map_err(|errno| system(shown.clone())(errno.into()))?;
    // That may have taken an hour.
    check_mounts(path)?;
    let place = Place { path, kept: (!discard).then_some(kept.as_path()) };
    place.put(&extracted.path, &mut beside)?;
    file_system.sync_all().map_err(system(shown.clone()))?;
    beside.remove()?;
    Ok(say_what_was_lost(&shown, &extracted))
}

/// Checks that nothing is mounted in what is to be replaced: it would go with it.
fn check_mounts(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let table = match std::fs::read("/proc/self/mountinfo") {
        Ok(table) => table,
        // What is no directory is replaced by one call, which refuses if it is a mount point.
        Err(_) if !path.symlink_metadata().is_ok_and(|today| today.is_dir()) => return Ok(()),
        Err(error) => {
            let action = format!("{shown}: what is mounted in it is not known without /proc");
            return Err(system(action)(error));
        }
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = std::fs::canonicalize(parent).map_err(system(shown.to_string()))?;
    let place = parent.join(path.file_name().unwrap_or_default());
    let file_systems = FileSystems::parse(&table);
    let Some(mounted) = file_systems.at_or_below(&place) else { return Ok(()) };
    let at = String::from_utf8_lossy(&mounted.at);
    let detail = format!(
        "a file system is mounted on {at}, and would not stay there: unmount it, or copy back \
         files beside it only"
    );
    Err(Failure::Busy { detail })
}

/// The directory that the version of then is got out into.
struct Beside {
    directory: PathBuf,
    /// It has the present version, which is wanted.
    is_precious: bool,
}

impl Beside {
    fn new(parent: &Path) -> std::io::Result<Beside> {
        let directory = tempfile::Builder::new().prefix(".yesterday").tempdir_in(parent)?;
        Ok(Beside { directory: directory.keep(), is_precious: false })
    }

    /// Removes it, and what it has: the version of then if it was not put into place, otherwise a
    /// present one that nobody wants. Either may have immutable files.
    fn remove(&self) -> Result<(), Failure> {
        match remove_directory(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let action = format!("can not remove {}", self.directory.display());
                Err(system(action)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_precious {
            // Whoever has nothing else to say has removed it, and heard of that.
            let _ = self.remove();
        }
    }
}

/// The system's error for something that could not be put there.
fn refused(path: &Path, fixed: &Path, error: std::io::Error) -> Failure {
    let shown = path.display();
    if error.kind() != ErrorKind::PermissionDenied || !is_fixed(fixed) {
        return system(shown.to_string())(error);
    }
    let what = if path == fixed { "it".to_owned() } else { fixed.display().to_string() };
    let action = format!(
        "{shown}: {what} is immutable or append-only (chattr), which only the superuser can change"
    );
    system(action)(error)
}

fn kept_name(path: &Path) -> PathBuf {
    let mut kept = path.as_os_str().to_owned();
    kept.push(KEPT);
    kept.into()
}

fn is_free(kept: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(kept) {
        Ok(_) => Err(Failure::Busy { detail: format!("{} is there already", kept.display()) }),
        Err(_) => Ok(()),
    }
}

/// Where it goes.
struct Place<'a> {
    path: &'a Path,
    /// The name that the present version gets, if it is kept.
    kept: Option<&'a Path>,
}

impl Place<'_> {
    /// Gives `restored` its name. What has that name gets its other one, or that of `restored`.
    fn put(&self, restored: &Path, beside: &mut Beside) -> Result<(), Failure> {
        let failed = |errno: Errno| refused(self.path, self.path, errno.into());
        // What was made immutable by the archive, and what is today. They get their flags back.
        let _then = Lifted::of(restored);
        let today = Lifted::of(self.path);
        match rename(restored, self.path, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                return rename(restored, self.path, RenameFlags::NOREPLACE).map_err(failed);
            }
            Err(Errno::INVAL | Errno::NOSYS) => return self.put_in_two_steps(restored, beside),
            Err(errno) => return Err(failed(errno)),
        }
        let Some(kept) = self.kept else {
            if let Some(today) = today {
                today.forget();
            }
            return Ok(());
        };
        let Err(errno) = rename(restored, kept, RenameFlags::NOREPLACE) else { return Ok(()) };
        // Somebody took the name meanwhile: all is made as it was.
        if let Err(errno) = rename(restored, self.path, RenameFlags::EXCHANGE) {
            return Err(self.present_is_in(restored, beside, errno.into()));
        }
        is_free(kept)?;
        Err(system(kept.display().to_string())(errno.into()))
    }

    /// For file systems that exchange no names (NFS).
    fn put_in_two_steps(&self, restored: &Path, beside: &mut Beside) -> Result<(), Failure> {
        let mut aside = restored.as_os_str().to_owned();
        aside.push(KEPT);
        let old = self.kept.unwrap_or(Path::new(&aside));
        let failed = || system(self.path.display().to_string());
        if std::fs::symlink_metadata(self.path).is_ok() {
            std::fs::rename(self.path, old).map_err(failed())?;
        }
        let Err(error) = std::fs::rename(restored, self.path) else { return Ok(()) };
        match std::fs::rename(old, self.path) {
            Err(again) if again.kind() != ErrorKind::NotFound => {
                Err(self.present_is_in(old, beside, again))
            }
            _ => Err(failed()(error)),
        }
    }

    /// The present version could not get its name back, and stays where it is.
    fn present_is_in(&self, old: &Path, beside: &mut Beside, error: std::io::Error) -> Failure {
        beside.is_precious = true;
        let (shown, old) = (self.path.display(), old.display());
        system(format!("{shown}: what was there until now is {old}, and can not be put back"))(
            error,
        )
    }
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Result<(), Errno> {
    renameat_with(CWD, from, CWD, to, flags)
}

fn say_what_was_lost(shown: &str, extracted: &Extracted) -> bool {
    let Extracted { properties_lost, owners_not_set, .. } = extracted;
    if *owners_not_set > 0 {
        eprintln!(
            "yesterday: {shown}: {owners_not_set} files belong to you and not to their owners, and \
             run as nobody else: only the superuser restores that"
        );
    }
    if *properties_lost > 0 {
        eprintln!("yesterday: {shown}: {properties_lost} properties were not restored");
    }
    *owners_not_set == 0 && *properties_lost == 0
}
