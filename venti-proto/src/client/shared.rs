//! What the threads that use a connection share with the one that receives.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Transport;
use super::call::Call;
use super::receiver::Received;
use super::state::{Asked, Owed, Patience, State};
use crate::session::{Answer, RequestKind, SessionError};
use crate::{Message, StoreError, Tag, Version};

/// Requests are sent so many at a time, unless there are fewer: waking a thread for each tag that
/// comes back would cost more than the block.
pub(super) const BURST: usize = 32;

/// What the threads that use a connection share with the one that receives.
pub(super) struct Shared {
    pub(super) transport: Box<dyn Transport>,
    pub(super) version: Version,
    /// Held while frames are written, so that they do not mix.
    sending: Mutex<()>,
    pub(super) state: Mutex<State>,
    /// Tags came back, or the connection was lost.
    window: Condvar,
    /// Writes were answered, or the connection was lost.
    pub(super) settled: Condvar,
}

impl Shared {
    pub(super) fn new(transport: Box<dyn Transport>, version: Version) -> Shared {
        Shared {
            transport,
            version,
            sending: Mutex::new(()),
            state: Mutex::new(State::new()),
            window: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// What the server owes.
    pub(super) fn owed(&self) -> Owed {
        self.state.lock().owed()
    }

    /// Hands answers to those who wait for them. Returns whether anybody did.
    pub(super) fn settle(&self, received: &mut Vec<Received<'_>>) -> Result<bool, SessionError> {
        let mut calls: Vec<(Arc<Call>, usize, Answer<'_>)> = Vec::new();
        let (mut answered, mut result) = (false, Ok(()));
        let mut state = self.state.lock();
        for (tag, answer) in received.drain(..) {
            let asked = state.tags.finish(tag, &answer);
            answered |= matches!(asked, Ok(Asked::Write { .. } | Asked::Call { .. }));
            match asked {
                Ok(Asked::Write { block, size }) => state.finish_write(tag, &block, size, &answer),
                Ok(Asked::Call { call, position, patience }) => {
                    state.patient -= usize::from(patience == Patience::Much);
                    calls.push((call, position, answer));
                }
                Ok(Asked::Alive) => state.patient -= 1,
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
        result.map(|()| answered)
    }

    /// Asks whether the server is still there, unless something is being sent just now.
    pub(super) fn ask_if_alive(&self) {
        let Some(_sending) = self.sending.try_lock() else { return };
        let Ok(tag) = self.begin_alive() else { return };
        let (ping, mut frame) = (Message::Tping { tag }, Vec::new());
        if ping.encode(self.version, &mut frame).is_ok() {
            let _ = self.send_locked(&mut [IoSlice::new(&frame)]);
        }
    }

    fn begin_alive(&self) -> Result<Tag, Asked> {
        let mut state = self.state.lock();
        let tag = state.tags.begin(RequestKind::Ping, Asked::Alive)?;
        state.patient += 1;
        Ok(tag)
    }

    /// Gives the connection up: everything under way fails.
    pub(super) fn lose(&self, detail: String) -> StoreError {
        let mut state = self.state.lock();
        let (error, asked) = state.lose(StoreError::Connection { detail });
        self.window.notify_all();
        self.settled.notify_all();
        drop(state);
        for asked in asked {
            if let Asked::Call { call, position, .. } = asked {
                call.put_lost(position, &error);
            }
        }
        self.transport.shutdown();
        error
    }

    /// Waits for room for `wanted` requests, or for a burst of them if they are more; at least
    /// `kept` tags stay free.
    pub(super) fn wait_for_room(
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
    pub(super) fn send(&self, slices: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
        let _sending = self.sending.lock();
        self.send_locked(slices)
    }

    fn send_locked(&self, mut slices: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
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
