//! Takes away what was made for a run, in directories that the command line names.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use vac::extractor::remove_directory;

/// Removes a directory with everything in it, if it is there; never what is mounted in it, such as
/// a dump.
///
/// # Errors
/// If something is mounted there, or the system refuses.
pub fn remove(path: &Path) -> Result<()> {
    match remove_directory(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
