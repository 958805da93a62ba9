//! Clients that wait for new roots: what a connection looks at while nothing arrives on it.
//!
//! A watch takes no thread and no buffer. It ends when a root was recorded by anybody, or when its
//! time is over.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use venti_proto::Tag;
use venti_proto::roots::RootWatch;

/// The longest that a watch waits: the client asks again.
const LONGEST: Duration = Duration::from_secs(60);

/// The watches of one connection.
#[derive(Debug)]
pub(crate) struct Watches {
    recorded: watch::Receiver<u64>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    tag: Tag,
    /// Records that the client knows of.
    known: u64,
    /// Records that there were when it began to wait.
    next: u64,
    until: Instant,
}

impl Watches {
    pub(crate) fn new(recorded: watch::Receiver<u64>) -> Watches {
        Watches { recorded, waiting: Vec::new() }
    }

    /// Begins to wait; there are `next` records now, none of which is news.
    pub(crate) fn add(&mut self, tag: Tag, watch: RootWatch, next: u64) {
        let time = Duration::from_millis(watch.milliseconds.into()).min(LONGEST);
        let until = Instant::now() + time;
        self.waiting.push(Waiting { tag, known: watch.known, next, until });
    }

    /// Returns when a watch may have ended; never if there is none.
    pub(crate) async fn ended(&mut self) {
        let Some(first) = self.waiting.iter().map(|waiting| waiting.until).min() else {
            return std::future::pending().await;
        };
        let known = self.waiting.iter().map(|waiting| waiting.known).min().unwrap_or(0);
        tokio::select! {
            // It fails only when the server is gone, and then everything ends.
            _ = self.recorded.wait_for(|next| *next > known) => {}
            () = sleep_until(first) => {}
        }
    }

    /// A watch that has ended, and how many records there are.
    pub(crate) fn take_ended(&mut self) -> Option<(Tag, u64)> {
        let recorded = *self.recorded.borrow();
        let now = Instant::now();
        let ended = |w: &Waiting| recorded > w.known || w.until <= now;
        let position = self.waiting.iter().position(ended)?;
        let Waiting { tag, next, .. } = self.waiting.swap_remove(position);
        Some((tag, next.max(recorded)))
    }
}
