//! The directories in a directory that a walk has not come to yet, in the order in which it will.
//!
//! Programs go through a directory as it is listed, or by the numbers of the files, which is
//! faster on a disk: cp does. Which of the two it is shows as soon as one goes anywhere else than
//! to the next directory in the list.

use std::collections::VecDeque;

/// Directories of one directory that are remembered.
const MOST: usize = 4096;

/// The next directories, the next one first.
pub(super) struct Upcoming<T> {
    next: VecDeque<Child<T>>,
    by_number: bool,
}

struct Child<T> {
    number: u64,
    directory: T,
    was_read: bool,
}

impl<T> Default for Upcoming<T> {
    fn default() -> Upcoming<T> {
        Upcoming { next: VecDeque::new(), by_number: false }
    }
}

impl<T: Clone> Upcoming<T> {
    /// A directory was listed behind those before; `number` is what its reader knows it by.
    pub(super) fn add(&mut self, number: u64, directory: T) {
        if self.next.len() >= MOST {
            return;
        }
        let at = match self.by_number {
            true => self.next.partition_point(|child| child.number < number),
            false => self.next.len(),
        };
        self.next.insert(at, Child { number, directory, was_read: false });
    }

    /// Whether the walk goes by number, as far as can be told.
    pub(super) const fn is_by_number(&self) -> bool {
        self.by_number
    }

    /// What the reader of the directory above goes by, this one's probably does, too.
    pub(super) fn start(&mut self, by_number: bool) {
        if self.next.is_empty() {
            self.by_number = by_number;
        }
    }

    /// The walk has come to a directory.
    pub(super) fn reach(&mut self, is_it: impl Fn(&T) -> bool) {
        let Some(at) = self.next.iter().position(|child| is_it(&child.directory)) else { return };
        let Some(reached) = self.next.remove(at) else { return };
        if at > 0 && !self.by_number {
            self.by_number = true;
            self.next.retain(|child| child.number > reached.number);
            self.next.make_contiguous().sort_unstable_by_key(|child| child.number);
        }
    }

    /// Whether there are any to be read ahead among the next `within`.
    pub(super) fn wants(&self, within: usize) -> bool {
        self.next.iter().take(within).any(|child| !child.was_read)
    }

    /// At most `most` of the next `within` directories that were not read ahead: they are now.
    pub(super) fn take(&mut self, within: usize, most: usize) -> Vec<T> {
        let unread = self.next.iter_mut().take(within).filter(|child| !child.was_read);
        let mut taken = Vec::new();
        for child in unread.take(most) {
            child.was_read = true;
            taken.push(child.directory.clone());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upcoming(children: &[(u64, &'static str)]) -> Upcoming<&'static str> {
        let mut upcoming = Upcoming::default();
        children.iter().for_each(|(number, name)| upcoming.add(*number, *name));
        upcoming
    }

    #[test]
    fn a_walk_in_the_order_of_the_list_goes_on_in_it() {
        let mut upcoming = upcoming(&[(7, "a"), (3, "b"), (9, "c"), (1, "d")]);
        upcoming.reach(|name| *name == "a");
        assert_eq!(upcoming.take(2, 9), ["b", "c"]);
        assert!(!upcoming.wants(2) && upcoming.wants(3));
        upcoming.reach(|name| *name == "b");
        assert_eq!(upcoming.take(9, 9), ["d"]);
        assert!(!upcoming.is_by_number());
    }

    #[test]
    fn a_walk_by_number_goes_on_with_greater_numbers() {
        let mut upcoming = upcoming(&[(7, "a"), (3, "b"), (9, "c"), (1, "d")]);
        upcoming.reach(|name| *name == "b");
        assert!(upcoming.is_by_number());
        assert_eq!(upcoming.take(9, 9), ["a", "c"], "number 1 was passed by");
        upcoming.add(8, "late");
        assert_eq!(upcoming.take(9, 9), ["late"]);
        upcoming.reach(|name| *name == "a");
        upcoming.reach(|name| *name == "unknown");
        assert!(!upcoming.wants(9));
    }
}
