//! Waits until a change of a file can not look like none.
//!
//! A file system dates changes by ticks of its clock. Whatever is written after a file was read,
//! but in the tick of the change before, leaves its size and times as they were, and the next run
//! would take it for unchanged, for ever. So a file that changed just now is read when that tick is
//! over: the wait is short, and in a tree of any age hardly a file needs it.

use std::time::Duration;

use crate::walk::{Attributes, Moment};

/// The longest tick of a kernel that keeps times in nanoseconds.
const TICK: Duration = Duration::from_millis(10);
/// The tick of a file system that has no parts of seconds (FAT has every other second only).
const LONG_TICK: Duration = Duration::from_secs(2);

/// Returns when a further change of the file will show in its times.
pub(super) fn settle(attributes: &Attributes) {
    let wait = rest_of_tick(attributes.changed, now());
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
}

/// The clock that file systems take their times from.
fn now() -> Moment {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
    Moment { seconds: now.tv_sec, nanoseconds }
}

/// How long the tick of a change goes on. A change far in the future says nothing of it.
fn rest_of_tick(changed: Moment, now: Moment) -> Duration {
    let tick = if changed.nanoseconds == 0 { LONG_TICK } else { TICK };
    let since_1970 = |moment: Moment| {
        i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanoseconds)
    };
    let age = since_1970(now) - since_1970(changed);
    let tick_length = i128::try_from(tick.as_nanos()).unwrap_or(0);
    if age > tick_length || age < -tick_length {
        return Duration::ZERO;
    }
    Duration::from_nanos(u64::try_from(tick_length - age + 1).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> Moment {
        Moment { seconds, nanoseconds }
    }

    #[test]
    fn only_what_changed_just_now_is_waited_for() {
        let changed = at(100, 500_000_000);
        for (now, milliseconds) in [
            (at(100, 500_000_000), 10),
            (at(100, 507_000_000), 3),
            (at(100, 511_000_000), 0),
            (at(5000, 0), 0),
            (at(100, 498_000_000), 12),
            (at(90, 0), 0),
        ] {
            assert_eq!(rest_of_tick(changed, now).as_millis(), milliseconds, "{now:?}");
        }
    }

    #[test]
    fn whole_seconds_are_long_ticks() {
        assert_eq!(rest_of_tick(at(100, 0), at(101, 0)).as_millis(), 1000);
        assert_eq!(rest_of_tick(at(100, 0), at(102, 1)), Duration::ZERO);
    }
}
