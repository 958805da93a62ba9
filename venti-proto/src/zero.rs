//! What a block loses when it is stored, and gets back when it is read.
//!
//! A block is stored without what can be put back from its type: the zeros at the end of data
//! and directory blocks, the scores of the empty block at the end of pointer blocks. So a run of
//! zeros has one score at every level of a tree, whatever its size.

use crate::{BlockType, Score};

/// How many bytes of `block` are left when it is truncated for storing.
#[must_use]
pub fn zero_truncated_len(block_type: BlockType, block: &[u8]) -> usize {
    if block_type == BlockType::ROOT {
        return block.len().min(crate::Root::SIZE);
    }
    if block_type.pointer_level().is_none() {
        return data_len(block);
    }
    // Bytes behind the last whole score are no part of a pointer block.
    let scores = block.len() / Score::SIZE;
    let zeros = block[..scores * Score::SIZE]
        .rchunks_exact(Score::SIZE)
        .take_while(|score| *score == Score::ZERO.as_bytes())
        .count();
    (scores - zeros) * Score::SIZE
}

/// The length without zeros at the end; looks at 16 bytes at a time, for holes are long.
fn data_len(block: &[u8]) -> usize {
    let zeros = 16 * block.rchunks_exact(16).take_while(|chunk| *chunk == [0; 16]).count();
    let rest = &block[..block.len() - zeros];
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Puts back what truncation took from a block that has `full` bytes when it is whole. A block
/// that is longer than that stays as it is.
pub fn zero_extend(block_type: BlockType, block: &mut Vec<u8>, full: usize) {
    if block_type.pointer_level().is_some() {
        block.truncate(block.len() / Score::SIZE * Score::SIZE);
        while block.len() + Score::SIZE <= full {
            block.extend_from_slice(Score::ZERO.as_bytes());
        }
    }
    if block.len() < full {
        block.resize(full, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_loses_zeros_and_pointers_lose_zero_scores() {
        assert_eq!(zero_truncated_len(BlockType::DATA, &[0; 8192]), 0);
        assert_eq!(zero_truncated_len(BlockType::DIRECTORY, b"a\0b\0\0"), 3);
        let pointer = BlockType::pointer(2).unwrap();
        let full = [*Score::of(b"a").as_bytes(), [0; 20], *Score::ZERO.as_bytes()].concat();
        assert_eq!(zero_truncated_len(pointer, &full), 40);
        assert_eq!(zero_truncated_len(pointer, &full[..59]), 40);
        assert_eq!(zero_truncated_len(BlockType::ROOT, &[0; 400]), 300);
        let mut back = full[..40].to_vec();
        zero_extend(pointer, &mut back, 65);
        assert_eq!(back, [&full[..], &[0; 5]].concat());
    }

    proptest! {
        #[test]
        fn extension_undoes_truncation(
            head in proptest::collection::vec(any::<u8>(), 0..80), zeros in 0usize..80,
        ) {
            let mut block = head;
            block.resize(block.len() + zeros, 0);
            let length = zero_truncated_len(BlockType::DATA, &block);
            prop_assert!(length == 0 || block[length - 1] != 0);
            let mut back = block[..length].to_vec();
            zero_extend(BlockType::DATA, &mut back, block.len());
            prop_assert_eq!(back, block);
        }
    }
}
