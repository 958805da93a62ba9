//! How far a restore is, as far as it is shown: a line on a terminal, or lines of JSON.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde_json::{Value, json};
use vac::estimate::{Amount, clock};
use vac::shown::{put_path, shown};

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Hidden,
    /// As a line that changes, on a terminal.
    Line,
    /// As lines of JSON.
    Json,
}

impl Style {
    /// How often.
    const fn tick(self) -> Option<u64> {
        match self {
            Style::Hidden => None,
            Style::Line => Some(200),
            Style::Json => Some(1000),
        }
    }
}

/// What was done, and when that was shown last.
pub(crate) struct Progress {
    style: Style,
    pub(crate) bar: ProgressBar,
    start: Instant,
    files: AtomicU64,
    bytes: AtomicU64,
    unchanged: AtomicU64,
    unchanged_bytes: AtomicU64,
    /// Milliseconds after the start when it is to be shown again.
    next: AtomicU64,
    /// What is restored just now.
    current: Mutex<Vec<u8>>,
    /// All there is, if that is known.
    all: Mutex<Option<Amount>>,
}

impl Progress {
    pub(crate) fn new(style: Style) -> Progress {
        let target = match style {
            Style::Line => ProgressDrawTarget::stderr(),
            Style::Hidden | Style::Json => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Progress {
            style,
            bar,
            start: Instant::now(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            unchanged_bytes: AtomicU64::new(0),
            next: AtomicU64::new(style.tick().unwrap_or(u64::MAX)),
            current: Mutex::default(),
            all: Mutex::new(None),
        }
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.style != Style::Hidden
    }

    pub(crate) fn expect(&self, all: Amount) {
        *self.all.lock() = Some(all);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn begin(&self, path: &[u8]) {
        self.files.fetch_add(1, Relaxed);
        if self.is_shown() {
            let mut current = self.current.lock();
            current.clear();
            current.extend_from_slice(path);
        }
        self.show_if_due();
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.show_if_due();
    }

    pub(crate) fn found_unchanged(&self, bytes: u64) {
        self.unchanged.fetch_add(1, Relaxed);
        self.unchanged_bytes.fetch_add(bytes, Relaxed);
        self.show_if_due();
    }

    fn show_if_due(&self) {
        let Some(tick) = self.style.tick() else { return };
        let now = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        let mine =
            now >= next && self.next.compare_exchange(next, now + tick, Relaxed, Relaxed).is_ok();
        if !mine {
            return;
        }
        if self.style == Style::Json {
            eprintln!("{}", self.json());
        } else {
            self.bar.set_message(self.text());
            self.bar.tick();
        }
    }

    fn done(&self) -> Amount {
        Amount {
            files: self.files.load(Relaxed) + self.unchanged.load(Relaxed),
            bytes: self.bytes.load(Relaxed) + self.unchanged_bytes.load(Relaxed),
        }
    }

    fn json(&self) -> Value {
        let elapsed = self.elapsed();
        let mut value = json!({
            "message_type": "status",
            "files": self.files.load(Relaxed),
            "bytes": self.bytes.load(Relaxed),
            "unchanged": self.unchanged.load(Relaxed),
            "seconds": elapsed.as_secs_f64(),
        });
        put_path(&mut value, &self.current.lock());
        if let Some(all) = *self.all.lock() {
            value["files_total"] = json!(all.files);
            value["bytes_total"] = json!(all.bytes);
            let left = self.done().time_left(&all, elapsed);
            value["seconds_left"] = json!(left.map(|left| left.as_secs()));
        }
        value
    }

    fn text(&self) -> String {
        let (done, elapsed) = (self.done(), self.elapsed());
        let written = self.bytes.load(Relaxed);
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = BinaryBytes(written.saturating_mul(1000) / milliseconds);
        let mut text = format!("{} files, {}, {rate}/s", done.files, BinaryBytes(done.bytes));
        match self.unchanged.load(Relaxed) {
            0 => {}
            unchanged => text.push_str(&format!(", {unchanged} unchanged")),
        }
        let all = *self.all.lock();
        if let Some(left) = all.and_then(|all| done.time_left(&all, elapsed)) {
            text.push_str(&format!(", {} left", clock(left)));
        }
        format!("{text}  {}", shown(&self.current.lock()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_once_all_is_known() {
        let progress = Progress::new(Style::Hidden);
        progress.begin(b"a");
        progress.wrote(100);
        progress.found_unchanged(300);
        assert_eq!(progress.done(), Amount { files: 2, bytes: 400 });
        assert!(progress.json().get("files_total").is_none());
        assert!(!progress.text().contains("left"), "{}", progress.text());
        progress.expect(Amount { files: 4, bytes: 800 });
        let value = progress.json();
        assert_eq!((&value["files_total"], &value["bytes_total"]), (&json!(4), &json!(800)));
        assert_eq!(value["seconds_left"], 0, "half of it took less than a second");
        assert!(progress.text().contains("1 unchanged, 0:00 left"), "{}", progress.text());
    }
}
