//! What all connections of a server share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::block_in_place;
use venti_proto::roots::{RootAnswer, RootLogError, RootRequest};

use crate::limits::Limits;
use crate::memory::MemoryPlan;
use crate::server::buffers::{BufferPool, HeldBudget};
use crate::server::engine::Engine;
use crate::server::hosts::{HostsFile, may_record};
use crate::server::metrics::Metrics;
use crate::server::peer::Peer;
use crate::server::shutdown::Shutdown;
use crate::server::status;
use crate::server::sync_group::SyncGroup;

/// Questions that may be under way at once: each takes a thread.
const QUESTIONS: usize = 4;

/// The store and the budgets.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) held: Arc<HeldBudget>,
    pub(crate) shutdown: Shutdown,
    /// Where the archives of each host come from, if that is bound at all.
    hosts: Option<HostsFile>,
    /// Batches that are in the store at once. More than cores, because some wait for the disk;
    /// bounded, because each needs a thread and its buffers.
    work: Semaphore,
    syncs: SyncGroup,
    questions: Semaphore,
    /// Records in the log of roots, for those who wait for more.
    pub(crate) recorded: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        limits: Limits,
        memory: MemoryPlan,
        hosts: Option<HostsFile>,
        shutdown: Shutdown,
    ) -> Shared {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let reply_bytes = usize::try_from(limits.max_reply_bytes.0).unwrap_or(usize::MAX >> 1);
        Shared {
            engine,
            metrics: Arc::new(Metrics::new()),
            pool: Arc::new(BufferPool::new(memory.buffers, reply_bytes)),
            held: Arc::new(HeldBudget::new(memory.held)),
            limits,
            hosts,
            shutdown,
            work: Semaphore::new(8.max(2 * cores)),
            syncs: SyncGroup::default(),
            questions: Semaphore::new(QUESTIONS),
            recorded: watch::Sender::new(0),
        }
    }

    /// Runs a batch in the store on this thread, while another takes over what else it had to do.
    pub(crate) async fn work<T>(&self, batch: impl FnOnce(&dyn Engine) -> T) -> T {
        // The semaphore is never closed; without a permit the batch would only be unbounded.
        let _permit = self.work.acquire().await;
        block_in_place(|| batch(&*self.engine))
    }

    /// Asks the log of roots for `peer`. Recording waits for the disk, as a sync does.
    pub(crate) async fn roots(
        &self,
        request: &RootRequest,
        peer: &Peer,
    ) -> Result<RootAnswer, RootLogError> {
        let _permit = self.questions.acquire().await;
        let answer = block_in_place(|| {
            let log = self.engine.roots().ok_or(RootLogError::Unsupported)?;
            if let RootRequest::Record(root) = request {
                may_record(peer, &root.host, self.hosts.as_ref())?;
            }
            request.perform(log)
        });
        if let Err(error @ RootLogError::NotAllowed { .. }) = &answer {
            self.metrics.errors.inc();
            tracing::warn!(%peer, %error, "an archive is not recorded");
        }
        if let Ok(RootAnswer::Recorded(record)) = &answer {
            self.recorded.send_modify(|next| *next = (*next).max(record.sequence + 1));
        }
        answer
    }

    /// What the store holds and the server did, as a message has it.
    pub(crate) async fn stats(&self) -> Vec<u8> {
        let _permit = self.questions.acquire().await;
        let figures = block_in_place(|| status::figures(&*self.engine, &self.metrics, &self.held));
        status::in_message(figures)
    }

    /// Makes everything that was written durable.
    pub(crate) async fn sync(&self) -> Result<(), venti_proto::StoreError> {
        self.syncs.sync(|| block_in_place(|| self.engine.sync())).await
    }
}
