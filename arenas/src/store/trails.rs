//! Tells readers that go through the log in order from those that jump about.
//!
//! Of the former the next bytes are read ahead; for the latter that would be dozens of blocks for
//! one. All that is kept is where reading lately ended, one place for each neighbourhood of the
//! log: a reader that begins there, or a little behind it, follows a trail. What is lost to
//! another reader, or to chance, costs one read without reading ahead.

use std::sync::atomic::{AtomicU64, Ordering};

/// Neighbourhoods that are remembered.
const TRAILS: usize = 1024;

/// What a reader in order may leave out, in bytes: the blocks of metadata between those of files.
const GAP: u32 = 16 << 10;

/// The ends of what was lately read.
pub(super) struct Trails {
    /// Arena and offset.
    ends: Vec<AtomicU64>,
}

impl Trails {
    /// No trail at all.
    pub(super) fn new() -> Trails {
        Trails { ends: (0..TRAILS).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }

    /// Whether a read that begins at `offset` goes on where one has ended.
    pub(super) fn goes_on(&self, arena: u32, offset: u32) -> bool {
        let end = self.slot(arena, offset).load(Ordering::Relaxed);
        let gap = pack(arena, offset).checked_sub(end);
        end >> 32 == u64::from(arena) && gap.is_some_and(|gap| gap <= u64::from(GAP))
    }

    /// Notes that a read ended before `end`.
    pub(super) fn note(&self, arena: u32, end: u32) {
        self.slot(arena, end).store(pack(arena, end), Ordering::Relaxed);
    }

    /// The slot of a neighbourhood, which is as long as a group.
    fn slot(&self, arena: u32, offset: u32) -> &AtomicU64 {
        let neighbourhood = u64::from(arena) << 16 | u64::from(offset / super::read::GROUP_SIZE);
        let place = usize::try_from(neighbourhood.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54);
        &self.ends[place.unwrap_or(0) % TRAILS]
    }
}

fn pack(arena: u32, offset: u32) -> u64 {
    u64::from(arena) << 32 | u64::from(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_followed_forwards_and_over_small_gaps() {
        let trails = Trails::new();
        assert!(!trails.goes_on(0, 0));
        trails.note(3, 600_000);
        assert!(trails.goes_on(3, 600_000));
        assert!(trails.goes_on(3, 600_000 + GAP));
        assert!(!trails.goes_on(3, 600_001 + GAP));
        assert!(!trails.goes_on(3, 599_999), "backwards");
        assert!(!trails.goes_on(4, 600_000), "another arena");
        trails.note(3, 700_000);
        assert!(!trails.goes_on(3, 600_000), "the same neighbourhood has one end");
    }

    #[test]
    fn ends_that_fall_into_one_slot_are_told_apart() {
        let trails = Trails::new();
        for arena in 0..5000 {
            trails.note(arena, 512);
        }
        let kept = (0..5000).filter(|arena| trails.goes_on(*arena, 512)).count();
        assert!((1..=TRAILS).contains(&kept), "{kept}");
        assert!((5000..10_000).all(|arena| !trails.goes_on(arena, 512)));
    }
}
