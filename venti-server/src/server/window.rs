//! What a connection does with the requests that have arrived: as many as there are, together.
//!
//! A window is every whole request in the receive buffer, at most as many as the limit allows,
//! and none after a sync. Its writes go to the store as one batch from where they lie in the
//! buffer, then its probes, then its reads in slices; the sync comes last, and so covers
//! everything that the connection sent before it. Replies may come in any order by tag.

use arenas::UnverifiedBlock;
use venti_proto::message::MAX_MESSAGE_SIZE;
use venti_proto::roots::RootRequest;
use venti_proto::session::{Request, Responder, ServerSession, SessionError};
use venti_proto::{BlockRequest, Score, StoreError, Tag};

use crate::server::engine::Engine;
use crate::server::metrics::Metrics;

/// Received bytes that a session sees at once, and bytes of replies after which it sees no more:
/// more than any message has.
const PIECE: usize = 2 * MAX_MESSAGE_SIZE;

/// A read that waits for its turn: small, so that a client that takes no replies costs little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRead {
    pub(crate) tag: Tag,
    pub(crate) block: BlockRequest,
    /// The most bytes that the client takes.
    pub(crate) count: u32,
}

/// What is asked beside blocks themselves.
#[derive(Debug)]
pub(crate) enum Question {
    /// About the roots that the server owns.
    Roots(RootRequest),
    /// What the store holds and the server did.
    Stats,
    /// Where blocks lie.
    Places(Vec<BlockRequest>),
}

/// How the requests of a connection came to their end.
#[derive(Debug)]
pub(crate) enum LastRequest {
    /// The client said goodbye.
    Goodbye,
    /// The client broke the protocol.
    Violation(SessionError),
}

/// Requests that are served together; writes are still in the receive buffer.
#[derive(Debug, Default)]
pub(crate) struct Window<'a> {
    writes: Vec<UnverifiedBlock<'a>>,
    write_tags: Vec<Tag>,
    probes: Vec<PendingRead>,
    pub(crate) reads: Vec<PendingRead>,
    pub(crate) questions: Vec<(Tag, Question)>,
    pub(crate) sync: Option<Tag>,
    /// Set if nothing more is to be read after this window.
    pub(crate) last: Option<LastRequest>,
}

impl<'a> Window<'a> {
    /// Takes requests off the front of `received`, at most `limit`, and says how many bytes they
    /// had. Those that need no store are answered to `reply` on the way.
    ///
    /// Such an answer may be much longer than its request. So the session sees the next piece of
    /// what was received only while the replies are short.
    pub(crate) fn take(
        session: &mut ServerSession,
        received: &'a [u8],
        limit: usize,
        reply: &mut Vec<u8>,
    ) -> (Window<'a>, usize) {
        let mut window = Window::default();
        let (mut taken, mut end) = (0, received.len().min(PIECE));
        while window.len() < limit {
            let mut input = &received[taken..end];
            let next = session.next_request(&mut input, reply);
            taken = end - input.len();
            match next {
                Ok(Some(request)) => {
                    if window.add(request) {
                        break;
                    }
                }
                Ok(None) if end < received.len() && reply.len() < PIECE => {
                    end = received.len().min(taken + PIECE);
                }
                Ok(None) => break,
                Err(error) => {
                    window.last = Some(LastRequest::Violation(error));
                    break;
                }
            }
        }
        (window, taken)
    }

    /// Requests in it that the store has to answer.
    fn len(&self) -> usize {
        self.writes.len() + self.probes.len() + self.reads.len()
    }

    /// Adds a request; true if it must be the last one.
    fn add(&mut self, request: Request<'a>) -> bool {
        match request {
            Request::Write { tag, block_type, data } => {
                self.writes.push(UnverifiedBlock { block_type, data });
                self.write_tags.push(tag);
                return false;
            }
            Request::Read { tag, block, count } => {
                let reads = if count == 0 { &mut self.probes } else { &mut self.reads };
                reads.push(PendingRead { tag, block, count });
                return false;
            }
            Request::Sync { tag } => self.sync = Some(tag),
            // A root is recorded after what was written before it.
            Request::Roots { tag, request } => {
                self.questions.push((tag, Question::Roots(request)));
            }
            Request::Stats { tag } => self.questions.push((tag, Question::Stats)),
            Request::Places { tag, blocks } => {
                self.questions.push((tag, Question::Places(blocks)));
            }
            Request::Goodbye => self.last = Some(LastRequest::Goodbye),
        }
        true
    }

    /// Whether there is something to do that needs the store at once.
    pub(crate) fn needs_store(&self) -> bool {
        !self.writes.is_empty() || !self.probes.is_empty()
    }

    /// Does the writes and the probes, and appends their replies to `reply`.
    pub(crate) fn write_and_probe(
        &self,
        engine: &dyn Engine,
        responder: &Responder,
        metrics: &Metrics,
        reply: &mut Vec<u8>,
    ) {
        if !self.writes.is_empty() {
            let mut results: Vec<Result<Score, StoreError>> = Vec::with_capacity(self.writes.len());
            engine.write_unverified(&self.writes, &mut results);
            let mut errors = 0;
            for (tag, result) in self.write_tags.iter().zip(results) {
                match result {
                    Ok(score) => responder.write(*tag, score, reply),
                    Err(error) => {
                        errors += 1;
                        responder.error(*tag, &error, reply);
                    }
                }
            }
            metrics.errors.inc_by(errors);
            metrics.writes.inc_by(self.writes.len() as u64);
            metrics.written.inc_by(self.writes.iter().map(|write| write.data.len() as u64).sum());
        }
        if !self.probes.is_empty() {
            let requests: Vec<_> = self.probes.iter().map(|probe| probe.block).collect();
            let mut sizes = Vec::with_capacity(requests.len());
            engine.sizes(&requests, &mut sizes);
            for (probe, size) in self.probes.iter().zip(sizes) {
                answer_probe(probe, size, responder, reply);
            }
            metrics.probes.inc_by(self.probes.len() as u64);
        }
    }
}

/// A probe is answered as the original answers a read of 0 bytes: no such block, or too small.
fn answer_probe(
    probe: &PendingRead,
    size: Result<Option<u32>, StoreError>,
    responder: &Responder,
    reply: &mut Vec<u8>,
) {
    let PendingRead { tag, block: BlockRequest { score, block_type }, count } = *probe;
    match size {
        Ok(Some(0)) => responder.read(tag, count, &[], reply),
        Ok(Some(size)) => responder.too_small(tag, count, size as usize, reply),
        Ok(None) => responder.error(tag, &StoreError::NotFound { score, block_type }, reply),
        Err(error) => responder.error(tag, &error, reply),
    }
}

/// Reads blocks and appends the replies to `reply` in the order in which the store has them.
pub(crate) fn read_blocks(
    reads: &[PendingRead],
    engine: &dyn Engine,
    responder: &Responder,
    metrics: &Metrics,
    reply: &mut Vec<u8>,
) {
    let requests: Vec<_> = reads.iter().map(|read| read.block).collect();
    let (mut errors, mut bytes) = (0, 0);
    engine.read(&requests, &mut |position, block| {
        let Some(PendingRead { tag, count, .. }) = reads.get(position).copied() else { return };
        match block {
            Ok(data) => {
                bytes += data.len() as u64;
                responder.read(tag, count, data, reply);
            }
            Err(error) => {
                errors += 1;
                responder.error(tag, &error, reply);
            }
        }
    });
    metrics.errors.inc_by(errors);
    metrics.reads.inc_by(reads.len() as u64);
    metrics.read.inc_by(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use venti_proto::Version;
    use venti_proto::session::ServerHandshake;

    /// A session of version 04.
    fn session() -> ServerSession {
        let mut output = Vec::new();
        let mut handshake = ServerHandshake::new(&Version::ALL, &mut output);
        let hello = [0, 0, 0, 12, 4, 0, 0, 2, b'0', b'4', 0, 1, b'u', 0, 0, 0];
        let start = [&b"venti-04-x\n"[..], &hello].concat();
        handshake.receive(&mut &start[..], &mut output).unwrap().unwrap()
    }

    #[test]
    fn answers_that_are_longer_than_their_requests_do_not_pile_up() {
        let mut session = session();
        // Reads that end inside their score: six bytes each, and a sentence in return.
        let received = [0, 0, 0, 2, 12, 7].repeat(200_000);
        let (mut taken, mut rounds) = (0, 0);
        while taken < received.len() {
            let mut reply = Vec::new();
            let (window, more) = Window::take(&mut session, &received[taken..], 256, &mut reply);
            assert!(more > 0 && window.len() == 0 && window.last.is_none());
            assert!(reply.len() < 40 * PIECE, "{}", reply.len());
            taken += more;
            rounds += 1;
        }
        assert!(rounds > 1 && taken == received.len());
    }

    #[test]
    fn a_window_ends_with_a_sync_and_with_the_limit() {
        let mut session = session();
        let write = |tag| [&[0, 0, 0, 7, 14, tag, 13, 0, 0, 0][..], b"x"].concat();
        let sync = [0, 0, 0, 2, 16, 9];
        let received = [write(1), write(2), sync.to_vec(), write(3), vec![0, 0]].concat();
        let mut reply = Vec::new();
        let (window, taken) = Window::take(&mut session, &received, 256, &mut reply);
        assert_eq!((window.writes.len(), window.sync, taken), (2, Some(Tag(9)), 28));
        let (window, more) = Window::take(&mut session, &received[taken..], 1, &mut reply);
        assert_eq!((window.writes.len(), window.sync, more), (1, None, 11));
        let (window, more) = Window::take(&mut session, &received[taken + more..], 1, &mut reply);
        assert_eq!((window.writes.len(), more), (0, 0));
        assert!(reply.is_empty());
    }
}
