//! Which dumps there are: the log of roots, cut into days.
//!
//! The log only grows, so what is known of it stays true; only what is behind the last known
//! record is asked for, and not more often than once a second. The time zone may be another after
//! the server was started again; then the dumps get the names of their days there. The dumps of a host are asked for
//! when somebody wants to see them: until then only its newest record is known, so that a log of
//! a hundred thousand roots is no slower to begin with than a short one.
//!
//! Locks: [`Catalogue::asked`] is held while the log is asked, [`Catalogue::known`] only while it
//! is looked at or changed, within the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};
use venti_proto::roots::{HostName, RootLog, RootLogError, RootQuery, RootRecord};

use crate::FileError;
use venti_proto::roots::DumpName;

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
    /// Records in the log, if it was asked yet.
    next: Option<u64>,
    zone: Option<Zone>,
    hosts: BTreeMap<HostName, Host>,
}

/// What days are cut in.
struct Zone {
    /// As the log has it.
    name: String,
    zone: TimeZone,
}

impl Zone {
    fn new(name: &str) -> Result<Zone, FileError> {
        let name = name.to_owned();
        match TimeZone::get(&name) {
            Ok(zone) => Ok(Zone { name, zone }),
            Err(_) => Err(FileError::TimeZone { name }),
        }
    }
}

struct Host {
    newest: RootRecord,
    /// Oldest first; `None` until somebody wants to know.
    dumps: Option<Vec<Arc<Dump>>>,
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
        let Some(first) = self.known.read().next else {
            let page = self.log.newest_of_each().map_err(|error| unreadable(&error))?;
            let zone = Zone::new(&page.time_zone)?;
            let mut known = self.known.write();
            known.next = Some(page.next);
            known.zone = Some(zone);
            page.records.into_iter().for_each(|record| known.add(record));
            return Ok(());
        };
        let query = RootQuery { first, limit: 1, ..RootQuery::default() };
        let page = self.log.list(&query).map_err(|error| unreadable(&error))?;
        if self.known.read().zone.as_ref().is_none_or(|zone| zone.name != page.time_zone) {
            let zone = Zone::new(&page.time_zone)?;
            self.known.write().cut_anew(zone);
        }
        if page.records.is_empty() {
            return Ok(());
        }
        let new = self.records(&RootQuery { first, end: page.next, ..RootQuery::default() })?;
        let mut known = self.known.write();
        known.next = Some(page.next);
        new.into_iter().for_each(|record| known.add(record));
        Ok(())
    }

    /// The records that are wanted, oldest first.
    fn records(&self, query: &RootQuery) -> Result<Vec<RootRecord>, FileError> {
        let mut records = Vec::new();
        let mut take = |record| {
            records.push(record);
            true
        };
        self.log.each(query, &mut take).map_err(|error| unreadable(&error))?;
        records.reverse();
        Ok(records)
    }

    /// Asks for the dumps of a host, unless they are known.
    fn load(&self, host: &HostName) -> Result<(), FileError> {
        let is_known = || match self.known.read().hosts.get(host) {
            Some(known) => known.dumps.is_some(),
            None => true,
        };
        if is_known() {
            return Ok(());
        }
        // Nobody else may ask for news meanwhile: what they add would be missing here.
        let _asked = self.asked.lock();
        if is_known() {
            return Ok(());
        }
        let end = self.known.read().hosts.get(host).map_or(0, |known| known.newest.sequence + 1);
        let query = RootQuery { host: Some(host.clone()), end, ..RootQuery::default() };
        let records = self.records(&query)?;
        let mut known = self.known.write();
        let zone = known.time_zone();
        let mut dumps = Vec::with_capacity(records.len());
        records.into_iter().for_each(|record| add(&mut dumps, record, &zone));
        if let Some(known) = known.hosts.get_mut(host) {
            known.dumps = Some(dumps);
        }
        Ok(())
    }

    /// The hosts that have dumps.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostName> {
        self.known.read().hosts.keys().cloned().collect()
    }

    /// The dumps of a host, oldest first; none if the host is not in the log.
    ///
    /// # Errors
    /// If the log can not be read.
    pub fn dumps(&self, host: &HostName) -> Result<Vec<Arc<Dump>>, FileError> {
        self.load(host)?;
        Ok(self.known.read().dumps(host).to_vec())
    }

    /// Whether the host is in the log.
    #[must_use]
    pub fn has(&self, host: &HostName) -> bool {
        self.known.read().hosts.contains_key(host)
    }

    /// When the newest dump of a host was recorded, or of all hosts: nanoseconds since 1970.
    #[must_use]
    pub fn newest(&self, host: Option<&HostName>) -> Option<i64> {
        let known = self.known.read();
        match host {
            Some(host) => known.hosts.get(host).map(|host| host.newest.time),
            None => known.hosts.values().map(|host| host.newest.time).max(),
        }
    }

    /// The newest dump of a host, if it is in the log.
    ///
    /// # Errors
    /// If the log can not be read.
    pub fn latest(&self, host: &HostName) -> Result<Option<Arc<Dump>>, FileError> {
        self.load(host)?;
        Ok(self.known.read().dumps(host).last().cloned())
    }

    /// The dump of this name, if there is one.
    ///
    /// # Errors
    /// If the log can not be read.
    pub fn find(&self, host: &HostName, name: DumpName) -> Result<Option<Arc<Dump>>, FileError> {
        self.load(host)?;
        let known = self.known.read();
        let dumps = known.dumps(host);
        let position = dumps.binary_search_by_key(&name, |dump| dump.name);
        Ok(position.ok().and_then(|position| dumps.get(position).cloned()))
    }

    /// The zone that days are cut in.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        self.known.read().time_zone()
    }
}

impl Known {
    fn dumps(&self, host: &HostName) -> &[Arc<Dump>] {
        self.hosts.get(host).and_then(|host| host.dumps.as_deref()).unwrap_or_default()
    }

    fn time_zone(&self) -> TimeZone {
        self.zone.as_ref().map_or(TimeZone::UTC, |zone| zone.zone.clone())
    }

    /// The server's days begin at other times now: all dumps get the names that they have there.
    fn cut_anew(&mut self, zone: Zone) {
        for host in self.hosts.values_mut() {
            let Some(dumps) = &mut host.dumps else { continue };
            let known = std::mem::take(dumps);
            known.iter().for_each(|dump| add(dumps, dump.record.clone(), &zone.zone));
        }
        self.zone = Some(zone);
    }

    /// Takes up a record that may be known already.
    fn add(&mut self, record: RootRecord) {
        let zone = self.time_zone();
        match self.hosts.entry(record.root.host.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Host { newest: record, dumps: None });
            }
            Entry::Occupied(entry) => {
                let host = entry.into_mut();
                if record.sequence <= host.newest.sequence {
                    return;
                }
                host.newest = record.clone();
                if let Some(dumps) = &mut host.dumps {
                    add(dumps, record, &zone);
                }
            }
        }
    }
}

/// Appends the next dump of a host.
fn add(dumps: &mut Vec<Arc<Dump>>, record: RootRecord, zone: &TimeZone) {
    let name = DumpName::after(dumps.last().map(|last| last.name), record.time, zone);
    dumps.push(Arc::new(Dump { name, record }));
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

    /// An empty log, and its time.
    fn log(zone: &str) -> (MemoryRootLog, Arc<AtomicI64>) {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        (MemoryRootLog::new(zone, move || clock.load(Ordering::Relaxed)), now)
    }

    fn record(log: &MemoryRootLog, now: &AtomicI64, host: &str, time: &str) {
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

    #[test]
    fn days_are_cut_in_the_servers_zone_and_dumps_of_a_day_are_numbered() {
        let (log, now) = log("Europe/Berlin");
        let times = [
            ("moby", "2004-06-11T03:00:00Z"),
            ("moby", "2004-06-11T21:59:59Z"),
            ("pequod", "2004-06-11T21:59:59Z"),
            // Midnight in Berlin.
            ("moby", "2004-06-11T22:00:00Z"),
            ("moby", "2004-12-31T23:30:00Z"),
        ];
        for (host, time) in times {
            record(&log, &now, host, time);
        }
        let catalogue = Catalogue::new(Arc::new(log));
        catalogue.refresh().unwrap();
        let names = |host: &str| -> Vec<String> {
            let dumps = catalogue.dumps(&host.parse().unwrap()).unwrap();
            dumps.iter().map(|dump| dump.name.to_string()).collect()
        };
        assert_eq!(names("moby"), ["2004/0611", "2004/0611.1", "2004/0612", "2005/0101"]);
        assert_eq!(names("pequod"), ["2004/0611"]);
        assert_eq!(names("ahab"), [""; 0]);
        let moby: HostName = "moby".parse().unwrap();
        let second = catalogue.find(&moby, "2004/0611.1".parse().unwrap()).unwrap().unwrap();
        assert_eq!(second.time().to_string(), "2004-06-11T21:59:59Z");
        assert_eq!(catalogue.find(&moby, "2004/0613".parse().unwrap()), Ok(None));
    }

    #[test]
    fn a_zone_that_nobody_knows_is_an_error() {
        let log = MemoryRootLog::new("Mars/Olympus", || 0);
        let refused = Catalogue::new(Arc::new(log)).refresh();
        assert_eq!(refused, Err(FileError::TimeZone { name: "Mars/Olympus".to_owned() }));
    }

    #[test]
    fn another_zone_of_the_server_is_another_name_of_every_dump() {
        let (log, now) = log("Asia/Tokyo");
        record(&log, &now, "moby", "2026-11-19T16:00:00Z");
        record(&log, &now, "moby", "2026-11-20T03:00:00Z");
        record(&log, &now, "pequod", "2026-11-19T16:00:00Z");
        let log = Arc::new(log);
        let catalogue = Catalogue::new(Arc::clone(&log) as _);
        let names = |host: &str| -> Vec<String> {
            catalogue.ask().unwrap();
            let dumps = catalogue.dumps(&host.parse().unwrap()).unwrap();
            dumps.iter().map(|dump| dump.name.to_string()).collect()
        };
        assert_eq!(names("moby"), ["2026/1120", "2026/1120.1"]);
        log.move_to("UTC");
        assert_eq!(names("moby"), ["2026/1119", "2026/1120"]);
        assert_eq!(names("pequod"), ["2026/1119"]);
        // Together with a new dump, too.
        log.move_to("Asia/Tokyo");
        record(&log, &now, "moby", "2026-11-20T04:00:00Z");
        assert_eq!(names("moby"), ["2026/1120", "2026/1120.1", "2026/1120.2"]);
        // Days go on as they are where the zone is not known here.
        log.move_to("Mars/Olympus");
        let refused = FileError::TimeZone { name: "Mars/Olympus".to_owned() };
        assert_eq!(catalogue.ask(), Err(refused));
        assert_eq!(catalogue.hosts().len(), 2);
    }

    #[test]
    fn zones_are_known_where_the_system_has_none() {
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        assert!(bundled.get("Europe/Berlin").is_ok());
    }
}
