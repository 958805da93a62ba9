//! Why a server can not be reached.

use std::io;

use super::tls::TlsError;
use crate::StoreError;
use crate::session::SessionError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host has no address.
    #[error("no address is known for {address}: {source}")]
    Resolve {
        /// As given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers, or nobody listens.
    #[error("can not connect to {address}: {source}")]
    Connect {
        /// As given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The other side ended the connection, or said nothing, before it had said hello.
    #[error("{address} did not greet as a Venti server does: {source}")]
    Hello {
        /// As given.
        address: String,
        /// What happened.
        source: io::Error,
    },
    /// The other side greeted, and not as the protocol says.
    #[error("{address} is not a Venti server that can be talked to: {source}")]
    Session {
        /// As given.
        address: String,
        /// What was found and what was expected.
        source: SessionError,
    },
    /// There is no agreement under TLS, or a file that it needs can not be used.
    #[error("{address}: {source}")]
    Tls {
        /// As given.
        address: String,
        /// Why.
        source: Box<TlsError>,
    },
    /// The system gives no thread for the replies.
    #[error("can not start a thread: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

impl ConnectError {
    /// The exit code that says so: 2 usage, 10 no such server, 12 not allowed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ConnectError::Tls { source, .. } if source.is_usage() => 2,
            ConnectError::Tls { source, .. } if source.is_refusal() => 12,
            ConnectError::Connect { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                12
            }
            _ => 10,
        }
    }
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> StoreError {
        StoreError::Connection { detail: error.to_string() }
    }
}
