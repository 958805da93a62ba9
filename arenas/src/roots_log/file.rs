//! The file `roots/log`: records one after another.

use std::io;
use std::sync::Arc;

use venti_proto::StoreError;
use venti_proto::roots::{RootLogError, RootRecord};

use super::{Seal, io as disk_error, seal};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode, read_exact_at, write_all_at};
use crate::names;

/// The first bytes of the file, so that one that was emptied is not one without records.
const HEADER: [u8; 8] = *b"VTROOTS\x01";

/// Millions of records have less; whatever is longer is no log.
const MOST_BYTES: u64 = 4 << 30;

/// What a file holds.
pub(super) struct Loaded {
    /// The records up to the first that is wrong.
    pub(super) records: Vec<RootRecord>,
    /// There is a file, and nothing in it is wrong.
    pub(super) whole: bool,
    /// Bytes up to there.
    pub(super) length: u64,
}

/// Reads the file as far as it is right.
pub(super) fn load(disk: &dyn Disk, key: &[u8; 32]) -> Result<Loaded, RootLogError> {
    let nothing = Loaded { records: Vec::new(), whole: false, length: 0 };
    Ok(load_from(disk, key, 0, (0, [0; 32]))?.unwrap_or(nothing))
}

/// Reads what is behind `from`, where a record or the header begins, as far as it is right. The
/// first record has to have this number and follow this seal. `None` if there is no such place.
pub(super) fn load_from(
    disk: &dyn Disk,
    key: &[u8; 32],
    from: u64,
    (mut sequence, mut previous): (u64, Seal),
) -> Result<Option<Loaded>, RootLogError> {
    let bytes = read(disk, from).map_err(|error| disk_error(&error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let header = if from == 0 { HEADER.as_slice() } else { &[] };
    let mut records: Vec<RootRecord> = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(header) else { return Ok(None) };
    while let Ok((record, length)) = RootRecord::decode_first(rest) {
        let chained = record.sequence == sequence && record.previous == previous;
        if !chained || record.seal != seal(key, &record) {
            break;
        }
        (sequence, previous) = (record.sequence + 1, record.seal);
        records.push(record);
        rest = &rest[length..];
    }
    let length = from + (bytes.len() - rest.len()) as u64;
    Ok(Some(Loaded { records, whole: rest.is_empty(), length }))
}

/// The bytes of the file from there on, `None` if there is none, it is not that long, or it can
/// not be one.
fn read(disk: &dyn Disk, from: u64) -> Result<Option<Vec<u8>>, DiskError> {
    if from > MOST_BYTES {
        return Ok(None);
    }
    let file = match disk.open(names::ROOTS_LOG, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.len()?;
    let size = length.checked_sub(from).and_then(|size| usize::try_from(size).ok());
    let Some(size) = size.filter(|_| length <= MOST_BYTES) else { return Ok(None) };
    let mut bytes = vec![0; size];
    read_exact_at(&*file, &mut bytes, from)?;
    Ok(Some(bytes))
}

/// Writes a whole new file and puts it in the place of the old one.
pub(super) fn replace(disk: &dyn Disk, records: &[RootRecord]) -> Result<(), DiskError> {
    disk.create_dir(names::ROOTS)?;
    disk.sync_dir(names::ROOT)?;
    let file = disk.open(names::ROOTS_LOG_TEMPORARY, OpenMode::Create)?;
    let mut bytes = HEADER.to_vec();
    records.iter().for_each(|record| bytes.extend_from_slice(&record.encode()));
    write_all_at(&*file, &bytes, 0)?;
    file.sync_data()?;
    disk.rename(names::ROOTS_LOG_TEMPORARY, names::ROOTS_LOG)?;
    disk.sync_dir(names::ROOTS)
}

/// Opens the file to append to it, and says how long it is. What it holds is made durable first:
/// a process that was killed may have left what only the page cache has.
pub(super) fn open(disk: &dyn Disk) -> Result<(Arc<dyn DiskFile>, u64), DiskError> {
    let file = disk.open(names::ROOTS_LOG, OpenMode::Write)?;
    file.sync_data()?;
    let length = file.len()?;
    Ok((file, length))
}

/// The store's error for a block that leads nowhere is no reason to give a rebuild up.
pub(super) fn is_about_one_block(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. } | StoreError::Damaged { .. })
}
