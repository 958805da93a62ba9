//! One connection: its window of requests, sending, and what is known to have failed.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::call::{Call, Inbox, Outcome};
use super::receiver::{self, Received};
use super::{ClientOptions, ConnectError, Transport, refused};
use crate::message::WriteHeader;
use crate::session::{Answer, ClientHandshake, RequestKind, SessionError, TagTable};
use crate::{BlockRequest, HashedBlock, Message, Score, StoreError, Tag, Version};

/// Tags that writes leave for reads, and reads and writes for syncs and pings.
const KEPT_FROM_WRITES: usize = 8;
const KEPT_FROM_READS: usize = 4;

/// Requests are sent so many at a time, unless there are fewer: waking a thread for each tag that
/// comes back would cost more than the block.
const BURST: usize = 32;

/// What was asked with a tag.
enum Asked {
    Write {
        block: BlockRequest,
        /// Bytes in the block.
        size: usize,
    },
    Call {
        call: Arc<Call>,
        /// Which of the call's requests.
        position: usize,
    },
}

/// In the order of their beginning, writes are numbered from 0; this is none of them.
const NO_WRITE: u64 = u64::MAX;

struct State {
    tags: TagTable<Asked>,
    /// For each tag the number of the write under way with it, or [`NO_WRITE`].
    writes: [u64; 256],
    next_write: u64,
    /// As many free tags as the least demanding waiter of [`Shared::window`] needs.
    demand: usize,
    /// The first refusal of a write that no sync has reported yet, and the number of the last
    /// write that was refused.
    refused: Option<(StoreError, u64)>,
    /// Syncs that have begun and not ended.
    syncs: usize,
    /// Why the connection is of no use any more.
    lost: Option<StoreError>,
}

impl State {
    fn oldest_write(&self) -> u64 {
        self.writes.iter().copied().min().unwrap_or(NO_WRITE)
    }

    fn note_refusal(&mut self, error: StoreError, number: u64) {
        let (_, last) = self.refused.get_or_insert((error, number));
        *last = number.max(*last);
    }

    /// Ends a write with what the server says of it.
    fn finish_write(&mut self, tag: Tag, block: &BlockRequest, size: usize, answer: &Answer<'_>) {
        let number = std::mem::replace(&mut self.writes[usize::from(tag.0)], NO_WRITE);
        match answer {
            Answer::Write(score) if *score == block.score => {}
            Answer::Error(text) => self.note_refusal(refused(text, block, size), number),
            other => {
                let detail = format!("the server acknowledged another block: {other:?}");
                let score = block.score;
                self.note_refusal(StoreError::Damaged { score, detail }, number);
            }
        }
    }
}

/// What the threads that use a connection share with the one that receives.
pub(super) struct Shared {
    pub(super) transport: Box<dyn Transport>,
    version: Version,
    /// Held while frames are written, so that they do not mix.
    sending: Mutex<()>,
    state: Mutex<State>,
    /// Tags came back, or the connection was lost.
    window: Condvar,
    /// Writes were answered, or the connection was lost.
    settled: Condvar,
}

impl Shared {
    /// Requests without an answer.
    pub(super) fn under_way(&self) -> usize {
        self.state.lock().tags.under_way()
    }

    /// Hands answers to those who wait for them.
    pub(super) fn settle(&self, received: &mut Vec<Received<'_>>) -> Result<(), SessionError> {
        let mut calls: Vec<(Arc<Call>, usize, Answer<'_>)> = Vec::new();
        let mut result = Ok(());
        let mut state = self.state.lock();
        for (tag, answer) in received.drain(..) {
            match state.tags.finish(tag, &answer) {
                Ok(Asked::Write { block, size }) => state.finish_write(tag, &block, size, &answer),
                Ok(Asked::Call { call, position }) => calls.push((call, position, answer)),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if state.tags.free() >= state.demand {
            state.demand = usize::MAX;
            self.window.notify_all();
        }
        if state.syncs > 0 {
            self.settled.notify_all();
        }
        drop(state);
        let mut last: Option<Arc<Call>> = None;
        for (call, position, answer) in calls {
            call.put(position, answer);
            if let Some(last) = last.take().filter(|last| !Arc::ptr_eq(last, &call)) {
                last.notify();
            }
            last = Some(call);
        }
        last.iter().for_each(|call| call.notify());
        result
    }

    /// Gives the connection up: everything under way fails.
    pub(super) fn lose(&self, detail: String) -> StoreError {
        let mut state = self.state.lock();
        let error = state.lost.get_or_insert(StoreError::Connection { detail }).clone();
        let asked: Vec<_> = state.tags.drain().collect();
        state.writes = [NO_WRITE; 256];
        state.demand = usize::MAX;
        self.window.notify_all();
        self.settled.notify_all();
        drop(state);
        for asked in asked {
            if let Asked::Call { call, position } = asked {
                call.put_lost(position, &error);
            }
        }
        self.transport.shutdown();
        error
    }

    /// Waits for room for `wanted` requests, or for a burst of them if they are more; at least
    /// `kept` tags stay free.
    fn wait_for_room(
        &self,
        wanted: usize,
        kept: usize,
    ) -> Result<MutexGuard<'_, State>, StoreError> {
        let needed = kept + wanted.min(BURST);
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.lost {
                return Err(error.clone());
            }
            if state.tags.free() >= needed {
                return Ok(state);
            }
            state.demand = state.demand.min(needed);
            self.window.wait(&mut state);
        }
    }

    /// Sends all of the bytes, or loses the connection.
    fn send(&self, mut slices: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
        let _sending = self.sending.lock();
        while !slices.is_empty() {
            match self.transport.write_vectored(slices) {
                Ok(0) => return Err(self.lose("nothing can be sent any more".to_owned())),
                Ok(sent) => IoSlice::advance_slices(&mut slices, sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    return Err(self.lose("the server takes nothing any more".to_owned()));
                }
                Err(error) => return Err(self.lose(error.to_string())),
            }
        }
        Ok(())
    }
}

/// Whether a socket's timeout has passed.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// One connection, with the thread that receives on it.
pub(super) struct Connection {
    shared: Arc<Shared>,
    receiver: Option<JoinHandle<()>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("version", &self.shared.version).finish_non_exhaustive()
    }
}

impl Connection {
    /// Greets the server over `transport`.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        address: &str,
        options: &ClientOptions,
    ) -> Result<Connection, ConnectError> {
        let (version, early) = greet(&*transport, address, options)?;
        let tick = receiver::tick(options.progress_timeout);
        transport
            .set_timeouts(tick, options.progress_timeout)
            .map_err(|source| ConnectError::Hello { address: address.to_owned(), source })?;
        let state = State {
            tags: TagTable::default(),
            writes: [NO_WRITE; 256],
            next_write: 0,
            demand: usize::MAX,
            refused: None,
            syncs: 0,
            lost: None,
        };
        let shared = Arc::new(Shared {
            transport,
            version,
            sending: Mutex::new(()),
            state: Mutex::new(state),
            window: Condvar::new(),
            settled: Condvar::new(),
        });
        let (theirs, limit) = (Arc::clone(&shared), options.progress_timeout);
        let receiver = std::thread::Builder::new()
            .name("venti replies".to_owned())
            .spawn(move || receiver::run(&theirs, version, &early, limit))
            .map_err(|source| ConnectError::Thread { source })?;
        Ok(Connection { shared, receiver: Some(receiver) })
    }

    pub(super) fn version(&self) -> Version {
        self.shared.version
    }

    /// Sends blocks to be written; the replies are not waited for.
    pub(super) fn write(&self, mut blocks: &[HashedBlock<'_>]) -> Result<(), StoreError> {
        let mut headers = Vec::with_capacity(blocks.len().min(256));
        while !blocks.is_empty() {
            headers.clear();
            let mut state = self.shared.wait_for_room(blocks.len(), KEPT_FROM_WRITES)?;
            if let Some((error, _)) = &state.refused {
                return Err(error.clone());
            }
            let room = state.tags.free() - KEPT_FROM_WRITES;
            for block in &blocks[..room.min(blocks.len())] {
                headers.push(begin_write(&mut state, self.version(), block)?);
            }
            drop(state);
            let (now, later) = blocks.split_at(headers.len());
            let pairs = headers.iter().zip(now);
            let mut slices: Vec<_> = pairs
                .flat_map(|(header, block)| [header.as_bytes(), block.data()])
                .map(IoSlice::new)
                .collect();
            self.shared.send(&mut slices)?;
            blocks = later;
        }
        Ok(())
    }

    /// Sends as many of the requests at `positions` as there is room for, and returns how many.
    /// If `wait`, that is at least one; the answers come to `call`.
    pub(super) fn begin(
        &self,
        call: &Arc<Call>,
        positions: &[usize],
        wait: bool,
        message: &dyn Fn(usize, Tag) -> Message<'static>,
    ) -> Result<usize, StoreError> {
        if positions.is_empty() {
            return Ok(0);
        }
        let mut state = match wait {
            true => self.shared.wait_for_room(positions.len(), KEPT_FROM_READS)?,
            false => self.shared.state.lock(),
        };
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        let room = state.tags.free().saturating_sub(KEPT_FROM_READS).min(positions.len());
        if room < positions.len().min(BURST) {
            return Ok(0);
        }
        let mut frames = Vec::with_capacity(room * 32);
        for &position in &positions[..room] {
            let about = Asked::Call { call: Arc::clone(call), position };
            let Ok(tag) = state.tags.begin(RequestKind::Read, about) else { break };
            message(position, tag)
                .encode(self.version(), &mut frames)
                .map_err(SessionError::from)?;
        }
        drop(state);
        // If this fails, each of the requests has been told so through the call.
        let _ = self.shared.send(&mut [IoSlice::new(&frames)]);
        Ok(room)
    }

    /// Asks for something that is not about a block, and waits for it.
    pub(super) fn ask_alone(&self, kind: RequestKind) -> Result<(), StoreError> {
        let (call, mut frame) = (Call::new(), Vec::new());
        let mut state = self.shared.wait_for_room(1, 0)?;
        let about = Asked::Call { call: Arc::clone(&call), position: 0 };
        let Ok(tag) = state.tags.begin(kind, about) else {
            return Err(StoreError::Connection { detail: "no tag is free".to_owned() });
        };
        drop(state);
        let message =
            if kind == RequestKind::Sync { Message::Tsync { tag } } else { Message::Tping { tag } };
        message.encode(self.version(), &mut frame).map_err(SessionError::from)?;
        // If this fails, the call is told so.
        let _ = self.shared.send(&mut [IoSlice::new(&frame)]);
        let mut inbox = Inbox::default();
        call.take(&mut inbox);
        match inbox.items.pop().map(|item| item.outcome) {
            Some(Outcome::Done) => Ok(()),
            Some(Outcome::Lost(error)) => Err(error),
            Some(Outcome::Refused(text)) => {
                let nothing =
                    BlockRequest { score: Score::ZERO, block_type: crate::BlockType::DATA };
                Err(refused(&text, &nothing, 0))
            }
            Some(Outcome::Data(_)) | None => {
                Err(StoreError::Connection { detail: format!("no answer to a {kind:?}") })
            }
        }
    }

    /// Begins a sync: the number returned is that of the first write which it does not cover.
    pub(super) fn begin_sync(&self) -> u64 {
        let mut state = self.shared.state.lock();
        state.syncs += 1;
        state.next_write
    }

    /// Waits until the writes before `mark` were answered. A refusal is reported by every sync
    /// that was under way when it became known, or else by the next one.
    pub(super) fn end_sync(&self, mark: u64) -> Result<(), StoreError> {
        let mut state = self.shared.state.lock();
        while state.lost.is_none() && state.oldest_write() < mark {
            self.shared.settled.wait(&mut state);
        }
        state.syncs -= 1;
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        let Some((error, last)) = state.refused.clone() else { return Ok(()) };
        if state.syncs == 0 && last < mark {
            state.refused = None;
        }
        Err(error)
    }
}

/// Says goodbye if nothing is under way, and ends the connection.
impl Drop for Connection {
    fn drop(&mut self) {
        let mut frame = Vec::new();
        let goodbye = Message::Tgoodbye { tag: Tag(0) }.encode(self.version(), &mut frame);
        if goodbye.is_ok() && self.shared.under_way() == 0 {
            let _ = self.shared.send(&mut [IoSlice::new(&frame)]);
        }
        self.shared.lose("the client was closed".to_owned());
        if let Some(receiver) = self.receiver.take() {
            // It ends when the connection does, and panics no more than this thread.
            let _ = receiver.join();
        }
    }
}

fn begin_write(
    state: &mut State,
    version: Version,
    block: &HashedBlock<'_>,
) -> Result<WriteHeader, StoreError> {
    let size = block.data().len();
    let about = Asked::Write { block: BlockRequest::from(block), size };
    let Ok(tag) = state.tags.begin(RequestKind::Write, about) else {
        return Err(StoreError::Connection { detail: "no tag is free".to_owned() });
    };
    state.writes[usize::from(tag.0)] = state.next_write;
    state.next_write += 1;
    Ok(WriteHeader::new(version, tag, block.block_type(), size).map_err(SessionError::from)?)
}

/// Exchanges version lines and the hello. Also returns what the server sent after them.
fn greet(
    transport: &dyn Transport,
    address: &str,
    options: &ClientOptions,
) -> Result<(Version, Vec<u8>), ConnectError> {
    let address = || address.to_owned();
    let failed = |source| ConnectError::Hello { address: address(), source };
    let (mut input, mut output, mut piece) = (Vec::new(), Vec::new(), [0; 2048]);
    let start = Instant::now();
    transport.set_timeouts(options.connect_timeout, options.connect_timeout).map_err(failed)?;
    let mut handshake = ClientHandshake::new(&options.user, &options.versions, &mut output);
    loop {
        while !output.is_empty() {
            match transport.write_vectored(&[IoSlice::new(&output)]) {
                Ok(sent) => drop(output.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        match transport.read(&mut piece) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => input.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Err(error) => return Err(failed(error)),
        }
        let mut rest = &input[..];
        let greeted = handshake
            .receive(&mut rest, &mut output)
            .map_err(|source| ConnectError::Session { address: address(), source })?;
        input.drain(..input.len() - rest.len());
        if let Some(version) = greeted {
            return Ok((version, input));
        }
        if start.elapsed() > options.connect_timeout {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
    }
}
