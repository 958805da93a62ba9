//! Sockets, and how they are made.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

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

/// Connects to the first address of the server that answers.
pub(super) fn connect(
    address: &Address,
    options: &ClientOptions,
) -> Result<Box<dyn Transport>, ConnectError> {
    let text = || address.to_string();
    let (host, port) = match address {
        Address::Unix(path) => {
            return match connect_unix(path, options.connect_timeout) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(source) => Err(ConnectError::Connect { address: text(), source }),
            };
        }
        Address::Tcp { host, port } if host == ANY_HOST => ("localhost", *port),
        Address::Tcp { host, port } => (host.as_str(), *port),
    };
    let sockets = (host, port)
        .to_socket_addrs()
        .map_err(|source| ConnectError::Resolve { address: text(), source })?;
    let mut source = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for socket in sockets {
        let connected = TcpStream::connect_timeout(&socket, options.connect_timeout);
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => source = error,
        }
    }
    Err(ConnectError::Connect { address: text(), source })
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
