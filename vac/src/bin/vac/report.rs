//! What the user sees while vac runs and at its end: on standard error, as text or as lines of
//! JSON. The schema of the lines is in docs/vac-json.md.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde_json::{Value, json};
use vac::archiver::{Change, Counts, Observer, Outcome, Problem, ProblemKind, Progress};
use vac::estimate::{Amount, clock};
use vac::shown::{put_path, shown};
use venti_proto::Score;

/// How often the numbers on a terminal change.
const TICK: Duration = Duration::from_millis(200);
/// How often a line of progress is written with `--json`.
const JSON_TICK: Duration = Duration::from_secs(1);
/// Problems of one kind that are listed again at the end.
const LISTED_AGAIN: usize = 20;

/// What of the run is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    /// With `-q` only what changed is named.
    pub(crate) changed_only: bool,
    pub(crate) statistics: bool,
    pub(crate) no_progress: bool,
}

/// Hears what happens and writes it down.
pub(crate) struct Reporter {
    style: Style,
    bar: ProgressBar,
    /// Losses, to be listed again below everything else.
    losses: Mutex<Vec<String>>,
    start: Instant,
    /// What the last archive of the same files had: about as much as this one.
    expected: Mutex<Option<Amount>>,
}

impl Reporter {
    pub(crate) fn new(style: Style) -> Reporter {
        let shows = std::io::stderr().is_terminal() && !style.json && !style.no_progress;
        let target =
            if shows { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let (losses, start, expected) = (Mutex::default(), Instant::now(), Mutex::default());
        Reporter { style, bar, losses, start, expected }
    }

    /// Says how much there is probably to be done.
    pub(crate) fn expect(&self, all: Amount) {
        *self.expected.lock() = Some(all);
    }

    /// Writes a line of text, above the progress if that is shown.
    pub(crate) fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn json_line(value: &Value) {
        eprintln!("{value}");
    }

    /// Says something that is no problem of a file.
    pub(crate) fn note(&self, text: &str) {
        if self.style.json {
            Reporter::json_line(&json!({"message_type": "note", "message": text}));
        } else {
            self.line(&format!("vac: {text}"));
        }
    }

    /// Says why there is no archive.
    pub(crate) fn error(&self, text: &str, code: u8) {
        self.bar.finish_and_clear();
        if self.style.json {
            let value = json!({"message_type": "exit_error", "code": code, "message": text});
            Reporter::json_line(&value);
        } else {
            self.line(&format!("vac: {text}"));
        }
    }

    /// Says that a run that is killed from now on can be gone on with.
    pub(crate) fn checkpoint(&self, resume: Score) {
        if self.style.json {
            let score = format!("vac:{resume}");
            Reporter::json_line(&json!({"message_type": "checkpoint", "score": score}));
        }
    }

    /// Shows the numbers until `done` says so.
    pub(crate) fn follow(&self, progress: &Arc<Progress>, done: &dyn Fn(Duration) -> bool) {
        let shows = self.style.json || !self.bar.is_hidden();
        let tick = if self.style.json { JSON_TICK } else { TICK };
        while !done(tick) {
            if !shows {
                continue;
            }
            let (counts, elapsed) = (progress.counters.counts(), self.start.elapsed());
            let all = *self.expected.lock();
            let left = all.and_then(|all| done_of(&counts).time_left(&all, elapsed));
            if self.style.json {
                let mut value = numbers("status", &counts, elapsed);
                value["current"] = json!(String::from_utf8_lossy(&progress.current()));
                if let Some(all) = all {
                    value["files_expected"] = json!(all.files);
                    value["bytes_expected"] = json!(all.bytes);
                    value["seconds_left"] = json!(left.map(|left| left.as_secs()));
                }
                Reporter::json_line(&value);
            } else {
                let current = shown(&progress.current());
                self.bar.set_message(progress_text(&counts, elapsed, left, &current));
                self.bar.tick();
            }
        }
    }

    /// The end: numbers, and the losses once more.
    pub(crate) fn summary(&self, outcome: &Outcome) {
        self.bar.finish_and_clear();
        let (counts, elapsed) = (&outcome.counts, self.start.elapsed());
        if self.style.json {
            let mut value = numbers("summary", counts, elapsed);
            value["score"] = json!(format!("vac:{}", outcome.root));
            value["incomplete"] = json!(outcome.incomplete);
            Reporter::json_line(&value);
            return;
        }
        let losses = std::mem::take(&mut *self.losses.lock());
        if self.style.statistics || !losses.is_empty() || std::io::stderr().is_terminal() {
            self.line(&summary_text(counts, elapsed));
        }
        if !losses.is_empty() {
            self.line(&format!("vac: the archive is not complete: {} problems", losses.len()));
            let more = losses.len().saturating_sub(LISTED_AGAIN);
            losses.iter().take(LISTED_AGAIN).for_each(|loss| self.line(&format!("  {loss}")));
            if more > 0 {
                self.line(&format!("  and {more} more, named above"));
            }
        }
    }
}

impl Observer for Reporter {
    fn problem(&self, problem: &Problem) {
        if self.style.json {
            let mut value = json!({
                "message_type": "problem",
                "code": problem.code(),
                "loss": problem.is_loss(),
                "message": problem.kind.to_string(),
            });
            put_path(&mut value, &problem.path);
            Reporter::json_line(&value);
            return;
        }
        let text = format!("{}: {}", shown(&problem.path), problem.kind);
        let quiet = matches!(problem.kind, ProblemKind::Excluded | ProblemKind::TooLarge);
        if !quiet || self.style.verbose {
            self.line(&format!("vac: {text}"));
        }
        if problem.is_loss() {
            self.losses.lock().push(text);
        }
    }

    fn file(&self, path: &[u8], change: Change) {
        if !self.style.verbose || (self.style.changed_only && change == Change::Unchanged) {
            return;
        }
        if self.style.json {
            let change = match change {
                Change::New => "new",
                Change::Changed => "changed",
                Change::Unchanged => "unchanged",
            };
            let mut value = json!({"message_type": "file", "change": change});
            put_path(&mut value, path);
            Reporter::json_line(&value);
        } else {
            self.line(&shown(path));
        }
    }
}

fn numbers(message_type: &str, counts: &Counts, elapsed: Duration) -> Value {
    let mut value = serde_json::to_value(counts).unwrap_or_default();
    value["message_type"] = json!(message_type);
    value["seconds"] = json!(elapsed.as_secs_f64());
    value
}

/// What was done, in the numbers that are recorded of an archive.
fn done_of(counts: &Counts) -> Amount {
    Amount {
        files: counts.files() + counts.directories,
        bytes: counts.bytes_read + counts.bytes_unchanged,
    }
}

fn progress_text(
    counts: &Counts,
    elapsed: Duration,
    left: Option<Duration>,
    current: &str,
) -> String {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = counts.bytes_read.saturating_mul(1000) / milliseconds;
    let mut text = format!(
        "{} files, {}, {}/s",
        counts.files(),
        BinaryBytes(done_of(counts).bytes),
        BinaryBytes(rate),
    );
    for (count, what) in [(counts.left_out, "left out"), (counts.failed, "failed")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(left) = left {
        text.push_str(&format!(", {} left", clock(left)));
    }
    format!("{text}  {current}")
}

fn summary_text(counts: &Counts, elapsed: Duration) -> String {
    let size = BinaryBytes;
    format!(
        "vac: {} files new, {} changed, {} unchanged, {} failed, {} torn; \
         {} directories; {} left out\n\
         vac: {} read, {} unchanged, {} sent in {} blocks, {} known to be stored; {:.2} s",
        counts.files_new,
        counts.files_changed,
        counts.files_unchanged,
        counts.failed,
        counts.torn,
        counts.directories,
        counts.left_out,
        size(counts.bytes_read),
        size(counts.bytes_unchanged),
        size(counts.bytes_sent),
        counts.blocks_sent,
        size(counts.bytes_known),
        elapsed.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_and_what_is_left_is_shown_if_there_is_any() {
        let counts = Counts { files_new: 3, bytes_read: 2048, ..Counts::default() };
        let text = progress_text(&counts, Duration::from_secs(2), None, "/home");
        assert_eq!(text, "3 files, 2.00 KiB, 1.00 KiB/s  /home");
        let counts = Counts { failed: 1, left_out: 2, ..counts };
        let left = Some(Duration::from_secs(61));
        let text = progress_text(&counts, Duration::from_secs(2), left, "/home");
        let expected = "3 files, 2.00 KiB, 1.00 KiB/s, 2 left out, 1 failed, 1:01 left  /home";
        assert_eq!(text, expected);
    }
}
