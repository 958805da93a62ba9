//! The inode numbers that the kernel holds, and what they stand for.
//!
//! A number is a hash of what makes the file, so it is the same in every mount. Should two have
//! the same, the second gets the next one that is free: within a mount no number ever stands for
//! two files.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::dump::{Attributes, FileId, Place};

/// What makes an inode that inode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    Root,
    /// A version of a file, in whichever dump.
    File(FileId),
    /// A directory in a directory. Of a dump also which one, for a day may be cut anew.
    Directory {
        parent: u64,
        name: Vec<u8>,
        dump: Option<u64>,
    },
}

struct Inode {
    identity: Identity,
    place: Place,
    /// How often the kernel was told of it, less how often it forgot.
    lookups: u64,
}

pub(super) struct Inodes {
    known: Mutex<HashMap<u64, Inode>>,
}

/// The kernel's number for the root.
pub(super) const ROOT: u64 = 1;

impl Inodes {
    pub(super) fn new(root: Place) -> Inodes {
        let root = Inode { identity: Identity::Root, place: root, lookups: 1 };
        Inodes { known: Mutex::new(HashMap::from([(ROOT, root)])) }
    }

    /// What a number stands for.
    pub(super) fn place(&self, inode: u64) -> Option<Place> {
        self.known.lock().get(&inode).map(|inode| inode.place.clone())
    }

    /// The number of a file that the kernel is told of; it counts as one lookup.
    pub(super) fn tell(
        &self,
        parent: u64,
        name: &[u8],
        place: &Place,
        attributes: &Attributes,
    ) -> u64 {
        let (mut inode, identity) = identify(parent, name, place, attributes);
        let mut known = self.known.lock();
        loop {
            let found = known.entry(inode).or_insert_with(|| Inode {
                identity: identity.clone(),
                place: place.clone(),
                lookups: 0,
            });
            if found.identity == identity {
                if let Place::Dump(..) = found.place {
                    found.place = place.clone();
                }
                found.lookups += 1;
                return inode;
            }
            inode = inode.wrapping_add(1).max(2);
        }
    }

    /// The number that a file would get, without telling the kernel of it.
    pub(super) fn number(parent: u64, name: &[u8], place: &Place, attributes: &Attributes) -> u64 {
        identify(parent, name, place, attributes).0
    }

    /// The number by which the kernel knows a file, if it does.
    pub(super) fn known(&self, attributes: &Attributes) -> Option<u64> {
        let (inode, identity) = identify_file(attributes.id);
        let known = self.known.lock();
        known.get(&inode).filter(|found| found.identity == identity).map(|_| inode)
    }

    /// The kernel does not hold a number any more, or holds it less.
    pub(super) fn forget(&self, inode: u64, lookups: u64) {
        let mut known = self.known.lock();
        if let Some(found) = known.get_mut(&inode) {
            found.lookups = found.lookups.saturating_sub(lookups);
            if found.lookups == 0 && inode != ROOT {
                known.remove(&inode);
            }
        }
    }
}

fn identify(parent: u64, name: &[u8], place: &Place, attributes: &Attributes) -> (u64, Identity) {
    if !attributes.is_directory() {
        return identify_file(attributes.id);
    }
    let dump = match place {
        Place::Dump(_, dump) => Some(dump.record.sequence),
        Place::File(file) if file.parent().is_none() => Some(file.dump().record.sequence),
        _ => None,
    };
    let mut bytes = [&b"directory"[..], &parent.to_be_bytes()].concat();
    bytes.extend(dump.iter().flat_map(|sequence| sequence.to_be_bytes()));
    bytes.extend(name);
    (number(&bytes), Identity::Directory { parent, name: name.to_vec(), dump })
}

fn identify_file(id: FileId) -> (u64, Identity) {
    let FileId { path, version } = id;
    let bytes = [&b"file"[..], &path.to_be_bytes(), &version.to_be_bytes()].concat();
    (number(&bytes), Identity::File(id))
}

fn number(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vac::format::{FileKind, Timestamp};

    fn file(path: u64, version: u64) -> Attributes {
        let directory = Attributes::synthetic(path, Timestamp::default());
        Attributes { id: FileId { path, version }, kind: FileKind::Regular, ..directory }
    }

    #[test]
    fn a_version_has_one_number_and_a_directory_one_for_each_place() {
        let inodes = Inodes::new(Place::Top);
        let tell = |parent, name: &[u8], attributes: &Attributes| {
            inodes.tell(parent, name, &Place::Top, attributes)
        };
        let one = tell(1, b"a", &file(7, 1));
        assert_eq!(tell(2, b"b", &file(7, 1)), one, "the same version elsewhere");
        assert_ne!(tell(1, b"a", &file(7, 2)), one, "another version");
        let near = tell(1, b"a", &file(7, 1 << 32 | 1));
        assert_ne!(near, one, "what 9P shows of both is the same");
        let directory = Attributes::synthetic(7, Timestamp::default());
        assert_ne!(tell(1, b"a", &directory), tell(2, b"a", &directory));
        assert_eq!(Inodes::number(1, b"a", &Place::Top, &file(7, 1)), one);
        assert_eq!(inodes.known(&file(7, 1)), Some(one));
        inodes.forget(one, 1);
        assert!(inodes.place(one).is_some());
        inodes.forget(one, 1);
        assert!(inodes.place(one).is_none() && inodes.known(&file(7, 1)).is_none());
        inodes.forget(ROOT, u64::MAX);
        assert!(inodes.place(ROOT).is_some());
    }

    #[test]
    fn numbers_that_collide_are_told_apart() {
        let inodes = Inodes::new(Place::Top);
        let wanted = Inodes::number(1, b"a", &Place::Top, &file(7, 1));
        let other = Inode { identity: Identity::Root, place: Place::Top, lookups: 1 };
        inodes.known.lock().insert(wanted, other);
        assert_eq!(inodes.tell(1, b"a", &Place::Top, &file(7, 1)), wanted + 1);
        assert_eq!(inodes.tell(1, b"a", &Place::Top, &file(7, 1)), wanted + 1);
        assert_eq!(inodes.known(&file(7, 1)), None, "the first of the two numbers is another's");
    }
}
