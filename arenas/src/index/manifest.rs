//! The list of runs that count, and of the arenas that each covers.
//!
//! One small file, replaced whole (docs/store-format.md, "Index manifest"). A run binds itself to
//! its record by its identity, which is a hash of the arenas it covers: a manifest or a run of
//! another day is either still true, because sealed arenas never change, or does not match.

use super::SealedArena;
use super::error::{Damage, IndexError};
use super::layout::{Reader, Writer};
use super::page::RunIdentity;
use crate::disk::{Disk, OpenMode, read_exact_at, write_all_at};
use crate::names;

/// `vManife1`.
const MAGIC: u64 = u64::from_be_bytes(*b"vManife1");

/// Magic, sequence, runs.
const HEADER_SIZE: usize = 8 + 8 + 4;
/// Number, level, segment size, covered arenas.
const RECORD_SIZE: usize = 4 + 4 + 4 + 4;
/// Number, clumps, identity.
const ARENA_SIZE: usize = 4 + 4 + 16;
const CHECKSUM_SIZE: usize = 4;

/// More than ten million arenas: no store has a longer manifest.
const LONGEST: u64 = 256 << 20;

/// What the manifest says of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunRecord {
    /// Number in the run's file name, never used twice.
    pub(super) number: u32,
    /// How often its entries were merged.
    pub(super) level: u32,
    /// The most entries of one segment when it was written.
    pub(super) segment_entries: u32,
    /// The arenas all of whose blocks it has, in order of their numbers.
    pub(super) covered: Vec<SealedArena>,
}

/// The runs that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Counts the manifests of this store.
    pub(super) sequence: u64,
    pub(super) runs: Vec<RunRecord>,
}

impl RunRecord {
    /// The hash that every page of the run is bound to.
    pub(super) fn identity(&self) -> RunIdentity {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"venti index run, format 1\n");
        hasher.update(&self.number.to_be_bytes());
        hasher.update(&self.segment_entries.to_be_bytes());
        for arena in &self.covered {
            hasher.update(&encode_arena(arena));
        }
        let mut identity = [0; 16];
        hasher.finalize_xof().fill(&mut identity);
        RunIdentity(identity)
    }
}

impl Manifest {
    /// Reads the manifest of a store; `None` where there is none.
    pub(super) fn read(disk: &dyn Disk) -> Result<Option<Manifest>, Damage> {
        let file = match disk.open(names::INDEX_MANIFEST, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.len()?;
        if length > LONGEST {
            return Err(Damage::Length { part: "manifest", found: length, expected: LONGEST });
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(Damage::Field { part: "manifest", field: "length", found: length });
        };
        let mut bytes = vec![0; length];
        read_exact_at(&*file, &mut bytes, 0)?;
        Manifest::decode(&bytes).map(Some)
    }

    /// Replaces the manifest. When this returns, the new one is durable.
    pub(super) fn write(&self, disk: &dyn Disk) -> Result<(), IndexError> {
        let file = disk.open(names::INDEX_MANIFEST_TEMPORARY, OpenMode::Create)?;
        write_all_at(&*file, &self.encode(), 0)?;
        file.sync_data()?;
        disk.rename(names::INDEX_MANIFEST_TEMPORARY, names::INDEX_MANIFEST)?;
        disk.sync_dir(names::INDEX)?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let arenas: usize = self.runs.iter().map(|run| run.covered.len()).sum();
        let size = HEADER_SIZE + self.runs.len() * RECORD_SIZE + arenas * ARENA_SIZE;
        let mut bytes = vec![0; size];
        let mut fields = Writer { rest: &mut bytes };
        fields.put(MAGIC.to_be_bytes());
        fields.put(self.sequence.to_be_bytes());
        fields.put(count(self.runs.len()));
        for run in &self.runs {
            fields.put(run.number.to_be_bytes());
            fields.put(run.level.to_be_bytes());
            fields.put(run.segment_entries.to_be_bytes());
            fields.put(count(run.covered.len()));
            for arena in &run.covered {
                fields.put(encode_arena(arena));
            }
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, Damage> {
        let short = Damage::Length {
            part: "manifest",
            found: bytes.len() as u64,
            expected: (HEADER_SIZE + CHECKSUM_SIZE) as u64,
        };
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_SIZE>().ok_or(short)?;
        let found = u32::from_be_bytes(*checksum);
        let expected = crc32c::crc32c(body);
        if found != expected {
            return Err(Damage::Checksum { part: "manifest", page: 0, found, expected });
        }
        let mut fields = Reader { rest: body };
        let magic = u64::from_be_bytes(fields.take()?);
        if magic != MAGIC {
            return Err(Damage::Magic { part: "manifest", found: magic, expected: MAGIC });
        }
        let sequence = u64::from_be_bytes(fields.take()?);
        let runs = u32::from_be_bytes(fields.take()?);
        let runs = (0..runs).map(|_| decode_record(&mut fields)).collect::<Result<_, _>>()?;
        if !fields.rest.is_empty() {
            let found = fields.rest.len() as u64;
            return Err(Damage::Length { part: "end of manifest", found, expected: 0 });
        }
        Ok(Manifest { sequence, runs })
    }
}

fn decode_record(fields: &mut Reader<'_>) -> Result<RunRecord, Damage> {
    let number = u32::from_be_bytes(fields.take()?);
    let level = u32::from_be_bytes(fields.take()?);
    let segment_entries = u32::from_be_bytes(fields.take()?);
    let arenas = u32::from_be_bytes(fields.take()?);
    let room = fields.rest.len() / ARENA_SIZE;
    if arenas as usize > room {
        let found = u64::from(arenas);
        return Err(Damage::Field { part: "manifest", field: "covered arenas", found });
    }
    let covered = (0..arenas).map(|_| decode_arena(fields)).collect::<Result<_, _>>()?;
    Ok(RunRecord { number, level, segment_entries, covered })
}

fn encode_arena(arena: &SealedArena) -> [u8; ARENA_SIZE] {
    let mut bytes = [0; ARENA_SIZE];
    let mut fields = Writer { rest: &mut bytes };
    fields.put(arena.number.to_be_bytes());
    fields.put(arena.clumps.to_be_bytes());
    fields.put(arena.identity);
    bytes
}

fn decode_arena(fields: &mut Reader<'_>) -> Result<SealedArena, Damage> {
    Ok(SealedArena {
        number: u32::from_be_bytes(fields.take()?),
        clumps: u32::from_be_bytes(fields.take()?),
        identity: fields.take()?,
    })
}

/// A count of things of which there are fewer than four thousand million, because each has a
/// number of 32 bits.
fn count(things: usize) -> [u8; 4] {
    u32::try_from(things).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let arena = |number| SealedArena { number, identity: [9; 16], clumps: 100 };
        let record = |number, covered| RunRecord { number, level: 1, segment_entries: 8, covered };
        let runs = vec![record(4, vec![arena(1), arena(2)]), record(5, vec![arena(3)])];
        Manifest { sequence: 77, runs }
    }

    #[test]
    fn comes_back() {
        for manifest in [Manifest::default(), example()] {
            assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes() {
        let mut bytes = example().encode();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused_even_with_a_good_checksum() {
        let good = example().encode();
        for at in [16, HEADER_SIZE + 12] {
            let mut bytes = good[..good.len() - 4].to_vec();
            bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
            let checksum = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&checksum.to_be_bytes());
            assert!(Manifest::decode(&bytes).is_err(), "count at {at}");
        }
    }

    #[test]
    fn identity_depends_on_the_arenas() {
        let record = example().runs.swap_remove(0);
        let mut other = record.clone();
        other.covered[1].identity[0] ^= 1;
        assert_ne!(record.identity(), other.identity());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_with_a_good_checksum_do_no_harm(
            body in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..300),
            start in 0_usize..60,
        ) {
            let mut bytes = example().encode()[..start].to_vec();
            bytes.extend_from_slice(&body);
            let checksum = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&checksum.to_be_bytes());
            if let Ok(manifest) = Manifest::decode(&bytes) {
                proptest::prop_assert_eq!(manifest.encode(), bytes);
            }
        }
    }
}
