//! A store that was opened read-only follows the writer beside it.

use std::sync::Arc;

use super::{Catalogue, Shared};
use crate::disk::{Disk, DiskResult, OpenMode};
use crate::log::Entries;
use crate::names;
use crate::recovery::{ScannedArena, Survey, arena_numbers, read_footer};

impl Shared {
    /// Looks for what was written since. Returns whether there was anything new.
    pub(super) fn refresh(&self) -> bool {
        self.catalogue.refresh(&*self.disk).unwrap_or_else(|error| {
            tracing::warn!(%error, "can not follow the writer");
            false
        })
    }
}

impl Catalogue {
    fn refresh(&self, disk: &dyn Disk) -> DiskResult<bool> {
        let scanned = self.scanned();
        let mut news = false;
        for arena in scanned.iter().filter(|arena| arena.growing) {
            news |= self.follow(disk, arena)?;
        }
        let known = |number: &u32| {
            self.is_sealed(*number) || scanned.iter().any(|arena| arena.number == *number)
        };
        for number in arena_numbers(disk)?.into_iter().filter(|number| !known(number)) {
            let start = ScannedArena {
                number,
                entries: Arc::new(Entries::new(&self.store)),
                scanned_through: 0,
                growing: true,
            };
            news |= self.follow(disk, &start)?;
        }
        Ok(news)
    }

    /// Scans what was added to an arena since the last time.
    fn follow(&self, disk: &dyn Disk, arena: &ScannedArena) -> DiskResult<bool> {
        let file = disk.open(&names::arena(arena.number), OpenMode::Read)?;
        let growing = read_footer(&*file, &self.store, arena.number).is_none();
        let survey = if arena.scanned_through == 0 {
            Survey::of_file(&file, self.store, arena.number)?
        } else {
            Survey::take(&file, self.store, arena.number, arena.scanned_through)?
        };
        let mut entries = Entries::clone(&arena.entries);
        let before = entries.len();
        let scanned_through = survey.enter_prefix(&mut entries);
        let news = entries.len() > before;
        if news || growing != arena.growing {
            let entries = Arc::new(entries);
            self.set_scanned(ScannedArena { entries, scanned_through, growing, ..arena.clone() });
        }
        Ok(news)
    }
}
