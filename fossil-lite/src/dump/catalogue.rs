//! Which dumps there are: the log of roots, cut into days.
//!
//! The log only grows, so what is known of it stays true; only what is behind the last known
//! record is asked for, and not more often than once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};
use venti_proto::roots::{HostName, RootLog, RootLogError, RootQuery, RootRecord};

use crate::FileError;
use crate::date::DumpName;

/// New dumps are seen after so long.
const FRESH: Duration = Duration::from_secs(1);

/// A dump of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Its place among the dumps of its host.
    pub name: DumpName,
    /// What the log says of it.
    pub record: RootRecord,
}

impl Dump {
    /// When the server recorded it.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::from_nanosecond(self.record.time.into()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The dumps of every host.
pub struct Catalogue {
    log: Arc<dyn RootLog>,
    known: RwLock<Known>,
    /// When the log was asked last. Held while it is asked.
    asked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    /// Records in the log.
    next: u64,
    time_zone: Option<TimeZone>,
    /// Oldest first.
    hosts: BTreeMap<HostName, Vec<Arc<Dump>>>,
}

impl Catalogue {
    /// Knows nothing until it is asked.
    #[must_use]
    pub fn new(log: Arc<dyn RootLog>) -> Catalogue {
        Catalogue { log, known: RwLock::default(), asked: Mutex::new(None) }
    }

    /// Asks the log for what is new, unless that was done just now.
    ///
    /// # Errors
    /// If the log can not be read, or its time zone is not known: what is known already stays.
    pub fn refresh(&self) -> Result<(), FileError> {
        let mut asked = self.asked.lock();
        let now = Instant::now();
        if asked.is_some_and(|asked| now.duration_since(asked) < FRESH) {
            return Ok(());
        }
        self.ask()?;
        *asked = Some(now);
        Ok(())
    }

    fn ask(&self) -> Result<(), FileError> {
        let first = self.known.read().next;
        let query = RootQuery { first, limit: 1, ..RootQuery::default() };
        let page = self.log.list(&query).map_err(|error| unreadable(&error))?;
        let mut new = Vec::new();
        if !page.records.is_empty() {
            let query = RootQuery { first, ..RootQuery::default() };
            self.log
                .each(&query, &mut |record| {
                    new.push(record);
                    true
                })
                .map_err(|error| unreadable(&error))?;
        }
        let mut known = self.known.write();
        if known.time_zone.is_none() {
            let zone = TimeZone::get(&page.time_zone);
            let unknown = |_| FileError::TimeZone { name: page.time_zone.clone() };
            known.time_zone = Some(zone.map_err(unknown)?);
        }
        new.into_iter().rev().for_each(|record| known.add(record));
        Ok(())
    }

    /// The hosts that have dumps.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostName> {
        self.known.read().hosts.keys().cloned().collect()
    }

    /// The dumps of a host, oldest first; none if the host is not in the log.
    #[must_use]
    pub fn dumps(&self, host: &HostName) -> Vec<Arc<Dump>> {
        self.known.read().hosts.get(host).cloned().unwrap_or_default()
    }

    /// Whether the host is in the log.
    #[must_use]
    pub fn has(&self, host: &HostName) -> bool {
        self.known.read().hosts.contains_key(host)
    }

    /// The newest dump of a host.
    #[must_use]
    pub fn latest(&self, host: &HostName) -> Option<Arc<Dump>> {
        self.known.read().hosts.get(host).and_then(|dumps| dumps.last().cloned())
    }

    /// The dump of this name.
    #[must_use]
    pub fn find(&self, host: &HostName, name: DumpName) -> Option<Arc<Dump>> {
        let known = self.known.read();
        let dumps = known.hosts.get(host)?;
        let position = dumps.binary_search_by_key(&name, |dump| dump.name).ok()?;
        dumps.get(position).cloned()
    }

    /// The zone that days are cut in.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        self.known.read().time_zone.clone().unwrap_or(TimeZone::UTC)
    }
}

impl Known {
    fn add(&mut self, record: RootRecord) {
        if record.sequence < self.next {
            return;
        }
        self.next = record.sequence + 1;
        let zone = self.time_zone.clone().unwrap_or(TimeZone::UTC);
        let time = Timestamp::from_nanosecond(record.time.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        let day = time.to_zoned(zone).date();
        let dumps = self.hosts.entry(record.root.host.clone()).or_default();
        let name = match dumps.last() {
            // The log's times never go back, but the zone's clocks may.
            Some(last) if last.name.day >= day => {
                DumpName { day: last.name.day, number: last.name.number + 1 }
            }
            _ => DumpName { day, number: 0 },
        };
        dumps.push(Arc::new(Dump { name, record }));
    }
}

fn unreadable(error: &RootLogError) -> FileError {
    match error {
        RootLogError::Store(error) => FileError::from(error),
        RootLogError::Unsupported => FileError::NoRoots,
        error => FileError::Io { detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use venti_proto::Score;
    use venti_proto::roots::{Completeness, MemoryRootLog, NewRoot};

    #[test]
    fn days_are_cut_in_the_servers_zone_and_dumps_of_a_day_are_numbered() {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let log = MemoryRootLog::new("Europe/Berlin", move || clock.load(Ordering::Relaxed));
        let times = [
            ("moby", "2004-06-11T03:00:00Z"),
            ("moby", "2004-06-11T21:59:59Z"),
            ("pequod", "2004-06-11T21:59:59Z"),
            // Midnight in Berlin.
            ("moby", "2004-06-11T22:00:00Z"),
            ("moby", "2004-12-31T23:30:00Z"),
        ];
        for (host, time) in times {
            let time: Timestamp = time.parse().unwrap();
            now.store(i64::try_from(time.as_nanosecond()).unwrap(), Ordering::Relaxed);
            let root = NewRoot {
                host: host.parse().unwrap(),
                archive: "-".parse().unwrap(),
                score: Score::ZERO,
                bytes: 0,
                files: 0,
                completeness: Completeness::Complete,
            };
            log.record(&root).unwrap();
        }
        let catalogue = Catalogue::new(Arc::new(log));
        catalogue.refresh().unwrap();
        let names = |host: &str| -> Vec<String> {
            let dumps = catalogue.dumps(&host.parse().unwrap());
            dumps.iter().map(|dump| dump.name.to_string()).collect()
        };
        assert_eq!(names("moby"), ["2004/0611", "2004/0611.1", "2004/0612", "2005/0101"]);
        assert_eq!(names("pequod"), ["2004/0611"]);
        assert_eq!(names("ahab"), [""; 0]);
        let moby: HostName = "moby".parse().unwrap();
        let second = catalogue.find(&moby, "2004/0611.1".parse().unwrap()).unwrap();
        assert_eq!(second.time().to_string(), "2004-06-11T21:59:59Z");
        assert!(catalogue.find(&moby, "2004/0613".parse().unwrap()).is_none());
    }

    #[test]
    fn a_zone_that_nobody_knows_is_an_error() {
        let log = MemoryRootLog::new("Mars/Olympus", || 0);
        let refused = Catalogue::new(Arc::new(log)).refresh();
        assert_eq!(refused, Err(FileError::TimeZone { name: "Mars/Olympus".to_owned() }));
    }

    #[test]
    fn zones_are_known_where_the_system_has_none() {
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        assert!(bundled.get("Europe/Berlin").is_ok());
    }
}
