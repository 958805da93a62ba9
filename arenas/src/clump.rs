//! One block as the log keeps it: a header that binds it to its place, and the payload.
//!
//! The layout is in docs/store-format.md, "Clump". A header is believed only after its checksum
//! and its place; a payload only after its score. SHA-1 is an address: whether two blocks are the
//! same block is decided by their [`Digest`].

use std::fmt;

use venti_proto::{BlockRequest, BlockType, MAX_BLOCK_SIZE, Score};

use crate::Location;
use crate::fields::{CHECKSUM_SIZE, Fields, FormatError, Record, StoreIdentity, check};

/// First four bytes of a clump.
pub const CLUMP_MAGIC: u32 = 0x5643_6c70; // "VClp"

const WHAT: &str = "clump header";

/// Bytes of the digest of a block that decides on identity.
pub const DIGEST_SIZE: usize = 16;

/// Magic, place, type, codec, 2 zeros, both sizes, score, digest, time, checksum.
pub const CLUMP_HEADER_SIZE: usize =
    4 + 2 * 4 + 1 + 1 + 2 + 2 * 4 + Score::SIZE + DIGEST_SIZE + 8 + CHECKSUM_SIZE;
const _: () = assert!(CLUMP_HEADER_SIZE == 72);

/// The largest clump.
pub const MAX_CLUMP_SIZE: usize = CLUMP_HEADER_SIZE + MAX_BLOCK_SIZE;

/// `arena 3 offset 512`, as reports have it.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arena {} offset {}", self.arena, self.offset)
    }
}

/// First sixteen bytes of the BLAKE3 of a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; DIGEST_SIZE]);

impl Digest {
    /// Computes the digest of a block.
    #[must_use]
    pub fn of(block: &[u8]) -> Digest {
        let hash = blake3::hash(block);
        let mut digest = [0; DIGEST_SIZE];
        digest.copy_from_slice(&hash.as_bytes()[..DIGEST_SIZE]);
        Digest(digest)
    }

    pub(crate) const fn from_bytes(bytes: [u8; DIGEST_SIZE]) -> Digest {
        Digest(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_SIZE] {
        &self.0
    }
}

/// How the payload was made from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// It is the block.
    Raw,
    /// An LZ4 block without its size.
    Lz4,
}

impl Codec {
    /// The number in the header. 2 is reserved for zstd, 3 for frames of several blocks.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Lz4 => 1,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Codec> {
        match number {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Lz4),
            _ => None,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Raw => "raw",
            Codec::Lz4 => "lz4",
        }
    }
}

/// What is known of a stored block without reading its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClumpInfo {
    /// The block's score.
    pub score: Score,
    /// The block's type.
    pub block_type: BlockType,
    /// How the payload was made.
    pub codec: Codec,
    /// Bytes in the payload.
    pub stored: u32,
    /// Bytes in the block.
    pub size: u32,
    /// Decides whether another block with this score is this block.
    pub digest: Digest,
}

impl ClumpInfo {
    /// The block's address.
    #[must_use]
    pub const fn request(&self) -> BlockRequest {
        BlockRequest { score: self.score, block_type: self.block_type }
    }

    /// Bytes of the clump, header and payload.
    #[must_use]
    pub const fn clump_size(&self) -> usize {
        CLUMP_HEADER_SIZE + self.stored as usize
    }

    /// Both sizes, bounded: nothing is allocated or skipped by a number that was not checked.
    pub(crate) fn check_sizes(&self, fields: &Fields<'_>) -> Result<(), FormatError> {
        if self.size as usize > MAX_BLOCK_SIZE {
            return Err(fields.impossible("block size", u64::from(self.size)));
        }
        let stored_right = match self.codec {
            Codec::Raw => self.stored == self.size,
            Codec::Lz4 => self.stored < self.size,
        };
        if stored_right {
            Ok(())
        } else {
            Err(fields.impossible("stored size", self.stored.into()))
        }
    }
}

/// A clump header whose checksum and place were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClumpHeader {
    /// What the clump holds.
    pub info: ClumpInfo,
    /// When it was written, in milliseconds since 1970.
    pub time: u64,
}

impl ClumpHeader {
    /// Writes the header into the first 72 of `bytes`.
    pub(crate) fn encode(&self, store: &StoreIdentity, place: Location, bytes: &mut [u8]) {
        let info = &self.info;
        Record::new(&mut bytes[..CLUMP_HEADER_SIZE])
            .u32(CLUMP_MAGIC)
            .u32(place.arena)
            .u32(place.offset)
            .put(&[info.block_type.wire(), info.codec.number(), 0, 0])
            .u32(info.stored)
            .u32(info.size)
            .put(info.score.as_bytes())
            .put(info.digest.as_bytes())
            .u64(self.time)
            .seal(|bytes| store.checksum(bytes));
    }

    /// Reads the header at the front of `bytes`, which were found at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        store: &StoreIdentity,
        place: Location,
        bytes: &[u8],
    ) -> Result<ClumpHeader, FormatError> {
        let mut fields = Fields::new(WHAT, bytes, CLUMP_HEADER_SIZE)?;
        fields.magic(CLUMP_MAGIC)?;
        check(WHAT, &bytes[..CLUMP_HEADER_SIZE], |bytes| store.checksum(bytes))?;
        fields.place("arena", place.arena)?;
        fields.place("offset", place.offset)?;
        let (number, codec) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let (stored, size) = (fields.u32()?, fields.u32()?);
        let info = ClumpInfo {
            block_type: BlockType::from_wire(number)
                .map_err(|_| fields.impossible("type", number.into()))?,
            codec: Codec::from_number(codec)
                .ok_or_else(|| fields.impossible("codec", codec.into()))?,
            stored,
            size,
            score: fields.score()?,
            digest: Digest::from_bytes(fields.array()?),
        };
        info.check_sizes(&fields)?;
        let time = fields.u64()?;
        fields.array::<CHECKSUM_SIZE>()?;
        fields.finish()?;
        Ok(ClumpHeader { info, time })
    }
}

/// Why a payload is not the block that its header promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It does not decompress to the size that the header says.
    #[error("the payload does not decompress to {size} bytes: {detail}")]
    Decompress {
        /// Bytes that the block has.
        size: u32,
        /// What the decompressor said.
        detail: String,
    },
    /// It is other bytes.
    #[error("the payload has score {found}, expected {expected}")]
    Score {
        /// The score of the bytes that are there.
        found: Score,
        /// The score that the header says.
        expected: Score,
    },
}

/// Opens the payload of a clump and proves it by its score. `scratch` is used for what has to be
/// decompressed.
///
/// # Errors
/// What is wrong with the payload.
pub fn open_payload<'a>(
    info: &ClumpInfo,
    payload: &[u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], PayloadError> {
    scratch.clear();
    unpack_payload(info, payload, scratch)?;
    prove(info, Score::of(scratch))?;
    Ok(scratch)
}

/// Appends the bytes of the block that `payload` should be, which nothing has proved yet, to
/// `blocks`. After an error `blocks` is as it was.
pub(crate) fn unpack_payload(
    info: &ClumpInfo,
    payload: &[u8],
    blocks: &mut Vec<u8>,
) -> Result<(), PayloadError> {
    let start = blocks.len();
    let size = info.size as usize;
    match info.codec {
        Codec::Raw => blocks.extend_from_slice(payload),
        Codec::Lz4 => {
            let unpacked = if size > MAX_BLOCK_SIZE {
                Err("larger than any block".to_owned())
            } else {
                blocks.resize(start + size, 0);
                match lz4_flex::block::decompress_into(payload, &mut blocks[start..]) {
                    Ok(length) if length == size => Ok(()),
                    Ok(length) => Err(format!("{length} bytes came out")),
                    Err(error) => Err(error.to_string()),
                }
            };
            if let Err(detail) = unpacked {
                blocks.truncate(start);
                return Err(PayloadError::Decompress { size: info.size, detail });
            }
        }
    }
    Ok(())
}

/// Whether bytes with the score `found` are the block that `info` tells of.
pub(crate) fn prove(info: &ClumpInfo, found: Score) -> Result<(), PayloadError> {
    let expected = info.score;
    if found == expected { Ok(()) } else { Err(PayloadError::Score { found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreIdentity = StoreIdentity::new([7; 16]);
    const PLACE: Location = Location { arena: 3, offset: 512 };

    fn header() -> ClumpHeader {
        let info = ClumpInfo {
            score: Score::of(b"block"),
            block_type: BlockType::DIRECTORY,
            codec: Codec::Raw,
            stored: 5,
            size: 5,
            digest: Digest::of(b"block"),
        };
        ClumpHeader { info, time: 1_234_567 }
    }

    #[test]
    fn a_header_goes_there_and_back_and_only_in_its_place() {
        let mut bytes = [0; CLUMP_HEADER_SIZE];
        header().encode(&STORE, PLACE, &mut bytes);
        assert_eq!(ClumpHeader::decode(&STORE, PLACE, &bytes), Ok(header()));
        let elsewhere = Location { offset: 513, ..PLACE };
        let misplaced = ClumpHeader::decode(&STORE, elsewhere, &bytes).unwrap_err();
        assert_eq!(
            misplaced.to_string(),
            "clump header says that it belongs to offset 512, found it at 513"
        );
        let other = StoreIdentity::new([8; 16]);
        let foreign = ClumpHeader::decode(&other, PLACE, &bytes).unwrap_err();
        assert!(matches!(foreign, FormatError::Checksum { .. }), "{foreign}");
        let short = ClumpHeader::decode(&STORE, PLACE, &bytes[..71]).unwrap_err();
        assert_eq!(short.to_string(), "clump header has 72 bytes, only 71 are there");
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let mut bytes = [0; CLUMP_HEADER_SIZE];
        header().encode(&STORE, PLACE, &mut bytes);
        for bit in 0..CLUMP_HEADER_SIZE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(ClumpHeader::decode(&STORE, PLACE, &bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_payload_is_proved_by_its_score() {
        let info = header().info;
        let mut scratch = Vec::new();
        assert_eq!(open_payload(&info, b"block", &mut scratch), Ok(&b"block"[..]));
        let wrong = open_payload(&info, b"blocc", &mut scratch).unwrap_err();
        assert!(matches!(wrong, PayloadError::Score { .. }));
        let squeezed = ClumpInfo { codec: Codec::Lz4, stored: 4, ..info };
        let wrong = open_payload(&squeezed, b"bloc", &mut scratch).unwrap_err();
        assert!(matches!(wrong, PayloadError::Decompress { .. }));
    }
}
