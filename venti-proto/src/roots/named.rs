//! The records of a log with the names of their dumps, newest first as the log is read.
//!
//! The name of a dump depends on the dumps before it, but not on all: what was recorded days
//! before it is of another day in every time zone. So a record waits until the log was read that
//! far, and what waits is bounded by what is recorded in some days.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::{DumpName, HostName, RootLog, RootLogError, RootQuery, RootRecord};

/// What was recorded so many nanoseconds before a dump changes nothing in its name: the days of
/// both begin less than 26 hours before or after those of UTC.
const APART: i64 = 4 * 24 * 3600 * 1_000_000_000;

/// Hands every record of a host, or of all, to `take` with the name of its dump, newest first,
/// until it says no.
///
/// # Errors
/// [`RootLogError`]
pub fn each_named(
    log: &dyn RootLog,
    host: Option<&HostName>,
    zone: &TimeZone,
    take: &mut dyn FnMut(&RootRecord, DumpName) -> bool,
) -> Result<(), RootLogError> {
    let query = RootQuery { host: host.cloned(), ..RootQuery::default() };
    let mut waiting: Vec<RootRecord> = Vec::new();
    let mut goes_on = true;
    log.each(&query, &mut |record| {
        let newest = waiting.first().map_or(record.time, |newest| newest.time);
        // Twice as far, so that records are named many at a time.
        if record.time < newest.saturating_sub(2 * APART) {
            let settled = record.time.saturating_add(APART);
            goes_on = hand_out(&mut waiting, |record| record.time > settled, zone, take);
        }
        waiting.push(record);
        goes_on
    })?;
    if goes_on {
        hand_out(&mut waiting, |_| true, zone, take);
    }
    Ok(())
}

/// Names all that wait, and hands those out whose names are settled: the newest ones.
fn hand_out(
    waiting: &mut Vec<RootRecord>,
    is_settled: impl Fn(&RootRecord) -> bool,
    zone: &TimeZone,
    take: &mut dyn FnMut(&RootRecord, DumpName) -> bool,
) -> bool {
    let mut last: BTreeMap<&HostName, DumpName> = BTreeMap::new();
    let mut names = Vec::with_capacity(waiting.len());
    for record in waiting.iter().rev() {
        let name = DumpName::after(last.get(&record.root.host).copied(), record.time, zone);
        last.insert(&record.root.host, name);
        names.push(name);
    }
    let settled = waiting.partition_point(is_settled);
    let mut newest_first = names.into_iter().rev();
    waiting.drain(..settled).zip(&mut newest_first).all(|(record, name)| take(&record, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Score;
    use crate::roots::{Completeness, MemoryRootLog, NewRoot};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    const HOUR: i64 = 3600 * 1_000_000_000;

    /// A log of two hosts, of which both are recorded at the first of these hours, one at the
    /// second, and so on.
    fn log_of(hours: &[i64]) -> MemoryRootLog {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let log = MemoryRootLog::new("UTC", move || clock.load(Ordering::Relaxed));
        for (number, hour) in hours.iter().enumerate() {
            now.store(hour * HOUR, Ordering::Relaxed);
            for host in if number % 2 == 0 { &["moby", "pequod"][..] } else { &["moby"] } {
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
        }
        log
    }

    /// The names as they follow from the beginning of the log, newest first.
    fn expected(log: &MemoryRootLog, zone: &TimeZone) -> Vec<(u64, DumpName)> {
        let mut records = Vec::new();
        let mut take = |record| {
            records.push(record);
            true
        };
        log.each(&RootQuery::default(), &mut take).unwrap();
        let mut last = BTreeMap::new();
        let mut name = |record: &RootRecord| {
            let host = record.root.host.clone();
            let name = DumpName::after(last.get(&host).copied(), record.time, zone);
            last.insert(host, name);
            (record.sequence, name)
        };
        let mut names: Vec<_> = records.iter().rev().map(&mut name).collect();
        names.reverse();
        names
    }

    #[test]
    fn names_are_those_that_follow_from_the_beginning() {
        let zones = ["UTC", "Pacific/Apia", "Pacific/Kwajalein", "America/St_Johns"];
        // Samoa left out a day at the end of 2011: hour 368,160 is its first afterwards.
        for step in [1, 5, 23, 24, 25, 96, 97, 300] {
            let hours: Vec<i64> = (0..300).map(|number| 368_000 + number * step).collect();
            let log = log_of(&hours);
            for zone in zones {
                let zone = TimeZone::get(zone).unwrap();
                let mut found = Vec::new();
                let mut take = |record: &RootRecord, name| {
                    found.push((record.sequence, name));
                    true
                };
                each_named(&log, None, &zone, &mut take).unwrap();
                assert_eq!(found, expected(&log, &zone), "every {step} hours");
            }
        }
    }

    #[test]
    fn one_host_is_named_as_among_all_and_whoever_has_enough_gets_no_more() {
        let log = log_of(&(0..500).map(|number| 7 * number).collect::<Vec<_>>());
        let host: HostName = "pequod".parse().unwrap();
        let mut all = expected(&log, &TimeZone::UTC);
        let mut found = Vec::new();
        let mut take = |record: &RootRecord, name| {
            assert_eq!(record.root.host, host);
            found.push((record.sequence, name));
            found.len() < 30
        };
        each_named(&log, Some(&host), &TimeZone::UTC, &mut take).unwrap();
        // Each second time it was recorded last, behind the other.
        all.retain(|(sequence, _)| sequence % 3 == 1);
        assert_eq!(found, all[..30]);
    }
}
