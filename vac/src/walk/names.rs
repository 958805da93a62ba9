//! The names in one directory, in the order in which the archive keeps them.

use std::cmp::Ordering;
use std::ffi::CStr;

/// Names in one buffer: a directory of two million names costs their bytes and seven more each.
#[derive(Debug, Default)]
pub struct NameList {
    /// The names one after another, each after its length ([`LENGTH_SIZE`] bytes) and ended by a
    /// zero byte. Comparing two names would else mean looking for the end of both first.
    bytes: Vec<u8>,
    /// Where the length of each name starts in `bytes`, in the order of the list.
    starts: Vec<u32>,
}

/// Bytes of a length: `readdir` has no more for a whole entry.
const LENGTH_SIZE: usize = 2;

/// More bytes of names in one directory than a [`NameList`] holds (4 GiB), or a name of 64 KiB.
#[derive(Debug)]
pub struct TooManyNames;

impl NameList {
    /// Appends a name.
    ///
    /// # Errors
    /// [`TooManyNames`] once the names take 4 GiB, or if one has 64 KiB.
    pub fn push(&mut self, name: &CStr) -> Result<(), TooManyNames> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| TooManyNames)?;
        let length = u16::try_from(name.count_bytes()).map_err(|_| TooManyNames)?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.starts.push(start);
        Ok(())
    }

    /// Puts the names in the order of `compare`.
    pub fn sort_by(&mut self, compare: impl Fn(&[u8], &[u8]) -> Ordering) {
        let NameList { bytes, starts } = self;
        starts.sort_unstable_by(|a, b| compare(name_at(bytes, *a), name_at(bytes, *b)));
    }

    /// The name at `position`, or none past the end.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&CStr> {
        let start = *self.starts.get(position)? as usize;
        CStr::from_bytes_until_nul(&self.bytes[start + LENGTH_SIZE..]).ok()
    }

    /// How many names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Gives back memory that growing reserved: a list lives as long as its directory is open.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }
}

fn name_at(bytes: &[u8], start: u32) -> &[u8] {
    let entry = &bytes[start as usize..];
    let Some((length, names)) = entry.split_first_chunk::<LENGTH_SIZE>() else { return &[] };
    &names[..usize::from(u16::from_be_bytes(*length))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_order() {
        let mut names = NameList::default();
        for name in [c"b", c"", c"a/x", c"\xff\xfe", c"a"] {
            names.push(name).unwrap();
        }
        names.sort_by(Ord::cmp);
        let sorted: Vec<_> = (0..names.len()).filter_map(|i| names.get(i)).collect();
        assert_eq!(sorted, [c"", c"a", c"a/x", c"b", c"\xff\xfe"]);
        assert_eq!(names.get(5), None);
    }

    #[test]
    fn a_name_whose_length_does_not_fit_is_refused() {
        let mut names = NameList::default();
        let name = |length| std::ffi::CString::new(vec![b'x'; length]).unwrap();
        names.push(&name(65_535)).unwrap();
        assert!(names.push(&name(65_536)).is_err());
        names.sort_by(Ord::cmp);
        assert_eq!(names.len(), 1);
        assert_eq!(names.get(0).map(CStr::count_bytes), Some(65_535));
    }
}
