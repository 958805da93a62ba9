//! Ending in order: the first signal drains, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far a server is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Finishing what was received, taking nothing new.
    Draining,
    /// Dropping whatever is left.
    Forced,
}

/// The side that tells a server to end.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    sender: watch::Sender<Phase>,
}

/// The side that is told.
#[derive(Clone, Debug)]
pub struct Shutdown {
    receiver: watch::Receiver<Phase>,
}

/// A running server's switch, and what the server watches.
#[must_use]
pub fn shutdown() -> (ShutdownHandle, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (ShutdownHandle { sender }, Shutdown { receiver })
}

impl ShutdownHandle {
    /// Goes one phase on: from running to draining, and from there to forced.
    pub fn advance(&self) -> Phase {
        let mut now = Phase::Running;
        self.sender.send_modify(|phase| {
            *phase = if *phase == Phase::Running { Phase::Draining } else { Phase::Forced };
            now = *phase;
        });
        now
    }

    /// Advances once for each SIGTERM or SIGINT, until forced.
    ///
    /// # Errors
    /// If the process can not take these signals.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let handle = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                match handle.advance() {
                    Phase::Forced => {
                        tracing::warn!("second signal: ending at once");
                        return;
                    }
                    _ => tracing::info!("signal: finishing what was received"),
                }
            }
        });
        Ok(())
    }
}

impl Shutdown {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.receiver.borrow()
    }

    /// Waits until the server is told to go at least as far as `phase`. A handle that is gone
    /// can tell nothing more: then this waits for ever.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.receiver.clone();
        if receiver.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_go_one_way() {
        let (handle, shutdown) = shutdown();
        assert_eq!(shutdown.phase(), Phase::Running);
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.reached(Phase::Draining).await }
        });
        assert_eq!(handle.advance(), Phase::Draining);
        waiting.await.unwrap();
        assert_eq!(handle.advance(), Phase::Forced);
        assert_eq!(handle.advance(), Phase::Forced);
        shutdown.reached(Phase::Draining).await;
    }
}
