//! What can be done with a log of roots, whoever keeps it.

use std::time::Duration;

use super::{HostName, NewRoot, RootRecord};
use crate::StoreError;
use crate::session::NOT_ALLOWED;

/// The most records in a page: the largest fit in one message.
pub const MAX_PAGE: u16 = 64;

/// Which records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootQuery {
    /// Only those of this host.
    pub host: Option<HostName>,
    /// Only those from this sequence number on.
    pub first: u64,
    /// Only those before this sequence number.
    pub end: u64,
    /// Only those recorded at this time or before: nanoseconds since 1970, UTC.
    pub until: i64,
    /// How many at most; pages are never longer than [`MAX_PAGE`].
    pub limit: u16,
    /// Only the newest of each host, in the order of the hosts' names, and only of hosts behind
    /// `host` in that order.
    pub newest: bool,
}

impl Default for RootQuery {
    /// Everything.
    fn default() -> RootQuery {
        let (first, end, until, limit) = (0, u64::MAX, i64::MAX, MAX_PAGE);
        RootQuery { host: None, first, end, until, limit, newest: false }
    }
}

impl RootQuery {
    /// Whether this record is wanted.
    #[must_use]
    pub fn wants(&self, record: &RootRecord) -> bool {
        (self.first..self.end).contains(&record.sequence)
            && record.time <= self.until
            && self.host.as_ref().is_none_or(|host| match self.newest {
                true => *host < record.root.host,
                false => *host == record.root.host,
            })
    }
}

/// A wish to be told when there are more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootWatch {
    /// Records that are known already.
    pub known: u64,
    /// How long to wait at most.
    pub milliseconds: u32,
}

/// Some of the records that were wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPage {
    /// Newest first.
    pub records: Vec<RootRecord>,
    /// Records in the log: the sequence number of the next one.
    pub next: u64,
    /// The time zone that days are cut in, by its IANA name.
    pub time_zone: String,
}

/// Why a log of roots did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootLogError {
    /// The server keeps no roots: it is an old one, or not ours.
    #[error("the server keeps no roots")]
    Unsupported,
    /// The host is not that of the client.
    #[error("{NOT_ALLOWED}{detail}")]
    NotAllowed {
        /// Which host, and whose the client is.
        detail: String,
    },
    /// The log could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came is not what was asked for.
    #[error("the log of roots is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
}

/// What a client asks of a log of roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootRequest {
    /// [`RootLog::record`]
    Record(NewRoot),
    /// [`RootLog::list`]
    List(RootQuery),
    /// [`RootLog::watch`]
    Watch(RootWatch),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootAnswer {
    /// The record.
    Recorded(RootRecord),
    /// Some records.
    Page(RootPage),
    /// How many records there are.
    Grown(u64),
}

/// The longest that a server lets a watch wait.
const LONGEST_WATCH: Duration = Duration::from_secs(60);

impl RootRequest {
    /// Does it; a watch takes its time, at most a minute.
    ///
    /// # Errors
    /// Those of `log`.
    pub fn perform(&self, log: &dyn RootLog) -> Result<RootAnswer, RootLogError> {
        match self {
            RootRequest::Record(root) => log.record(root).map(RootAnswer::Recorded),
            RootRequest::List(query) => log.list(query).map(RootAnswer::Page),
            RootRequest::Watch(RootWatch { known, milliseconds }) => {
                let time = Duration::from_millis((*milliseconds).into()).min(LONGEST_WATCH);
                log.watch(*known, time).map(RootAnswer::Grown)
            }
        }
    }
}

/// A log of roots: a server's, a store's, or one in memory.
pub trait RootLog: Send + Sync {
    /// Records a root. When this returns, the record is durable.
    ///
    /// # Errors
    /// [`RootLogError`]
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError>;

    /// A page of the records that are wanted, the newest of them. The next page is that of the
    /// same query with `end` set to the last one's sequence number.
    ///
    /// # Errors
    /// [`RootLogError`]
    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError>;

    /// Waits until there are more than `known` records, or the time is over, and returns how many
    /// there are.
    ///
    /// # Errors
    /// [`RootLogError`]
    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError>;

    /// The newest record of each host, and how many records there were before they were looked
    /// for, with the log's time zone.
    ///
    /// # Errors
    /// [`RootLogError`]
    fn newest_of_each(&self) -> Result<RootPage, RootLogError> {
        let mut query = RootQuery { newest: true, ..RootQuery::default() };
        let mut all = self.list(&query)?;
        while let Some(last) = all.records.last() {
            if query.host.as_ref().is_some_and(|host| *host >= last.root.host) {
                let detail = format!("{} came out of order", last.root.host);
                return Err(RootLogError::Damaged { detail });
            }
            query.host = Some(last.root.host.clone());
            let page = self.list(&query)?;
            if page.records.is_empty() {
                break;
            }
            all.records.extend(page.records);
        }
        Ok(all)
    }

    /// Hands every wanted record to `take`, newest first, until it says no.
    ///
    /// # Errors
    /// [`RootLogError`]
    fn each(
        &self,
        query: &RootQuery,
        take: &mut dyn FnMut(RootRecord) -> bool,
    ) -> Result<(), RootLogError> {
        let mut query = RootQuery { limit: MAX_PAGE, newest: false, ..query.clone() };
        loop {
            let page = self.list(&query)?;
            if page.records.is_empty() {
                return Ok(());
            }
            for record in page.records {
                if record.sequence >= query.end {
                    let detail = format!("record {} came out of order", record.sequence);
                    return Err(RootLogError::Damaged { detail });
                }
                query.end = record.sequence;
                if !take(record) {
                    return Ok(());
                }
            }
        }
    }
}
