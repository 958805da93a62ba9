//! A root: the 300 bytes that an archive's score leads to (venti(7)).

use crate::entry::{from_big, to_big};
use crate::{EntryError, MIN_ENTRY_BLOCK_SIZE, Score};

const VERSION: u16 = 2;
/// Set beside the version when the block size is a mantissa and a shift.
const VERSION_BIG: u16 = 1 << 15;
const TEXT_SIZE: usize = 128;

/// The top of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What the archive calls itself, at most 127 bytes; usually nothing.
    pub name: Vec<u8>,
    /// What the archive is, at most 127 bytes: `vac` for file trees.
    pub kind: Vec<u8>,
    /// A directory block.
    pub score: Score,
    /// The largest block of the archive in bytes.
    pub block_size: u32,
    /// The root that this one follows, as it was read: see [`Root::parent`].
    pub previous: Score,
}

/// What is wrong with bytes that should be a root, or with a root to be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// There are not 300 bytes.
    #[error("a root has 300 bytes, found {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The version is not 2.
    #[error("root version {found:#06x}, expected 0x0002 or 0x8002")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The block size is out of range.
    #[error("block size {size} in a root, expected at least 256 and at most 2^32 - 1")]
    BlockSize {
        /// The size found.
        size: u64,
    },
    /// The block size can not be written.
    #[error("in a root: {0}")]
    Unwritable(#[from] EntryError),
    /// The name or the kind does not fit or has a zero byte.
    #[error("{text:?} does not fit into a root: at most 127 bytes, none of them zero")]
    Text {
        /// The name or kind.
        text: String,
    },
}

impl Root {
    /// Bytes in a root: version, name, kind, score, block size, previous root.
    pub const SIZE: usize = 2 + TEXT_SIZE + TEXT_SIZE + Score::SIZE + 2 + Score::SIZE;

    /// What stands for "no previous root" in [`Root::previous`]: zeros, as the original writes.
    pub const NO_PREVIOUS: Score = Score::from_bytes([0; Score::SIZE]);

    /// A root of kind `vac` without a name and a previous root.
    #[must_use]
    pub fn vac(score: Score, block_size: u32) -> Root {
        Root {
            name: Vec::new(),
            kind: b"vac".to_vec(),
            score,
            block_size,
            previous: Root::NO_PREVIOUS,
        }
    }

    /// The root that this one follows, if it follows one.
    #[must_use]
    pub fn parent(&self) -> Option<Score> {
        let none = self.previous == Root::NO_PREVIOUS || self.previous == Score::ZERO;
        (!none).then_some(self.previous)
    }

    /// Reads 300 bytes.
    ///
    /// # Errors
    /// [`RootError`], any but `Unwritable` and `Text`.
    pub fn decode(bytes: &[u8]) -> Result<Root, RootError> {
        let Ok(bytes) = <&[u8; Root::SIZE]>::try_from(bytes) else {
            return Err(RootError::Length { found: bytes.len() });
        };
        let version = u16::from_be_bytes([bytes[0], bytes[1]]);
        if version & !VERSION_BIG != VERSION {
            return Err(RootError::Version { found: version });
        }
        let (name, rest) = bytes[2..].split_at(TEXT_SIZE);
        let (kind, rest) = rest.split_at(TEXT_SIZE);
        let (score, rest) = rest.split_at(Score::SIZE);
        let (size, previous) = rest.split_at(2);
        let mut size = u64::from(size[0]) << 8 | u64::from(size[1]);
        if version & VERSION_BIG != 0 {
            size = from_big(size);
        }
        let block_size = u32::try_from(size).map_err(|_| RootError::BlockSize { size })?;
        if block_size < MIN_ENTRY_BLOCK_SIZE {
            return Err(RootError::BlockSize { size });
        }
        Ok(Root {
            name: text(name),
            kind: text(kind),
            score: score_at(score),
            block_size,
            previous: score_at(previous),
        })
    }

    /// The 300 bytes.
    ///
    /// # Errors
    /// [`RootError::BlockSize`], [`RootError::Unwritable`], [`RootError::Text`].
    pub fn encode(&self) -> Result<[u8; Root::SIZE], RootError> {
        if self.block_size < MIN_ENTRY_BLOCK_SIZE {
            return Err(RootError::BlockSize { size: u64::from(self.block_size) });
        }
        let (version, size) = match u16::try_from(self.block_size) {
            Ok(size) => (VERSION, size),
            Err(_) => (VERSION | VERSION_BIG, to_big(self.block_size)?),
        };
        let mut bytes = [0; Root::SIZE];
        bytes[..2].copy_from_slice(&version.to_be_bytes());
        for (start, value) in [(2, &self.name), (2 + TEXT_SIZE, &self.kind)] {
            if value.len() >= TEXT_SIZE || value.contains(&0) {
                return Err(RootError::Text { text: String::from_utf8_lossy(value).into_owned() });
            }
            bytes[start..start + value.len()].copy_from_slice(value);
        }
        let tail = &mut bytes[2 + 2 * TEXT_SIZE..];
        tail[..20].copy_from_slice(self.score.as_bytes());
        tail[20..22].copy_from_slice(&size.to_be_bytes());
        tail[22..].copy_from_slice(self.previous.as_bytes());
        Ok(bytes)
    }
}

/// The bytes before the first zero, at most 127: the last byte is never part of the text.
fn text(field: &[u8]) -> Vec<u8> {
    field[..TEXT_SIZE - 1].iter().copied().take_while(|byte| *byte != 0).collect()
}

fn score_at(bytes: &[u8]) -> Score {
    let mut score = [0; Score::SIZE];
    score.copy_from_slice(bytes);
    Score::from_bytes(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_and_round_trip() {
        let root = Root { previous: Score::of(b"p"), ..Root::vac(Score::of(b"s"), 8192) };
        let bytes = root.encode().unwrap();
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[..2], [0, 2]);
        assert_eq!(bytes[130..134], *b"vac\0");
        assert_eq!(bytes[258..278], *Score::of(b"s").as_bytes());
        assert_eq!(bytes[278..280], [0x20, 0]);
        assert_eq!(bytes[280..], *Score::of(b"p").as_bytes());
        assert_eq!(Root::decode(&bytes), Ok(root));
        assert_eq!(Root::vac(Score::ZERO, 8192).parent(), None);
    }

    #[test]
    fn wrong_roots_say_what_is_wrong() {
        let good = Root::vac(Score::ZERO, 1 << 17).encode().unwrap();
        assert_eq!(Root::decode(&good).unwrap().block_size, 1 << 17);
        assert_eq!(Root::decode(&good[1..]), Err(RootError::Length { found: 299 }));
        let mut version = good;
        version[1] = 3;
        assert_eq!(Root::decode(&version), Err(RootError::Version { found: 0x8003 }));
        let mut small = good;
        small[278..280].copy_from_slice(&[0, 32]);
        assert_eq!(Root::decode(&small), Err(RootError::BlockSize { size: 1 }));
        let long = Root { name: vec![b'n'; 128], ..Root::vac(Score::ZERO, 512) };
        assert!(matches!(long.encode(), Err(RootError::Text { .. })));
    }

    proptest! {
        #[test]
        fn any_300_bytes_decode_to_what_encodes_again(
            start: [u8; 2], names in proptest::collection::vec(any::<u8>(), 256), end: [u8; 32],
        ) {
            let mut bytes = [&start[..], &names, &end, &[7; 10]].concat();
            bytes[1] = 2;
            bytes[0] &= 0x80;
            if let Ok(root) = Root::decode(&bytes) {
                prop_assert_eq!(Root::decode(&root.encode().unwrap()), Ok(root));
            }
        }
    }
}
