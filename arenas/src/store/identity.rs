//! `store.toml`: whose arenas these are, and in which format. Written once.
//!
//! It is a convenience: every arena header says the same. If it is missing or damaged it is made
//! again from the first header that is good; it has a checksum, so that a flipped bit in it does
//! not disown all arenas.

use serde::{Deserialize, Serialize};

use super::options::OpenError;
use crate::arena::{FORMAT_VERSION, HeaderError};
use crate::disk::{Disk, DiskResult, OpenMode, read_full_at, write_all_at};
use crate::fields::StoreIdentity;
use crate::finding::{Finding, Severity};
use crate::names;
use crate::recovery::{arena_numbers, read_header};

/// More than this is no `store.toml`.
const MOST_BYTES: usize = 4096;

/// The file's fields.
#[derive(Debug, Serialize, Deserialize)]
struct StoreFile {
    /// Version of the format of everything in the store.
    format: u32,
    /// 32 hexadecimal digits.
    identity: String,
    /// Milliseconds since 1970.
    created: u64,
    /// CRC-32C of the three above, as [`StoreFile::checked_text`] puts them.
    checksum: u32,
}

impl StoreFile {
    fn checked_text(&self) -> String {
        format!("{} {} {}", self.format, self.identity, self.created)
    }

    fn identity(&self) -> Option<StoreIdentity> {
        if self.checksum != crc32c::crc32c(self.checked_text().as_bytes()) {
            return None;
        }
        u128::from_str_radix(&self.identity, 16).ok().map(|id| StoreIdentity::new(id.to_be_bytes()))
    }
}

/// What the store's directory says of its identity.
pub(super) enum Identity {
    /// It is known. If `store.toml` is not to be believed, a finding says why.
    Known(StoreIdentity, Option<Finding>),
    /// There is no store.
    Nothing,
}

/// Finds out whose arenas these are.
///
/// # Errors
/// If the format is newer, if nothing says whose they are, or if the disk fails.
pub(super) fn find(disk: &dyn Disk) -> Result<Identity, OpenError> {
    let mut unreadable = None;
    let problem = match read(disk) {
        Ok(Ok(file)) => match file.identity() {
            Some(_) if file.format > FORMAT_VERSION => return Err(OpenError::newer(file.format)),
            Some(identity) => return Ok(Identity::Known(identity, None)),
            None => "its checksum does not match".to_owned(),
        },
        Ok(Err(problem)) => problem,
        Err(error) => unreadable.insert(error).to_string(),
    };
    let numbers = match arena_numbers(disk) {
        Ok(numbers) => numbers,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for number in &numbers {
        let file = disk.open(&names::arena(*number), OpenMode::Read)?;
        match read_header(&*file) {
            Ok(header) => {
                let detail = format!("store.toml: {problem}; arena {number} makes up for it");
                let finding = Finding::of_store(Severity::Repairable, detail);
                return Ok(Identity::Known(header.store, Some(finding)));
            }
            Err(HeaderError::Newer { found }) => return Err(OpenError::newer(found)),
            Err(HeaderError::Format(_)) => {}
        }
    }
    match (numbers.len(), unreadable) {
        // A file that can not be read is not a file that is not there.
        (0, Some(error)) => Err(error.into()),
        (0, None) => Ok(Identity::Nothing),
        (arenas, _) => Err(OpenError::NoIdentity { arenas }),
    }
}

/// Reads the file, or says what is wrong with it.
fn read(disk: &dyn Disk) -> DiskResult<Result<StoreFile, String>> {
    let file = match disk.open(names::IDENTITY, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err("it is missing".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; MOST_BYTES];
    let length = read_full_at(&*file, &mut bytes, 0)?;
    let Ok(text) = std::str::from_utf8(&bytes[..length]) else {
        return Ok(Err("it is no text".to_owned()));
    };
    Ok(toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned()))
}

/// Writes the file: under another name first, so that it is whole or not there.
pub(super) fn write(disk: &dyn Disk, identity: StoreIdentity, created: u64) -> DiskResult<()> {
    let mut file =
        StoreFile { format: FORMAT_VERSION, identity: identity.to_string(), created, checksum: 0 };
    file.checksum = crc32c::crc32c(file.checked_text().as_bytes());
    let StoreFile { format, identity, created, checksum } = file;
    let text = format!(
        "format = {format}\nidentity = \"{identity}\"\ncreated = {created}\nchecksum = {checksum}\n"
    );
    let temporary = disk.open(names::IDENTITY_TEMPORARY, OpenMode::Create)?;
    write_all_at(&*temporary, text.as_bytes(), 0)?;
    temporary.sync_data()?;
    disk.rename(names::IDENTITY_TEMPORARY, names::IDENTITY)?;
    disk.sync_dir(names::ROOT)
}
