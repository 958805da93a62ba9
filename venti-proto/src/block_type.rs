//! What a block holds, in the two numberings that Venti has.
//!
//! The number on the wire and in an arena is the older one; error texts of the original and the
//! types of hash trees use the newer (`dtype.c` of libventi converts). A pointer block has one
//! number on the wire, whether it leads to data or to a directory.

use std::fmt;
use std::str::FromStr;

/// The type of a block, part of its address: the same bytes under two types are two blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockType(u8);

/// A number that is no block type in the numbering it was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block type {0} is not one of 1 to 9, 13 and 255")]
pub struct UnknownBlockType(pub u8);

/// A text that names no block type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a block type: data, directory, root, pointer0 to pointer6, or unknown")]
pub struct ParseBlockTypeError {
    /// The text as given.
    pub found: String,
}

impl BlockType {
    /// The root of an archive: 300 bytes.
    pub const ROOT: BlockType = BlockType(1);
    /// Entries of 40 bytes each.
    pub const DIRECTORY: BlockType = BlockType(2);
    /// Bytes of a file.
    pub const DATA: BlockType = BlockType(13);
    /// Stands for every number that a client sends and that is no type. The original acknowledges
    /// such a block and files it under 255, `VtCorruptType`; so a store here keeps it, too.
    pub const UNKNOWN: BlockType = BlockType(255);

    /// Scores of the level below: `level` 0 is just above the leaves.
    ///
    /// Returns `None` above level 6, the highest that the wire knows.
    #[must_use]
    pub const fn pointer(level: u8) -> Option<BlockType> {
        if level <= 6 { Some(BlockType(3 + level)) } else { None }
    }

    /// Reads the number used on the wire and on disk.
    ///
    /// # Errors
    /// [`UnknownBlockType`] for any number that is not 1 to 9, 13 or 255.
    pub const fn from_wire(number: u8) -> Result<BlockType, UnknownBlockType> {
        match number {
            1..=9 | 13 | 255 => Ok(BlockType(number)),
            _ => Err(UnknownBlockType(number)),
        }
    }

    /// Reads the number in a message, in which any is allowed.
    #[must_use]
    pub const fn from_wire_or_unknown(number: u8) -> BlockType {
        match BlockType::from_wire(number) {
            Ok(block_type) => block_type,
            Err(UnknownBlockType(_)) => BlockType::UNKNOWN,
        }
    }

    /// The number used on the wire and on disk.
    #[must_use]
    pub const fn wire(self) -> u8 {
        self.0
    }

    /// The number of the newer numbering, as the original's error texts show it: data 0, the
    /// directory 8, pointers 9 to 15, the root 16.
    #[must_use]
    pub const fn modern(self) -> u8 {
        match self.0 {
            1 => 16,
            13 => 0,
            255 => 255,
            other => other + 6,
        }
    }

    /// The level of a pointer block, `None` for the other types.
    #[must_use]
    pub const fn pointer_level(self) -> Option<u8> {
        match self.0 {
            3..=9 => Some(self.0 - 3),
            _ => None,
        }
    }
}

/// `data`, `directory`, `root`, `pointer0` to `pointer6`, or `unknown`.
impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("root"),
            2 => f.write_str("directory"),
            13 => f.write_str("data"),
            255 => f.write_str("unknown"),
            pointer => write!(f, "pointer{}", pointer - 3),
        }
    }
}

/// Reads what `Display` prints.
impl FromStr for BlockType {
    type Err = ParseBlockTypeError;

    fn from_str(text: &str) -> Result<BlockType, ParseBlockTypeError> {
        let known = (0..=u8::MAX).filter_map(|number| BlockType::from_wire(number).ok());
        let mut named = known.filter(|block_type| block_type.to_string() == text);
        named.next().ok_or_else(|| ParseBlockTypeError { found: text.to_owned() })
    }
}

impl fmt::Debug for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockType({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numberings_as_the_original_has_them() {
        let known: Vec<_> = (0..=255)
            .filter_map(|n| BlockType::from_wire(n).ok())
            .map(|t| (t.wire(), t.modern(), t.to_string()))
            .collect();
        let expected = [
            (1, 16, "root"),
            (2, 8, "directory"),
            (3, 9, "pointer0"),
            (4, 10, "pointer1"),
            (5, 11, "pointer2"),
            (6, 12, "pointer3"),
            (7, 13, "pointer4"),
            (8, 14, "pointer5"),
            (9, 15, "pointer6"),
            (13, 0, "data"),
            (255, 255, "unknown"),
        ];
        assert_eq!(known, expected.map(|(w, m, s)| (w, m, s.to_owned())));
        for (number, _, name) in expected {
            assert_eq!(name.parse(), BlockType::from_wire(number).map_err(|_| unreachable!()));
        }
        assert_eq!(BlockType::from_wire_or_unknown(200), BlockType::UNKNOWN);
        let error = "file".parse::<BlockType>().unwrap_err().to_string();
        assert!(error.starts_with("\"file\" is not a block type"), "{error}");
    }

    #[test]
    fn pointer_levels() {
        for level in 0..=6 {
            assert_eq!(BlockType::pointer(level).unwrap().pointer_level(), Some(level));
        }
        assert_eq!(BlockType::pointer(7), None);
        assert_eq!(BlockType::DATA.pointer_level(), None);
    }
}
