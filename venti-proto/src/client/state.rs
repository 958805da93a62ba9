//! What is under way on a connection, and what is known to have failed.

use std::sync::Arc;

use super::call::Call;
use super::refused;
use crate::message::WriteHeader;
use crate::session::{Answer, RequestKind, SessionError, TagTable};
use crate::{BlockRequest, HashedBlock, StoreError, Tag, Version};

/// What was asked with a tag.
pub(super) enum Asked {
    Write {
        block: BlockRequest,
        /// Bytes in the block.
        size: usize,
    },
    Call {
        call: Arc<Call>,
        /// Which of the call's requests.
        position: usize,
        patience: Patience,
    },
    /// Whether the server is still there. Nobody waits for the answer.
    Alive,
}

/// How long an answer may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Blocks are sent and taken at once.
    Little,
    /// A sync takes as long as the server's disks do.
    Much,
}

/// What a server owes its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    /// Only answers that may take long.
    Patience,
    Blocks,
}

/// In the order of their beginning, writes are numbered from 0; this is none of them.
const NO_WRITE: u64 = u64::MAX;

pub(super) struct State {
    pub(super) tags: TagTable<Asked>,
    /// For each tag the number of the write under way with it, or [`NO_WRITE`].
    pub(super) writes: [u64; 256],
    pub(super) next_write: u64,
    /// As many free tags as the least demanding waiter of [`Shared::window`] needs.
    pub(super) demand: usize,
    /// The first refusal of a write that no sync has reported yet, and the number of the last
    /// write that was refused.
    pub(super) refused: Option<(StoreError, u64)>,
    /// Syncs that have begun and not ended.
    pub(super) syncs: usize,
    /// Requests under way for which there is much patience, or for which nobody waits.
    pub(super) patient: usize,
    /// Why the connection is of no use any more.
    pub(super) lost: Option<StoreError>,
}

impl State {
    pub(super) fn new() -> State {
        State {
            tags: TagTable::default(),
            writes: [NO_WRITE; 256],
            next_write: 0,
            demand: usize::MAX,
            refused: None,
            syncs: 0,
            patient: 0,
            lost: None,
        }
    }

    pub(super) fn oldest_write(&self) -> u64 {
        self.writes.iter().copied().min().unwrap_or(NO_WRITE)
    }

    fn note_refusal(&mut self, error: StoreError, number: u64) {
        let (_, last) = self.refused.get_or_insert((error, number));
        *last = number.max(*last);
    }

    /// Ends a write with what the server says of it.
    pub(super) fn finish_write(
        &mut self,
        tag: Tag,
        block: &BlockRequest,
        size: usize,
        answer: &Answer<'_>,
    ) {
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

    /// Takes a tag for a write and makes its header.
    pub(super) fn begin_write(
        &mut self,
        version: Version,
        block: &HashedBlock<'_>,
    ) -> Result<WriteHeader, StoreError> {
        let size = block.data().len();
        let about = Asked::Write { block: BlockRequest::from(block), size };
        let Ok(tag) = self.tags.begin(RequestKind::Write, about) else {
            return Err(StoreError::Connection { detail: "no tag is free".to_owned() });
        };
        self.writes[usize::from(tag.0)] = self.next_write;
        self.next_write += 1;
        Ok(WriteHeader::new(version, tag, block.block_type(), size).map_err(SessionError::from)?)
    }

    /// Ends everything that is under way, because of `error` unless an earlier one is known, and
    /// returns it with the requests.
    pub(super) fn lose(&mut self, error: StoreError) -> (StoreError, Vec<Asked>) {
        let error = self.lost.get_or_insert(error).clone();
        self.writes = [NO_WRITE; 256];
        self.patient = 0;
        self.demand = usize::MAX;
        (error, self.tags.drain().collect())
    }

    /// What the server owes.
    pub(super) fn owed(&self) -> Owed {
        match self.tags.under_way() {
            0 => Owed::Nothing,
            requests if requests == self.patient => Owed::Patience,
            _ => Owed::Blocks,
        }
    }
}
