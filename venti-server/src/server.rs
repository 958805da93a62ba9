//! The server: listening, connections, status pages, ending in order.
//!
//! tokio accepts connections and waits for them. Work on blocks is done by whole batches on the
//! thread that received them ([`shared`]), several connections at once; nothing is handed from
//! thread to thread block by block. No lock is held across a wait.

mod buffers;
mod connection;
mod engine;
mod hosts;
mod http;
mod listener;
mod metrics;
mod notify;
mod peer;
mod shared;
mod shutdown;
mod status;
mod stored;
mod stream;
mod sync_group;
mod tls;
mod watches;
mod window;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use venti_proto::StoreError;
use venti_proto::address::Address;

use crate::limits::Limits;
use crate::memory::MemoryPlan;
use connection::Connection;
pub use engine::Engine;
pub use hosts::{HostsError, HostsFile};
pub use listener::ListenError;
use listener::{Accepted, Listener};
pub use metrics::{Metrics, Snapshot};
pub use notify::notify;
use peer::Peer;
use shared::Shared;
pub use shutdown::{Phase, Shutdown, ShutdownHandle, shutdown};
pub use stored::{StoredBlocks, StoredError};
use stream::Stream;
pub use tls::{TlsError, TlsFiles};

/// How long a refused client is listened to.
const LINGER: Duration = Duration::from_secs(1);

/// The least time between two warnings that there are too many connections.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// How a server is to be run.
pub struct ServerConfig {
    /// Where clients connect.
    pub listen: Vec<Address>,
    /// Mode of Unix sockets.
    pub socket_mode: u32,
    /// Where the status pages are, if anywhere.
    pub http: Option<Address>,
    /// TLS for every TCP address.
    pub tls: Option<TlsAcceptor>,
    /// Where the archives of each host come from, if that is bound at all.
    pub hosts: Option<HostsFile>,
    /// What clients may take.
    pub limits: Limits,
    /// What there is to take.
    pub memory: MemoryPlan,
}

/// Why a server does not start, or how it failed to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address can not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS can not be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The list of hosts is none.
    #[error("list of hosts: {0}")]
    Hosts(#[from] HostsError),
    /// The system refuses something that a server needs.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The last sync failed: what was written since the one before may be lost.
    #[error("the last sync failed: {0}")]
    LastSync(StoreError),
}

/// A server that listens and does not accept yet.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    http: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    /// [`ServeError::Listen`]: then it listens on none.
    pub async fn bind(
        engine: Arc<dyn Engine>,
        config: ServerConfig,
        shutdown: Shutdown,
    ) -> Result<Server, ServeError> {
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.extend(Listener::bind(address, config.socket_mode).await?);
        }
        let http = match &config.http {
            None => None,
            Some(address) => Some(listener::bind_http(address).await?),
        };
        let shared = Shared::new(engine, config.limits, config.memory, config.hosts, shutdown);
        Ok(Server { shared: Arc::new(shared), listeners, http, tls: config.tls })
    }

    /// Where clients connect, as they would write it.
    ///
    /// # Errors
    /// [`ServeError::System`] if the system does not say.
    pub fn addresses(&self) -> Result<Vec<String>, ServeError> {
        let tls = self.tls.is_some();
        let address = |listener: &Listener| listener.local_address(tls);
        self.listeners.iter().map(address).collect::<io::Result<_>>().map_err(unknown_address)
    }

    /// Where the status pages are.
    ///
    /// # Errors
    /// [`ServeError::System`] if the system does not say.
    pub fn http_address(&self) -> Result<Option<String>, ServeError> {
        let address = self.http.as_ref().map(TcpListener::local_addr).transpose();
        address.map(|address| address.map(|a| a.to_string())).map_err(unknown_address)
    }

    /// The addresses on which clients of other machines are served without TLS.
    pub fn exposed(&self) -> impl Iterator<Item = String> {
        let plain = self.tls.is_none();
        let exposed = self.listeners.iter().filter(move |l| plain && l.is_off_host());
        exposed.filter_map(|listener| listener.local_address(false).ok())
    }

    /// Serves until told to end, and then until every connection has ended and everything that
    /// was written is durable.
    ///
    /// # Errors
    /// [`ServeError::LastSync`].
    pub async fn run(self) -> Result<Snapshot, ServeError> {
        let Server { shared, listeners, http, tls } = self;
        let shutdown = shared.shutdown.clone();
        let mut services = JoinSet::new();
        if let Some(listener) = http {
            let status = http::Status {
                engine: Arc::clone(&shared.engine),
                metrics: Arc::clone(&shared.metrics),
                held: Arc::clone(&shared.held),
                shutdown: shutdown.clone(),
            };
            services.spawn(http::serve(listener, status));
        }
        let slots = Arc::new(Semaphore::new(shared.limits.max_connections));
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let acceptor = Acceptor {
                listener,
                tls: tls.clone(),
                slots: Arc::clone(&slots),
                shared: Arc::clone(&shared),
            };
            accepting.spawn(acceptor.run());
        }
        shutdown.reached(Phase::Draining).await;
        // The acceptors return by themselves, each with its connections.
        let mut connections = JoinSet::new();
        while let Some(joined) = accepting.join_next().await {
            if let Ok(mut set) = joined {
                connections.spawn(async move { while set.join_next().await.is_some() {} });
            }
        }
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(shared.limits.drain_timeout, ended).await.is_err() {
            tracing::warn!("connections did not end in time and are closed");
        }
        connections.shutdown().await;
        services.shutdown().await;
        shared.sync().await.map_err(ServeError::LastSync)?;
        Ok(shared.metrics.snapshot())
    }
}

fn unknown_address(source: io::Error) -> ServeError {
    ServeError::System { action: "asking for the address of a socket", source }
}

/// Accepts on one address and starts a task for each connection.
struct Acceptor {
    listener: Listener,
    tls: Option<TlsAcceptor>,
    /// One permit a connection.
    slots: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Acceptor {
    /// Accepts until the server drains; returns the connections that are left.
    async fn run(self) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = self.shared.shutdown.reached(Phase::Draining) => return connections,
            };
            match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(slot) => {
                    let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
                    connections.spawn(serve_one(accepted, tls, shared, slot));
                }
                Err(_) => {
                    self.shared.metrics.refused_connections.inc();
                    // A crowd must not fill the disk with what is said of it.
                    if warned.is_none_or(|warned| warned.elapsed() > WARNING_PAUSE) {
                        warned = Some(Instant::now());
                        tracing::warn!(
                            limit = self.shared.limits.max_connections,
                            "too many connections: more are closed at once"
                        );
                    }
                }
            }
        }
    }
}

/// One connection from accept to close.
async fn serve_one(
    accepted: Accepted,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    slot: OwnedSemaphorePermit,
) {
    let (stream, peer) = match (accepted, tls) {
        (Accepted::Unix(stream), _) => (Stream::Unix(stream), Peer::Unix),
        (Accepted::Tcp(stream, peer), None) => (Stream::Tcp(stream), Peer::Address(peer)),
        (Accepted::Tcp(stream, peer), Some(tls)) => {
            match timeout(shared.limits.hello_timeout, accept_tls(tls, stream)).await {
                Ok(Ok(stream)) => {
                    let (_, session) = stream.get_ref();
                    let known = Peer::under_tls(session.peer_certificates(), peer);
                    (Stream::Tls(Box::new(stream)), known)
                }
                Ok(Err(error)) => {
                    tracing::info!(%peer, %error, "no TLS");
                    return;
                }
                Err(_) => {
                    tracing::info!(%peer, "no TLS in time");
                    return;
                }
            }
        }
    };
    tracing::debug!(%peer, "connection opened");
    let metrics = Arc::clone(&shared.metrics);
    metrics.connections.inc();
    metrics.open_connections.inc();
    let ended = Connection::new(stream, peer.clone(), shared).run().await;
    metrics.open_connections.dec();
    if ended.is_fault() {
        metrics.broken_connections.inc();
        tracing::info!(%peer, reason = %ended, "connection closed");
    } else {
        tracing::debug!(%peer, reason = %ended, "connection closed");
    }
    drop(slot);
}

/// Agrees on TLS with a client. One that is refused is told why: what it has sent by then is read,
/// or the reset of the connection would overtake the answer.
async fn accept_tls(tls: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut stream)) => {
            // The client has gone or is going: there is nobody to tell.
            let _ = timeout(LINGER, async {
                stream.shutdown().await?;
                let mut sink = [0; 4096];
                while stream.read(&mut sink).await? > 0 {}
                Ok::<(), io::Error>(())
            })
            .await;
            Err(error)
        }
    }
}
