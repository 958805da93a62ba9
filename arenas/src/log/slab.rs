//! Clumps made ready by one thread, outside of any lock, to be appended with one write.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use venti_proto::MAX_BLOCK_SIZE;

use crate::Location;
use crate::clump::{CLUMP_HEADER_SIZE, ClumpHeader, ClumpInfo, Codec};
use crate::fields::StoreIdentity;

/// Bytes that are appended at once, but for the last clump.
pub(crate) const SLAB_SIZE: usize = 1 << 20;

/// A block that LZ4 does not make smaller by this many percent is stored as it is.
const LEAST_GAIN: usize = 6;

/// One clump of a slab, its header not yet written: the place is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlabClump {
    pub(crate) info: ClumpInfo,
    /// Which block of the caller's batch it is.
    pub(crate) position: usize,
    /// Where it starts in the slab.
    pub(crate) start: usize,
}

/// A buffer of clumps that is used again and again.
pub(crate) struct Slab {
    /// Grown once to its full size; `filled` of it are in use.
    bytes: Vec<u8>,
    filled: usize,
    pub(crate) clumps: Vec<SlabClump>,
    table: CompressTable,
}

impl Default for Slab {
    fn default() -> Slab {
        let (bytes, clumps) = (Vec::new(), Vec::new());
        Slab { bytes, filled: 0, clumps, table: CompressTable::small() }
    }
}

impl Slab {
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
        self.clumps.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clumps.is_empty()
    }

    /// The clumps, headers included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Compresses a block into the slab. `info` says all but the codec and the stored size.
    pub(crate) fn push(&mut self, position: usize, info: ClumpInfo, block: &[u8]) {
        let start = self.filled;
        let payload = start + CLUMP_HEADER_SIZE;
        let room = payload + get_maximum_output_size(MAX_BLOCK_SIZE);
        if self.bytes.len() < room {
            let size = room.max(SLAB_SIZE + 2 * MAX_BLOCK_SIZE);
            self.bytes.resize(size, 0);
        }
        let packed = compress_into_with_table(block, &mut self.bytes[payload..], &mut self.table);
        let most = block.len() - (block.len() * LEAST_GAIN).div_ceil(100);
        let (codec, stored) = match packed {
            Ok(stored) if stored < most => (Codec::Lz4, stored),
            _ => {
                self.bytes[payload..payload + block.len()].copy_from_slice(block);
                (Codec::Raw, block.len())
            }
        };
        self.filled = payload + stored;
        let stored = u32::try_from(stored).unwrap_or(u32::MAX);
        self.clumps.push(SlabClump { info: ClumpInfo { codec, stored, ..info }, position, start });
    }

    /// Keeps the clumps that `keep` wants, and closes the holes.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&SlabClump) -> bool) {
        let mut filled = 0;
        let bytes = &mut self.bytes;
        self.clumps.retain_mut(|clump| {
            if !keep(clump) {
                return false;
            }
            let size = clump.info.clump_size();
            if clump.start != filled {
                bytes.copy_within(clump.start..clump.start + size, filled);
                clump.start = filled;
            }
            filled += size;
            true
        });
        self.filled = filled;
    }

    /// Writes the headers of clumps that go to `place` and after.
    pub(crate) fn write_headers(&mut self, store: &StoreIdentity, place: Location, time: u64) {
        for clump in &self.clumps {
            let offset = u32::try_from(clump.start).unwrap_or(u32::MAX);
            let place = Location { offset: place.offset.saturating_add(offset), ..place };
            let header = ClumpHeader { info: clump.info, time };
            header.encode(store, place, &mut self.bytes[clump.start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clump::{Digest, open_payload};
    use venti_proto::{BlockType, Score};

    #[test]
    fn what_does_not_shrink_is_stored_raw_and_holes_are_closed() {
        let store = StoreIdentity::new([4; 16]);
        let noise: Vec<u8> =
            (0..64u32).flat_map(|n| *Score::of(&n.to_be_bytes()).as_bytes()).collect();
        let blocks = [vec![7; 8192], noise, b"abc".repeat(100)];
        let mut slab = Slab::default();
        for (position, block) in blocks.iter().enumerate() {
            let info = ClumpInfo {
                score: Score::of(block),
                block_type: BlockType::DATA,
                codec: Codec::Raw,
                stored: 0,
                size: u32::try_from(block.len()).unwrap(),
                digest: Digest::of(block),
            };
            slab.push(position, info, block);
        }
        let codecs: Vec<Codec> = slab.clumps.iter().map(|clump| clump.info.codec).collect();
        assert_eq!(codecs, [Codec::Lz4, Codec::Raw, Codec::Lz4]);
        slab.retain(|clump| clump.position != 0);
        let place = Location { arena: 1, offset: 512 };
        slab.write_headers(&store, place, 99);
        let mut scratch = Vec::new();
        for clump in &slab.clumps {
            let bytes = &slab.bytes()[clump.start..];
            let offset = 512 + u32::try_from(clump.start).unwrap();
            let header = ClumpHeader::decode(&store, Location { offset, ..place }, bytes).unwrap();
            let payload = &bytes[CLUMP_HEADER_SIZE..clump.info.clump_size()];
            let block = open_payload(&header.info, payload, &mut scratch).unwrap();
            assert_eq!(block, blocks[clump.position]);
        }
    }
}
