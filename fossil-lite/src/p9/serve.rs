//! Sessions on sockets: a thread reads each connection, a few more do its work.
//!
//! One lock a connection guards the session together with the sending side: a reply is made and
//! sent under it, so that no reply to a flushed request can follow its Rflush. A client that does
//! not read its replies holds up nobody but itself, and after [`Limits::write_time`] is let go.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::{FileSystem, Session, Step, Tagged, Work, WorkId, body_size, perform};

/// What one client, and all of them together, may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more are closed as they come.
    pub connections: usize,
    /// Threads that work for one connection.
    pub workers: usize,
    /// Requests of one connection that wait; then no more are read.
    pub waiting: usize,
    /// Bytes in a frame.
    pub msize: u32,
    /// How long the first message may take.
    pub hello_time: Duration,
    /// How long a client may take to make room for a reply.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            workers: 8,
            waiting: 64,
            msize: 128 * 1024 + super::IO_HEADER_SIZE,
            hello_time: Duration::from_secs(30),
            write_time: Duration::from_secs(60),
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network: nothing is known but what is claimed.
    Network,
    /// A process of this machine, with the user that the kernel says.
    Local {
        /// Its effective user.
        uid: u32,
    },
}

/// Where clients connect.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, and the name to remove in the end.
    Unix(UnixListener, PathBuf),
}

/// Why nobody can connect there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The text is no address.
    #[error("{address:?} is no address: expected host:port, tcp!host!port, unix!path or /path")]
    Address {
        /// As given.
        address: String,
    },
    /// Something else has the name of a socket.
    #[error("can not listen on {}: a file that is no socket is there; remove it first", path.display())]
    NotASocket {
        /// The name.
        path: PathBuf,
    },
    /// Something else listens there already.
    #[error("{address} is in use")]
    InUse {
        /// As given.
        address: String,
    },
    /// The system refused.
    #[error("can not listen on {address}: {source}")]
    Io {
        /// As given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The port of 9P.
const PORT: u16 = 564;

impl Listener {
    /// Listens on `host:port`, `tcp!host!port` (`*` for every address; `9fs` is port 564),
    /// `unix!path` or an absolute path. A socket that a dead server left behind is replaced.
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn bind(address: &str) -> Result<Listener, ListenError> {
        let path = address.strip_prefix("unix!").or(address.starts_with('/').then_some(address));
        if let Some(path) = path {
            let path = Path::new(path);
            if is_no_socket(path) {
                return Err(ListenError::NotASocket { path: path.to_owned() });
            }
            return Listener::bind_unix(path).map_err(|e| explain(address, e));
        }
        let wrong = || ListenError::Address { address: address.to_owned() };
        let (host, port) = match address.strip_prefix("tcp!") {
            Some(rest) => rest.split_once('!').unwrap_or((rest, "9fs")),
            None => address.rsplit_once(':').ok_or_else(wrong)?,
        };
        let port = match port {
            "9fs" | "9pfs" => PORT,
            number => number.parse().map_err(|_| wrong())?,
        };
        let host = host.trim_matches(['[', ']']);
        let host = if host == "*" || host.is_empty() { "::" } else { host };
        TcpListener::bind((host, port)).map(Listener::Tcp).map_err(|e| explain(address, e))
    }

    /// Everybody may connect: the kernel says who it is, and the file system what they may see.
    fn bind_unix(path: &Path) -> io::Result<Listener> {
        let bound = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match UnixStream::connect(path) {
                    // Refused is also who connects to what is no socket.
                    Err(refused)
                        if refused.kind() == io::ErrorKind::ConnectionRefused
                            && !is_no_socket(path) =>
                    {
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    _ => return Err(error),
                }
            }
            bound => bound?,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Listener::Unix(bound, path.to_owned()))
    }

    /// The address of a TCP listener, with the port that the system chose for port 0.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Network))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                let uid = rustix::net::sockopt::socket_peercred(&stream)?.uid.as_raw();
                Ok((Stream::Unix(stream), Peer::Local { uid }))
            }
        }
    }
}

/// Whether something has this name that is no socket; a link is none.
fn is_no_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

fn explain(address: &str, source: io::Error) -> ListenError {
    let address = address.to_owned();
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Io { address, source },
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }

    fn set_timeouts(&self, read: Option<Duration>, write: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(read)?;
                stream.set_write_timeout(Some(write))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(read)?;
                stream.set_write_timeout(Some(write))
            }
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.read_exact(buffer),
            Stream::Unix(stream) => stream.read_exact(buffer),
        }
    }

    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(buffer),
            Stream::Unix(stream) => stream.write_all(buffer),
        }
    }

    fn shutdown(&self) {
        // Whatever comes of it: the connection is given up.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
    }
}

/// Takes connections for ever; `file_system` makes what each peer sees.
pub fn serve<F, M>(listener: &Listener, limits: Limits, file_system: M)
where
    F: FileSystem + 'static,
    F::Node: 'static,
    M: Fn(Peer) -> F,
{
    let connected = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: some will be free again soon.
                tracing::warn!(%error, "a connection could not be accepted");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if connected.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            connected.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(limit = limits.connections, "too many connections, one more is closed");
            continue;
        }
        let fs = file_system(peer);
        let count = Arc::clone(&connected);
        let converse = move || {
            if let Err(error) = Connection::run(stream, limits, fs) {
                tracing::debug!(%error, "a connection ended");
            }
            count.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(error) = thread::Builder::new().name("9p reader".into()).spawn(converse) {
            connected.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%error, "no thread for a connection");
        }
    }
}

struct Connection<F: FileSystem> {
    fs: F,
    conversation: Mutex<Conversation<F::Node>>,
    /// Workers that wait for work.
    idle: AtomicUsize,
}

/// What one lock guards: see the head of the file.
struct Conversation<N> {
    session: Session<N>,
    out: Stream,
}

type Job<N> = (WorkId, Work<N>);

impl<F: FileSystem + 'static> Connection<F>
where
    F::Node: 'static,
{
    fn run(mut stream: Stream, limits: Limits, fs: F) -> io::Result<()> {
        stream.set_timeouts(Some(limits.hello_time), limits.write_time)?;
        let conversation =
            Conversation { session: Session::new(limits.msize), out: stream.try_clone()? };
        let connection = Arc::new(Connection {
            fs,
            conversation: Mutex::new(conversation),
            idle: AtomicUsize::new(0),
        });
        let (sender, receiver) = crossbeam_channel::bounded(limits.waiting);
        let ended = connection.read_requests(&mut stream, limits, &sender, &receiver);
        stream.shutdown();
        ended
    }

    fn read_requests(
        self: &Arc<Self>,
        stream: &mut Stream,
        limits: Limits,
        sender: &Sender<Job<F::Node>>,
        receiver: &Receiver<Job<F::Node>>,
    ) -> io::Result<()> {
        let mut workers = 0;
        let mut greeted = false;
        let mut body = Vec::new();
        loop {
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            let limit = self.conversation.lock().session.frame_limit();
            body.resize(body_size(size, limit).map_err(io::Error::other)?, 0);
            stream.read_exact(&mut body)?;
            if !greeted {
                greeted = true;
                stream.set_timeouts(None, limits.write_time)?;
            }
            let mut conversation = self.conversation.lock();
            match conversation.session.receive_body(&body) {
                None => {}
                Some(Step::Reply(reply)) => conversation.send(&reply)?,
                Some(Step::Work(id, work)) => {
                    drop(conversation);
                    if workers < limits.workers && self.idle.load(Ordering::Relaxed) == 0 {
                        self.spawn_worker(receiver.clone())?;
                        workers += 1;
                    }
                    sender.send((id, work)).map_err(|_| io::Error::other("no worker is left"))?;
                }
            }
        }
    }

    /// A worker ends when the reader has dropped its side and the work is done.
    fn spawn_worker(self: &Arc<Self>, receiver: Receiver<Job<F::Node>>) -> io::Result<()> {
        let connection = Arc::clone(self);
        let work = move || {
            loop {
                connection.idle.fetch_add(1, Ordering::Relaxed);
                let job = receiver.recv();
                connection.idle.fetch_sub(1, Ordering::Relaxed);
                let Ok((id, work)) = job else { return };
                let result = perform(&connection.fs, work);
                let mut conversation = connection.conversation.lock();
                let reply = conversation.session.finish(id, result);
                if reply.is_some_and(|reply| conversation.send(&reply).is_err()) {
                    // The reader sees it and ends the connection.
                    conversation.out.shutdown();
                }
            }
        };
        thread::Builder::new().name("9p worker".into()).spawn(work).map(drop)
    }
}

impl<N> Conversation<N> {
    fn send(&mut self, reply: &Tagged) -> io::Result<()> {
        self.out.write_all(&reply.encode())
    }
}
