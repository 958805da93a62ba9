//! Turns the arguments into the topmost directory of the archive.
//!
//! As in the original, a path is kept under its last component. What has none that could be kept
//! (`/`, `.`, `..` and what ends in `/..`) gives its content to the top.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use venti_proto::Entry;

use super::error::{ArchiveError, words};
use crate::format::name_order;
use crate::walk::{Attributes, Directory};

/// The topmost directory of an archive.
pub(super) enum Top {
    /// It is one directory of the system.
    Directory { directory: Directory, attributes: Attributes, path: Vec<u8> },
    /// It is put together from several arguments.
    Names(Vec<TopName>),
}

/// A name at the top of an archive.
#[derive(Clone, Debug)]
pub(super) struct TopName {
    /// What it is called in the archive, and where it is looked up.
    pub(super) name: CString,
    /// What its path starts with, with a slash at the end unless it is empty.
    pub(super) prefix: Vec<u8>,
    pub(super) origin: Origin,
}

/// Where something at the top of an archive comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// It is looked up in this directory.
    In(Arc<Directory>),
    /// A stream that was read and stored already.
    Stored(StoredStream),
}

/// A stream that was read and stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredStream {
    pub(super) entry: Entry,
    pub(super) attributes: Attributes,
}

/// A path to be archived.
#[derive(Clone, Debug)]
pub(super) struct SourcePath {
    /// Where it is read.
    pub(super) real: PathBuf,
    /// What it is called.
    pub(super) shown: PathBuf,
}

/// A path as it is called, and where it is read, both cleaned.
struct Cleaned {
    shown: Vec<u8>,
    real: Vec<u8>,
}

/// Looks at every argument.
///
/// Those that are not there go to `missing`, unless that is all of them.
///
/// # Errors
/// [`ArchiveError::Source`], [`ArchiveError::SameName`].
pub(super) fn top_of(
    paths: &[SourcePath],
    streams: &[(CString, StoredStream)],
    missing: &mut Vec<(Vec<u8>, Errno)>,
) -> Result<Top, ArchiveError> {
    if let Some(empty) = paths.iter().find(|path| path.shown.as_os_str().is_empty()) {
        return Err(source(empty.shown.as_os_str().as_bytes(), Errno::NOENT));
    }
    let clean = |path: &PathBuf| clean(path.as_os_str().as_bytes());
    let cleaned: Vec<Cleaned> = paths
        .iter()
        .map(|path| Cleaned { shown: clean(&path.shown), real: clean(&path.real) })
        .collect();
    if let [path] = cleaned.as_slice()
        && streams.is_empty()
        && own_name(&path.shown).is_none()
    {
        let directory = open(&path.real, Directory::open_path)?;
        let path = &path.shown;
        let attributes = Attributes::of_open(&directory).map_err(|e| source(path, e))?;
        let path = if path == b"." { Vec::new() } else { path.clone() };
        return Ok(Top::Directory { directory, attributes, path });
    }
    let stored = |(name, stream): &(CString, StoredStream)| TopName {
        name: name.clone(),
        prefix: Vec::new(),
        origin: Origin::Stored(*stream),
    };
    let mut names: Vec<TopName> = streams.iter().map(stored).collect();
    let mut first_error = None;
    for path in &cleaned {
        let found = match own_name(&path.shown) {
            Some(split) => named(path, split).map(|name| names.push(name)),
            None => content_of(path).map(|mut content| names.append(&mut content)),
        };
        if let Err(error) = found {
            let errno = match &error {
                ArchiveError::Source { errno, .. } => errno.unwrap_or(Errno::NOENT),
                _ => Errno::NOENT,
            };
            missing.push((path.shown.clone(), errno));
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error.filter(|_| names.is_empty()) {
        return Err(error);
    }
    names.sort_by(|a, b| name_order(a.name.to_bytes(), b.name.to_bytes()));
    for pair in names.windows(2) {
        if let [first, second] = pair
            && first.name == second.name
        {
            let [first_path, second_path] = [first, second].map(TopName::path);
            return Err(ArchiveError::SameName {
                first: first_path,
                second: second_path,
                name: first.name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(Top::Names(names))
}

impl TopName {
    fn path(&self) -> String {
        let path = [&self.prefix, self.name.to_bytes()].concat();
        String::from_utf8_lossy(&path).into_owned()
    }
}

/// Where the last component starts, if it can be a name.
fn own_name(path: &[u8]) -> Option<usize> {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    match &path[start..] {
        b"" | b"." | b".." => None,
        _ => Some(start),
    }
}

fn named(path: &Cleaned, split: usize) -> Result<TopName, ArchiveError> {
    let parent = &path.real[..own_name(&path.real).unwrap_or(path.real.len())];
    let parent = if parent.is_empty() { b".".as_slice() } else { parent };
    let parent = Arc::new(open(parent, Directory::open_for_lookup)?);
    let path = path.shown.as_slice();
    let (prefix, name) = path.split_at(split);
    let name = CString::new(name).map_err(|_| source(path, Errno::INVAL))?;
    parent.attributes_of(&name).map_err(|errno| source(path, errno))?;
    Ok(TopName { name, prefix: prefix.to_vec(), origin: Origin::In(parent) })
}

/// Everything in a directory.
fn content_of(path: &Cleaned) -> Result<Vec<TopName>, ArchiveError> {
    let parent = Arc::new(open(&path.real, Directory::open_path)?);
    let path = path.shown.as_slice();
    let names = parent.list(&mut Vec::new()).map_err(|errno| source(path, errno))?;
    let prefix = match path {
        b"." => Vec::new(),
        path if path.ends_with(b"/") => path.to_vec(),
        path => [path, b"/"].concat(),
    };
    let named = |name: &CStr| TopName {
        name: name.to_owned(),
        prefix: prefix.clone(),
        origin: Origin::In(Arc::clone(&parent)),
    };
    Ok((0..names.len()).filter_map(|position| names.get(position)).map(named).collect())
}

fn open(
    path: &[u8],
    how: fn(&CStr) -> Result<Directory, Errno>,
) -> Result<Directory, ArchiveError> {
    let path_text = CString::new(path).map_err(|_| source(path, Errno::INVAL))?;
    how(&path_text).map_err(|errno| source(path, errno))
}

fn source(path: &[u8], errno: Errno) -> ArchiveError {
    let path = String::from_utf8_lossy(path).into_owned();
    ArchiveError::Source { path, detail: words(errno), errno: Some(errno) }
}

/// Removes `.` components and double slashes, and trailing slashes. Unlike the original it keeps
/// `..`, which a symbolic link before it may turn into something else than the text suggests.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(path.len());
    if path.starts_with(b"/") {
        cleaned.push(b'/');
    }
    for component in path.split(|byte| *byte == b'/') {
        if component.is_empty() || component == b"." {
            continue;
        }
        if !cleaned.is_empty() && !cleaned.ends_with(b"/") {
            cleaned.push(b'/');
        }
        cleaned.extend_from_slice(component);
    }
    if cleaned.is_empty() {
        cleaned.push(b'.');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_text_only() {
        for (path, expected) in [
            ("a//b/./c/", "a/b/c"),
            ("/", "/"),
            ("//", "/"),
            ("", "."),
            ("./", "."),
            ("a/..", "a/.."),
            ("/a", "/a"),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn what_has_no_name_gives_its_content() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b", "a", "sub/c", "sub/a"] {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let names = |paths: &[&str]| -> Result<Vec<String>, ArchiveError> {
            let paths: Vec<_> = paths.iter().map(|path| place.path().join(path)).collect();
            let paths: Vec<_> = paths
                .into_iter()
                .map(|path| SourcePath { real: path.clone(), shown: path })
                .collect();
            match top_of(&paths, &[], &mut Vec::new())? {
                Top::Directory { .. } => Ok(vec!["the directory itself".to_owned()]),
                Top::Names(names) => Ok(names
                    .iter()
                    .map(|n| n.path().replace(&format!("{}/", place.path().display()), ""))
                    .collect()),
            }
        };
        assert_eq!(names(&["sub/.."]).unwrap(), ["the directory itself"]);
        assert_eq!(names(&["sub", "a"]).unwrap(), ["a", "sub"]);
        assert_eq!(names(&["b", "sub/../sub"]).unwrap(), ["b", "sub/../sub"]);
        let clash = names(&["a", "sub/a"]).unwrap_err().to_string();
        assert!(clash.contains("both be called \"a\""), "{clash}");
        assert!(names(&["nothing"]).unwrap_err().to_string().contains("no such file"));
    }
}
