//! The thread that takes replies off a connection.

use std::io;
use std::time::{Duration, Instant};

use super::shared::{Shared, is_timeout};
use super::state::Owed;
use crate::message::MAX_MESSAGE_SIZE;
use crate::session::{Answer, ReplyReader, SessionError};
use crate::{Tag, Version};

/// Bytes that are received at once, at the most.
const BUFFER: usize = 1 << 20;

/// The longest frame: what must fit behind what was used already.
const FRAME: usize = 4 + MAX_MESSAGE_SIZE;

/// A server that answers pings, or that owes nothing but syncs, is given up after so many times
/// the limit: a disk may be slow, but nothing hangs for ever.
const LONG_STALL: u32 = 10;

/// One reply.
pub(super) type Received<'a> = (Tag, Answer<'a>);

/// How often it is looked whether the server still answers, if it has to within `limit`.
pub(super) fn tick(limit: Duration) -> Duration {
    (limit / 4).max(Duration::from_millis(1))
}

/// Receives until the connection is lost, from whichever side.
pub(super) fn run(shared: &Shared, version: Version, early: &[u8], limit: Duration) {
    let detail = match receive(shared, version, early, limit) {
        Ended::Closed => "the server closed it".to_owned(),
        Ended::Silent => format!("no answer for {} s", limit.as_secs_f32()),
        Ended::Io(error) => error.to_string(),
        Ended::Protocol(error) => error.to_string(),
    };
    shared.lose(detail);
}

enum Ended {
    Closed,
    Silent,
    Io(io::Error),
    Protocol(SessionError),
}

/// Since when the server owes what.
struct Patience {
    limit: Duration,
    /// Nothing at all was answered, or nothing was owed, since then.
    silent: Instant,
    /// Nothing that anybody waits for was answered since then.
    stalled: Instant,
    /// Whether it was asked in this silence if the server is still there.
    asked: bool,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        let now = Instant::now();
        Patience { limit, silent: now, stalled: now, asked: false }
    }

    /// Notes what came, and says whether the server is to be given up.
    fn is_at_end(&mut self, owed: Owed, replied: bool, answered: bool, shared: &Shared) -> bool {
        let now = Instant::now();
        if replied || owed == Owed::Nothing {
            (self.silent, self.asked) = (now, false);
        }
        if answered || owed == Owed::Nothing {
            self.stalled = now;
        }
        let silence = now - self.silent;
        if silence >= self.limit / 2 && !self.asked {
            self.asked = true;
            shared.ask_if_alive();
        }
        (silence >= self.limit && owed == Owed::Blocks)
            || now - self.stalled >= self.limit * LONG_STALL
    }
}

fn receive(shared: &Shared, version: Version, early: &[u8], limit: Duration) -> Ended {
    let reader = ReplyReader::new(version);
    let mut buffer = vec![0; BUFFER];
    // Received and not used: `buffer[start..end]`. The hello's leavings are short.
    let (mut start, mut end) = (0, early.len().min(BUFFER));
    buffer[..end].copy_from_slice(&early[..end]);
    let mut patience = Patience::new(limit);
    loop {
        let mut input = &buffer[start..end];
        let mut received = Vec::new();
        let parsed = loop {
            match reader.next_reply(&mut input) {
                Ok(Some(reply)) => received.push(reply),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (rest, replied) = (input.len(), !received.is_empty());
        let answered = match shared.settle(&mut received).and_then(|any| parsed.map(|()| any)) {
            Ok(answered) => answered,
            Err(error) => return Ended::Protocol(error),
        };
        start = end - rest;
        if patience.is_at_end(shared.owed(), replied, answered, shared) {
            return Ended::Silent;
        }
        if start == end {
            (start, end) = (0, 0);
        } else if BUFFER - start < FRAME {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        match shared.transport.read(&mut buffer[end..]) {
            Ok(0) => return Ended::Closed,
            Ok(read) => end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
            Err(error) => return Ended::Io(error),
        }
    }
}
