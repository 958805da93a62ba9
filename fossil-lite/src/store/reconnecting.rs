//! A connection that is made when it is needed, and made again when it was lost.
//!
//! Reading the dump changes nothing, so a request that was lost with its connection may be sent
//! again: each is tried on the connection that there is, and once more on a new one.
//!
//! Where no connection could be made, it is not tried again at once: those who wanted one at the
//! same time, and whoever needs many blocks for one answer, would wait one after another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use venti_proto::roots::{NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord};
use venti_proto::{BlockRequest, BlockStore, Deliver, HashedBatch, Presence, StoreError};

/// A store with its log of roots: a server's client, or an embedded store.
pub trait Connect: Send + Sync {
    /// What a connection is.
    type Connection: BlockStore + RootLog + 'static;

    /// Makes one.
    ///
    /// # Errors
    /// `Connection` or `Refused`, in words.
    fn connect(&self) -> Result<Self::Connection, StoreError>;
}

/// A store that is connected to again and again.
pub struct Reconnecting<C: Connect> {
    connect: C,
    /// How long nothing is tried after it has failed.
    hopeless: Duration,
    /// Held while a connection is made, so that one is made at a time.
    current: Mutex<Current<C::Connection>>,
}

/// What became of the last connection.
struct Current<T> {
    connection: Option<Arc<T>>,
    /// Why none could be made, and when.
    failed: Option<(Instant, StoreError)>,
}

impl<C: Connect> Reconnecting<C> {
    /// Connects for the first time when it is asked for something. When that fails, it is not tried
    /// again for as long as `hopeless` says.
    pub const fn new(connect: C, hopeless: Duration) -> Reconnecting<C> {
        let current = Current { connection: None, failed: None };
        Reconnecting { connect, hopeless, current: Mutex::new(current) }
    }

    /// Begins with a connection that is there already.
    #[must_use]
    pub fn begin_with(self, connection: C::Connection) -> Reconnecting<C> {
        self.current.lock().connection = Some(Arc::new(connection));
        self
    }

    fn connection(&self) -> Result<Arc<C::Connection>, StoreError> {
        let mut current = self.current.lock();
        if let Some(connection) = &current.connection {
            return Ok(Arc::clone(connection));
        }
        if let Some((when, error)) = &current.failed
            && when.elapsed() < self.hopeless
        {
            return Err(error.clone());
        }
        match self.connect.connect() {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *current = Current { connection: Some(Arc::clone(&connection)), failed: None };
                Ok(connection)
            }
            Err(error) => {
                current.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Forgets a connection that is of no use any more, unless that was done already.
    fn forget(&self, lost: &Arc<C::Connection>) {
        let known = &mut self.current.lock().connection;
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, lost)) {
            *known = None;
        }
    }

    /// Does something, and once more if the connection is lost over it.
    fn try_twice<T, E>(
        &self,
        is_lost: impl Fn(&E) -> bool,
        act: impl Fn(&C::Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let connection = self.connection()?;
        match act(&connection) {
            Err(error) if is_lost(&error) => {
                self.forget(&connection);
                let connection = self.connection()?;
                act(&connection).inspect_err(|error| {
                    if is_lost(error) {
                        self.forget(&connection);
                    }
                })
            }
            result => result,
        }
    }

    /// Reads on one connection; returns the positions that were lost with it, and why.
    fn read_once(
        &self,
        requests: &[BlockRequest],
        positions: &[usize],
        deliver: &mut Deliver<'_>,
    ) -> Option<(Vec<usize>, StoreError)> {
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return Some((positions.to_vec(), error)),
        };
        let wanted: Vec<_> = positions.iter().map(|position| requests[*position]).collect();
        let mut lost: Option<(Vec<usize>, StoreError)> = None;
        connection.read(&wanted, &mut |at, block| match block {
            Err(error @ StoreError::Connection { .. }) => {
                lost.get_or_insert_with(|| (Vec::new(), error)).0.push(positions[at]);
            }
            block => deliver(positions[at], block),
        });
        if lost.is_some() {
            self.forget(&connection);
        }
        lost
    }
}

fn is_lost(error: &StoreError) -> bool {
    matches!(error, StoreError::Connection { .. })
}

fn is_lost_log(error: &RootLogError) -> bool {
    matches!(error, RootLogError::Store(StoreError::Connection { .. }))
}

impl<C: Connect> BlockStore for Reconnecting<C> {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.connection()?.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        let all: Vec<usize> = (0..requests.len()).collect();
        let Some((lost, _)) = self.read_once(requests, &all, deliver) else { return };
        let Some((lost, error)) = self.read_once(requests, &lost, deliver) else { return };
        lost.into_iter().for_each(|position| deliver(position, Err(error.clone())));
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.try_twice(is_lost, |connection| connection.probe(requests))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.connection()?.sync()
    }
}

impl<C: Connect> RootLog for Reconnecting<C> {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        self.connection()?.record(root)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        self.try_twice(is_lost_log, |connection| connection.list(query))
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        self.connection()?.watch(known, time)
    }
}
