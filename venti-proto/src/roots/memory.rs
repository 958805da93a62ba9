//! A log of roots that forgets everything when the process ends: for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord};
use crate::Score;

/// Records in a vector, chained with scores instead of seals.
pub struct MemoryRootLog {
    records: Mutex<Vec<RootRecord>>,
    grown: Condvar,
    /// Nanoseconds since 1970.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    time_zone: Mutex<String>,
}

impl MemoryRootLog {
    /// An empty log, with the time that `clock` says and days cut in `time_zone`.
    #[must_use]
    pub fn new(time_zone: &str, clock: impl Fn() -> i64 + Send + Sync + 'static) -> MemoryRootLog {
        MemoryRootLog {
            records: Mutex::default(),
            grown: Condvar::new(),
            clock: Box::new(clock),
            time_zone: Mutex::new(time_zone.to_owned()),
        }
    }

    /// Days are cut in this time zone from now on, as after another start of a server.
    pub fn move_to(&self, time_zone: &str) {
        time_zone.clone_into(&mut self.time_zone.lock());
    }
}

impl fmt::Debug for MemoryRootLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRootLog").field("records", &self.records).finish_non_exhaustive()
    }
}

impl RootLog for MemoryRootLog {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        let mut records = self.records.lock();
        let mut record = RootRecord {
            sequence: records.len() as u64,
            time: (self.clock)(),
            root: root.clone(),
            previous: records.last().map_or([0; 32], |last| last.seal),
            seal: [0; 32],
        };
        let score = Score::of(&record.encode_unsealed());
        record.seal[..20].copy_from_slice(score.as_bytes());
        records.push(record.clone());
        self.grown.notify_all();
        Ok(record)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        let records = self.records.lock();
        let limit = usize::from(query.limit.min(super::MAX_PAGE));
        let wanted = records.iter().rev().filter(|record| query.wants(record));
        let records_of_page = if query.newest {
            let mut newest = BTreeMap::new();
            for record in wanted {
                newest.entry(&record.root.host).or_insert(record);
            }
            newest.into_values().take(limit).cloned().collect()
        } else {
            wanted.take(limit).cloned().collect()
        };
        Ok(RootPage {
            records: records_of_page,
            next: records.len() as u64,
            time_zone: self.time_zone.lock().clone(),
        })
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        let mut records = self.records.lock();
        if records.len() as u64 <= known {
            self.grown.wait_for(&mut records, time);
        }
        Ok(records.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::{Completeness, MAX_PAGE};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn root(host: &str) -> NewRoot {
        NewRoot {
            host: host.parse().unwrap(),
            archive: "-".parse().unwrap(),
            score: Score::of(host.as_bytes()),
            bytes: 1,
            files: 1,
            completeness: Completeness::Complete,
        }
    }

    fn log() -> MemoryRootLog {
        let now = AtomicI64::new(0);
        MemoryRootLog::new("UTC", move || now.fetch_add(10, Ordering::Relaxed))
    }

    #[test]
    fn pages_are_newest_first_and_together_have_everything() {
        let log = log();
        for n in 0..300 {
            log.record(&root(["a", "b", "c"][n % 3])).unwrap();
        }
        let page = log.list(&RootQuery::default()).unwrap();
        assert_eq!((page.records.len(), page.next), (usize::from(MAX_PAGE), 300));
        let mut all = Vec::new();
        log.each(&RootQuery::default(), &mut |record| {
            all.push(record);
            true
        })
        .unwrap();
        assert!(all.iter().map(|r| r.sequence).eq((0..300).rev()));
        assert!(all.windows(2).all(|pair| pair[0].previous == pair[1].seal));
        let query = RootQuery {
            host: Some("b".parse().unwrap()),
            first: 100,
            until: 2000,
            ..RootQuery::default()
        };
        let mut some = Vec::new();
        log.each(&query, &mut |record| {
            some.push(record.sequence);
            some.len() < 20
        })
        .unwrap();
        assert!(some.iter().copied().eq((100..=200).rev().filter(|n| n % 3 == 1).take(20)));
    }

    #[test]
    fn the_newest_of_each_host_comes_in_the_order_of_names() {
        let log = log();
        let hosts: Vec<String> = (0..150).map(|number| format!("host{number:03}")).collect();
        for host in hosts.iter().chain(hosts.iter().rev()) {
            log.record(&root(host)).unwrap();
        }
        let all = log.newest_of_each().unwrap();
        assert_eq!(all.next, 300);
        let found = all.records.iter().map(|record| record.root.host.as_str());
        assert!(found.eq(hosts.iter().map(String::as_str)));
        assert!(all.records.iter().map(|record| record.sequence).eq((150..300).rev()));
    }

    #[test]
    fn watching_ends_with_the_next_record_or_the_time() {
        let log = Arc::new(log());
        assert_eq!(log.watch(0, Duration::from_millis(1)), Ok(0));
        let other = Arc::clone(&log);
        let watcher = std::thread::spawn(move || other.watch(0, Duration::from_secs(60)));
        log.record(&root("a")).unwrap();
        assert_eq!(watcher.join().unwrap(), Ok(1));
    }
}
