//! From a path to a file in a dump, by the symbolic links and directories of then.

use std::collections::VecDeque;

use vac::format::FileKind;

use super::inside::HostPaths;
use crate::FileError;
use crate::dump::{DumpFile, Place, Tree};

/// Links that a path may lead through: the limit of Linux.
const MAX_LINKS: usize = 40;

/// The file that had `path` on the host, in the dump whose root is `root`. A link at the end is
/// followed only if `follow_last`; absolute links begin at the root of the host. On the way the
/// path may lead out of what was archived, and in again.
///
/// # Errors
/// [`FileError::NotFound`] and the like as stat(2), or why a directory can not be read.
pub fn resolve(
    tree: &Tree,
    root: &DumpFile,
    path: &[u8],
    follow_last: bool,
) -> Result<DumpFile, FileError> {
    let archive = Archive { tree, root, paths: HostPaths::of(root) };
    let mut names: VecDeque<Vec<u8>> = split(path).map(<[u8]>::to_vec).collect();
    // Where the way has come to on the host, and the file there if it was archived.
    let mut here = Vec::new();
    let mut at = archive.at(&here)?;
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == b".." {
            if at.is_some_and(|at| !at.node().is_directory()) {
                return Err(FileError::NotADirectory);
            }
            here.truncate(here.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            at = archive.at(&here)?;
            continue;
        }
        let next = [&here[..], b"/", &name].concat();
        let child = archive.child(at.as_ref(), &name, &next)?;
        let is_last = names.is_empty();
        let link = child
            .as_ref()
            .filter(|child| child.node().kind() == FileKind::Symlink && (!is_last || follow_last));
        let Some(link) = link else {
            (here, at) = (next, child);
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(FileError::TooManyLinks);
        }
        let target = link.node().link_target()?;
        if target.starts_with(b"/") {
            here.clear();
            at = archive.at(&here)?;
        }
        for name in split(&target).collect::<Vec<_>>().into_iter().rev() {
            names.push_front(name.to_vec());
        }
    }
    at.ok_or(FileError::NotFound)
}

/// An archive, by the paths of its host.
struct Archive<'a> {
    tree: &'a Tree,
    root: &'a DumpFile,
    paths: HostPaths,
}

impl Archive<'_> {
    /// What has this path, on which there are no links; `None` if it is outside of what was
    /// archived.
    fn at(&self, host: &[u8]) -> Result<Option<DumpFile>, FileError> {
        let Some(place) = self.paths.inside(host) else { return Ok(None) };
        let mut at = self.root.clone();
        for name in split(&place) {
            at = self.lookup(&at, name)?;
        }
        Ok(Some(at))
    }

    /// The same for a name in a directory, of which both paths are known.
    fn child(
        &self,
        directory: Option<&DumpFile>,
        name: &[u8],
        host: &[u8],
    ) -> Result<Option<DumpFile>, FileError> {
        let Some(directory) = directory else { return self.at(host) };
        let above = directory.path();
        let slash: &[u8] = if above.is_empty() { b"" } else { b"/" };
        match self.paths.inside(host) {
            // An archive may have a directory and one below that beside each other.
            Some(place) if place != [b"/", &above[..], slash, name].concat() => self.at(host),
            _ => self.lookup(directory, name).map(Some),
        }
    }

    fn lookup(&self, directory: &DumpFile, name: &[u8]) -> Result<DumpFile, FileError> {
        match self.tree.lookup(&Place::File(directory.clone()), name)? {
            Place::File(child) => Ok(child),
            _ => Err(FileError::NotFound),
        }
    }
}

/// The names of a path.
pub(super) fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}
