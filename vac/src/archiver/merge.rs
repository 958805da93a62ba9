//! Archives found while walking (`-m`): their content takes the place of the file that holds
//! their score.
//!
//! Nothing is copied: the topmost entries are put into the new directory, and what they lead to
//! is shared. Their qids are moved out of the way of those of the files around them.

use std::collections::{HashSet, VecDeque};
use std::ffi::{CStr, CString};

use rustix::io::pread;
use venti_proto::{BlockStore, Score};

use super::dump::list;
use super::known::KnownBlocks;
use super::old_entry::OldFile;
use super::old_listing::open_top;
use crate::format::{QidSpace, name_order};
use crate::walk::{Attributes, Directory, FileKind};

/// What the names of such files end in.
const SUFFIX: &[u8] = b".vac";
/// Where the qids of merged archives start: inodes are far below.
const FIRST_QID: u64 = 1 << 62;

/// What a directory gets from archives that were found in it.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// In the order of names.
    pub(super) files: VecDeque<OldFile>,
    /// Files that are not archived because what they name is.
    pub(super) taken: HashSet<CString>,
}

/// Finds archives and keeps their qids apart.
pub(super) struct Merger<'a> {
    store: &'a dyn BlockStore,
    known: KnownBlocks,
    next_qid: u64,
}

impl<'a> Merger<'a> {
    pub(super) fn new(store: &'a dyn BlockStore) -> Merger<'a> {
        Merger { store, known: KnownBlocks::default(), next_qid: FIRST_QID }
    }

    /// Adds the archive that `name` holds the score of, if it does; else it is a file like any
    /// other.
    pub(super) fn take(&mut self, directory: &Directory, name: &CStr, merged: &mut Merged) {
        if !name.to_bytes().ends_with(SUFFIX) {
            return;
        }
        let Some(score) = score_in(directory, name) else { return };
        let Some(files) = self.content(score) else { return };
        merged.files.extend(files);
        merged.taken.insert(name.to_owned());
    }

    /// What is at the top of an archive; none if there is no such archive in the store.
    fn content(&mut self, score: Score) -> Option<Vec<OldFile>> {
        let (_, top, entry) = open_top(self.store, score, &self.known).ok()?;
        let mut files = list(self.store, &top, &self.known).ok()?;
        let largest = entry.map_or(0, |dir| dir.qid_space.map_or(dir.qid, |space| space.max));
        let offset = self.next_qid;
        for file in &mut files {
            let space = file.dir.qid_space.unwrap_or(QidSpace { offset: 0, max: largest });
            file.dir.qid_space = Some(QidSpace {
                offset: space.offset.wrapping_add(offset),
                max: space.max.wrapping_add(offset),
            });
        }
        self.next_qid = offset.wrapping_add(largest).wrapping_add(1);
        Some(files)
    }
}

impl Merged {
    /// Puts what came from several archives into one order.
    pub(super) fn sort(&mut self) {
        let files = self.files.make_contiguous();
        files.sort_by(|a, b| name_order(&a.dir.name, &b.dir.name));
    }
}

/// The score in a file that holds one.
fn score_in(directory: &Directory, name: &CStr) -> Option<Score> {
    let file = directory.open_file(name).ok()?;
    if Attributes::of_open(&file).ok()?.kind != FileKind::Regular {
        return None;
    }
    let mut content = [0; 4 + 2 * Score::SIZE];
    let length = pread(&file, &mut content, 0).ok()?;
    let text = std::str::from_utf8(&content[..length]).ok()?;
    text.strip_prefix("vac:")?.parse().ok()
}
