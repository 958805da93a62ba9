//! Checkpoints: what was met so far, ended as if the walk were over, and made durable.
//!
//! A run that is killed leaves nothing but what it told its caller before. So the assembler now
//! and then writes the archive of what it has: it ends copies of the directories of the present
//! path, which costs their unfinished blocks and the pointers above them, and goes on with the
//! originals. The next run compares with that archive ([`resume_from`](crate::archiver::resume_from)),
//! just as after a signal. A journal of files on the client would have to be sorted, bounded and
//! checked against the store; an archive is all of that already.
//!
//! Of a large file in the middle of which the checkpoint falls nothing is in it: its blocks are
//! stored, and the next run reads it again.

use std::time::{Duration, Instant};

use venti_proto::Score;

use super::{Assembler, OpenDirectory};
use crate::archiver::error::ArchiveError;
use crate::format::Gap;

/// How often an unfinished archive is kept to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// After so many bytes of content were read,
    pub bytes: u64,
    /// or after so long, if anything was read.
    pub interval: Duration,
}

/// When the next checkpoint is due.
pub(super) struct Due {
    every: Checkpoints,
    /// When the last one was finished.
    since: Instant,
    /// Bytes read at that time.
    read: u64,
}

impl Due {
    pub(super) fn new(every: Checkpoints) -> Due {
        Due { every, since: Instant::now(), read: 0 }
    }

    fn is_now(&self, read: u64) -> bool {
        let more = read.saturating_sub(self.read);
        more >= self.every.bytes.max(1) || (more > 0 && self.since.elapsed() >= self.every.interval)
    }
}

impl Assembler<'_> {
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), ArchiveError> {
        let read = self.shared.progress.counters.counts().bytes_read;
        let wanted = self.due.as_ref().is_some_and(|due| due.is_now(read));
        if !wanted || self.stack.is_empty() || self.shared.progress.is_stopping() {
            return Ok(());
        }
        let resume = self.checkpoint()?;
        self.shared.checkpoint(resume);
        if let Some(due) = &mut self.due {
            *due = Due { since: Instant::now(), read, ..*due };
        }
        Ok(())
    }

    /// Writes the archive of what was taken so far, which is durable when this returns.
    fn checkpoint(&mut self) -> Result<Score, ArchiveError> {
        self.verify.finish()?;
        for reader in self.readers {
            reader.lock().finish()?;
        }
        let mut path: Vec<OpenDirectory> = self.stack.clone();
        let mut below = None;
        while let Some(mut open) = path.pop() {
            if let Some((entry, streams)) = below.take() {
                self.push_into(&mut open, entry, &streams)?;
            }
            open.gap = Some(Gap::Incomplete);
            below = Some(self.close(&mut open)?);
        }
        let Some((dir, streams)) = below else { return Err(ArchiveError::Interrupted) };
        let root = self.write_root(dir, streams)?;
        self.store.sync()?;
        Ok(root)
    }

    fn push_into(
        &mut self,
        open: &mut OpenDirectory,
        entry: crate::format::VacDir,
        streams: &crate::format::DirectoryStreams,
    ) -> Result<(), ArchiveError> {
        let name = entry.name.clone();
        let (content, meta) = (&streams.entries, Some(&streams.meta));
        open.writer
            .push(entry, content, meta, self.sink.blocks())
            .map_err(|error| self.format_error(&name, error))
    }
}
