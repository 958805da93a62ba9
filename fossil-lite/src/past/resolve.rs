//! From a path to a file in a dump, by the symbolic links and directories of then.

use std::collections::VecDeque;

use vac::format::FileKind;

use super::inside::inside;
use crate::FileError;
use crate::dump::{DumpFile, Place, Tree};

/// Links that a path may lead through: the limit of Linux.
const MAX_LINKS: usize = 40;

/// The file that had `path` on the host, in the dump whose root is `root`. A link at the end is
/// followed only if `follow_last`; absolute links begin at the root of the host.
///
/// # Errors
/// [`FileError::NotFound`] and the like as stat(2), or why a directory can not be read.
pub fn resolve(
    tree: &Tree,
    root: &DumpFile,
    path: &[u8],
    follow_last: bool,
) -> Result<DumpFile, FileError> {
    let start = inside(root, path).ok_or(FileError::NotFound)?;
    let mut names: VecDeque<Vec<u8>> = split(&start).map(<[u8]>::to_vec).collect();
    let mut at = root.clone();
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == b".." {
            at = at.parent().cloned().unwrap_or(at);
            continue;
        }
        let Place::File(child) = tree.lookup(&Place::File(at.clone()), &name)? else {
            return Err(FileError::NotFound);
        };
        if child.node().kind() != FileKind::Symlink || (names.is_empty() && !follow_last) {
            at = child;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(FileError::TooManyLinks);
        }
        let mut target = child.node().link_target()?;
        if target.starts_with(b"/") {
            at = root.clone();
            // What lies outside of what was archived is not in the archive.
            target = inside(root, &target).ok_or(FileError::NotFound)?;
        }
        for name in split(&target).collect::<Vec<_>>().into_iter().rev() {
            names.push_front(name.to_vec());
        }
    }
    Ok(at)
}

/// The names of a path.
pub(super) fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}
