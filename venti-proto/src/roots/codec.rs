//! The bytes of roots, in the log and in messages. The layout is in docs/roots.md.

use super::{
    ArchiveName, Completeness, HostName, MAX_PAGE, NewRoot, RootPage, RootQuery, RootRecord, Seal,
};
use crate::Score;

/// The first bytes of every record.
const MAGIC: [u8; 8] = *b"VTROOT\0\x01";

/// What is wrong with bytes that should be a record, a query or a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a field.
    #[error("{missing} bytes are missing")]
    Short {
        /// How many at least.
        missing: usize,
    },
    /// Bytes follow the last field.
    #[error("{excess} bytes too many")]
    Trailing {
        /// How many.
        excess: usize,
    },
    /// It does not begin as a record does.
    #[error("it begins with {found:02x?}, expected {MAGIC:02x?}")]
    Magic {
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// A name is no name.
    #[error("a name in it is none: {reason}")]
    Name {
        /// Why.
        reason: String,
    },
    /// The exit status is neither 0 nor 3.
    #[error("exit status {found}, expected 0 or 3")]
    Status {
        /// The number found.
        found: u8,
    },
    /// More records than a page may have.
    #[error("a page of {found} records, at most {MAX_PAGE} are allowed")]
    PageLength {
        /// The count found.
        found: u16,
    },
}

/// Bytes that were not read yet.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            return Err(RecordError::Short { missing: length - self.0.len() });
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    /// `length[1]` and as many bytes of UTF-8.
    fn text(&mut self) -> Result<&'a str, RecordError> {
        let [length] = self.array()?;
        let text = self.take(usize::from(length))?;
        std::str::from_utf8(text).map_err(|error| RecordError::Name { reason: error.to_string() })
    }

    fn name<T: std::str::FromStr<Err = super::NameError>>(&mut self) -> Result<T, RecordError> {
        self.text()?
            .parse()
            .map_err(|error: super::NameError| RecordError::Name { reason: error.to_string() })
    }

    fn finish(&self) -> Result<(), RecordError> {
        match self.0.len() {
            0 => Ok(()),
            excess => Err(RecordError::Trailing { excess }),
        }
    }
}

/// Appends `length[1]` and the text; names are never longer than that can say.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

impl NewRoot {
    /// Appends `host[n] archive[n] score[20] bytes[8] files[8] status[1]`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, self.host.as_str());
        put_text(out, self.archive.as_str());
        out.extend_from_slice(self.score.as_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.extend_from_slice(&self.files.to_be_bytes());
        out.push(self.completeness.number());
    }

    fn decode_from(cursor: &mut Cursor<'_>) -> Result<NewRoot, RecordError> {
        let host: HostName = cursor.name()?;
        let archive: ArchiveName = cursor.name()?;
        let score = Score::from_bytes(cursor.array()?);
        let bytes = cursor.u64()?;
        let files = cursor.u64()?;
        let [found] = cursor.array()?;
        let completeness = Completeness::from_number(found).ok_or(RecordError::Status { found })?;
        Ok(NewRoot { host, archive, score, bytes, files, completeness })
    }

    /// Reads what [`NewRoot::encode`] wrote, and nothing more.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn decode(bytes: &[u8]) -> Result<NewRoot, RecordError> {
        let mut cursor = Cursor(bytes);
        let root = NewRoot::decode_from(&mut cursor)?;
        cursor.finish()?;
        Ok(root)
    }
}

impl RootRecord {
    /// The bytes that the seal is made of: all but the seal.
    #[must_use]
    pub fn encode_unsealed(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        self.root.encode(&mut out);
        out.extend_from_slice(&self.previous);
        out
    }

    /// The whole record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_unsealed();
        out.extend_from_slice(&self.seal);
        out
    }

    fn decode_from(cursor: &mut Cursor<'_>) -> Result<RootRecord, RecordError> {
        let found: [u8; 8] = cursor.array()?;
        if found != MAGIC {
            return Err(RecordError::Magic { found });
        }
        let sequence = cursor.u64()?;
        let time = i64::from_be_bytes(cursor.array()?);
        let root = NewRoot::decode_from(cursor)?;
        let previous: Seal = cursor.array()?;
        Ok(RootRecord { sequence, time, root, previous, seal: cursor.array()? })
    }

    /// Reads the record that `bytes` begins with, and says how long it is. Whether the seal is
    /// right, only the store knows.
    ///
    /// # Errors
    /// [`RecordError`], any but `Trailing` and `PageLength`.
    pub fn decode_first(bytes: &[u8]) -> Result<(RootRecord, usize), RecordError> {
        let mut cursor = Cursor(bytes);
        let record = RootRecord::decode_from(&mut cursor)?;
        Ok((record, bytes.len() - cursor.0.len()))
    }

    /// Reads a record, and nothing more.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn decode(bytes: &[u8]) -> Result<RootRecord, RecordError> {
        let mut cursor = Cursor(bytes);
        let record = RootRecord::decode_from(&mut cursor)?;
        cursor.finish()?;
        Ok(record)
    }
}

impl RootQuery {
    /// `first[8] end[8] until[8] limit[2] host[n]`, no host is the empty name, and `newest[1]` if
    /// that is set.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.first.to_be_bytes().to_vec();
        out.extend_from_slice(&self.end.to_be_bytes());
        out.extend_from_slice(&self.until.to_be_bytes());
        out.extend_from_slice(&self.limit.to_be_bytes());
        put_text(&mut out, self.host.as_ref().map_or("", HostName::as_str));
        if self.newest {
            out.push(1);
        }
        out
    }

    /// Reads a query, and nothing more.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn decode(bytes: &[u8]) -> Result<RootQuery, RecordError> {
        let mut cursor = Cursor(bytes);
        let first = cursor.u64()?;
        let end = cursor.u64()?;
        let until = i64::from_be_bytes(cursor.array()?);
        let limit = u16::from_be_bytes(cursor.array()?);
        let host = if cursor.0.first() == Some(&0) {
            cursor.take(1)?;
            None
        } else {
            Some(cursor.name()?)
        };
        let newest = cursor.0 == [1];
        if newest {
            cursor.take(1)?;
        }
        cursor.finish()?;
        Ok(RootQuery { host, first, end, until, limit, newest })
    }
}

impl RootPage {
    /// `next[8] zone[n] count[2] count*(record)`
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.next.to_be_bytes().to_vec();
        put_text(&mut out, &self.time_zone);
        let count = u16::try_from(self.records.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for record in self.records.iter().take(usize::from(count)) {
            out.extend_from_slice(&record.encode());
        }
        out
    }

    /// Reads a page, and nothing more.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn decode(bytes: &[u8]) -> Result<RootPage, RecordError> {
        let mut cursor = Cursor(bytes);
        let next = cursor.u64()?;
        let time_zone = cursor.text()?.to_owned();
        let found = u16::from_be_bytes(cursor.array()?);
        if found > MAX_PAGE {
            return Err(RecordError::PageLength { found });
        }
        let records =
            (0..found).map(|_| RootRecord::decode_from(&mut cursor)).collect::<Result<_, _>>()?;
        cursor.finish()?;
        Ok(RootPage { records, next, time_zone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> RootRecord {
        RootRecord {
            sequence: 7,
            time: 1_086_912_000_000_000_000,
            root: NewRoot {
                host: "moby".parse().unwrap(),
                archive: "-".parse().unwrap(),
                score: Score::of(b"root"),
                bytes: 1 << 40,
                files: 50_000,
                completeness: Completeness::Incomplete,
            },
            previous: [1; 32],
            seal: [2; 32],
        }
    }

    #[test]
    fn records_queries_and_pages_go_there_and_back() {
        let record = record();
        let bytes = record.encode();
        assert_eq!(bytes.len(), 8 + 8 + 8 + 5 + 2 + 20 + 8 + 8 + 1 + 32 + 32);
        assert_eq!(RootRecord::decode(&bytes), Ok(record.clone()));
        for host in [None, Some("moby".parse().unwrap())] {
            let query = RootQuery { host, first: 1, end: 2, until: -3, limit: 4, newest: false };
            let newest = RootQuery { newest: true, ..query.clone() };
            assert_eq!(newest.encode(), [&query.encode()[..], &[1]].concat());
            assert_eq!(RootQuery::decode(&query.encode()), Ok(query));
            assert_eq!(RootQuery::decode(&newest.encode()), Ok(newest.clone()));
            let other = [&newest.encode()[..newest.encode().len() - 1], &[2]].concat();
            assert_eq!(RootQuery::decode(&other), Err(RecordError::Trailing { excess: 1 }));
        }
        let page = RootPage {
            records: vec![record.clone(), record],
            next: 9,
            time_zone: "Europe/Berlin".to_owned(),
        };
        assert_eq!(RootPage::decode(&page.encode()), Ok(page));
    }

    #[test]
    fn every_shortened_and_every_longer_record_is_an_error() {
        let bytes = record().encode();
        for length in 0..bytes.len() {
            assert!(matches!(RootRecord::decode(&bytes[..length]), Err(RecordError::Short { .. })));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(RootRecord::decode(&longer), Err(RecordError::Trailing { excess: 1 }));
        assert_eq!(RootRecord::decode_first(&longer), Ok((record(), bytes.len())));
    }

    #[test]
    fn names_in_records_are_checked() {
        let bytes = record().encode();
        let mut slash = bytes.clone();
        slash[25] = b'/';
        let error = RootRecord::decode(&slash).unwrap_err().to_string();
        assert_eq!(
            error,
            "a name in it is none: \"/oby\" can not be a name here: it contains a slash"
        );
        let mut magic = bytes;
        magic[7] = 2;
        let error = RootRecord::decode(&magic).unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoders_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let record = [&MAGIC, &bytes[..]].concat();
            if let Ok(decoded) = RootRecord::decode(&record) {
                prop_assert_eq!(decoded.encode(), record);
            }
            if let Ok(query) = RootQuery::decode(&bytes) {
                prop_assert_eq!(query.encode(), bytes.clone());
            }
            if let Ok(page) = RootPage::decode(&bytes) {
                prop_assert_eq!(page.encode(), bytes);
            }
        }
    }
}
