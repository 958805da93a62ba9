//! Why a connection ended.

use std::fmt;
use std::io;

use venti_proto::session::SessionError;

/// Why a connection ended, for the log.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client closed it.
    Client,
    /// The client said goodbye.
    Goodbye,
    /// The client closed it inside a message.
    MidMessage,
    /// The client broke the protocol.
    Violation(SessionError),
    /// No hello in time.
    NoHello,
    /// Nothing was asked for too long.
    Idle,
    /// A message began and did not end in time.
    Stuck,
    /// The client did not take its replies.
    NotTaken,
    /// Waiting connections hold as much as they may together.
    NoMemory,
    /// The system says that the connection is gone.
    Io(io::Error),
    /// The server is ending.
    Drained,
    /// The server ends at once.
    Forced,
}

impl Ended {
    /// Whether it is the client's doing that is worth a line in the log.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(
            self,
            Ended::Violation(_) | Ended::NoHello | Ended::Stuck | Ended::NotTaken | Ended::NoMemory
        )
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Client => f.write_str("closed by the client"),
            Ended::Goodbye => f.write_str("the client said goodbye"),
            Ended::MidMessage => f.write_str("closed by the client inside a message"),
            Ended::Violation(error) => write!(f, "protocol: {error}"),
            Ended::NoHello => f.write_str("no hello in time"),
            Ended::Idle => f.write_str("idle for too long"),
            Ended::Stuck => f.write_str("a message began and did not end in time"),
            Ended::NotTaken => f.write_str("replies were not taken in time"),
            Ended::NoMemory => f.write_str("too much memory is held by connections that wait"),
            Ended::Io(error) => write!(f, "{error}"),
            Ended::Drained => f.write_str("the server is ending"),
            Ended::Forced => f.write_str("the server ends at once"),
        }
    }
}
