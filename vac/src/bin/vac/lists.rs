//! Lists of files to be archived (`--files-from`).
//!
//! What they name keeps its place: the archive is of the working directory, or of `/` if a name is
//! absolute or leads out of it, and has of that what the lists name.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use vac::archiver::Chosen;

use crate::arguments::Arguments;

/// The paths of the arguments and of all lists: what is archived, and what of it. Without a list
/// it is the arguments, as they are.
///
/// # Errors
/// If a list can not be read.
pub(crate) fn sources(arguments: &Arguments) -> anyhow::Result<(Vec<PathBuf>, Option<Chosen>)> {
    let mut paths = arguments.files.clone();
    let lists = (arguments.files_from.iter().map(|list| (list, b'\n')))
        .chain(arguments.files_from0.iter().map(|list| (list, 0)));
    let mut any = false;
    let mut input_is_read = arguments.stdin.is_some() && arguments.command.is_none();
    for (list, end) in lists {
        any = true;
        if list == Path::new("-") && std::mem::replace(&mut input_is_read, true) {
            bail!("standard input can be read once only");
        }
        paths.append(&mut listed(list, end)?);
    }
    if !any {
        return Ok((paths, None));
    }
    if paths.is_empty() {
        return Ok((paths, None));
    }
    let leads_out = |path: &PathBuf| {
        path.is_absolute() || path.components().any(|part| part == Component::ParentDir)
    };
    let (base, paths) = if paths.iter().any(leads_out) {
        ("/", paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?)
    } else {
        (".", paths)
    };
    Ok((vec![base.into()], Some(Chosen::new(paths.iter().map(|path| names_of(path))))))
}

/// The path from the top, without `..`: what that is the parent of may be a symbolic link.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let whole = std::path::absolute(path).with_context(|| path.display().to_string())?;
    match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(name)) if whole.components().any(|c| c == Component::ParentDir) => {
            let parent =
                std::fs::canonicalize(parent).with_context(|| path.display().to_string())?;
            Ok(parent.join(name))
        }
        _ => Ok(whole),
    }
}

/// The names on the way, with one slash between two of them.
fn names_of(path: &Path) -> Vec<u8> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    });
    names.collect::<Vec<_>>().join(&b'/')
}

/// The names in a list, each ended by `end`.
fn listed(list: &Path, end: u8) -> anyhow::Result<Vec<PathBuf>> {
    let mut content = Vec::new();
    if list == Path::new("-") {
        std::io::stdin().read_to_end(&mut content).context("can not read standard input")?;
    } else {
        content =
            std::fs::read(list).with_context(|| format!("can not read {}", list.display()))?;
    }
    let names = content.split(|byte| *byte == end).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_all_that_is_left_of_a_path() {
        for (path, names) in [("./a//b/", "a/b"), ("/etc/x", "etc/x"), (".", ""), ("/", "")] {
            assert_eq!(names_of(path.as_ref()), names.as_bytes(), "{path}");
        }
    }
}
