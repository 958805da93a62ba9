//! Directory blocks that the store has, because they were read from it in this run.

use std::collections::HashSet;

use parking_lot::Mutex;
use venti_proto::Score;

/// Scores that are remembered at the most; more are forgotten, and their blocks sent again.
const MOST: usize = 1 << 19;

/// Scores of blocks that were read from the store.
#[derive(Debug, Default)]
pub(super) struct KnownBlocks {
    scores: Mutex<HashSet<Score>>,
}

impl KnownBlocks {
    /// Remembers blocks that the store has just delivered.
    pub(super) fn learn(&self, scores: impl IntoIterator<Item = Score>) {
        let mut known = self.scores.lock();
        if known.len() > MOST {
            known.clear();
        }
        known.extend(scores);
    }

    /// Runs `with` with what tells whether a block is known.
    pub(super) fn ask<T>(&self, with: impl FnOnce(&dyn Fn(&Score) -> bool) -> T) -> T {
        let known = self.scores.lock();
        with(&|score| known.contains(score))
    }
}
