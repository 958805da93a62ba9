//! Connections under TLS: whom to trust, and sending and receiving at once over one session.
//!
//! A TLS session is one state for both directions, while one thread reads from a connection and
//! others write. So the session has a lock that is held while bytes are encrypted or decrypted,
//! and never while the socket is waited for: a writer that the server keeps waiting holds up no
//! reader, which is what lets the server go on.
//!
//! Locks, in this order: `sending` or `receiving`, then `session`.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};

use super::Transport;
use super::shared::is_timeout;

/// Bytes that are encrypted before they are sent, at the most: so many go to the socket at once.
const SENT_AT_ONCE: usize = 256 << 10;

/// Bytes that are received from the socket at once, at the most.
const RECEIVED_AT_ONCE: usize = 256 << 10;

/// Whom to trust, and who to say that one is: files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that a server's certificate may be signed by; without it,
    /// those that this machine trusts.
    pub authorities: Option<PathBuf>,
    /// The client's own certificate, with those between it and an authority.
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate.
    pub key: Option<PathBuf>,
}

/// The environment variables that name the files, in the order of the fields.
const VARIABLES: [&str; 3] = ["VENTI_CA", "VENTI_CERT", "VENTI_KEY"];

/// Why there is no connection under TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read, or holds no PEM of the expected kind.
    #[error("{variable}: {}: expected {expected}: {source}", path.display())]
    File {
        /// The environment variable that names it.
        variable: &'static str,
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("{} and {} are wanted together, and {missing} is not set", VARIABLES[1], VARIABLES[2])]
    Half {
        /// The environment variable that is missing.
        missing: &'static str,
    },
    /// The certificate, or the key to it, can not be used.
    #[error("{variable}: {}: {source}", path.display())]
    Unusable {
        /// The environment variable that names it.
        variable: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// There is no authority to trust.
    #[error("no certificate of an authority is known; name a file of them in {}", VARIABLES[0])]
    NoAuthority,
    /// The name of the server can not be that of a certificate.
    #[error("{host:?} can not be the name in a certificate")]
    Host {
        /// The name.
        host: String,
    },
    /// Nobody who is trusted here has signed the server's certificate.
    #[error(
        "the server's certificate is signed by nobody who is trusted here; \
         name the certificate of its authority in {}", VARIABLES[0]
    )]
    Untrusted,
    /// The server's certificate is that of another server.
    #[error("the server has another name: {detail}")]
    WrongName {
        /// The names.
        detail: String,
    },
    /// The server's certificate is not valid any more, or not yet.
    #[error("the server's certificate is out of date: {detail}")]
    OutOfDate {
        /// Since or until when.
        detail: String,
    },
    /// The server's certificate is wrong in another way.
    #[error("the server's certificate is not accepted: {detail}")]
    Certificate {
        /// How.
        detail: String,
    },
    /// The server wants another certificate of the client, or one at all.
    #[error(
        "the server does not accept {}: {alert:?}",
        if *.shown { "the client's certificate" } else { "a client without a certificate" }
    )]
    ClientRefused {
        /// What the server said.
        alert: AlertDescription,
        /// Whether the client has shown a certificate.
        shown: bool,
    },
    /// The other side does not speak TLS, or not in a way that both know.
    #[error("no agreement on TLS with the server: {0}")]
    Handshake(rustls::Error),
    /// The connection ended before there was an agreement.
    #[error("no agreement on TLS with the server: {0}")]
    Lost(io::Error),
}

impl TlsError {
    /// Whether the server is there and does not let this client in.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, TlsError::ClientRefused { .. })
    }

    /// Whether a file or variable of this machine is wrong: no server was asked.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        use TlsError::{File, Half, Host, NoAuthority, Unusable};
        matches!(self, File { .. } | Half { .. } | Unusable { .. } | NoAuthority | Host { .. })
    }

    /// What an error of a socket under TLS means, if TLS is the cause.
    fn of(error: &io::Error, shown: bool) -> Option<TlsError> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match error {
            rustls::Error::InvalidCertificate(error) => TlsError::of_certificate(error),
            rustls::Error::AlertReceived(alert) if is_about_the_client(*alert) => {
                TlsError::ClientRefused { alert: *alert, shown }
            }
            error => TlsError::Handshake(error.clone()),
        })
    }

    fn of_certificate(error: &CertificateError) -> TlsError {
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
            NotValidYet, NotValidYetContext, UnknownIssuer,
        };
        let detail = error.to_string();
        match error {
            // An authority of the same name has another key.
            UnknownIssuer | BadSignature => TlsError::Untrusted,
            NotValidForName | NotValidForNameContext { .. } => TlsError::WrongName { detail },
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                TlsError::OutOfDate { detail }
            }
            _ => TlsError::Certificate { detail },
        }
    }
}

/// Whether a server says with this alert what it thinks of the client's certificate.
const fn is_about_the_client(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

impl TlsFiles {
    /// The files that the environment names: `VENTI_CA`, `VENTI_CERT` and `VENTI_KEY`. Their paths
    /// are those of now, in whichever directory the program is later.
    #[must_use]
    pub fn from_environment() -> TlsFiles {
        let absolute = |path| std::path::absolute(&path).unwrap_or_else(|_| PathBuf::from(path));
        let [authorities, certificate, key] = VARIABLES.map(|variable| {
            std::env::var_os(variable).filter(|path| !path.is_empty()).map(absolute)
        });
        TlsFiles { authorities, certificate, key }
    }

    /// Reads the files.
    pub(super) fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Handshake)?
            .with_root_certificates(self.roots()?);
        let [_, of_certificate, of_key] = VARIABLES;
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (None, Some(_)) => return Err(TlsError::Half { missing: of_certificate }),
            (Some(_), None) => return Err(TlsError::Half { missing: of_key }),
            (Some(certificate), Some(path)) => {
                let chain = certificates(of_certificate, certificate)?;
                let key = PrivateKeyDer::from_pem_file(path).map_err(|source| {
                    let (variable, expected) = (of_key, "a private key");
                    TlsError::File { variable, path: path.clone(), expected, source }
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|source| {
                    let (variable, path) = (of_certificate, certificate.clone());
                    TlsError::Unusable { variable, path, source }
                })?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(path) => {
                let variable = VARIABLES[0];
                for certificate in certificates(variable, path)? {
                    roots.add(certificate).map_err(|source| TlsError::Unusable {
                        variable,
                        path: path.clone(),
                        source,
                    })?;
                }
            }
            // One of hundreds that can not be read is no reason to trust none.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
    }
}

fn certificates(
    variable: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File {
        variable,
        path: path.to_owned(),
        expected: "certificates",
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if chain.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

/// A connection to a server under TLS.
pub(super) struct TlsTransport {
    socket: TcpStream,
    session: Mutex<ClientConnection>,
    sending: Mutex<Outgoing>,
    receiving: Mutex<Incoming>,
    /// Whether the client has a certificate to show.
    shown: bool,
}

/// Encrypted bytes, of which the first `sent` are sent.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

/// Encrypted bytes: `bytes[start..end]` are received and not decrypted.
struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl TlsTransport {
    /// Agrees with the server on a session, within `limit`.
    pub(super) fn connect(
        socket: TcpStream,
        host: &str,
        config: Arc<ClientConfig>,
        limit: Duration,
    ) -> Result<TlsTransport, TlsError> {
        // A zone is of this machine's network, and in no certificate: fe80::1%eth0.
        let name = host.split_once('%').map_or(host, |(address, _zone)| address);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Host { host: host.to_owned() })?;
        let shown = config.client_auth_cert_resolver.has_certs();
        let mut session = ClientConnection::new(config, name).map_err(TlsError::Handshake)?;
        agree(&mut session, &socket, limit)
            .map_err(|error| TlsError::of(&error, shown).unwrap_or(TlsError::Lost(error)))?;
        session.set_buffer_limit(Some(SENT_AT_ONCE));
        Ok(TlsTransport {
            socket,
            session: Mutex::new(session),
            sending: Mutex::default(),
            receiving: Mutex::new(Incoming { bytes: vec![0; RECEIVED_AT_ONCE], start: 0, end: 0 }),
            shown,
        })
    }

    /// Sends what the session has to send. It is taken out under the session's lock, and sent
    /// without it.
    fn flush(&self, outgoing: &mut Outgoing) -> io::Result<()> {
        let mut session = self.session.lock();
        while session.wants_write() {
            session.write_tls(&mut outgoing.bytes)?;
        }
        drop(session);
        let mut socket = &self.socket;
        while outgoing.sent < outgoing.bytes.len() {
            match socket.write(&outgoing.bytes[outgoing.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => outgoing.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        outgoing.bytes.clear();
        outgoing.sent = 0;
        Ok(())
    }
}

/// Shakes hands.
fn agree(session: &mut ClientConnection, socket: &TcpStream, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))?;
    let mut socket = socket;
    while session.is_handshaking() || session.wants_write() {
        if start.elapsed() > limit {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let done = match session.wants_write() {
            true => session.write_tls(&mut socket),
            false => session.read_tls(&mut socket),
        };
        match done {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if let Err(error) = session.process_new_packets() {
            // The server is told what is wrong with it, if it still listens.
            let _ = session.write_tls(&mut socket);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
    Ok(())
}

impl Incoming {
    /// Decrypts what is there into `buffer`, and says how many bytes that made; `None` if more
    /// must be received first, 0 if the server has said that there is no more.
    fn decrypt(
        &mut self,
        session: &mut ClientConnection,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let mut filled = 0;
        while filled < buffer.len() {
            match session.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Ok(Some(filled)),
                Ok(read) => {
                    filled += read;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if filled == 0 => return Err(error),
                Err(_) => return Ok(Some(filled)),
            }
            if self.start == self.end {
                break;
            }
            let mut received = &self.bytes[self.start..self.end];
            session.read_tls(&mut received)?;
            self.start = self.end - received.len();
            session
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok((filled > 0).then_some(filled))
    }
}

impl Transport for TlsTransport {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let incoming = &mut *self.receiving.lock();
        loop {
            if let Some(length) = incoming.decrypt(&mut self.session.lock(), buffer)? {
                return Ok(length);
            }
            // What the session has to answer goes out with the next request: whoever sends now
            // may wait for the server, which may wait for this thread.
            let length = Transport::read(&self.socket, &mut incoming.bytes)?;
            if length == 0 {
                return Ok(0);
            }
            (incoming.start, incoming.end) = (0, length);
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let outgoing = &mut *self.sending.lock();
        let taken = self.session.lock().writer().write_vectored(slices)?;
        self.flush(outgoing)?;
        Ok(taken)
    }

    fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(read))?;
        self.socket.set_write_timeout(Some(write))
    }

    fn shutdown(&self) {
        // Whoever sends now says nothing more that the server could read.
        if let Some(mut outgoing) = self.sending.try_lock() {
            self.session.lock().send_close_notify();
            // Nobody waits for a server that takes nothing any more.
            let _ = self.socket.set_nonblocking(true).and_then(|()| self.flush(&mut outgoing));
        }
        // It fails only when the other side was faster.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn tls_error(&self, error: &io::Error) -> Option<TlsError> {
        TlsError::of(error, self.shown)
    }
}
