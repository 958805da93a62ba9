//! The store's own thread: seals, merges the index, and syncs now and then.
//!
//! A store without it does the same work in the calls that make it necessary.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use venti_proto::StoreError;

use super::Shared;
use crate::log::Log;

/// Written bytes that wait for a sync no longer than until the worker comes by.
const SYNC_BYTES: u64 = 64 << 20;
/// How long anything waits for one.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// The thread, and how to end it.
pub(super) struct Worker {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

/// How callers wake the thread, and what it listens to.
pub(super) fn channel() -> (Sender<()>, Receiver<()>) {
    bounded(1)
}

impl Worker {
    pub(super) fn start(shared: Arc<Shared>, wake: Receiver<()>) -> std::io::Result<Worker> {
        let (stop, stopped) = bounded(0);
        let run = move || shared.work(&wake, &stopped);
        let thread = std::thread::Builder::new().name("venti-store".to_owned()).spawn(run)?;
        Ok(Worker { thread, stop })
    }

    /// Waits until it has finished what it is at.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the store's thread ended with a panic");
        }
    }
}

impl Shared {
    fn work(&self, wake: &Receiver<()>, stopped: &Receiver<()>) {
        let Some(log) = &self.log else { return };
        let running = || stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty);
        while running() {
            if let Err(error) = self.seal(log) {
                tracing::warn!(%error, "arena is not sealed yet");
            }
            self.catalogue.cover(false);
            while running() && log.unsynced() < SYNC_BYTES && self.catalogue.maintain() {}
            let idle = crossbeam_channel::select! {
                recv(wake) -> _ => false,
                recv(stopped) -> _ => return,
                default(SYNC_INTERVAL) => true,
            };
            let unsynced = log.unsynced();
            if unsynced >= SYNC_BYTES || (idle && unsynced > 0) {
                // A failure is remembered by the log, and told to everybody who writes.
                if let Err(error) = log.sync() {
                    tracing::error!(%error, "sync in the background failed");
                }
            }
        }
    }

    /// Makes sure that what an append has left behind is done by somebody.
    pub(super) fn after_append(&self, log: &Log) {
        if let Some(wake) = &self.wake {
            if log.unsynced() >= SYNC_BYTES || log.waits_for_seal() {
                // A full channel means that it is awake or about to be.
                let _ = wake.try_send(());
            }
            return;
        }
        if log.waits_for_seal()
            && let Err(error) = self.seal(log)
        {
            tracing::warn!(%error, "arena is not sealed yet");
        }
        while self.catalogue.maintain() {}
    }

    /// Seals the arena that waits for it, if one does.
    pub(super) fn seal(&self, log: &Log) -> Result<(), StoreError> {
        let Some(job) = log.begin_seal()? else { return Ok(()) };
        let footer = log.write_seal(&job);
        if let Ok(footer) = &footer {
            self.catalogue.add_sealed(*footer, &job.entries);
        }
        log.end_seal(footer.is_ok());
        footer.map(|_| ())
    }

    /// Returns once everything written before is durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match &self.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }
}
