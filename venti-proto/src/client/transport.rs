//! Sockets, and how they are made.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustls::ClientConfig;

use super::tls::{TlsError, TlsTransport};
use super::{ClientOptions, ConnectError};
use crate::address::{ANY_HOST, Address};

/// What the sending side of a Unix socket may hold, in bytes; the system may give less. It is
/// not set for TCP, whose buffers Linux fits to the connection unless they are set.
const UNIX_SEND_BUFFER: usize = 4 << 20;

/// A connection that one thread reads and others write.
pub trait Transport: Send + Sync {
    /// Reads what is there, or waits for it.
    ///
    /// # Errors
    /// `WouldBlock` or `TimedOut` after the time set; else the connection is lost.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of the bytes, from the first on.
    ///
    /// # Errors
    /// As [`Transport::read`].
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sets how long a read and a write wait.
    ///
    /// # Errors
    /// What the system says.
    fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()>;

    /// Ends the connection both ways, and whatever waits in a read or a write.
    fn shutdown(&self);

    /// What an error of this connection means under TLS, if that is its cause.
    fn tls_error(&self, _error: &io::Error) -> Option<TlsError> {
        None
    }
}

macro_rules! impl_transport {
    ($stream:ty) => {
        impl Transport for $stream {
            fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                (&mut &*self).read(buffer)
            }

            fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                (&mut &*self).write_vectored(slices)
            }

            fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(read))?;
                self.set_write_timeout(Some(write))
            }

            fn shutdown(&self) {
                // It fails only when the other side was faster.
                let _ = <$stream>::shutdown(self, Shutdown::Both);
            }
        }
    };
}

impl_transport!(TcpStream);
impl_transport!(UnixStream);

/// Makes connections to one server: what they have in common is read once.
pub(super) struct Connector<'a> {
    address: &'a Address,
    timeout: Duration,
    /// For an address under TLS.
    tls: Option<Arc<ClientConfig>>,
}

impl<'a> Connector<'a> {
    /// Reads the files that are needed.
    pub(super) fn new(
        address: &'a Address,
        options: &ClientOptions,
    ) -> Result<Connector<'a>, ConnectError> {
        let tls = match address {
            Address::Tls { .. } => Some(options.tls.load().map_err(|e| under_tls(address, e))?),
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        Ok(Connector { address, timeout: options.connect_timeout, tls })
    }

    /// Connects to the first address of the server that answers.
    pub(super) fn connect(&self) -> Result<Box<dyn Transport>, ConnectError> {
        let text = || self.address.to_string();
        let (host, port) = match self.address {
            Address::Unix(path) => {
                return match connect_unix(path, self.timeout) {
                    Ok(stream) => Ok(Box::new(stream)),
                    Err(source) => Err(ConnectError::Connect { address: text(), source }),
                };
            }
            Address::Tcp { host, port } | Address::Tls { host, port } => {
                (if host == ANY_HOST { "localhost" } else { host.as_str() }, *port)
            }
        };
        let stream = self.connect_tcp(host, port)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        match TlsTransport::connect(stream, host, Arc::clone(config), self.timeout) {
            Ok(transport) => Ok(Box::new(transport)),
            Err(error) => Err(under_tls(self.address, error)),
        }
    }

    fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let text = || self.address.to_string();
        let sockets = (host, port)
            .to_socket_addrs()
            .map_err(|source| ConnectError::Resolve { address: text(), source })?;
        let mut source = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for socket in sockets {
            let connected = TcpStream::connect_timeout(&socket, self.timeout);
            match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Ok(stream),
                Err(error) => source = error,
            }
        }
        Err(ConnectError::Connect { address: text(), source })
    }
}

fn under_tls(address: &Address, error: TlsError) -> ConnectError {
    ConnectError::Tls { address: address.to_string(), source: Box::new(error) }
}

/// The timeout for sending is that for connecting, too (socket(7)); without it a server that
/// accepts nothing would be waited for.
fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_send_buffer_size(&socket, UNIX_SEND_BUFFER)?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}
