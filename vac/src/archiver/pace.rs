//! A limit on how many bytes a second are sent (`--limit-upload`).

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Unused time that may be made up for, so that a pause does not lower the rate.
const CREDIT: Duration = Duration::from_millis(500);

/// Holds its callers back so that together they keep to a rate.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second; none means no limit.
    rate: Option<u64>,
    /// When everything that was let through so far will have taken its time.
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Pace {
        Pace { rate: rate.filter(|rate| *rate > 0), due: Mutex::new(Instant::now()) }
    }

    /// Returns once `bytes` more may be sent.
    pub(super) fn wait_for(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let wait = {
            let mut due = self.due.lock();
            let now = Instant::now();
            let start = (*due).max(now.checked_sub(CREDIT).unwrap_or(now));
            *due = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
            start.saturating_duration_since(now)
        };
        std::thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_on_average() {
        let pace = Pace::new(Some(1_000_000));
        let start = Instant::now();
        for _ in 0..8 {
            pace.wait_for(100_000);
        }
        let taken = start.elapsed();
        // 700 kB were paid for before the last was let through, half a second of it on credit.
        assert!(taken >= Duration::from_millis(199), "{taken:?}");
        Pace::new(None).wait_for(usize::MAX);
    }
}
