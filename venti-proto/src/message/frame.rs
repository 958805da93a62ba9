//! The length before each message, and headers of the two that carry blocks.
//!
//! A block that is sent goes to the socket from where it lies: only its header is made here.

use super::{Kind, MAX_MESSAGE_SIZE, Tag, Version};
use crate::BlockType;

/// A length field that says more than any message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {size} bytes is too large, at most {MAX_MESSAGE_SIZE} are allowed")]
pub struct FrameTooLarge {
    /// The length, in bytes, as found.
    pub size: usize,
}

impl Version {
    /// Takes one whole message off the front of `input`, without its length field. `None` if not
    /// all of it is there yet: then `input` is as it was.
    ///
    /// # Errors
    /// [`FrameTooLarge`] as soon as the length field is complete.
    pub fn next_frame<'a>(self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FrameTooLarge> {
        let Some((length, rest)) = input.split_at_checked(self.length_size()) else {
            return Ok(None);
        };
        let size = length.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        if size > MAX_MESSAGE_SIZE {
            return Err(FrameTooLarge { size });
        }
        let Some((body, rest)) = rest.split_at_checked(size) else { return Ok(None) };
        *input = rest;
        Ok(Some(body))
    }

    /// The length field of a message of `size` bytes, left-aligned, and how many bytes it has.
    const fn length_field(self, size: usize) -> ([u8; 4], usize) {
        let [.., b3, b2, b1, b0] = size.to_be_bytes();
        match self {
            Version::V02 => ([b1, b0, 0, 0], 2),
            Version::V04 | Version::X1 => ([b3, b2, b1, b0], 4),
        }
    }

    /// Writes the length field of a message of `size` bytes.
    pub(super) fn put_length(self, size: usize, output: &mut Vec<u8>) {
        let (field, used) = self.length_field(size);
        output.extend_from_slice(&field[..used]);
    }
}

/// What goes before the block in a reply to a read, length field included.
#[derive(Clone, Copy, Debug)]
pub struct ReadReplyHeader {
    bytes: [u8; 6],
    used: usize,
}

impl ReadReplyHeader {
    /// The header of an `Rread` with `length` bytes of data.
    ///
    /// # Errors
    /// [`FrameTooLarge`] if the message would be.
    pub const fn new(
        version: Version,
        tag: Tag,
        length: usize,
    ) -> Result<ReadReplyHeader, FrameTooLarge> {
        let size = length.saturating_add(2);
        if size > MAX_MESSAGE_SIZE {
            return Err(FrameTooLarge { size });
        }
        let (field, used) = version.length_field(size);
        let mut bytes = [field[0], field[1], field[2], field[3], 0, 0];
        bytes[used] = Kind::Rread.wire();
        bytes[used + 1] = tag.0;
        Ok(ReadReplyHeader { bytes, used: used + 2 })
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// What goes before the block in a request to write, length field included.
#[derive(Clone, Copy, Debug)]
pub struct WriteHeader {
    bytes: [u8; 10],
    used: usize,
}

impl WriteHeader {
    /// The header of a `Twrite` with `length` bytes of data.
    ///
    /// # Errors
    /// [`FrameTooLarge`] if the message would be.
    pub const fn new(
        version: Version,
        tag: Tag,
        block_type: BlockType,
        length: usize,
    ) -> Result<WriteHeader, FrameTooLarge> {
        let size = length.saturating_add(6);
        if size > MAX_MESSAGE_SIZE {
            return Err(FrameTooLarge { size });
        }
        let (field, used) = version.length_field(size);
        let mut bytes = [field[0], field[1], field[2], field[3], 0, 0, 0, 0, 0, 0];
        bytes[used] = Kind::Twrite.wire();
        bytes[used + 1] = tag.0;
        bytes[used + 2] = block_type.wire();
        Ok(WriteHeader { bytes, used: used + 6 })
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::Message;

    #[test]
    fn headers_are_what_encoding_the_whole_message_gives() {
        let (tag, block_type, data) = (Tag(7), BlockType::DIRECTORY, [9; 300]);
        for version in Version::ALL {
            let mut whole = Vec::new();
            let message = Message::Twrite { tag, block_type, data: Cow::Borrowed(&data) };
            message.encode(version, &mut whole).unwrap();
            let header = WriteHeader::new(version, tag, block_type, data.len()).unwrap();
            assert_eq!([header.as_bytes(), &data].concat(), whole);

            whole.clear();
            let message = Message::Rread { tag, data: Cow::Borrowed(&data) };
            message.encode(version, &mut whole).unwrap();
            let header = ReadReplyHeader::new(version, tag, data.len()).unwrap();
            assert_eq!([header.as_bytes(), &data].concat(), whole);

            let size = MAX_MESSAGE_SIZE + 1;
            assert_eq!(
                ReadReplyHeader::new(version, tag, size - 2).unwrap_err(),
                FrameTooLarge { size }
            );
            assert_eq!(
                WriteHeader::new(version, tag, block_type, size - 6).unwrap_err(),
                FrameTooLarge { size }
            );
        }
    }

    #[test]
    fn a_frame_is_taken_whole_or_not_at_all() {
        let bytes = [0, 0, 0, 2, 2, 1, 0, 0, 0];
        let mut input = &bytes[..5];
        assert_eq!(Version::V04.next_frame(&mut input), Ok(None));
        assert_eq!(input.len(), 5);
        let mut input = &bytes[..];
        assert_eq!(Version::V04.next_frame(&mut input), Ok(Some(&[2, 1][..])));
        assert_eq!(Version::V04.next_frame(&mut input), Ok(None));
        assert_eq!(input.len(), 3);
        let mut input = &[0, 1, 0, 0][..];
        assert_eq!(Version::X1.next_frame(&mut input), Err(FrameTooLarge { size: 65536 }));
    }
}
