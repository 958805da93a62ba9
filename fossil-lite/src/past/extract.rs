//! Gets a file out of a dump, with everything that is known of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use vac::extractor::{ExtractOptions, Selection, Silent, restore};
use vac::reader::Piece;
use vac::walk::Patterns;

use crate::FileError;
use crate::dump::DumpFile;

/// Restores a file or directory into the directory `target`, under its own name, and says where it
/// is then. Metadata that this user may not set is left out.
///
/// # Errors
/// If it can not be read, or not be written.
pub fn extract(file: &DumpFile, target: &Path) -> Result<PathBuf, FileError> {
    let Some(parent) = file.parent() else {
        return Err(FileError::Io { detail: "a whole dump is for unvac to restore".to_owned() });
    };
    let name = file.node().metadata().checked_name().map_err(|error| FileError::Name {
        name: format!("{} ({error})", String::from_utf8_lossy(file.node().name())),
    })?;
    let selection = Selection::new([name], Patterns::default());
    let (options, stop) = (ExtractOptions::default(), AtomicBool::new(false));
    let summary = restore(parent.node(), target, &selection, &options, &Silent, &stop)
        .map_err(|error| FileError::Io { detail: error.to_string() })?;
    let restored = target.join(OsStr::from_bytes(name));
    if std::fs::symlink_metadata(&restored).is_err() {
        let detail = format!("nothing was restored ({} entries failed)", summary.incomplete);
        return Err(FileError::Io { detail });
    }
    Ok(restored)
}

/// Whether a file of today has the content of a file of then. Directories never have.
///
/// # Errors
/// If the file of then can not be read; one of today that can not be is another.
pub fn same_content(file: &DumpFile, today: &Path) -> Result<bool, FileError> {
    let Ok(mut now) = File::open(today) else { return Ok(false) };
    let same_size =
        now.metadata().is_ok_and(|now| now.is_file() && now.len() == file.node().size());
    if file.node().is_directory() || !same_size {
        return Ok(false);
    }
    let mut same = true;
    let mut buffer = Vec::new();
    file.node().read_in_order::<FileError>(&mut |piece| {
        let data = match piece {
            Piece::Data(data) => data,
            Piece::Zeros(length) => {
                same &= read_zeros(&mut now, length);
                return Ok(());
            }
        };
        buffer.resize(data.len(), 0);
        same = same && now.read_exact(&mut buffer).is_ok() && buffer == data;
        Ok(())
    })?;
    Ok(same)
}

fn read_zeros(file: &mut File, length: u64) -> bool {
    let mut buffer = [0; 8192];
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = &mut buffer[..size];
        if file.read_exact(piece).is_err() || piece.iter().any(|byte| *byte != 0) {
            return false;
        }
        left -= size as u64;
    }
    true
}
