//! The path that somebody means by a name.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The absolute path of a file that may be of another day. The working directory is where it is
/// today, and has no links in its path, so `..` at the front of a name leads out of that; behind a
/// name it leads out of the directory of then.
///
/// # Errors
/// If there is no working directory any more, or no name.
pub fn meant(file: &Path) -> io::Result<PathBuf> {
    if file.is_absolute() || file.as_os_str().is_empty() {
        // Without the slashes at its end, which no name has.
        return std::path::absolute(file).map(|path| path.components().collect());
    }
    let mut path = std::env::current_dir()?;
    let mut names = file.components().peekable();
    let leads_up = |name: &Component<'_>| matches!(name, Component::CurDir | Component::ParentDir);
    while let Some(name) = names.next_if(leads_up) {
        if name == Component::ParentDir {
            path.pop();
        }
    }
    path.extend(names);
    Ok(path)
}
