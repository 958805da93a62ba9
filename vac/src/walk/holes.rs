//! Where a sparse file has no space on disk.

use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Holes that are written down at the most: a file with more keeps them as zeros only.
const MOST_HOLES: usize = 4096;

/// The first byte at or behind `offset` that has space on disk; `None` if there is none. Reading
/// with `pread` is not disturbed.
///
/// # Errors
/// What the system says if it can not tell: then there may be data anywhere.
pub fn find_data(file: impl AsFd, offset: u64) -> Result<Option<u64>, Errno> {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Offset and length of every hole of a file of `size` bytes. `None` if the system can not tell,
/// or if there are too many to be worth it.
#[must_use]
pub fn holes(file: impl AsFd, size: u64) -> Option<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < size {
        let data = find_data(&file, offset).ok()?.map_or(size, |data| data.min(size));
        if data > offset {
            if found.len() == MOST_HOLES {
                return None;
            }
            found.push((offset, data - offset));
        }
        if data == size {
            break;
        }
        offset = seek(&file, SeekFrom::Hole(data)).ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_found_between_data() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"x", 1 << 20).unwrap();
        file.set_len(3 << 20).unwrap();
        let Some(found) = holes(&file, 3 << 20) else {
            println!("skipped: this file system does not tell holes");
            return;
        };
        // How much around the byte has space is up to the file system.
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, 0);
        assert_eq!(found[1].0 + found[1].1, 3 << 20);
        assert!(find_data(&file, 0).unwrap().is_some_and(|data| data <= 1 << 20));
        assert_eq!(find_data(&file, 2 << 20), Ok(None));
        let (pipe, _other) = std::io::pipe().unwrap();
        assert_eq!(find_data(&pipe, 0), Err(Errno::SPIPE));
    }
}
