//! How long something will take that is done in part.

use std::time::Duration;

/// The least share that says anything of the rest.
const LEAST: f64 = 0.01;

/// Names and bytes, of all there is or of what is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files and directories.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

impl Amount {
    /// How long the rest takes if this is done after `elapsed`: each name costs something, and
    /// so does each byte, so half of the work is counted by these and half by those. None while
    /// that is a guess, and if more is done than there should be.
    #[must_use]
    pub fn time_left(&self, all: &Amount, elapsed: Duration) -> Option<Duration> {
        let parts = [(self.files, all.files), (self.bytes, all.bytes)];
        let shares = parts.iter().filter(|(_, all)| *all > 0);
        let shares: Vec<f64> = shares.map(|(done, all)| *done as f64 / *all as f64).collect();
        let share = shares.iter().sum::<f64>() / shares.len() as f64;
        let known = (LEAST..=1.0).contains(&share);
        let left = elapsed.as_secs_f64() * (1.0 - share) / share;
        if known { Duration::try_from_secs_f64(left).ok() } else { None }
    }
}

/// A time for people: minutes and seconds, with hours if there are any.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(files: u64, bytes: u64, all_files: u64, all_bytes: u64) -> Option<u64> {
        let all = Amount { files: all_files, bytes: all_bytes };
        let left = Amount { files, bytes }.time_left(&all, Duration::from_secs(60));
        left.map(|left| left.as_secs())
    }

    #[test]
    fn names_and_bytes_count_the_same() {
        assert_eq!(left(50, 500, 100, 1000), Some(60));
        assert_eq!(left(100, 0, 100, 1000), Some(60));
        assert_eq!(left(25, 0, 100, 0), Some(180), "no bytes at all");
        assert_eq!(left(100, 1000, 100, 1000), Some(0));
    }

    #[test]
    fn nothing_is_said_that_is_not_known() {
        assert_eq!(left(0, 1, 100, 1000), None, "too early");
        assert_eq!(left(200, 2000, 100, 1000), None, "there is more than there was");
        assert_eq!(left(5, 5, 0, 0), None);
    }

    #[test]
    fn clocks() {
        let shown = [5, 65, 3600 + 125].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0:05", "1:05", "1:02:05"]);
    }
}
