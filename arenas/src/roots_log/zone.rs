//! The file `roots/zone`: the time zone that days are cut in.
//!
//! It belongs to the store, so that a dump has the same name whoever asks and wherever the store is
//! served. The bytes are in docs/roots.md.

use std::io;

use venti_proto::roots::RootLogError;

use super::io as disk_error;
use crate::disk::{Disk, DiskError, OpenMode, read_exact_at, write_all_at};
use crate::names;

/// The first line of the file.
const HEADER: &str = "venti roots zone 1\n";

/// Names of zones are shorter.
const MOST_BYTES: usize = 255;

/// The zone that days are to be cut in, by its IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayZone {
    /// That of the store; if it has none yet, this one from now on.
    Keep(String),
    /// This one from now on, and the names of old dumps change with it.
    Change(String),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The zone that days are cut in.
    pub(super) name: String,
    /// What the store had.
    pub(super) before: Option<String>,
}

/// Decides on the zone, and writes it down if that may be and it is new.
pub(super) fn settle(
    disk: &dyn Disk,
    wanted: &DayZone,
    read_only: bool,
) -> Result<Settled, RootLogError> {
    let (before, name) = match (load(disk), wanted) {
        (found, DayZone::Change(name)) => (found.ok().flatten(), name.clone()),
        (found, DayZone::Keep(name)) => {
            let before = found?;
            (before.clone(), before.unwrap_or_else(|| name.clone()))
        }
    };
    if !read_only && before.as_ref() != Some(&name) {
        store(disk, &name).map_err(|error| disk_error(&error))?;
    }
    Ok(Settled { name, before })
}

fn load(disk: &dyn Disk) -> Result<Option<String>, RootLogError> {
    let file = match disk.open(names::ROOTS_ZONE, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk_error(&error)),
    };
    let most = HEADER.len() + MOST_BYTES + 1;
    let length = file.len().map_err(|error| disk_error(&error))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(most).min(most)];
    read_exact_at(&*file, &mut bytes, 0).map_err(|error| disk_error(&error))?;
    let name = std::str::from_utf8(&bytes).ok().and_then(parse);
    name.map(Some).ok_or_else(|| RootLogError::Damaged {
        detail: format!("{} names no time zone: name one again", names::ROOTS_ZONE),
    })
}

fn parse(text: &str) -> Option<String> {
    let name = text.strip_prefix(HEADER)?.strip_suffix('\n')?;
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| name.to_owned())
}

fn store(disk: &dyn Disk, name: &str) -> Result<(), DiskError> {
    let file = disk.open(names::ROOTS_ZONE_TEMPORARY, OpenMode::Create)?;
    write_all_at(&*file, format!("{HEADER}{name}\n").as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(names::ROOTS_ZONE_TEMPORARY, names::ROOTS_ZONE)?;
    disk.sync_dir(names::ROOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    fn keep(disk: &SimDisk, name: &str, read_only: bool) -> Result<Settled, RootLogError> {
        settle(disk, &DayZone::Keep(name.to_owned()), read_only)
    }

    fn settled(name: &str, before: Option<&str>) -> Settled {
        Settled { name: name.to_owned(), before: before.map(str::to_owned) }
    }

    #[test]
    fn the_first_zone_stays_until_another_is_wanted() {
        let disk = SimDisk::new(1);
        disk.create_dir(names::ROOTS).unwrap();
        assert_eq!(keep(&disk, "Asia/Tokyo", true), Ok(settled("Asia/Tokyo", None)));
        assert_eq!(keep(&disk, "UTC", false), Ok(settled("UTC", None)), "nothing was kept");
        assert_eq!(keep(&disk, "Asia/Tokyo", false), Ok(settled("UTC", Some("UTC"))));
        let change = DayZone::Change("Europe/Berlin".to_owned());
        let changed = settle(&disk, &change, false);
        assert_eq!(changed, Ok(settled("Europe/Berlin", Some("UTC"))));
        let kept = keep(&disk.kill(), "UTC", true);
        assert_eq!(kept, Ok(settled("Europe/Berlin", Some("Europe/Berlin"))));
    }

    #[test]
    fn a_file_that_names_no_zone_is_an_error_until_one_is_named() {
        for bytes in ["", "UTC\n", "venti roots zone 1\n", "venti roots zone 1\nUTC", "\0"] {
            let disk = SimDisk::new(1);
            disk.create_dir(names::ROOTS).unwrap();
            let file = disk.open(names::ROOTS_ZONE, OpenMode::Create).unwrap();
            write_all_at(&*file, bytes.as_bytes(), 0).unwrap();
            let refused = keep(&disk, "UTC", false);
            assert!(matches!(refused, Err(RootLogError::Damaged { .. })), "{bytes:?}");
            let change = DayZone::Change("UTC".to_owned());
            assert_eq!(settle(&disk, &change, false), Ok(settled("UTC", None)));
            assert_eq!(keep(&disk, "Asia/Tokyo", false), Ok(settled("UTC", Some("UTC"))));
        }
    }
}
