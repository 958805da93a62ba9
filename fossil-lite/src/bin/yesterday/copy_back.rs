//! Puts the version of then in the place of the present one.
//!
//! It is got out beside the present one first, and only if that was all of it, and is on the disk,
//! the two are exchanged in one step: at no time is there nothing under the name, or half of it.
//! What was there before then gets its other name, which it takes from nobody.

use std::fs::File;
use std::path::{Path, PathBuf};

use fossil_lite::past::{Extracted, Found, Purpose, extract};
use fossil_lite::program::{Failure, system};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;

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
    let directory = tempfile::Builder::new()
        .prefix(".yesterday")
        .tempdir_in(parent)
        .map_err(system(shown.clone()))?;
    let extracted = extract(&found.file, directory.path(), Purpose::Restore, &tell)?;
    let file_system = File::open(parent).map_err(system(shown.clone()))?;
    syncfs(&file_system).map_err(|errno| system(shown.clone())(errno.into()))?;
    put_into_place(&extracted.path, path, (!discard).then_some(kept.as_path()))?;
    file_system.sync_all().map_err(system(shown.clone()))?;
    let place = directory.path().to_owned();
    directory.close().map_err(system(format!("can not remove {}", place.display())))?;
    Ok(say_what_was_lost(&shown, &extracted))
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
    let shown = path.display().to_string();
    let rename = |from: &Path, to: &Path, flags| renameat_with(CWD, from, CWD, to, flags);
    let failed = |errno: Errno| system(shown.clone())(errno.into());
    match rename(restored, path, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::NOENT) => {
            return rename(restored, path, RenameFlags::NOREPLACE).map_err(failed);
        }
        Err(Errno::INVAL | Errno::NOSYS) => return put_there_in_two_steps(restored, path, kept),
        Err(errno) => return Err(failed(errno)),
    }
    let Some(kept) = kept else { return Ok(()) };
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
