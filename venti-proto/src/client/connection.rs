//! One connection: sending requests, and waiting for what must be waited for.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::call::{Call, Inbox, Outcome};
use super::greeting::greet;
use super::receiver;
use super::shared::{BURST, Shared};
use super::state::{Asked, Owed, Patience};
use super::{ClientOptions, ConnectError, NO_BLOCK, Transport, refused};
use crate::session::{RequestKind, SessionError};
use crate::{HashedBlock, Message, StoreError, Tag, Version};

/// Tags that writes leave for reads, and reads and writes for syncs and pings.
const KEPT_FROM_WRITES: usize = 8;
const KEPT_FROM_READS: usize = 4;

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
        let shared = Arc::new(Shared::new(transport, version));
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
                headers.push(state.begin_write(self.version(), block)?);
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
            let (call, patience) = (Arc::clone(call), Patience::Little);
            let about = Asked::Call { call, position, patience };
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
        let message = |tag| match kind {
            RequestKind::Sync => Message::Tsync { tag },
            _ => Message::Tping { tag },
        };
        match self.ask_for_answer(kind, &message)?.0 {
            Outcome::Done => Ok(()),
            Outcome::Refused(text) => Err(refused(&text, &NO_BLOCK, 0)),
            _ => Err(no_answer(kind)),
        }
    }

    /// Asks for something that is not about a block, and waits for the answer, with its data.
    pub(super) fn ask_for_answer(
        &self,
        kind: RequestKind,
        message: &dyn Fn(Tag) -> Message<'static>,
    ) -> Result<(Outcome, Vec<u8>), StoreError> {
        let (call, mut frame) = (Call::new(), Vec::new());
        let mut state = self.shared.wait_for_room(1, 0)?;
        let patience = Patience::Much;
        let about = Asked::Call { call: Arc::clone(&call), position: 0, patience };
        let Ok(tag) = state.tags.begin(kind, about) else {
            return Err(StoreError::Connection { detail: "no tag is free".to_owned() });
        };
        state.patient += 1;
        drop(state);
        message(tag).encode(self.version(), &mut frame).map_err(SessionError::from)?;
        // If this fails, the call is told so.
        let _ = self.shared.send(&mut [IoSlice::new(&frame)]);
        let mut inbox = Inbox::default();
        call.take(&mut inbox);
        let Some(item) = inbox.items.pop() else { return Err(no_answer(kind)) };
        let data = inbox.data(&item).to_vec();
        match item.outcome {
            Outcome::Lost(error) => Err(error),
            outcome => Ok((outcome, data)),
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

fn no_answer(kind: RequestKind) -> StoreError {
    StoreError::Connection { detail: format!("no answer to a {kind:?}") }
}

/// Says goodbye if nothing is under way, and ends the connection.
impl Drop for Connection {
    fn drop(&mut self) {
        let mut frame = Vec::new();
        let goodbye = Message::Tgoodbye { tag: Tag(0) }.encode(self.version(), &mut frame);
        if goodbye.is_ok() && self.shared.owed() == Owed::Nothing {
            let _ = self.shared.send(&mut [IoSlice::new(&frame)]);
        }
        self.shared.lose("the client was closed".to_owned());
        if let Some(receiver) = self.receiver.take() {
            // It ends when the connection does, and panics no more than this thread.
            let _ = receiver.join();
        }
    }
}
