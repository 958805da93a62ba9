//! Files with holes in a tar stream: GNU tar's format 1.0 for pax. The content is a map, in text and
//! filled up to a whole block, and then the parts of the file that hold data.

use super::BLOCK;
use crate::extractor::ExtractError;
use crate::reader::Node;

/// The parts of a file that hold data.
pub(super) struct Sparse {
    /// Offset and end. All start, and all but the last end, at multiples of a block of tar: readers
    /// take whole blocks of the stream for each.
    parts: Vec<(u64, u64)>,
    size: u64,
}

impl Sparse {
    pub(super) fn dense(size: u64) -> Sparse {
        Sparse { parts: vec![(0, size)], size }
    }

    /// The parts of a file that has holes. One that changed while it was archived may have content
    /// where it had a hole before.
    pub(super) fn of(node: &Node) -> Result<Option<Sparse>, ExtractError> {
        let unix = node.unix()?;
        let unix = unix.as_deref().filter(|unix| !unix.torn);
        let Some(holes) = unix.and_then(|unix| unix.holes.as_deref()) else { return Ok(None) };
        let holes = holes.iter().map(|hole| (hole.offset, hole.offset.saturating_add(hole.length)));
        let sparse = Sparse::between(holes, node.size());
        Ok(Some(sparse).filter(|sparse| sparse.bytes() < sparse.size))
    }

    fn between(holes: impl Iterator<Item = (u64, u64)>, size: u64) -> Sparse {
        let mut parts = Vec::new();
        let mut at = 0;
        for (start, end) in holes {
            let (start, end) = (start.min(size).next_multiple_of(BLOCK as u64), end.min(size));
            let end = if end < size { end - end % BLOCK as u64 } else { end };
            if start < end {
                if at < start {
                    parts.push((at, start));
                }
                at = at.max(end);
            }
        }
        if at < size {
            parts.push((at, size));
        }
        Sparse { parts, size }
    }

    /// Bytes of data.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|(start, end)| end - start).sum()
    }

    /// The map, as it stands in the stream.
    pub(super) fn map(&self) -> Vec<u8> {
        let ends_in_hole = self.parts.last().is_none_or(|(_, end)| *end < self.size);
        // A part of no length at the end says how long the file is.
        let end = ends_in_hole.then_some((self.size, self.size));
        let count = self.parts.len() + usize::from(ends_in_hole);
        let mut map = format!("{count}\n");
        for (start, end) in self.parts.iter().chain(&end) {
            map.push_str(&format!("{start}\n{}\n", end - start));
        }
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(BLOCK), 0);
        map
    }

    /// Whether there is data at `at`, and up to where, not behind `limit`, that is so.
    pub(super) fn run(&self, at: u64, limit: u64) -> (bool, u64) {
        let next = self.parts.partition_point(|(_, end)| *end <= at);
        match self.parts.get(next) {
            Some((start, end)) if *start <= at => (true, limit.min(*end)),
            Some((start, _)) => (false, limit.min(*start)),
            None => (false, limit),
        }
    }
}

/// What a sparse file is called where its own name is in a record.
pub(super) fn name_in_the_stream(path: &[u8]) -> Vec<u8> {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    [&path[..name], b"GNUSparseFile.0/", &path[name..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_is_between_holes_in_whole_blocks() {
        let parts = |holes: &[(u64, u64)], size| Sparse::between(holes.iter().copied(), size).parts;
        assert_eq!(parts(&[(0, 4096)], 8192), [(4096, 8192)]);
        assert_eq!(parts(&[(1000, 5000)], 8192), [(0, 1024), (4608, 8192)]);
        assert_eq!(parts(&[(512, 600)], 8192), [(0, 8192)], "less than a block");
        assert_eq!(parts(&[(4096, u64::MAX)], 8191), [(0, 4096)]);
        assert_eq!(parts(&[(0, 100)], 100), []);
    }

    #[test]
    fn maps_are_whole_blocks_and_end_with_the_size() {
        let sparse = Sparse::between([(0, 4096), (8192, 9000)].into_iter(), 9000);
        let map = sparse.map();
        assert_eq!(map.len(), BLOCK);
        assert!(map.starts_with(b"2\n4096\n4096\n9000\n0\n\0"));
        assert_eq!(sparse.run(0, 5000), (false, 4096));
        assert_eq!(sparse.run(4096, 5000), (true, 5000));
        assert_eq!(sparse.run(8192, 9000), (false, 9000));
    }
}
