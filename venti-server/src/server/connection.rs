//! One connection, from its first byte to its last.
//!
//! It waits without a buffer until something arrives, leases a pair of buffers, and then goes
//! round: send what is answered, read blocks that were asked for, sync, take the next requests,
//! receive more; until nothing more is there, when it gives the buffers back. If the client does
//! not take its replies, what is left of them is copied out, the buffers go back, and nothing is
//! received until the client has taken them. So a connection never holds more than its share,
//! and never holds up another one.
//!
//! Every wait has a limit: for the hello, for the rest of a message, for a reply to be taken, for
//! anything at all.

mod ended;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use venti_proto::roots::{RootAnswer, RootRequest, RootWatch};
use venti_proto::session::{ServerHandshake, ServerSession};
use venti_proto::{BlockRequest, Tag, Version};

use crate::server::buffers::{Buffers, Held, Lease};
use crate::server::peer::Peer;
use crate::server::shared::Shared;
use crate::server::shutdown::Phase;
use crate::server::stream::Stream;
use crate::server::watches::Watches;
use crate::server::window::{LastRequest, PendingRead, Question, Window, read_blocks};
pub(crate) use ended::Ended;

/// How long a reply may wait in the leased buffer for the client to take it.
const GRACE: Duration = Duration::from_millis(200);
/// How long a closing connection listens for what the client still sends, so that the replies
/// are not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
/// Reads that go to the store together.
const SLICE: usize = 64;
/// Bytes of replies made at once for a client that was slow to take the last ones, or is new.
const LEAST_ROOM: usize = 64 << 10;
/// Bytes that are still received once the server is ending: what a socket's buffer holds.
const DRAIN: usize = 8 << 20;
/// How long an ending server waits for what is under way already.
const DRAIN_WAIT: Duration = Duration::from_millis(100);

/// A client, and where the conversation with it is.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    shared: Arc<Shared>,
    talk: Talk,
    /// The start of a message whose end has not arrived.
    partial: Held,
    /// Read to find out that there is something to read.
    early: Vec<u8>,
    /// Replies that the client did not take.
    unsent: Held,
    /// Reads that are to be answered, the next one last.
    reads: Vec<PendingRead>,
    sync: Option<Tag>,
    /// Questions that are to be answered.
    questions: Vec<(Tag, Question)>,
    watches: Watches,
    /// Why nothing more is to be read.
    last: Option<Ended>,
    /// When the message must be whole that has begun to arrive, or the hello.
    deadline: Option<Instant>,
    /// Bytes of a usual reply to a read, to judge how many reads fill the reply buffer.
    usual_reply: usize,
    /// Bytes of replies to make before they are sent: more for a client that takes them at once,
    /// so that many slow ones do not keep much.
    room: usize,
    /// Bytes received since the server is ending.
    drained: usize,
}

/// What is said on a connection.
enum Talk {
    Hello(ServerHandshake),
    Requests(ServerSession),
}

/// A lease in use: what of the receive buffer is filled and not served yet.
struct Turn {
    lease: Lease,
    start: usize,
    end: usize,
    /// Bytes of the reply buffer that are sent.
    sent: usize,
}

impl Connection {
    pub(crate) fn new(stream: Stream, peer: Peer, shared: Arc<Shared>) -> Connection {
        let mut greeting = Vec::new();
        let handshake = ServerHandshake::new(&Version::ALL, &mut greeting);
        let mut unsent = Held::new(Arc::clone(&shared.held));
        let last = if unsent.keep(&greeting) { None } else { Some(Ended::NoMemory) };
        Connection {
            stream,
            peer,
            talk: Talk::Hello(handshake),
            partial: Held::new(Arc::clone(&shared.held)),
            early: Vec::new(),
            unsent,
            reads: Vec::new(),
            sync: None,
            questions: Vec::new(),
            watches: Watches::new(shared.recorded.subscribe()),
            last,
            deadline: Some(Instant::now() + shared.limits.hello_timeout),
            usual_reply: 8 << 10,
            room: LEAST_ROOM,
            drained: 0,
            shared,
        }
    }

    /// Serves the client until one side ends it.
    pub(crate) async fn run(mut self) -> Ended {
        let shutdown = self.shared.shutdown.clone();
        let ended = tokio::select! {
            ended = self.serve() => ended,
            () = shutdown.reached(Phase::Forced) => return Ended::Forced,
        };
        if !matches!(ended, Ended::Io(_)) {
            // The client has gone or is going: there is nobody to tell.
            let _ = timeout(LINGER, self.linger()).await;
        }
        ended
    }

    async fn serve(&mut self) -> Ended {
        if let Some(ended) = self.last.take() {
            return ended;
        }
        if let Err(ended) = self.send_unsent().await {
            return ended;
        }
        loop {
            let ended = match self.wait().await {
                Ok(()) => self.serve_arrived().await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = ended {
                return ended;
            }
        }
    }

    /// Waits until something arrives.
    async fn wait(&mut self) -> Result<(), Ended> {
        let shutdown = self.shared.shutdown.clone();
        let limits = &self.shared.limits;
        let (deadline, late) = match (&self.talk, self.deadline) {
            (Talk::Hello(_), Some(deadline)) => (deadline, Ended::NoHello),
            (_, Some(deadline)) => (deadline, Ended::Stuck),
            (_, None) => (Instant::now() + limits.idle_timeout, Ended::Idle),
        };
        tokio::select! {
            ready = timeout_at(deadline, self.stream.readable(&mut self.early)) => match ready {
                Ok(ready) => return ready.map_err(Ended::Io),
                Err(_) => return Err(late),
            },
            () = self.watches.ended() => return Ok(()),
            () = shutdown.reached(Phase::Draining) => {}
        }
        match timeout(DRAIN_WAIT, self.stream.readable(&mut self.early)).await {
            Ok(ready) => ready.map_err(Ended::Io),
            Err(_) => Err(Ended::Drained),
        }
    }

    /// Serves everything that has arrived.
    async fn serve_arrived(&mut self) -> Result<(), Ended> {
        let mut turn = self.begin_turn().await?;
        loop {
            if !self.send(&mut turn).await? {
                self.room = LEAST_ROOM;
                self.keep(&turn)?;
                drop(turn);
                self.send_unsent().await?;
                turn = self.begin_turn().await?;
            } else if !self.reads.is_empty() {
                self.answer_reads(&mut turn).await;
            } else if let Some(tag) = self.sync.take() {
                self.answer_sync(tag, &mut turn).await;
            } else if let Some((tag, question)) = self.questions.pop() {
                match question {
                    Question::Roots(request) => self.answer_roots(tag, request, &mut turn).await,
                    Question::Stats => self.answer_stats(tag, &mut turn).await,
                    Question::Places(blocks) => {
                        self.answer_places(tag, &blocks, &mut turn).await;
                    }
                }
            } else if let Some(ended) = self.last.take() {
                return Err(ended);
            } else if let Some((tag, next)) = self.watches.take_ended() {
                self.answer_watch(tag, next, &mut turn);
            } else if !self.serve_window(&mut turn).await? && !self.receive(&mut turn).await? {
                return self.keep(&turn);
            }
        }
    }

    /// Leases buffers and puts into them what was kept.
    async fn begin_turn(&mut self) -> Result<Turn, Ended> {
        let mut lease = self.shared.pool.lease().await.ok_or(Ended::NoMemory)?;
        let kept = self.partial.len();
        let end = kept + self.early.len();
        lease.receive[..kept].copy_from_slice(&self.partial);
        lease.receive[kept..end].copy_from_slice(&self.early);
        self.partial.clear();
        self.early.clear();
        Ok(Turn { lease, start: 0, end, sent: 0 })
    }

    /// Copies out what is not served and what is not sent.
    fn keep(&mut self, turn: &Turn) -> Result<(), Ended> {
        self.reads.shrink_to_fit();
        let received = &turn.lease.receive[turn.start..turn.end];
        let unsent = &turn.lease.reply[turn.sent..];
        if self.partial.keep(received) && self.unsent.keep(unsent) {
            Ok(())
        } else {
            Err(Ended::NoMemory)
        }
    }

    /// Sends the replies; false if the client does not take them now.
    async fn send(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        while turn.sent < turn.lease.reply.len() {
            let write = self.stream.write(&turn.lease.reply[turn.sent..]);
            match timeout(GRACE, write).await {
                Ok(Ok(0)) => return Err(Ended::Io(io::ErrorKind::WriteZero.into())),
                Ok(Ok(sent)) => turn.sent += sent,
                Ok(Err(error)) => return Err(Ended::Io(error)),
                Err(_) => return Ok(false),
            }
        }
        if turn.sent > 0 {
            self.stream.flush().await.map_err(Ended::Io)?;
            turn.lease.reply.clear();
            turn.sent = 0;
        }
        Ok(true)
    }

    /// Sends what the client did not take before; it must take something now and then.
    async fn send_unsent(&mut self) -> Result<(), Ended> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            let write = self.stream.write(&self.unsent[sent..]);
            match timeout(self.shared.limits.frame_timeout, write).await {
                Ok(Ok(0)) => return Err(Ended::Io(io::ErrorKind::WriteZero.into())),
                Ok(Ok(more)) => sent += more,
                Ok(Err(error)) => return Err(Ended::Io(error)),
                Err(_) => return Err(Ended::NotTaken),
            }
        }
        self.unsent.clear();
        self.stream.flush().await.map_err(Ended::Io)
    }

    /// Receives what is there; false if nothing is.
    async fn receive(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        turn.lease.receive.copy_within(turn.start..turn.end, 0);
        turn.end -= turn.start;
        turn.start = 0;
        let ending = self.shared.shutdown.phase() > Phase::Running;
        if ending && self.drained > DRAIN {
            return Err(Ended::Drained);
        }
        let read = self.stream.read_now(&mut turn.lease.receive[turn.end..]).await;
        let read = read.map_err(Ended::Io)?;
        if ending {
            self.drained += read.unwrap_or(0);
        }
        match read {
            None => return Ok(false),
            Some(0) if turn.end > 0 => self.last = Some(Ended::MidMessage),
            Some(0) => self.last = Some(Ended::Client),
            Some(length) => turn.end += length,
        }
        Ok(true)
    }

    /// Takes the next requests and does what must be done while they are in the buffer; false if
    /// there is no whole request.
    async fn serve_window(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let Buffers { receive, reply } = &mut *turn.lease;
        let received = &receive[turn.start..turn.end];
        let session = match &mut self.talk {
            Talk::Requests(session) => session,
            Talk::Hello(handshake) => {
                let mut input = received;
                let session = handshake.receive(&mut input, reply).map_err(Ended::Violation)?;
                turn.start = turn.end - input.len();
                let progress = session.is_some();
                if let Some(session) = session {
                    self.talk = Talk::Requests(session);
                    self.deadline = None;
                }
                return Ok(progress);
            }
        };
        let limit = usize::from(self.shared.limits.max_requests);
        let (mut window, taken) = Window::take(session, received, limit, reply);
        let responder = session.responder();
        let progress = taken > 0 || window.last.is_some();
        turn.start += taken;
        self.note_progress(progress, turn.start < turn.end);
        if window.needs_store() {
            let shared = Arc::clone(&self.shared);
            shared
                .work(|engine| window.write_and_probe(engine, &responder, &shared.metrics, reply))
                .await;
        }
        // The next one last: they are taken from the end.
        self.reads = std::mem::take(&mut window.reads);
        self.reads.reverse();
        self.sync = window.sync;
        self.questions.append(&mut window.questions);
        self.last = window.last.map(|last| match last {
            LastRequest::Goodbye => Ended::Goodbye,
            LastRequest::Violation(error) => Ended::Violation(error),
        });
        Ok(progress)
    }

    /// The clock of a message starts with its first byte.
    fn note_progress(&mut self, progress: bool, partial: bool) {
        if !partial {
            self.deadline = None;
        } else if progress || self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.shared.limits.frame_timeout);
        }
    }

    /// Reads as many of the blocks asked for as fill the reply buffer.
    async fn answer_reads(&mut self, turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        let most = usize::try_from(self.shared.limits.max_reply_bytes.0).unwrap_or(usize::MAX);
        let count = (self.room / self.usual_reply.max(1)).clamp(1, SLICE).min(self.reads.len());
        self.room = (self.room * 2).min(most);
        let mut slice = self.reads.split_off(self.reads.len() - count);
        slice.reverse();
        let responder = session.responder();
        let (shared, reply) = (&self.shared, &mut turn.lease.reply);
        shared.work(|engine| read_blocks(&slice, engine, &responder, &shared.metrics, reply)).await;
        self.usual_reply = turn.lease.reply.len() / count;
    }

    /// Answers a question about roots; a watch only if there are more already.
    async fn answer_roots(&mut self, tag: Tag, request: RootRequest, turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        let responder = session.responder();
        let answer = match request {
            RootRequest::Watch(watch) => {
                let now = RootRequest::Watch(RootWatch { milliseconds: 0, ..watch });
                match self.shared.roots(&now, &self.peer).await {
                    Ok(RootAnswer::Grown(next)) if next <= watch.known => {
                        return self.watches.add(tag, watch, next);
                    }
                    answer => answer,
                }
            }
            request => self.shared.roots(&request, &self.peer).await,
        };
        responder.roots(tag, answer, &mut turn.lease.reply);
    }

    async fn answer_stats(&self, tag: Tag, turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        let figures = self.shared.stats().await;
        session.responder().stats(tag, &figures, &mut turn.lease.reply);
    }

    fn answer_watch(&self, tag: Tag, next: u64, turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        session.responder().roots(tag, Ok(RootAnswer::Grown(next)), &mut turn.lease.reply);
    }

    /// Says where blocks lie, from the index only.
    async fn answer_places(&self, tag: Tag, blocks: &[BlockRequest], turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        let responder = session.responder();
        let places = self.shared.work(|engine| engine.places(blocks)).await;
        responder.places(tag, places.as_deref(), &mut turn.lease.reply);
    }

    async fn answer_sync(&mut self, tag: Tag, turn: &mut Turn) {
        let Talk::Requests(session) = &self.talk else { return };
        let responder = session.responder();
        match self.shared.sync().await {
            Ok(()) => {
                self.shared.metrics.syncs.inc();
                responder.sync(tag, &mut turn.lease.reply);
            }
            Err(error) => {
                self.shared.metrics.errors.inc();
                tracing::error!(%error, "sync failed");
                responder.error(tag, &error, &mut turn.lease.reply);
            }
        }
    }

    /// Says that nothing more comes, and reads what the client still sends.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut sink = [0; 4096];
        while self.stream.read(&mut sink).await? > 0 {}
        Ok(())
    }
}
