//! The hierarchy of `vac -a`: `yyyy/mmdd`, a second archive of a day `mmdd.1` and so on.
//!
//! Every day added gives a new root that holds all the earlier days as they were: their entries
//! are copied, and what they lead to is shared.

use venti_proto::BlockStore;
use venti_proto::hash_tree::read_range;

use super::known::KnownBlocks;
use super::old::OldStreams;
use super::old_entry::{OldEntry, OldFile};
use super::old_listing::{Listing, OldStore};
use crate::format::{MAX_EXTERNAL_SIZE, decode_external};
use crate::walk::Moment;

/// The earliest year that is taken for one, as in the original.
const EARLIEST_YEAR: u16 = 1900;

/// Where in the hierarchy an archive is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpDay {
    /// The year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// The time that the new directories of the hierarchy get.
    pub modified: Moment,
}

impl DumpDay {
    /// The directory of the year.
    pub(super) fn year_name(&self) -> Vec<u8> {
        format!("{:04}", self.year).into_bytes()
    }

    /// The first name for this day that is not among `taken`.
    pub(super) fn free_name(&self, taken: &[OldFile]) -> Vec<u8> {
        let plain = format!("{:02}{:02}", self.month, self.day);
        let mut name = plain.clone();
        let mut number = 0;
        while taken.iter().any(|file| file.dir.name == name.as_bytes()) {
            number += 1;
            name = format!("{plain}.{number}");
        }
        name.into_bytes()
    }
}

/// The days that a hierarchy has already.
#[derive(Debug, Default)]
pub(super) struct DumpBase {
    /// Everything at the top.
    pub(super) top: Vec<OldFile>,
    /// Everything in the directory of the year that a day is added to.
    pub(super) year: Vec<OldFile>,
    /// The latest day of all.
    pub(super) latest: Option<OldStreams>,
    /// The largest qid of all days: that of a new one start behind it.
    pub(super) largest_qid: u64,
}

impl DumpBase {
    /// Reads the top of the hierarchy. `Err` says what is damaged: nothing may be lost here.
    pub(super) fn read(
        store: &dyn BlockStore,
        top: &OldStreams,
        day: &DumpDay,
        known: &KnownBlocks,
    ) -> Result<DumpBase, String> {
        let mut base = DumpBase { top: list(store, top, known)?, ..DumpBase::default() };
        let latest_year = base
            .top
            .iter()
            .filter_map(|file| Some((year_of(&file.dir.name)?, file.streams()?)))
            .max_by_key(|(year, _)| *year);
        if let Some((_, streams)) = latest_year {
            let days = list(store, &streams, known)?;
            let day = days
                .iter()
                .filter_map(|file| Some((day_of(&file.dir.name)?, file.streams()?)))
                .max_by_key(|(day, _)| *day);
            base.latest = day.map(|(_, streams)| streams);
        }
        let wanted = day.year_name();
        if let Some(year) = base.top.iter().find(|file| file.dir.name == wanted) {
            let streams = year.streams().ok_or("the directory of the year is none")?;
            base.year = list(store, &streams, known)?;
        }
        Ok(base)
    }
}

/// Everything in a directory, with nothing left in streams of its own.
pub(super) fn list(
    store: &dyn BlockStore,
    streams: &OldStreams,
    known: &KnownBlocks,
) -> Result<Vec<OldFile>, String> {
    let from = OldStore { blocks: store, known };
    let entries = Listing::open(from, streams)?.into_all(from)?;
    let files: Result<Vec<OldFile>, String> =
        entries.into_iter().map(OldEntry::into_file).collect();
    let mut files = files?;
    files.iter_mut().try_for_each(|file| load_external(store, file))?;
    Ok(files)
}

/// Reads the fields that were too large for the entry, so that it can be written elsewhere.
fn load_external(store: &dyn BlockStore, file: &mut OldFile) -> Result<(), String> {
    let Some(unix) = file.dir.unix.as_mut().filter(|unix| unix.external.is_some()) else {
        return Ok(());
    };
    let entry = file.external.ok_or("fields of an entry are missing")?;
    if entry.size > MAX_EXTERNAL_SIZE {
        return Err(format!("{} bytes of fields in one entry", entry.size));
    }
    let mut stream = vec![0; usize::try_from(entry.size).map_err(|e| e.to_string())?];
    read_range(store, &entry, 0, &mut stream).map_err(|e| e.to_string())?;
    decode_external(unix, &stream).map_err(|e| e.to_string())?;
    unix.external = None;
    Ok(())
}

fn year_of(name: &[u8]) -> Option<u16> {
    let number = digits(name).filter(|_| name.len() == 4)?;
    u16::try_from(number).ok().filter(|year| *year >= EARLIEST_YEAR)
}

/// Month and day as one number, and which archive of that day.
fn day_of(name: &[u8]) -> Option<(u32, u32)> {
    let (day, number) = name.split_at_checked(4)?;
    let day = digits(day).filter(|day| (101..=1231).contains(day))?;
    let number = match number {
        [] => 0,
        [b'.', b'1'..=b'9', ..] => digits(&number[1..])?,
        _ => return None,
    };
    Some((day, number))
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.iter().all(u8::is_ascii_digit) {
        std::str::from_utf8(text).ok()?.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::VacDir;

    #[test]
    fn names_of_days_and_years() {
        assert_eq!(year_of(b"2004"), Some(2004));
        for other in ["1899", "204", "20044", "2oo4", "+204"] {
            assert_eq!(year_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(day_of(b"0611"), Some((611, 0)));
        assert_eq!(day_of(b"0611.12"), Some((611, 12)));
        for other in ["061", "0611.0", "0611.", "0611x", "0000", "1332", "06111", "0611.1x"] {
            assert_eq!(day_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_second_archive_of_a_day_gets_a_number() {
        let modified = Moment::default();
        let day = DumpDay { year: 2004, month: 6, day: 11, modified };
        let mut taken = Vec::new();
        for expected in ["0611", "0611.1", "0611.2"] {
            let name = day.free_name(&taken);
            assert_eq!(name, expected.as_bytes());
            let dir = VacDir { name, ..VacDir::default() };
            taken.push(OldFile { dir, content: None, meta: None, external: None });
        }
    }
}
