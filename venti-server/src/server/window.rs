//! What a connection does with the requests that have arrived: as many as there are, together.
//!
//! A window is every whole request in the receive buffer, at most as many as the limit allows,
//! and none after a sync. Its writes go to the store as one batch from where they lie in the
//! buffer, then its probes, then its reads in slices; the sync comes last, and so covers
//! everything that the connection sent before it. Replies may come in any order by tag.

use arenas::UnverifiedBlock;
use venti_proto::roots::RootRequest;
use venti_proto::session::{Request, Responder, ServerSession, SessionError};
use venti_proto::{BlockRequest, Score, StoreError, Tag};

use crate::server::engine::Engine;
use crate::server::metrics::Metrics;

/// A read that waits for its turn: small, so that a client that takes no replies costs little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRead {
    pub(crate) tag: Tag,
    pub(crate) block: BlockRequest,
    /// The most bytes that the client takes.
    pub(crate) count: u32,
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
    pub(crate) roots: Vec<(Tag, RootRequest)>,
    pub(crate) sync: Option<Tag>,
    /// Set if nothing more is to be read after this window.
    pub(crate) last: Option<LastRequest>,
}

impl<'a> Window<'a> {
    /// Takes requests off the front of `input`, at most `limit`. Those that need no store are
    /// answered to `reply` on the way.
    pub(crate) fn take(
        session: &mut ServerSession,
        input: &mut &'a [u8],
        limit: usize,
        reply: &mut Vec<u8>,
    ) -> Window<'a> {
        let mut window = Window::default();
        while window.writes.len() + window.probes.len() + window.reads.len() < limit {
            match session.next_request(input, reply) {
                Ok(Some(Request::Write { tag, block_type, data })) => {
                    window.writes.push(UnverifiedBlock { block_type, data });
                    window.write_tags.push(tag);
                }
                Ok(Some(Request::Read { tag, block, count })) => {
                    let reads = if count == 0 { &mut window.probes } else { &mut window.reads };
                    reads.push(PendingRead { tag, block, count });
                }
                Ok(Some(Request::Sync { tag })) => {
                    window.sync = Some(tag);
                    break;
                }
                Ok(Some(Request::Roots { tag, request })) => {
                    window.roots.push((tag, request));
                    // A root is recorded after what was written before it.
                    break;
                }
                Ok(Some(Request::Goodbye)) => {
                    window.last = Some(LastRequest::Goodbye);
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    window.last = Some(LastRequest::Violation(error));
                    break;
                }
            }
        }
        window
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
