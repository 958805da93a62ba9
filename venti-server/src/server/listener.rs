//! Where the server listens: binding addresses, and accepting without ever giving up.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::set_socket_keepalive;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use venti_proto::address::{ANY_HOST, Address};

/// The shortest and the longest pause after a failed accept.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Why an address can not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system says no.
    #[error("can not listen on {address}: {source}")]
    Bind {
        /// The address as given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is at the path of a socket.
    #[error("can not listen on {}: a file that is no socket is there; remove it first", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another server listens there.
    #[error("can not listen on {address}: another process listens there already")]
    InUse {
        /// The address as given.
        address: String,
    },
}

/// One address that is listened on.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

/// A connection that was accepted, and what to call the other side in the log.
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Listens on every socket address that `address` stands for, which must be at least one.
    pub(crate) async fn bind(address: &Address, mode: u32) -> Result<Vec<Listener>, ListenError> {
        match address {
            Address::Unix(path) => Ok(vec![bind_unix(path, mode)?]),
            Address::Tcp { host, port } | Address::Tls { host, port } => {
                bind_tcp(address, host, *port).await
            }
        }
    }

    /// What clients connect to, under TLS if there is any.
    pub(crate) fn local_address(&self, tls: bool) -> io::Result<String> {
        match self {
            Listener::Tcp(listener) if tls => Ok(format!("tls:{}", listener.local_addr()?)),
            Listener::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Listener::Unix { path, .. } => Ok(path.display().to_string()),
        }
    }

    /// Whether other machines may reach it.
    pub(crate) fn is_off_host(&self) -> bool {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().is_ok_and(|address| !address.ip().is_loopback())
            }
            Listener::Unix { .. } => false,
        }
    }

    /// The next connection. A failure, such as too many open files, is no reason to end: it is
    /// logged, and after a pause that grows it is tried again.
    pub(crate) async fn accept(&self) -> Accepted {
        let mut pause = PAUSES.0;
        loop {
            let accepted = match self {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    prepare(&stream);
                    Accepted::Tcp(stream, peer)
                }),
                Listener::Unix { listener, .. } => {
                    listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed, waiting");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            // A path that is left behind is recognised and replaced by the next server.
            let _ = fs::remove_file(path);
        }
    }
}

/// Replies go out when they are made, and a client that vanished is noticed in the end.
fn prepare(stream: &TcpStream) {
    let set = stream.set_nodelay(true).and(set_socket_keepalive(stream, true).map_err(Into::into));
    if let Err(error) = set {
        tracing::debug!(%error, "socket options not set");
    }
}

/// Whether only the connection that was being accepted is gone (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

async fn bind_tcp(address: &Address, host: &str, port: u16) -> Result<Vec<Listener>, ListenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address: address.to_string() },
        _ => ListenError::Bind { address: address.to_string(), source },
    };
    if host == ANY_HOST {
        // Every interface: over IPv6 and IPv4 at once, or IPv4 where there is no IPv6.
        let bound = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        };
        return Ok(vec![Listener::Tcp(bound.map_err(failed)?)]);
    }
    let (mut listeners, mut problem) = (Vec::new(), None);
    for socket in tokio::net::lookup_host((host, port)).await.map_err(failed)? {
        match TcpListener::bind(socket).await {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(failed(error)),
            // A name such as localhost may have addresses of a family that is switched off.
            Err(error) => problem = Some(error),
        }
    }
    match (listeners.is_empty(), problem) {
        (false, _) => Ok(listeners),
        (true, problem) => {
            Err(failed(problem.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
        }
    }
}

/// Listens for status pages, on TCP only.
pub(crate) async fn bind_http(address: &Address) -> Result<TcpListener, ListenError> {
    let bound = match address {
        Address::Tcp { host, port } => TcpListener::bind((host.as_str(), *port)).await,
        Address::Tls { .. } | Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    bound.map_err(|source| ListenError::Bind { address: address.to_string(), source })
}

/// The socket is made under another name and renamed once its mode is set: so nobody else can
/// connect in between, and the socket that a dead server left behind is replaced in one step.
fn bind_unix(path: &Path, mode: u32) -> Result<Listener, ListenError> {
    let address = path.display().to_string();
    let failed = |source| ListenError::Bind { address: address.clone(), source };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::InUse { address });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    let placed = fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    Ok(Listener::Unix { listener, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_file_has_its_mode_and_replaces_a_dead_one_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("venti");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = bind_unix(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind_unix(&path, 0o600), Err(ListenError::InUse { .. })));
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "no socket").unwrap();
        assert!(matches!(bind_unix(&path, 0o600), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
