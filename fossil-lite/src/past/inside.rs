//! Where the files of a host are in its archives.
//!
//! An archive of `/` has every file under its path. One of `/usr/local` has `/usr/local/bin/x`
//! under `/local/bin/x`, or, if it was made of the content of that directory, under `/bin/x`. Its
//! name says which directory it is of ([`ArchiveName::sources`]), its top whether it is that.

use venti_proto::roots::ArchiveSource;

use crate::dump::DumpFile;

/// A directory of the host that an archive has.
#[derive(Debug)]
struct Part {
    /// Its path on the host; empty for `/`.
    host: Vec<u8>,
    /// Its path in the archive.
    archive: Vec<u8>,
}

/// Which directories of its host an archive has, and where.
#[derive(Debug)]
pub struct HostPaths {
    parts: Vec<Part>,
}

impl HostPaths {
    /// Those of the dump whose root this is.
    #[must_use]
    pub fn of(root: &DumpFile) -> HostPaths {
        HostPaths { parts: parts(root) }
    }

    /// The path, in the dump, of what has `path` on the host; `None` if the archive is of other
    /// files. Both begin with a slash.
    #[must_use]
    pub fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        let found = self.parts.iter().filter_map(|part| Some((part, below(&part.host, path)?)));
        let (part, rest) = found.max_by_key(|(part, _)| part.host.len())?;
        Some(rooted([&part.archive, rest].concat()))
    }

    /// The path on the host of what has `path` in the dump. The former has a slash at its front.
    #[must_use]
    pub fn outside(&self, path: &[u8]) -> Vec<u8> {
        let path = rooted(path.to_vec());
        let found = self.parts.iter().filter_map(|part| Some((part, below(&part.archive, &path)?)));
        match found.max_by_key(|(part, _)| part.archive.len()) {
            Some((part, rest)) => rooted([&part.host, rest].concat()),
            None => path,
        }
    }
}

/// [`HostPaths::inside`] of the dump whose root this is.
#[must_use]
pub fn inside(root: &DumpFile, path: &[u8]) -> Option<Vec<u8>> {
    HostPaths::of(root).inside(path)
}

/// [`HostPaths::outside`] of the dump whose root this is.
pub(super) fn outside(root: &DumpFile, path: &[u8]) -> Vec<u8> {
    HostPaths::of(root).outside(path)
}

fn parts(root: &DumpFile) -> Vec<Part> {
    let sources = root.dump().record.root.archive.sources();
    let alone = sources.len() == 1 && is_of_the_host(root);
    let part = |source| match source {
        ArchiveSource::Path(path) if !alone => {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            Part { archive: rooted(name.to_vec()), host: rooted(path) }
        }
        ArchiveSource::Path(path) => Part { host: rooted(path), archive: Vec::new() },
        ArchiveSource::Content(path) if path.is_empty() => {
            Part { host: Vec::new(), archive: Vec::new() }
        }
        ArchiveSource::Content(path) => Part { host: rooted(path), archive: Vec::new() },
        ArchiveSource::Other(text) => Part { archive: rooted(text.clone()), host: rooted(text) },
    };
    sources.into_iter().map(part).collect()
}

/// Whether the top of an archive is a directory of the host, and not made up for several names.
fn is_of_the_host(root: &DumpFile) -> bool {
    root.node().metadata().unix.as_ref().is_some_and(|unix| unix.identity.is_some())
}

/// What is left of a path behind a directory: nothing, or something with a slash at its front.
fn below<'a>(directory: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(directory)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

fn rooted(path: Vec<u8>) -> Vec<u8> {
    match path.starts_with(b"/") {
        true => path,
        false => [b"/", &path[..]].concat(),
    }
}
