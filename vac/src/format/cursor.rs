//! Takes fields off the front of bytes that are not to be trusted.

use super::FormatError;

/// What is left to be read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(
        &mut self,
        field: &'static str,
        needed: usize,
    ) -> Result<&'a [u8], FormatError> {
        let left = self.bytes.len();
        let Some((taken, rest)) = self.bytes.split_at_checked(needed) else {
            return Err(FormatError::Truncated { field, needed, left });
        };
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, FormatError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, FormatError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, FormatError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, FormatError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// A length of two bytes, then that many bytes.
    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a [u8], FormatError> {
        let length = self.u16(field)?;
        self.take(field, usize::from(length))
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }
}

/// Appends a length of two bytes and the bytes.
pub(super) fn put_string(
    to: &mut Vec<u8>,
    what: &'static str,
    bytes: &[u8],
) -> Result<(), FormatError> {
    let limit = usize::from(u16::MAX);
    let length = u16::try_from(bytes.len()).map_err(|_| FormatError::TooLong {
        what,
        size: bytes.len(),
        limit,
    })?;
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
    Ok(())
}
