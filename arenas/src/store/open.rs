//! Opening a store: its lock, its identity, recovery of the log, the index, the thread.

use std::io::ErrorKind;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::identity::{self, Identity};
use super::options::{MAX_ARENA_SIZE, MIN_ARENA_SIZE, OpenError, StoreOptions};
use super::stats::Counters;
use super::worker::{self, Worker};
use super::{Catalogue, Handle, Shared};
use crate::disk::{Disk, DiskLock};
use crate::fields::StoreIdentity;
use crate::finding::{Finding, Severity};
use crate::index::IndexError;
use crate::log::{Log, SLAB_SIZE};
use crate::names;
use crate::recovery::{Recovered, Recovery};

pub(super) fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Handle, OpenError> {
    let found = identity::find(&*disk)?;
    if matches!(found, Identity::Nothing) && (options.read_only || !options.create) {
        let detail = "there is neither store.toml nor any arena".to_owned();
        return Err(OpenError::NotAStore { detail });
    }
    let lock = if options.read_only { None } else { Some(lock(&*disk)?) };
    let mut findings = Vec::new();
    // Looked at again under the lock: another process may just have made the store.
    let identity = settle_identity(&*disk, &options, &mut findings)?;

    let recovery = Recovery {
        disk: &*disk,
        store: identity,
        environment: &*options.environment,
        read_only: options.read_only,
    };
    let Recovered { sealed, scanned, open, findings: recovered } = recovery.run()?;
    findings.extend(recovered);
    for finding in &findings {
        if options.read_only && finding.severity == Severity::Recovered {
            // Ordinary beside a writer; a check lists it.
            tracing::debug!(%finding, "found at opening");
        } else {
            tracing::warn!(%finding, "found at opening");
        }
    }

    let catalogue = Catalogue::open(
        Arc::clone(&disk),
        identity,
        sealed,
        scanned,
        options.read_only,
        options.memory,
    )
    .map_err(index_error)?;
    let arena_size = options.arena_size.clamp(MIN_ARENA_SIZE, MAX_ARENA_SIZE);
    let arena_size = u32::try_from(arena_size).unwrap_or(u32::MAX);
    let log = (!options.read_only)
        .then(|| Log::new(Arc::clone(&disk), identity, options.environment, arena_size, open));
    let chunk_bytes = SLAB_SIZE.min(arena_size as usize / 4);
    let (wake, woken) = worker::channel();
    let threaded = options.background && log.is_some();
    let wake = threaded.then_some(wake);
    let counters = Counters::default();
    let shared = Shared { disk, log, catalogue, findings, counters, chunk_bytes, wake };
    start(Arc::new(shared), woken, lock)
}

/// Starts the thread, or does without it what the last process has left to do.
fn start(
    shared: Arc<Shared>,
    woken: Receiver<()>,
    lock: Option<Box<dyn DiskLock>>,
) -> Result<Handle, OpenError> {
    let worker = if shared.wake.is_some() {
        Some(Worker::start(Arc::clone(&shared), woken).map_err(OpenError::Thread)?)
    } else {
        if let Some(log) = &shared.log {
            shared.after_append(log);
        }
        None
    };
    Ok(Handle { shared, worker: Mutex::new(worker), lock: Mutex::new(lock) })
}

fn lock(disk: &dyn Disk) -> Result<Box<dyn DiskLock>, OpenError> {
    disk.lock(names::LOCK).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => OpenError::Busy,
        _ => error.into(),
    })
}

/// Finds the identity, or gives the new store one, and makes sure that `store.toml` has it.
fn settle_identity(
    disk: &dyn Disk,
    options: &StoreOptions,
    findings: &mut Vec<Finding>,
) -> Result<StoreIdentity, OpenError> {
    let now = options.environment.milliseconds();
    let (identity, write) = match identity::find(disk)? {
        Identity::Known(identity, None) => (identity, false),
        Identity::Known(identity, Some(finding)) => {
            findings.push(finding);
            (identity, !options.read_only)
        }
        Identity::Nothing => {
            let random = options.environment.identity().map_err(OpenError::Randomness)?;
            (StoreIdentity::new(random), true)
        }
    };
    if !options.read_only {
        disk.create_dir(names::ARENAS)?;
        disk.sync_dir(names::ROOT)?;
    }
    if write {
        identity::write(disk, identity, now)?;
    }
    Ok(identity)
}

fn index_error(error: IndexError) -> OpenError {
    match error {
        IndexError::Disk(error) => OpenError::Disk(error),
        other => OpenError::Store(venti_proto::StoreError::Io { detail: other.to_string() }),
    }
}
