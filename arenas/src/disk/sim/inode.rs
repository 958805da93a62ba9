//! One simulated file: what programs see, what would survive, and what is between the two.

use std::ops::Range;

use super::random::Random;

/// The unit in which a disk takes a write or does not.
const SECTOR: usize = 512;

/// A change that no sync has made durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

/// A file. `cached` is what reads return, as the page cache does.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Bytes that the disk can not read any more.
    unreadable: Vec<Range<usize>>,
    pub(super) read_only: bool,
}

/// How kind one power failure is to one file.
#[derive(Clone, Copy)]
enum Survival {
    Nothing,
    Everything,
    /// Each sector with this chance of 8.
    Sectors(usize),
    /// The writes in order up to one that is torn at some byte.
    Prefix(usize),
}

impl Inode {
    /// A file that is durable from the start.
    pub(super) fn with(contents: Vec<u8>) -> Inode {
        Inode { durable: contents.clone(), cached: contents, ..Inode::default() }
    }

    pub(super) fn contents(&self) -> &[u8] {
        &self.cached
    }

    /// Whether any of these bytes lies in a bad sector.
    pub(super) fn is_unreadable(&self, bytes: &Range<usize>) -> bool {
        self.unreadable.iter().any(|bad| bad.start < bytes.end && bytes.start < bad.end)
    }

    pub(super) fn break_sectors(&mut self, bytes: Range<usize>) {
        self.unreadable.push(bytes);
    }

    pub(super) fn write(&mut self, data: &[u8], offset: usize) {
        apply_write(&mut self.cached, data, offset);
        self.pending.push(Change::Write { offset, data: data.to_vec() });
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.cached.resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, data } => apply_write(&mut self.durable, &data, offset),
                Change::Length(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// A sync that fails: some of the pending bytes reach the disk, and all count as clean.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.surviving(random);
        self.pending.clear();
    }

    /// Changes both what is read and what is durable, as a bad disk does with what it has got.
    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.cached);
        self.durable = self.cached.clone();
        self.pending.clear();
    }

    /// What a power failure leaves.
    pub(super) fn after_power_loss(&self, random: &mut Random) -> Inode {
        let (read_only, unreadable) = (self.read_only, self.unreadable.clone());
        Inode { read_only, unreadable, ..Inode::with(self.surviving(random)) }
    }

    fn surviving(&self, random: &mut Random) -> Vec<u8> {
        let mut contents = self.durable.clone();
        if self.pending.is_empty() {
            return contents;
        }
        let survival = match random.below(6) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            2 => Survival::Prefix(random.below(self.pending.len())),
            3 => Survival::Sectors(7),
            _ => Survival::Sectors(1 + random.below(7)),
        };
        // The file's size and its bytes reach the disk on their own ways: unwritten sectors
        // read as zeros, or as what lay there before.
        let garbage = random.chance(1, 4).then(|| random.next());
        let (least, most) = self.size_range();
        for (number, change) in self.pending.iter().enumerate() {
            match change {
                Change::Length(length) => {
                    if survives(survival, number, random) {
                        contents.resize(*length, 0);
                    }
                }
                Change::Write { offset, data } => {
                    self.write_partly(&mut contents, data, *offset, survival, number, random);
                }
            }
        }
        match survival {
            Survival::Nothing => contents = self.durable.clone(),
            Survival::Everything => contents = self.cached.clone(),
            _ => {
                let size = least + random.below(most - least + 1);
                let written = contents.len();
                contents.resize(size.max(written.min(most)).max(least), 0);
                if let Some(garbage) = garbage {
                    fill_with_garbage(&mut contents, written, garbage, &self.cached);
                }
                if random.chance(1, 3) {
                    contents.truncate(size);
                }
            }
        }
        contents
    }

    /// The smallest and the largest size that the file had since it was last synced.
    fn size_range(&self) -> (usize, usize) {
        let (mut size, mut least, mut most) =
            (self.durable.len(), self.durable.len(), self.durable.len());
        for change in &self.pending {
            size = match change {
                Change::Write { offset, data } => size.max(offset + data.len()),
                Change::Length(length) => *length,
            };
            least = least.min(size);
            most = most.max(size);
        }
        (least, most)
    }

    fn write_partly(
        &self,
        contents: &mut Vec<u8>,
        data: &[u8],
        offset: usize,
        survival: Survival,
        number: usize,
        random: &mut Random,
    ) {
        if let Survival::Prefix(torn) = survival {
            let kept = match number.cmp(&torn) {
                std::cmp::Ordering::Less => data.len(),
                std::cmp::Ordering::Equal => random.below(data.len() + 1),
                std::cmp::Ordering::Greater => 0,
            };
            if kept > 0 {
                apply_write(contents, &data[..kept], offset);
            }
            return;
        }
        let mut start = 0;
        while start < data.len() {
            let end = ((offset + start) / SECTOR * SECTOR + SECTOR - offset).min(data.len());
            if survives(survival, number, random) {
                let torn = random.chance(1, 16);
                let kept = if torn { start + random.below(end - start) } else { end };
                apply_write(contents, &data[start..kept], offset + start);
            }
            start = end;
        }
    }
}

fn survives(survival: Survival, number: usize, random: &mut Random) -> bool {
    match survival {
        Survival::Nothing => false,
        Survival::Everything => true,
        Survival::Sectors(chance) => random.chance(chance, 8),
        Survival::Prefix(torn) => number < torn,
    }
}

fn apply_write(contents: &mut Vec<u8>, data: &[u8], offset: usize) {
    let end = offset + data.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[offset..end].copy_from_slice(data);
}

/// Old bytes of the same file at another place: whole records among them, in the wrong place.
fn fill_with_garbage(contents: &mut [u8], from: usize, seed: u64, old: &[u8]) {
    if old.is_empty() {
        return;
    }
    let shift = Random::new(seed).below(old.len());
    let start = from.min(contents.len());
    for (place, byte) in contents[start..].iter_mut().enumerate() {
        *byte = old[(shift + place) % old.len()];
    }
}
