//! Where the answers to one call are gathered for the thread that made it.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::StoreError;
use crate::session::Answer;

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Bytes, where they lie in [`Inbox::data`].
    Data(Range<usize>),
    /// The server did it.
    Done,
    /// How many roots there are.
    Next(u64),
    /// The server's error.
    Refused(String),
    /// No answer will come.
    Lost(StoreError),
}

/// The outcome of the request at `position` of the call.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) position: usize,
    pub(super) outcome: Outcome,
}

/// Answers that came since the caller last looked. Its buffers are used again: an inbox is
/// swapped with an empty one, never copied.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
}

impl Inbox {
    /// The data of an item, empty if it has none.
    pub(super) fn data(&self, item: &Item) -> &[u8] {
        match &item.outcome {
            Outcome::Data(range) => &self.bytes[range.clone()],
            _ => &[],
        }
    }

    /// An inbox that says of each request that it failed.
    pub(super) fn all_lost(positions: &[usize], error: &StoreError) -> Inbox {
        let lost =
            |position: &usize| Item { position: *position, outcome: Outcome::Lost(error.clone()) };
        Inbox { bytes: Vec::new(), items: positions.iter().map(lost).collect() }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}

/// A call that is under way: a read or probe of many blocks, a sync, or a ping.
#[derive(Debug, Default)]
pub(super) struct Call {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

impl Call {
    pub(super) fn new() -> Arc<Call> {
        Arc::default()
    }

    /// Puts an answer in. [`Call::notify`] is to be called after the last of several.
    pub(super) fn put(&self, position: usize, answer: Answer<'_>) {
        let mut inbox = self.inbox.lock();
        let outcome = match answer {
            Answer::Read(data)
            | Answer::RecordRoot(data)
            | Answer::ListRoots(data)
            | Answer::Stats(data)
            | Answer::Places(data) => {
                let start = inbox.bytes.len();
                inbox.bytes.extend_from_slice(data);
                Outcome::Data(start..inbox.bytes.len())
            }
            Answer::WatchRoots(next) => Outcome::Next(next),
            Answer::Write(_) | Answer::Sync | Answer::Ping => Outcome::Done,
            Answer::Error(text) => Outcome::Refused(text.into_owned()),
        };
        inbox.items.push(Item { position, outcome });
    }

    /// Says that no answer will come.
    pub(super) fn put_lost(&self, position: usize, error: &StoreError) {
        let outcome = Outcome::Lost(error.clone());
        self.inbox.lock().items.push(Item { position, outcome });
        self.notify();
    }

    pub(super) fn notify(&self) {
        self.arrived.notify_one();
    }

    /// Waits for answers and takes all that are there in exchange for `inbox`.
    pub(super) fn take(&self, inbox: &mut Inbox) {
        inbox.clear();
        let mut arrived = self.inbox.lock();
        self.arrived.wait_while(&mut arrived, |inbox| inbox.items.is_empty());
        std::mem::swap(&mut *arrived, inbox);
    }
}
