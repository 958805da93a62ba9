//! SHA-1 of many blocks at once: sixteen lanes of AVX-512 where the processor has them.
//!
//! One stream of SHA-1 is bound by latency, even with the processor's SHA instructions; sixteen
//! independent blocks side by side are bound by throughput, about three times as fast. Each lane
//! works through one block; when it is done it takes the next, so blocks of all lengths may be
//! mixed. When few lanes are left at the end, each is finished by itself, which is then faster.
//! Without AVX-512 every block goes through the crate `sha1`.

use crate::Score;

/// Hashes the blocks that `blocks` yields and puts their scores into `scores`, in order. Stops at
/// the end of the shorter of the two.
pub(crate) fn hash_all<'a>(blocks: impl Iterator<Item = &'a [u8]>, scores: &mut [Score]) {
    let mut blocks = blocks.zip(scores);
    #[cfg(target_arch = "x86_64")]
    if avx512::is_available() {
        lanes::hash_all(&mut blocks);
        return;
    }
    blocks.for_each(|(block, score)| *score = Score::of(block));
}

#[cfg(target_arch = "x86_64")]
#[path = "sha1_lanes/avx512.rs"]
mod avx512;

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::avx512::{self, LANES};
    use crate::Score;

    /// Bytes that SHA-1 takes in one step.
    const STEP: usize = 64;
    /// Below this many busy lanes, one lane after another is faster than all side by side.
    const WORTH_IT: usize = 6;
    /// The state before the first step (RFC 3174, section 6.1).
    const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    /// What an idle lane chews on.
    const IDLE: &[[u8; STEP]] = &[[0; STEP]; 1];

    /// A block on its way through a lane: the whole steps of its bytes, then its padded end.
    struct Job<'b, 's> {
        body: &'b [[u8; STEP]],
        /// The last bytes, the bit that ends them, zeros, and the length in bits.
        end: [[u8; STEP]; 2],
        /// How many steps of `end` count: 1 or 2.
        end_steps: usize,
        /// How many steps of `end` are done.
        end_done: usize,
        score: &'s mut Score,
    }

    impl<'b, 's> Job<'b, 's> {
        fn new(block: &'b [u8], score: &'s mut Score) -> Job<'b, 's> {
            let (body, rest) = block.as_chunks::<STEP>();
            let mut end = [[0; STEP]; 2];
            let flat = end.as_flattened_mut();
            flat[..rest.len()].copy_from_slice(rest);
            flat[rest.len()] = 0x80;
            let end_steps = if rest.len() < STEP - 8 { 1 } else { 2 };
            let bits = (block.len() as u64) * 8;
            flat[end_steps * STEP - 8..end_steps * STEP].copy_from_slice(&bits.to_be_bytes());
            Job { body, end, end_steps, end_done: 0, score }
        }

        /// The steps that lie together and are next, never none.
        fn run(&self) -> &[[u8; STEP]] {
            if self.body.is_empty() { &self.end[self.end_done..self.end_steps] } else { self.body }
        }

        /// Counts `steps` of [`Job::run`] as done; true when that was the last.
        fn advance(&mut self, steps: usize) -> bool {
            if self.body.is_empty() {
                self.end_done += steps;
            } else {
                self.body = &self.body[steps..];
            }
            self.end_done == self.end_steps
        }

        fn finish_alone(mut self, mut state: [u32; 5]) {
            loop {
                let run = self.run();
                sha1::block_api::compress(&mut state, run);
                let steps = run.len();
                if self.advance(steps) {
                    return self.store(state);
                }
            }
        }

        fn store(self, state: [u32; 5]) {
            let mut bytes = [0; Score::SIZE];
            for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            *self.score = Score::from_bytes(bytes);
        }
    }

    pub(super) fn hash_all<'b, 's>(blocks: &mut impl Iterator<Item = (&'b [u8], &'s mut Score)>) {
        let mut states = avx512::States::default();
        let mut jobs: [Option<Job<'b, 's>>; LANES] = [const { None }; LANES];
        loop {
            for (lane, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.is_none()) {
                if let Some((block, score)) = blocks.next() {
                    *job = Some(Job::new(block, score));
                    states.set(lane, INITIAL);
                }
            }
            if jobs.iter().flatten().count() < WORTH_IT {
                break;
            }
            step_all(&mut jobs, &mut states);
        }
        for (lane, job) in jobs.into_iter().enumerate() {
            if let Some(job) = job {
                job.finish_alone(states.get(lane));
            }
        }
    }

    /// Takes every lane as far as the one that has the fewest steps lying together.
    fn step_all(jobs: &mut [Option<Job<'_, '_>>; LANES], states: &mut avx512::States) {
        let steps = jobs.iter().flatten().map(|job| job.run().len()).min().unwrap_or(0);
        let runs: [&[[u8; STEP]]; LANES] =
            std::array::from_fn(|lane| jobs[lane].as_ref().map_or(IDLE, |job| job.run()));
        avx512::compress(states, &runs, steps);
        for (lane, slot) in jobs.iter_mut().enumerate() {
            let done = slot.as_mut().is_some_and(|job| job.advance(steps));
            if done && let Some(job) = slot.take() {
                job.store(states.get(lane));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores_of(blocks: &[Vec<u8>]) -> Vec<Score> {
        let mut scores = vec![Score::ZERO; blocks.len()];
        hash_all(blocks.iter().map(Vec::as_slice), &mut scores);
        scores
    }

    #[test]
    fn every_length_around_the_edges_of_padding() {
        let blocks: Vec<Vec<u8>> = (0..300).map(|n| (0..=254).cycle().take(n).collect()).collect();
        let expected: Vec<Score> = blocks.iter().map(|block| Score::of(block)).collect();
        assert_eq!(scores_of(&blocks), expected);
    }

    #[test]
    fn lengths_mixed_in_one_call() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let blocks: Vec<Vec<u8>> = (0..200)
            .map(|n| {
                let length = if n % 3 == 0 { random() % 60_000 } else { random() % 200 };
                (0..length).map(|_| random().to_be_bytes()[2]).collect()
            })
            .collect();
        let expected: Vec<Score> = blocks.iter().map(|block| Score::of(block)).collect();
        assert_eq!(scores_of(&blocks), expected);
    }

    #[test]
    fn few_blocks_or_none() {
        for count in 0..20 {
            let blocks = vec![vec![7_u8; 8192]; count];
            assert_eq!(scores_of(&blocks), vec![Score::of(&[7; 8192]); count]);
        }
    }
}
