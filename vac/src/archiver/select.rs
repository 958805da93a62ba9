//! Decides what is left out of the archive beside what can not be read.

use std::ffi::CString;

use rustix::io::pread;

use super::error::ProblemKind;
use super::options::Exclusions;
use crate::walk::{Attributes, Directory, FileKind};

/// How a file that marks a cache is called and how it starts (the Cache Directory Tagging
/// Specification).
const CACHE_TAG: &std::ffi::CStr = c"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Kept,
    /// By a pattern, which is told.
    Excluded,
    /// It is not among what is archived.
    NotChosen,
}

/// Whether a name leads to another file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    /// It does not.
    Same,
    /// To one that is entered.
    Entered,
    /// To one of this type, which is not.
    LeftOut(String),
}

/// [`Exclusions`] at work.
pub(super) struct Selection<'a> {
    exclusions: &'a Exclusions,
    marks: Vec<CString>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(exclusions: &'a Exclusions) -> Selection<'a> {
        let marks = exclusions.if_present.iter().filter_map(|m| CString::new(m.as_slice()).ok());
        Selection { exclusions, marks: marks.collect() }
    }

    /// `below` is where the part of the path below the archived directory starts.
    pub(super) fn judge(&self, path: &[u8], below: usize) -> Judgement {
        let Exclusions { patterns, chosen, .. } = self.exclusions;
        if chosen.as_ref().is_some_and(|chosen| !chosen.keeps(&path[below..])) {
            Judgement::NotChosen
        } else if patterns.is_empty() || patterns.keeps(path, &path[below..]) {
            Judgement::Kept
        } else {
            Judgement::Excluded
        }
    }

    /// The same once it is known what has the name.
    pub(super) fn keeps_kind(&self, path: &[u8], below: usize, kind: FileKind) -> bool {
        let patterns = &self.exclusions.patterns;
        kind != FileKind::Directory
            || patterns.is_empty()
            || patterns.keeps_directory(path, &path[below..])
    }

    pub(super) fn keeps_size(&self, attributes: &Attributes) -> bool {
        attributes.kind != FileKind::Regular
            || self.exclusions.larger_than.is_none_or(|limit| attributes.size <= limit)
    }

    /// Compares the devices of a directory and a name in it. An argument has no parent here: the
    /// file system that the user named is archived whatever it is.
    pub(super) fn crossing(&self, parent: Option<&Attributes>, child: &Attributes) -> Crossing {
        let Some(parent) = parent else { return Crossing::Same };
        if parent.identity.device == child.identity.device {
            return Crossing::Same;
        }
        match self.exclusions.file_systems.get(child.identity.device) {
            Some(mounted) if self.exclusions.one_file_system => {
                Crossing::LeftOut(mounted.kind.clone())
            }
            Some(mounted) if self.exclusions.file_systems.enters(&mounted.kind) => {
                Crossing::Entered
            }
            Some(mounted) => Crossing::LeftOut(mounted.kind.clone()),
            // Files in an overlay have other numbers than their directory.
            None if child.kind != FileKind::Directory => Crossing::Same,
            None if self.exclusions.one_file_system => Crossing::LeftOut("subvolume".to_owned()),
            None => Crossing::Entered,
        }
    }

    /// Why the content of an open directory is left out, if it is.
    pub(super) fn leaves_out_content(
        &self,
        directory: &Directory,
        attributes: &Attributes,
    ) -> Option<ProblemKind> {
        if self.exclusions.directories.contains(&attributes.identity) {
            return Some(ProblemKind::OwnStore);
        }
        if self.exclusions.caches && is_cache(directory) {
            return Some(ProblemKind::Marked(CACHE_TAG.to_bytes().to_vec()));
        }
        let mark = self.marks.iter().find(|mark| directory.attributes_of(mark).is_ok())?;
        Some(ProblemKind::Marked(mark.to_bytes().to_vec()))
    }
}

fn is_cache(directory: &Directory) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    directory
        .open_file(CACHE_TAG)
        .and_then(|file| pread(file, &mut start, 0))
        .is_ok_and(|length| length == start.len() && start == CACHE_SIGNATURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::{DeviceNumber, FileSystems};

    const TABLE: &[u8] = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw - proc proc rw\n\
        24 22 8:1 / /home rw - xfs /dev/sda1 rw\n";

    fn on(minor: u32, major: u32, kind: FileKind) -> Attributes {
        let file = std::fs::File::open("/").unwrap();
        let mut attributes = Attributes::of_open(&file).unwrap();
        attributes.identity.device = DeviceNumber { major, minor };
        attributes.kind = kind;
        attributes
    }

    #[test]
    fn only_asked_for_or_ordinary_file_systems_are_entered() {
        let mut exclusions =
            Exclusions { file_systems: FileSystems::parse(TABLE), ..Exclusions::default() };
        let directory = FileKind::Directory;
        let root = on(0, 254, directory);
        let (proc, home, unknown) =
            (on(21, 0, directory), on(1, 8, directory), on(99, 0, directory));
        let overlaid = on(99, 0, FileKind::Regular);
        let selection = Selection::new(&exclusions);
        let crossing = |child: &Attributes| selection.crossing(Some(&root), child);
        assert_eq!(crossing(&on(0, 254, directory)), Crossing::Same);
        assert_eq!(crossing(&proc), Crossing::LeftOut("proc".to_owned()));
        assert_eq!(crossing(&home), Crossing::Entered);
        assert_eq!(crossing(&unknown), Crossing::Entered);
        assert_eq!(crossing(&overlaid), Crossing::Same);
        assert_eq!(selection.crossing(None, &proc), Crossing::Same, "an argument is archived");
        exclusions.one_file_system = true;
        let selection = Selection::new(&exclusions);
        let crossing = |child: &Attributes| selection.crossing(Some(&root), child);
        assert_eq!(crossing(&home), Crossing::LeftOut("xfs".to_owned()));
        assert_eq!(crossing(&unknown), Crossing::LeftOut("subvolume".to_owned()));
        assert_eq!(crossing(&overlaid), Crossing::Same);
    }
}
