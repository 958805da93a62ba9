//! Where a store has blocks, so that a reader of many can ask for them in that order.
//!
//! A place is a number that says nothing but which of two blocks comes first. It may be out of
//! date: it only ever saves time. docs/protocol.md has the bytes.

use crate::{BlockRequest, BlockType, Score};

/// Blocks that one message asks for at the most.
pub const MAX_PLACES: usize = 2048;

/// Bytes of a block's address in a question: score and type.
const ADDRESS_SIZE: usize = Score::SIZE + 1;
/// Bytes of a place in an answer.
const PLACE_SIZE: usize = 8;
/// The place of a block that is not there, or of which nothing is known.
const NOWHERE: u64 = u64::MAX;

/// Why bytes are no question for places, or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacesError {
    /// There is more or less than a number of whole addresses or places.
    #[error("{found} bytes, expected a multiple of {unit}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of each.
        unit: usize,
    },
    /// More than one message may ask for, or another number than was asked for.
    #[error("{found} places, expected {expected}")]
    Count {
        /// How many there are.
        found: usize,
        /// How many there should be, or may be at the most.
        expected: usize,
    },
}

/// The bytes of a question: at most [`MAX_PLACES`] blocks.
#[must_use]
pub fn encode_question(blocks: &[BlockRequest]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(blocks.len() * ADDRESS_SIZE);
    for block in blocks {
        bytes.extend_from_slice(block.score.as_bytes());
        bytes.push(block.block_type.wire());
    }
    bytes
}

/// Reads a question.
///
/// # Errors
/// [`PlacesError`]
pub fn decode_question(bytes: &[u8]) -> Result<Vec<BlockRequest>, PlacesError> {
    let (addresses, rest) = bytes.as_chunks::<ADDRESS_SIZE>();
    if !rest.is_empty() {
        return Err(PlacesError::Length { found: bytes.len(), unit: ADDRESS_SIZE });
    }
    if addresses.len() > MAX_PLACES {
        return Err(PlacesError::Count { found: addresses.len(), expected: MAX_PLACES });
    }
    let block = |[score @ .., block_type]: &[u8; ADDRESS_SIZE]| BlockRequest {
        score: Score::from_bytes(*score),
        block_type: BlockType::from_wire_or_unknown(*block_type),
    };
    Ok(addresses.iter().map(block).collect())
}

/// The bytes of an answer.
#[must_use]
pub fn encode_answer(places: &[Option<u64>]) -> Vec<u8> {
    places.iter().flat_map(|place| place.unwrap_or(NOWHERE).to_be_bytes()).collect()
}

/// Reads the answer to a question for `count` blocks.
///
/// # Errors
/// [`PlacesError`]
pub fn decode_answer(bytes: &[u8], count: usize) -> Result<Vec<Option<u64>>, PlacesError> {
    let (places, rest) = bytes.as_chunks::<PLACE_SIZE>();
    if !rest.is_empty() {
        return Err(PlacesError::Length { found: bytes.len(), unit: PLACE_SIZE });
    }
    if places.len() != count {
        return Err(PlacesError::Count { found: places.len(), expected: count });
    }
    let place = |bytes: &[u8; PLACE_SIZE]| {
        Some(u64::from_be_bytes(*bytes)).filter(|place| *place != NOWHERE)
    };
    Ok(places.iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let block = |number: u8| BlockRequest {
            score: Score::of(&[number]),
            block_type: BlockType::DIRECTORY,
        };
        let blocks: Vec<_> = (0..5).map(block).collect();
        assert_eq!(decode_question(&encode_question(&blocks)), Ok(blocks));
        let places = vec![Some(0), None, Some(1 << 40)];
        assert_eq!(decode_answer(&encode_answer(&places), 3), Ok(places));
        assert_eq!(decode_question(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let cut = decode_question(&[0; 22]).unwrap_err().to_string();
        assert_eq!(cut, "22 bytes, expected a multiple of 21");
        let long = decode_question(&vec![0; 21 * 2049]).unwrap_err().to_string();
        assert_eq!(long, "2049 places, expected 2048");
        assert!(decode_answer(&[0; 9], 1).is_err());
        assert!(decode_answer(&[0; 8], 2).is_err());
    }
}
