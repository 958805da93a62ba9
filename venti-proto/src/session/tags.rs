//! Which tags are in use on a server's side of a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Tag;

/// A set of tags, shared by the side that reads requests and those that answer them.
///
/// The order of memory does not matter: a tag is taken by the reader of requests alone, and given
/// back before the reply that lets the client use it again is sent.
#[derive(Debug, Default)]
pub(super) struct TagSet {
    words: [AtomicU64; 4],
}

impl TagSet {
    fn word_and_bit(&self, tag: Tag) -> (&AtomicU64, u64) {
        (&self.words[usize::from(tag.0 >> 6)], 1 << (tag.0 & 63))
    }

    /// Puts the tag into the set; false if it was in it.
    pub(super) fn insert(&self, tag: Tag) -> bool {
        let (word, bit) = self.word_and_bit(tag);
        word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    pub(super) fn contains(&self, tag: Tag) -> bool {
        let (word, bit) = self.word_and_bit(tag);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Takes the tag out of the set.
    pub(super) fn remove(&self, tag: Tag) {
        let (word, bit) = self.word_and_bit(tag);
        word.fetch_and(!bit, Ordering::Relaxed);
    }

    /// Tags in the set.
    pub(super) fn len(&self) -> usize {
        let ones = |word: &AtomicU64| word.load(Ordering::Relaxed).count_ones();
        self.words.iter().map(ones).sum::<u32>() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_goes_in_once_and_comes_out() {
        let tags = TagSet::default();
        for tag in (0..=255).map(Tag) {
            assert!(tags.insert(tag));
            assert!(!tags.insert(tag));
        }
        assert_eq!(tags.len(), 256);
        tags.remove(Tag(200));
        assert!(!tags.contains(Tag(200)));
        assert!(tags.contains(Tag(199)));
        assert_eq!(tags.len(), 255);
    }
}
