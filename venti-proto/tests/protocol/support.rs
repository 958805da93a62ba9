//! A server without a network: a session joined to a store in memory.

use venti_proto::roots::{MemoryRootLog, RootRequest};
use venti_proto::session::{Request, Responder, ServerHandshake, ServerSession, SessionError};
use venti_proto::{BlockBatch, BlockStore, MemoryStore, Version};

/// Takes bytes as a socket would, and answers.
pub(crate) struct TestServer {
    side: Side,
    store: MemoryStore,
    /// Its clock stands still.
    roots: MemoryRootLog,
    /// Received and not used yet.
    input: Vec<u8>,
    /// To be sent.
    output: Vec<u8>,
    /// While true, requests are taken and not answered.
    pub(crate) holds: bool,
    held: Vec<HeldRequest>,
}

enum Side {
    Handshake(ServerHandshake),
    Session(ServerSession),
    Closed(Option<SessionError>),
}

/// A request without the buffer that it came in.
enum HeldRequest {
    Tag(venti_proto::Tag),
}

impl TestServer {
    pub(crate) fn new() -> TestServer {
        let mut output = Vec::new();
        let side = Side::Handshake(ServerHandshake::new(&Version::ALL, &mut output));
        let (store, input, held) = (MemoryStore::new(), Vec::new(), Vec::new());
        let roots = MemoryRootLog::new("Europe/Berlin", || 1_086_912_000_000_000_000);
        TestServer { side, store, roots, input, output, holds: false, held }
    }

    /// Receives `bytes` and returns everything to be sent by now.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        if let Side::Handshake(handshake) = &mut self.side {
            match handshake.receive(&mut rest, &mut self.output) {
                Ok(None) => {}
                Ok(Some(session)) => self.side = Side::Session(session),
                Err(error) => self.side = Side::Closed(Some(error)),
            }
        }
        if let Side::Session(session) = &mut self.side {
            match serve(
                session,
                &mut rest,
                &self.store,
                &self.roots,
                self.holds,
                &mut self.held,
                &mut self.output,
            ) {
                Ok(false) => {}
                Ok(true) => self.side = Side::Closed(None),
                Err(error) => self.side = Side::Closed(Some(error)),
            }
        }
        self.input = rest.to_vec();
        std::mem::take(&mut self.output)
    }

    /// Answers the requests that were held: all of them as if they were syncs.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        self.holds = false;
        let mut output = Vec::new();
        if let Side::Session(session) = &self.side {
            for HeldRequest::Tag(tag) in self.held.drain(..) {
                session.responder().sync(tag, &mut output);
            }
        }
        output
    }

    /// Whether the connection was closed, and if so, why.
    pub(crate) fn closed(&self) -> Option<Option<&SessionError>> {
        match &self.side {
            Side::Closed(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

/// Serves what is complete; true after a goodbye.
fn serve(
    session: &mut ServerSession,
    input: &mut &[u8],
    store: &MemoryStore,
    roots: &MemoryRootLog,
    holds: bool,
    held: &mut Vec<HeldRequest>,
    output: &mut Vec<u8>,
) -> Result<bool, SessionError> {
    let responder = session.responder();
    while let Some(request) = session.next_request(input, output)? {
        match request {
            Request::Goodbye => return Ok(true),
            Request::Sync { tag } if holds => held.push(HeldRequest::Tag(tag)),
            request => execute(request, store, roots, &responder, output),
        }
    }
    Ok(false)
}

fn execute(
    request: Request<'_>,
    store: &MemoryStore,
    roots: &MemoryRootLog,
    responder: &Responder,
    out: &mut Vec<u8>,
) {
    match request {
        Request::Read { tag, block, count } => {
            match store.read_block(block.score, block.block_type) {
                Ok(data) => responder.read(tag, count, &data, out),
                Err(error) => responder.error(tag, &error, out),
            }
        }
        Request::Write { tag, block_type, data } => {
            let mut batch = BlockBatch::default();
            batch.push(block_type, data);
            let batch = batch.hash();
            match store.write(&batch) {
                Ok(()) => responder.write(tag, batch.scores()[0], out),
                Err(error) => responder.error(tag, &error, out),
            }
        }
        Request::Sync { tag } => responder.sync(tag, out),
        Request::Roots { tag, mut request } => {
            // Nothing else happens here meanwhile that could be waited for.
            if let RootRequest::Watch(watch) = &mut request {
                watch.milliseconds = 0;
            }
            responder.roots(tag, request.perform(roots), out);
        }
        Request::Stats { tag } => {
            responder.stats(tag, format!("{{\"blocks\":{}}}", store.len()).as_bytes(), out);
        }
        Request::Places { tag, blocks } => {
            // In the order in which they were asked for.
            let places: Vec<_> = (0..blocks.len() as u64).map(Some).collect();
            responder.places(tag, Some(&places), out);
        }
        Request::Goodbye => {}
    }
}

pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
