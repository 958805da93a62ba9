//! The file `roots/seen`: how far the log of blocks was looked through for records.
//!
//! It saves time and nothing else: one that is missing, damaged or of another store is none. The
//! bytes are in docs/roots.md.

use super::Seal;
use super::recover::START;
use crate::Location;
use crate::disk::{Disk, DiskResult, OpenMode, read_exact_at, write_all_at};
use crate::names;

const MAGIC: [u8; 8] = *b"VTSEEN\x00\x01";
const SIZE: usize = MAGIC.len() + 4 + 8 + size_of::<Seal>();

/// How far it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// No arena before this one has a record with the number `next` or a greater one.
    pub(super) arena: u32,
    /// Records that the log had.
    pub(super) next: u64,
}

impl Seen {
    /// Where to go on.
    pub(super) const fn place(self) -> Location {
        Location { arena: self.arena, ..START }
    }

    fn encode(self, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.arena.to_be_bytes());
        bytes.extend_from_slice(&self.next.to_be_bytes());
        let seal = blake3::keyed_hash(key, &bytes);
        bytes.extend_from_slice(seal.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SIZE], key: &[u8; 32]) -> Option<Seen> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (arena, rest) = rest.split_first_chunk()?;
        let (next, _) = rest.split_first_chunk()?;
        let seen = Seen { arena: u32::from_be_bytes(*arena), next: u64::from_be_bytes(*next) };
        (seen.encode(key) == bytes).then_some(seen)
    }
}

pub(super) fn load(disk: &dyn Disk, key: &[u8; 32]) -> Option<Seen> {
    let file = disk.open(names::ROOTS_SEEN, OpenMode::Read).ok()?;
    let mut bytes = [0; SIZE];
    read_exact_at(&*file, &mut bytes, 0).ok()?;
    Seen::decode(&bytes, key)
}

pub(super) fn store(disk: &dyn Disk, key: &[u8; 32], seen: Seen) -> DiskResult<()> {
    let file = disk.open(names::ROOTS_SEEN_TEMPORARY, OpenMode::Create)?;
    write_all_at(&*file, &seen.encode(key), 0)?;
    file.sync_data()?;
    disk.rename(names::ROOTS_SEEN_TEMPORARY, names::ROOTS_SEEN)?;
    disk.sync_dir(names::ROOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn what_is_not_as_it_was_written_is_not_believed() {
        let disk = SimDisk::new(1);
        disk.create_dir(names::ROOTS).unwrap();
        let (key, seen) = ([1; 32], Seen { arena: 7, next: 70 });
        assert_eq!(load(&disk, &key), None);
        store(&disk, &key, seen).unwrap();
        assert_eq!(load(&disk, &key), Some(seen));
        assert_eq!(load(&disk, &[2; 32]), None);
        for position in 0..SIZE {
            for cut in [true, false] {
                let image = disk.kill();
                image.damage(names::ROOTS_SEEN, |bytes| match cut {
                    true => bytes.truncate(position),
                    false => bytes[position] ^= 1,
                });
                assert_eq!(load(&image, &key), None, "{position} {cut}");
            }
        }
    }
}
