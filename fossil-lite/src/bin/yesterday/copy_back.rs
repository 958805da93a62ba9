//! Puts the version of then in the place of the present one.
//!
//! It is got out beside the present one first, and only if that was all of it, and is on the disk,
//! the two are exchanged in one step: at no time is there nothing under the name, or half of it.
//! What was there before then gets its other name, which it takes from nobody. Immutable files are
//! made changeable for that moment, where that may be.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fossil_lite::past::{Extracted, Found, Purpose, extract};
use fossil_lite::program::{Failure, system};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;

use crate::fixed::{Lifted, is_fixed, lift_all};
use crate::tell;

/// What the present version is called afterwards: its name with this behind.
const KEPT: &str = ".before-yesterday";

/// Puts it there. Returns whether it has all the properties that it had.
pub(crate) fn copy_back(path: &Path, found: &Found, discard: bool) -> Result<bool, Failure> {
    let shown = path.display().to_string();
    let kept = kept_name(path);
    if !discard && std::fs::symlink_metadata(path).is_ok() {
        is_free(&kept)?;
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    let _changeable = Lifted::of(parent);
    let beside = Beside::new(parent).map_err(|error| refused(path, parent, error))?;
    let extracted = extract(&found.file, &beside.directory, Purpose::Restore, &tell)?;
    let file_system = File::open(parent).map_err(system(shown.clone()))?;
    syncfs(&file_system).map_err(|errno| system(shown.clone())(errno.into()))?;
    put_into_place(&extracted.path, path, (!discard).then_some(kept.as_path()))?;
    file_system.sync_all().map_err(system(shown.clone()))?;
    beside.remove()?;
    Ok(say_what_was_lost(&shown, &extracted))
}

/// The directory that the version of then is got out into.
struct Beside {
    directory: PathBuf,
}

impl Beside {
    fn new(parent: &Path) -> std::io::Result<Beside> {
        let directory = tempfile::Builder::new().prefix(".yesterday").tempdir_in(parent)?;
        Ok(Beside { directory: directory.keep() })
    }

    /// Removes it, and what it has: the version of then if it was not put into place, otherwise a
    /// present one that nobody wants. Either may have immutable files.
    fn remove(&self) -> Result<(), Failure> {
        let failed = match std::fs::remove_dir_all(&self.directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        if failed.kind() == ErrorKind::PermissionDenied {
            lift_all(&self.directory);
        }
        let action = format!("can not remove {}", self.directory.display());
        std::fs::remove_dir_all(&self.directory).map_err(system(action))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Whoever has nothing else to say has removed it, and heard of that.
        let _ = self.remove();
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

/// Gives `restored` the name `path`. What has that name gets the name `kept`, or without one that
/// of `restored`.
fn put_into_place(restored: &Path, path: &Path, kept: Option<&Path>) -> Result<(), Failure> {
    let rename = |from: &Path, to: &Path, flags| renameat_with(CWD, from, CWD, to, flags);
    let failed = |errno: Errno| refused(path, path, errno.into());
    // What was made immutable by the archive, and what is today. They get their flags back.
    let _then = Lifted::of(restored);
    let today = Lifted::of(path);
    match rename(restored, path, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::NOENT) => {
            return rename(restored, path, RenameFlags::NOREPLACE).map_err(failed);
        }
        Err(Errno::INVAL | Errno::NOSYS) => return put_there_in_two_steps(restored, path, kept),
        Err(errno) => return Err(failed(errno)),
    }
    let Some(kept) = kept else {
        if let Some(today) = today {
            today.forget();
        }
        return Ok(());
    };
    match rename(restored, kept, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(errno) => {
            // Somebody took the name meanwhile: all is as it was.
            rename(restored, path, RenameFlags::EXCHANGE).map_err(failed)?;
            is_free(kept)?;
            Err(system(kept.display().to_string())(errno.into()))
        }
    }
}

/// For file systems that exchange no names (NFS).
fn put_there_in_two_steps(
    restored: &Path,
    path: &Path,
    kept: Option<&Path>,
) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let mut aside = restored.as_os_str().to_owned();
    aside.push(KEPT);
    let aside = PathBuf::from(aside);
    let old = kept.unwrap_or(&aside);
    if std::fs::symlink_metadata(path).is_ok() {
        std::fs::rename(path, old).map_err(system(shown.clone()))?;
    }
    std::fs::rename(restored, path).map_err(|error| {
        // If this fails too, the present version has the other name.
        let _ = std::fs::rename(old, path);
        system(shown)(error)
    })
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
