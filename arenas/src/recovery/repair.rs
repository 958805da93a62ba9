//! Puts the tail of an unsealed arena in order, so that it can be written to.
//!
//! Done before anything is acknowledged, and again from the start if it is interrupted: first
//! what is dropped is copied aside, durably; then everything since the last mark is written
//! again with the same bytes, because a page that a failed sync left in the cache reads well and
//! is not on the disk; then the tail is cut; then all is synced; then a mark says so.

use std::sync::Arc;

use super::survey::{Stretch, Survey};
use super::table::StretchAction;
use crate::arena::{ArenaHeader, GAP_HEADER_SIZE, Gap, MARK_SIZE, Mark};
use crate::disk::{Disk, DiskFile, DiskResult, OpenMode, read_exact_at, write_all_at};
use crate::fields::StoreIdentity;
use crate::log::{Entries, OpenArena};
use crate::names;

/// Bytes that are copied or written again at once.
const PIECE: usize = 1 << 20;

/// What repairing one arena needs to know.
pub(super) struct Repair<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) store: StoreIdentity,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) survey: &'a Survey,
    /// The header, where it is good: its time of creation is kept.
    pub(super) header: Option<ArenaHeader>,
    /// Milliseconds since 1970.
    pub(super) now: u64,
}

impl Repair<'_> {
    /// Repairs the arena and returns it, ready to be written to.
    pub(super) fn run(self) -> DiskResult<OpenArena> {
        let survey = self.survey;
        let mut entries = Entries::new(&self.store);
        survey.enter(&mut entries);
        let end = survey.log_end();
        let mut arena = OpenArena {
            number: survey.arena,
            file: Arc::clone(&self.file),
            created: self.header.map_or(self.now, |header| header.created),
            entries: Arc::new(entries),
            next: end,
            pending: Vec::new(),
            unsynced: 0,
            name_durable: true,
            marked: survey.boundary,
            sequence: survey.sequence,
        };
        if survey.needs_repair() {
            self.copy_aside()?;
            self.write_again()?;
            if end < survey.end {
                self.file.set_len(u64::from(end))?;
            }
            self.file.sync_data()?;
            self.disk.sync_dir(names::ARENAS)?;
            self.mark(&mut arena)?;
        }
        Ok(arena)
    }

    /// Recovery never deletes: what it drops is kept under another name, unless it is all zeros.
    fn copy_aside(&self) -> DiskResult<()> {
        let dropped = |stretch: &&Stretch| {
            matches!(stretch.action, StretchAction::Close | StretchAction::Cut)
        };
        let mut copy: Option<(Arc<dyn DiskFile>, u64)> = None;
        for stretch in self.survey.stretches.iter().filter(dropped) {
            let mut place = stretch.extent.start;
            while place < stretch.extent.end {
                let piece = self.read(place, stretch.extent.end)?;
                place += u32::try_from(piece.len()).unwrap_or(u32::MAX);
                if piece.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let (file, filled) = match &mut copy {
                    Some(copy) => copy,
                    None => copy.insert((self.create_copy()?, 0)),
                };
                write_all_at(&**file, &piece, *filled)?;
                *filled += piece.len() as u64;
            }
        }
        match copy {
            Some((file, _)) => file.sync_data().and_then(|()| self.disk.sync_dir(names::ARENAS)),
            None => Ok(()),
        }
    }

    fn create_copy(&self) -> DiskResult<Arc<dyn DiskFile>> {
        let listed = self.disk.list(names::ARENAS)?;
        let copies = listed.iter().filter_map(|name| names::parse_torn(name));
        let ours = copies.filter(|(arena, _)| *arena == self.survey.arena);
        let next = ours.map(|(_, copy)| copy + 1).max().unwrap_or(1);
        self.disk.open(&names::torn(self.survey.arena, next), OpenMode::Create)
    }

    /// Writes everything that no mark proves durable again, and closes the gaps.
    fn write_again(&self) -> DiskResult<()> {
        if self.survey.boundary == 0 {
            let header = self.header.unwrap_or(ArenaHeader {
                store: self.store,
                number: self.survey.arena,
                created: self.now,
            });
            write_all_at(&*self.file, &header.encode(), 0)?;
        }
        for stretch in &self.survey.stretches {
            match stretch.action {
                StretchAction::Rewrite => self.rewrite(stretch)?,
                StretchAction::Close => self.close(stretch)?,
                StretchAction::Keep | StretchAction::Report | StretchAction::Cut => {}
            }
        }
        Ok(())
    }

    fn rewrite(&self, stretch: &Stretch) -> DiskResult<()> {
        let mut place = stretch.extent.start;
        while place < stretch.extent.end {
            let piece = self.read(place, stretch.extent.end)?;
            write_all_at(&*self.file, &piece, u64::from(place))?;
            place += u32::try_from(piece.len()).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    fn close(&self, stretch: &Stretch) -> DiskResult<()> {
        let length = stretch.extent.end - stretch.extent.start;
        // A hole smaller than any record can only come from damage: it is reported at every scan.
        if (length as usize) < GAP_HEADER_SIZE {
            return Ok(());
        }
        let gap = Gap { length }.encode(&self.store, stretch.location(self.survey.arena));
        write_all_at(&*self.file, &gap, u64::from(stretch.extent.start))
    }

    fn read(&self, start: u32, end: u32) -> DiskResult<Vec<u8>> {
        let mut piece = vec![0; ((end - start) as usize).min(PIECE)];
        read_exact_at(&*self.file, &mut piece, u64::from(start))?;
        Ok(piece)
    }

    fn mark(&self, arena: &mut OpenArena) -> DiskResult<()> {
        arena.sequence += 1;
        arena.marked = arena.next;
        let mark = Mark {
            durable_through: arena.next,
            sequence: arena.sequence,
            time: self.now,
            clumps: u32::try_from(arena.entries.len()).unwrap_or(u32::MAX),
        };
        let place = crate::Location { arena: arena.number, offset: arena.next };
        write_all_at(&*self.file, &mark.encode(&self.store, place), u64::from(arena.next))?;
        arena.next += u32::try_from(MARK_SIZE).unwrap_or(0);
        Ok(())
    }
}
