//! Blocks for the load generator: any number of different ones, at the cost of a copy each.
//!
//! A block is one of a few templates, made once from the seed, with its own number written into it
//! every 4 KiB. So making a block costs less than anything that is done with it, two blocks are
//! never equal, and [`BlockMaker::is_block`] can tell cheaply whether the right one came back.

use clap::ValueEnum;
use serde::Serialize;

use crate::random::Random;

/// Different templates: enough that no cache of the processor holds them all.
const TEMPLATES: usize = 512;
/// Bytes between two copies of the number.
const STAMP_EVERY: usize = 4096;
/// Bytes of one copy: seed and number, 8 each.
const STAMP_SIZE: usize = 16;

/// How far back a piece of text that is used again lies at the most, in bytes.
const REPEAT_WITHIN: usize = 4096;
/// Of a hundred steps, those that use earlier text again.
const REPEAT_PERCENT: u64 = 80;

/// How well the bytes compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Words and repetitions, as source code: LZ4 makes 8 KiB of it about 2.6 times smaller,
    /// about as fast.
    Text,
    /// Random bytes: nothing makes them smaller.
    Random,
}

/// Makes numbered blocks of one size.
#[derive(Debug)]
pub struct BlockMaker {
    templates: Vec<u8>,
    size: usize,
    seed: u64,
}

impl BlockMaker {
    /// Prepares blocks of `size` bytes that follow from `seed` alone.
    #[must_use]
    pub fn new(content: Content, size: usize, seed: u64) -> BlockMaker {
        let mut random = Random::new(seed);
        let mut templates = vec![0; size * TEMPLATES];
        match content {
            Content::Text => fill_with_text(&mut random, &mut templates),
            Content::Random => random.fill(&mut templates),
        }
        BlockMaker { templates, size, seed }
    }

    /// Bytes in a block.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Appends block `number` to `buffer`.
    pub fn append(&self, number: u64, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let template = usize::try_from(number % TEMPLATES as u64).unwrap_or(0) * self.size;
        buffer.extend_from_slice(&self.templates[template..template + self.size]);
        for part in buffer[start..].chunks_mut(STAMP_EVERY) {
            let length = part.len().min(STAMP_SIZE);
            part[..length].copy_from_slice(&self.stamp(number)[..length]);
        }
    }

    /// Whether `data` has the size and the number of block `number`.
    #[must_use]
    pub fn is_block(&self, number: u64, data: &[u8]) -> bool {
        data.len() == self.size && data.starts_with(&self.stamp(number))
    }

    fn stamp(&self, number: u64) -> [u8; STAMP_SIZE] {
        let mut stamp = [0; STAMP_SIZE];
        stamp[..8].copy_from_slice(&number.to_be_bytes());
        stamp[8..].copy_from_slice(&self.seed.to_be_bytes());
        stamp
    }
}

/// New words, and between them pieces of what stood a little earlier, as in source code.
fn fill_with_text(random: &mut Random, buffer: &mut [u8]) {
    let mut text = Vec::with_capacity(buffer.len() + 64);
    while text.len() < buffer.len() {
        if text.len() > REPEAT_WITHIN && random.below(100) < REPEAT_PERCENT {
            let start = text.len() - pick(random, 64, REPEAT_WITHIN);
            text.extend_from_within(start..start + pick(random, 16, 48));
        } else {
            let letters = pick(random, 8, 24);
            text.extend((0..letters).map(|_| b"etaoinshrdlucmfwygpb_("[pick(random, 0, 22)]));
            text.push(b' ');
        }
    }
    let length = buffer.len();
    buffer.copy_from_slice(&text[..length]);
}

/// A number from `low` to `high - 1`.
fn pick(random: &mut Random, low: usize, high: usize) -> usize {
    low + usize::try_from(random.below((high - low) as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(content: Content, size: usize) -> f64 {
        let maker = BlockMaker::new(content, size, 1);
        let mut block = Vec::new();
        let packed: usize = (0..64)
            .map(|number| {
                block.clear();
                maker.append(number, &mut block);
                lz4_flex::block::compress(&block).len()
            })
            .sum();
        (64 * size) as f64 / packed as f64
    }

    #[test]
    fn text_compresses_like_source_code_and_random_does_not() {
        let text = ratio(Content::Text, 8192);
        assert!((2.5..2.7).contains(&text), "8 KiB of text: {text}");
        assert!(ratio(Content::Random, 8192) < 1.01);
    }

    #[test]
    fn blocks_differ_and_are_told_apart() {
        let maker = BlockMaker::new(Content::Random, 8192, 3);
        let mut two = Vec::new();
        maker.append(5, &mut two);
        maker.append(5 + TEMPLATES as u64, &mut two);
        assert_ne!(two[..8192], two[8192..]);
        assert!(maker.is_block(5, &two[..8192]));
        assert!(!maker.is_block(6, &two[..8192]));
        assert!(!maker.is_block(5, &two[..8191]));
    }
}
