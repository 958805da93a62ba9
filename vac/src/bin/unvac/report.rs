//! What the user sees: on standard error, as text or as lines of JSON (docs/unvac-json.md).

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::json;
use vac::extractor::{ExtractError, Observer, Severity, Summary};
use vac::reader::Node;
use vac::shown::{put_path, shown};

use crate::progress::{Progress, Style};

/// Hears what happens and writes it down.
pub(crate) struct Reporter {
    json: bool,
    verbose: bool,
    progress: Progress,
    /// Set when a signal came.
    interrupted: Arc<AtomicBool>,
    incomplete: AtomicU64,
    refused: AtomicU64,
}

impl Reporter {
    pub(crate) fn new(
        json: bool,
        verbose: bool,
        no_progress: bool,
        interrupted: Arc<AtomicBool>,
    ) -> Reporter {
        let style = match (json, no_progress || !std::io::stderr().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Hidden,
            (false, false) => Style::Line,
        };
        Reporter {
            json,
            verbose,
            progress: Progress::new(style),
            interrupted,
            incomplete: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How far the restore is.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Writes a line, above the progress if that is shown.
    fn line(&self, text: &str) {
        self.progress.bar.suspend(|| eprintln!("{text}"));
    }

    pub(crate) fn error(&self, text: &str, code: u8) {
        self.progress.bar.finish_and_clear();
        if self.json {
            let value = json!({"message_type": "exit_error", "code": code, "message": text});
            self.line(&value.to_string());
        } else {
            self.line(&format!("unvac: {text}"));
        }
    }

    /// The end: what was done, and what not.
    pub(crate) fn summary(&self, summary: &Summary, statistics: bool) {
        self.progress.bar.finish_and_clear();
        let seconds = self.progress.elapsed().as_secs_f64();
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
        if self.verbose {
            let slash: &[u8] = if node.is_directory() { b"/" } else { b"" };
            self.action("restore", &[path, slash].concat());
        }
        self.progress.begin(path);
    }

    fn unchanged(&self, node: &Node) {
        self.progress.found_unchanged(node.size());
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
        self.progress.wrote(count);
    }

    fn stopped(&self) -> bool {
        self.interrupted.load(Relaxed)
    }
}
