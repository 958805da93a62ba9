//! Progress of long operations: on a terminal only, on standard error only.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use arenas::Progress as StoreProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::size::human;

/// A line on the terminal that says how far an operation is; nothing at all elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: Cell<Option<Instant>>,
}

impl Progress {
    /// For an operation whose end is not known.
    #[must_use]
    pub(crate) fn spinner(verb: &str) -> Progress {
        let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        Progress::new(ProgressBar::new_spinner(), style, verb)
    }

    /// For an operation that says how far it is.
    #[must_use]
    pub(crate) fn bar(verb: &str) -> Progress {
        let template = "{prefix}: {msg} {wide_bar} {percent} %, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress::new(ProgressBar::new(0), style, verb)
    }

    fn new(bar: ProgressBar, style: ProgressStyle, verb: &str) -> Progress {
        let terminal = io::stderr().is_terminal();
        bar.set_draw_target(if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        bar.set_style(style);
        bar.set_prefix(verb.to_owned());
        Progress { bar, shown: Cell::new(None) }
    }

    /// Shows a message, made only if the last one is older than `every`.
    pub(crate) fn message(&self, every: Duration, message: impl FnOnce() -> String) {
        if self.bar.is_hidden() || self.shown.get().is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown.set(Some(Instant::now()));
        self.bar.set_message(message());
        self.bar.tick();
    }

    /// Shows how far an operation of a store is.
    pub(crate) fn show(&self, progress: StoreProgress) {
        let StoreProgress { unit, done, total } = progress;
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.message(Duration::from_millis(100), || match unit {
            "bytes" => format!("{} of {}", human(done), human(total)),
            _ => format!("{done} of {total} {unit}"),
        });
    }

    /// A line of its own on standard error, above the progress.
    pub(crate) fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Takes the progress off the terminal.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
