//! A directory that was opened and listed, and its names looked up a run at a time.
//!
//! The same for whoever does it: a walker or the walk. What is wrong with a name is kept with it.

use std::ffi::CStr;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::error::ProblemKind;
use super::super::select::{Judgement, Selection};
use crate::format::name_order;
use crate::walk::{
    Attributes, DeviceNumber, Directory, Extended, ExtendedError, FileKind, NameList,
};

/// Names of a directory that are looked up together.
pub(in super::super) const NAMES_AT_ONCE: usize = 128;

/// What looking a name up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Looked {
    /// The selection leaves it out by its name: it was not looked up.
    Excluded,
    /// It is not among what is archived: the same.
    NotChosen,
    Failed(Errno),
    Found(Attributes),
}

/// A directory that is open, and what is in it.
pub(in super::super) struct Listing {
    /// Tells it from every other listing of this run.
    pub(in super::super) number: u64,
    pub(in super::super) directory: Arc<Directory>,
    /// In the order of the archive.
    pub(in super::super) names: Arc<NameList>,
    /// With a slash at the end, unless it is empty.
    path: Vec<u8>,
    /// Where the part of the path below the archived directory starts.
    below: usize,
    device: DeviceNumber,
}

/// Consecutive names of a directory, looked up.
pub(in super::super) struct Run {
    pub(in super::super) listing: Arc<Listing>,
    /// The position of the first of them.
    pub(super) first: usize,
    looked: Vec<Looked>,
}

/// A directory that was opened, and what it is.
pub(in super::super) struct Opened {
    pub(in super::super) directory: Directory,
    /// Of the open directory: a name may lead elsewhere than it did when it was looked up.
    pub(in super::super) attributes: Attributes,
}

/// Everything about a directory that is asked once.
pub(in super::super) struct Listed {
    pub(in super::super) attributes: Attributes,
    pub(in super::super) extended: Extended,
    pub(in super::super) extended_errors: Vec<ExtendedError>,
    /// Why its content is left out; then it was not listed.
    pub(in super::super) left_out: Option<ProblemKind>,
    /// Why there are no names.
    pub(in super::super) failure: Option<Errno>,
    pub(in super::super) listing: Arc<Listing>,
    /// The first names; none if there are no names.
    pub(in super::super) first: Option<Arc<Run>>,
}

/// How a directory is called; as in [`Listing`].
pub(in super::super) struct Called {
    pub(in super::super) number: u64,
    pub(in super::super) path: Vec<u8>,
    pub(in super::super) below: usize,
}

impl Opened {
    /// Opens a directory by its name, and only if it is a directory and no link.
    ///
    /// # Errors
    /// What the system says.
    pub(in super::super) fn open(parent: &Directory, name: &CStr) -> Result<Opened, Errno> {
        let directory = parent.open_child(name)?;
        let attributes = Attributes::of_open(&directory)?;
        Ok(Opened { directory, attributes })
    }

    /// Lists up to `most` names of the directory, and looks the first of them up.
    pub(super) fn list(
        self,
        called: Called,
        most: usize,
        selection: &Selection<'_>,
        buffer: &mut Vec<u8>,
    ) -> Box<Listed> {
        let Opened { directory, attributes } = &self;
        let mut extended = Extended::default();
        let mut extended_errors = Vec::new();
        let left_out = selection.leaves_out_content(directory, attributes);
        let mut listed = Ok(NameList::default());
        if left_out.is_none() {
            extended = Extended::of_open(directory, &mut extended_errors);
            listed = directory.list_some(most, buffer);
        }
        let (mut names, failure) = match listed {
            Ok(names) => (names, None),
            Err(errno) => (NameList::default(), Some(errno)),
        };
        names.sort_by(name_order);
        let attributes = *attributes;
        let listing = Arc::new(Listing::new(called, self, Arc::new(names)));
        let first =
            (!listing.names.is_empty()).then(|| Arc::new(Run::look_up(&listing, 0, selection)));
        Box::new(Listed {
            attributes,
            extended,
            extended_errors,
            left_out,
            failure,
            listing,
            first,
        })
    }
}

impl Listing {
    /// These names are in this directory.
    pub(in super::super) fn new(called: Called, opened: Opened, names: Arc<NameList>) -> Listing {
        let Called { number, path, below } = called;
        let device = opened.attributes.identity.device;
        Listing { number, directory: Arc::new(opened.directory), names, path, below, device }
    }
}

impl Run {
    /// Looks names up, from `first` on.
    pub(super) fn look_up(listing: &Arc<Listing>, first: usize, selection: &Selection<'_>) -> Run {
        let mut path = listing.path.clone();
        let mut look = |name: &CStr| {
            path.truncate(listing.path.len());
            path.extend_from_slice(name.to_bytes());
            match selection.judge(&path, listing.below) {
                Judgement::Kept => {}
                Judgement::Excluded => return Looked::Excluded,
                Judgement::NotChosen => return Looked::NotChosen,
            }
            match listing.directory.attributes_of(name) {
                Ok(found) if !selection.keeps_kind(&path, listing.below, found.kind) => {
                    Looked::Excluded
                }
                found => found.map_or_else(Looked::Failed, Looked::Found),
            }
        };
        let end = listing.names.len().min(first.saturating_add(NAMES_AT_ONCE));
        let mut looked = Vec::with_capacity(end.saturating_sub(first));
        let names = (first..end).filter_map(|position| listing.names.get(position));
        looked.extend(names.map(&mut look));
        Run { listing: Arc::clone(listing), first, looked }
    }

    /// How many names.
    pub(super) fn len(&self) -> usize {
        self.looked.len()
    }

    /// The position behind the last of them.
    pub(super) fn end(&self) -> usize {
        self.first + self.looked.len()
    }

    /// What became of the name at this position of the directory; none if it is of another run.
    pub(in super::super) fn looked(&self, position: usize) -> Option<Looked> {
        self.looked.get(position.checked_sub(self.first)?).copied()
    }

    /// The next directory that may be entered without asking the walk: behind another device
    /// number there is another file system, and the walk decides whether it is touched.
    pub(super) fn next_directory(&self, from: usize) -> Option<usize> {
        let enters = |looked: &Looked| match looked {
            Looked::Found(attributes) => {
                attributes.kind == FileKind::Directory
                    && attributes.identity.device == self.listing.device
            }
            Looked::Excluded | Looked::NotChosen | Looked::Failed(_) => false,
        };
        let skipped = from.saturating_sub(self.first);
        let rest = self.looked.get(skipped..)?;
        rest.iter().position(enters).map(|found| self.first + skipped + found)
    }

    /// Opens and lists the directory at `position`. None if the walk has to see to it: it is
    /// another one than was looked up, has more than `most` names, or something is short.
    pub(super) fn list_child(
        &self,
        position: usize,
        number: u64,
        most: usize,
        selection: &Selection<'_>,
        buffer: &mut Vec<u8>,
    ) -> Option<Result<Box<Listed>, Errno>> {
        let name = self.listing.names.get(position)?;
        let Some(Looked::Found(expected)) = self.looked(position) else { return None };
        match Opened::open(&self.listing.directory, name) {
            Ok(opened) => {
                let found = opened.attributes.identity;
                let path = [&self.listing.path, name.to_bytes(), b"/"].concat();
                let called = Called { number, path, below: self.listing.below };
                if found != expected.identity {
                    return None;
                }
                let listed = opened.list(called, most + 1, selection, buffer);
                (listed.listing.names.len() <= most).then_some(Ok(listed))
            }
            // More descriptors, or more memory, may be there when it is the walk's turn.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => None,
            Err(errno) => Some(Err(errno)),
        }
    }
}
