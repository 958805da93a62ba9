//! What the user sees: on standard error, as text or as lines of JSON (docs/unvac-json.md).

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use vac::extractor::{ExtractError, Observer, Severity, Summary};
use vac::reader::Node;
use vac::shown::{put_path, shown};

/// Files between two looks at the clock.
const FILES_PER_TICK: u64 = 64;

/// Hears what happens and writes it down.
pub(crate) struct Reporter {
    json: bool,
    verbose: bool,
    bar: ProgressBar,
    start: Instant,
    files: AtomicU64,
    bytes: AtomicU64,
    incomplete: AtomicU64,
    refused: AtomicU64,
}

impl Reporter {
    pub(crate) fn new(json: bool, verbose: bool, no_progress: bool) -> Reporter {
        let shows = std::io::stderr().is_terminal() && !json && !no_progress;
        let target =
            if shows { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Reporter {
            json,
            verbose,
            bar,
            start: Instant::now(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            incomplete: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Writes a line, above the progress if that is shown.
    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    pub(crate) fn error(&self, text: &str, code: u8) {
        self.bar.finish_and_clear();
        if self.json {
            let value = json!({"message_type": "exit_error", "code": code, "message": text});
            self.line(&value.to_string());
        } else {
            self.line(&format!("unvac: {text}"));
        }
    }

    /// The end: what was done, and what not.
    pub(crate) fn summary(&self, summary: &Summary, statistics: bool) {
        self.bar.finish_and_clear();
        let seconds = self.start.elapsed().as_secs_f64();
        if self.json {
            let mut value = serde_json::to_value(summary).unwrap_or_default();
            value["message_type"] = json!("summary");
            value["seconds"] = json!(seconds);
            return self.line(&value.to_string());
        }
        if summary.owners_not_set > 0 {
            let count = summary.owners_not_set;
            self.line(&format!(
                "unvac: {count} files belong to you and not to their owners: only the superuser \
                 restores those"
            ));
        }
        let problems = summary.incomplete + summary.refused;
        if problems > 0 {
            self.line(&format!("unvac: not everything was restored: {problems} problems"));
        }
        if statistics || problems > 0 || std::io::stderr().is_terminal() {
            self.line(&format!(
                "{} files, {} directories, {} unchanged, {} removed, {} bytes in {seconds:.1} s",
                summary.files,
                summary.directories,
                summary.unchanged,
                summary.removed,
                summary.bytes
            ));
        }
    }

    /// The exit code after problems that were reported here.
    pub(crate) fn exit_code(&self) -> u8 {
        match (self.refused.load(Relaxed), self.incomplete.load(Relaxed)) {
            (0, 0) => 0,
            (0, _) => 3,
            _ => 1,
        }
    }

    pub(crate) fn action(&self, action: &str, path: &[u8]) {
        if self.json {
            let mut value = json!({"message_type": "file", "action": action});
            put_path(&mut value, path);
            self.line(&value.to_string());
        } else if action == "restore" {
            self.line(&shown(path));
        } else {
            self.line(&format!("{action} {}", shown(path)));
        }
    }
}

impl Observer for Reporter {
    fn entry(&self, path: &[u8], node: &Node) {
        let files = self.files.fetch_add(1, Relaxed);
        if self.verbose {
            let slash: &[u8] = if node.is_directory() { b"/" } else { b"" };
            self.action("restore", &[path, slash].concat());
        }
        if files.is_multiple_of(FILES_PER_TICK) && !self.bar.is_hidden() {
            let megabytes = self.bytes.load(Relaxed) as f64 / 1e6;
            let rate = megabytes / self.start.elapsed().as_secs_f64().max(0.001);
            self.bar.set_message(format!(
                "{files} files, {megabytes:.0} MB, {rate:.0} MB/s  {}",
                shown(path)
            ));
            self.bar.tick();
        }
    }

    fn removed(&self, path: &[u8]) {
        if self.verbose {
            self.action("remove", path);
        }
    }

    fn problem(&self, path: &[u8], error: &ExtractError) {
        let counter = match error.severity() {
            Severity::Incomplete => &self.incomplete,
            Severity::Refused => &self.refused,
        };
        counter.fetch_add(1, Relaxed);
        if self.json {
            let refused = error.severity() == Severity::Refused;
            let mut value = json!({
                "message_type": "problem",
                "refused": refused,
                "message": error.to_string(),
            });
            put_path(&mut value, path);
            self.line(&value.to_string());
        } else {
            let name = if path.is_empty() { "the root directory".into() } else { shown(path) };
            self.line(&format!("unvac: {name}: {error}"));
        }
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Relaxed);
    }
}
