//! The other name of a file: what it was called in the dump before, or is called in the one after.
//!
//! A file that is not under its name in a neighbouring dump is looked for by its identity
//! ([`crate::dump::FileId`]): in the directory that it would be in, under whatever name that has
//! there, and then in every directory that differs between the two dumps. A directory with equal
//! keys on both sides has lost and got nothing, and is not entered. A name that the file has on
//! both sides is a link to it, and no other name of it.

use vac::format::Timestamp;

use super::inside::outside;
use crate::FileError;
use crate::dump::{Dump, DumpFile, Place, Tree};

/// Where a file is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// In the directory that it would be in.
    Directory,
    /// In every directory that differs, too.
    Everywhere,
}

/// The path on the host, in the dump whose root is `there`, of the file that is `file` in another dump of the
/// same host; `None` if that dump has no such file, or has it under its name in the other as well.
///
/// # Errors
/// If a directory can not be read.
pub(super) fn other_name(
    tree: &Tree,
    file: &DumpFile,
    there: &DumpFile,
    reach: Reach,
) -> Result<Option<Vec<u8>>, FileError> {
    let Some(parent) = file.parent() else { return Ok(None) };
    let search = Search { tree, here: file.root_of_dump(), there, wanted: file.id().path };
    if let Some(directory) = search.counterpart(parent)?
        && let Some(found) = search.look_into(&directory)?
    {
        return Ok(Some(found));
    }
    match reach {
        Reach::Directory => Ok(None),
        Reach::Everywhere => search.look_everywhere(),
    }
}

/// Whether a file was made after one dump and before the next, if both clocks are right: then the
/// older dump has it under no name. A file that seems to be younger than the dump which has it
/// says that they are not.
pub(super) fn made_between(born: Option<Timestamp>, older: &Dump, newer: &Dump) -> bool {
    let nanoseconds =
        |born: Timestamp| i128::from(born.seconds) * 1_000_000_000 + i128::from(born.nanoseconds);
    born.map(nanoseconds).is_some_and(|born| {
        i128::from(older.record.time) < born && born <= i128::from(newer.record.time)
    })
}

struct Search<'a> {
    tree: &'a Tree,
    /// The root of the dump where the file's name is known.
    here: &'a DumpFile,
    /// The root of the one where it is not.
    there: &'a DumpFile,
    /// The identity of the file.
    wanted: u64,
}

impl Search<'_> {
    /// The directory there that is `directory` here, whatever its name is inside of its own
    /// counterpart; or else the one that has its name.
    fn counterpart(&self, directory: &DumpFile) -> Result<Option<DumpFile>, FileError> {
        let Some(parent) = directory.parent() else { return Ok(Some(self.there.clone())) };
        let Some(parent) = self.counterpart(parent)? else { return Ok(None) };
        let wanted = directory.id().path;
        let same = |child: &DumpFile| child.node().is_directory() && child.id().path == wanted;
        let named = self.child(&parent, directory.node().name())?;
        let named = named.filter(|named| named.node().is_directory());
        if named.as_ref().is_some_and(same) {
            return Ok(named);
        }
        Ok(self.children(&parent, same)?.pop().or(named))
    }

    /// The path of the file in a directory there.
    fn look_into(&self, directory: &DumpFile) -> Result<Option<Vec<u8>>, FileError> {
        let wanted = |child: &DumpFile| child.id().path == self.wanted;
        for child in self.children(directory, wanted)? {
            if let Some(found) = self.accept(&child)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Goes down both dumps side by side wherever they differ.
    fn look_everywhere(&self) -> Result<Option<Vec<u8>>, FileError> {
        let mut waiting = vec![(self.there.clone(), Some(self.here.clone()))];
        while let Some((there, here)) = waiting.pop() {
            if here.as_ref().is_some_and(|here| here.content_key() == there.content_key()) {
                continue;
            }
            let of_interest =
                |child: &DumpFile| child.node().is_directory() || child.id().path == self.wanted;
            for child in self.children(&there, of_interest)? {
                if let Some(found) = self.accept(&child)? {
                    return Ok(Some(found));
                }
                if child.node().is_directory() {
                    let same = match &here {
                        Some(here) => self.child(here, child.node().name())?,
                        None => None,
                    };
                    waiting.push((child, same.filter(|same| same.node().is_directory())));
                }
            }
        }
        Ok(None)
    }

    /// The path of what was found there, if it is the file and has not this name here.
    fn accept(&self, found: &DumpFile) -> Result<Option<Vec<u8>>, FileError> {
        if found.id().path != self.wanted {
            return Ok(None);
        }
        let path = found.path();
        let mut here = Some(self.here.clone());
        for name in path.split(|byte| *byte == b'/') {
            here = match here {
                Some(directory) => self.child(&directory, name)?,
                None => break,
            };
        }
        let is_link = here.is_some_and(|here| here.id().path == self.wanted);
        Ok((!is_link).then(|| outside(self.there, &path)))
    }

    fn child(&self, directory: &DumpFile, name: &[u8]) -> Result<Option<DumpFile>, FileError> {
        match self.tree.lookup(&Place::File(directory.clone()), name) {
            Ok(Place::File(child)) => Ok(Some(child)),
            Ok(_) | Err(FileError::NotFound | FileError::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The children that are of interest: a directory may have more than fit into memory.
    fn children(
        &self,
        directory: &DumpFile,
        of_interest: impl Fn(&DumpFile) -> bool,
    ) -> Result<Vec<DumpFile>, FileError> {
        let mut children = Vec::new();
        self.tree.list(&Place::File(directory.clone()), 0, &mut |_, place, _| {
            if let Place::File(child) = place
                && of_interest(&child)
            {
                children.push(child);
            }
            true
        })?;
        Ok(children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venti_proto::Score;
    use venti_proto::roots::{Completeness, MemoryRootLog, NewRoot, RootLog};

    #[test]
    fn a_file_that_was_made_between_two_dumps_was_not_in_the_older() {
        let dump = |seconds: i64| {
            let log = MemoryRootLog::new("UTC", move || seconds * 1_000_000_000);
            let root = NewRoot {
                host: "moby".parse().unwrap(),
                archive: "-".parse().unwrap(),
                score: Score::ZERO,
                bytes: 0,
                files: 0,
                completeness: Completeness::Complete,
            };
            let record = log.record(&root).unwrap();
            Dump { name: "2004/0611".parse().unwrap(), record }
        };
        let (older, newer) = (dump(100), dump(200));
        let at = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
        assert!(made_between(at(100, 1), &older, &newer));
        assert!(made_between(at(200, 0), &older, &newer));
        assert!(!made_between(at(100, 0), &older, &newer), "it may be in both");
        assert!(!made_between(at(200, 1), &older, &newer), "the clocks do not agree");
        assert!(!made_between(None, &older, &newer));
    }
}
