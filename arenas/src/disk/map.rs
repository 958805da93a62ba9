//! The only unsafe code of this crate: mapping a file that is never written again.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// The bytes of a whole file: mapped, or copied where there is nothing to map.
#[derive(Debug)]
pub struct MappedBytes(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Copied(Vec<u8>),
}

impl MappedBytes {
    /// Maps a file of the index. Such files are written under another name, renamed, and never
    /// changed afterwards; arenas are never mapped, because a bad sector would be a signal.
    pub(super) fn map(file: &File) -> io::Result<MappedBytes> {
        if file.metadata()?.len() == 0 {
            return Ok(MappedBytes(Bytes::Copied(Vec::new())));
        }
        #[expect(unsafe_code, reason = "no safe way to map a file exists")]
        // SAFETY: the store's lock keeps other writers away, and nothing here writes to or cuts
        // an index file once it has its name. What is read is checked before it is believed.
        let mapped = unsafe { memmap2::Mmap::map(file) }?;
        Ok(MappedBytes(Bytes::Mapped(mapped)))
    }

    /// Bytes that are in memory already.
    #[must_use]
    pub const fn copied(bytes: Vec<u8>) -> MappedBytes {
        MappedBytes(Bytes::Copied(bytes))
    }
}

impl Deref for MappedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(mapped) => mapped,
            Bytes::Copied(copied) => copied,
        }
    }
}
