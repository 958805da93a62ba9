//! Both sides of a conversation, without input or output: bytes in, messages out.
//!
//! A side starts as a handshake ([`ServerHandshake`], [`ClientHandshake`]), which exchanges
//! version lines and the hello, and becomes a session ([`ServerSession`]; [`ReplyReader`] and
//! [`TagTable`]) only when that has succeeded: nothing can be asked or answered before. Whoever owns the connection
//! reads bytes into a buffer of its own, lets the session take whole messages off its front, and
//! sends what the session appends to the output. Nothing depends on how the bytes were cut up.
//!
//! The session knows the protocol and no store. It answers by itself what needs none: pings,
//! requests that do not exist, blocks that are too large, and the block of no bytes.

mod client;
mod error_text;
mod server;
mod tags;
mod version_line;

pub use client::{Answer, ClientHandshake, ReplyReader, RequestKind, TagTable};
pub(crate) use error_text::NOT_ALLOWED;
pub use error_text::{ReadError, read_too_small, store_error_from_text, store_error_to_text};
pub use server::{Request, Responder, ServerHandshake, ServerSession};
pub use version_line::{MAX_VERSION_LINE, VersionLine, VersionLineError, greeting};

use crate::message::{DecodeError, EncodeError, FrameTooLarge, Kind};
use crate::{StoreError, Tag, Version};

/// Why a connection can not go on. Everything that was asked on it and not answered is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The first line is not a version line.
    #[error(transparent)]
    VersionLine(#[from] VersionLineError),
    /// There is no version that both sides speak.
    #[error("no common version: the other side offers {offered:?}")]
    NoCommonVersion {
        /// The list of the other side, as it sent it.
        offered: String,
    },
    /// The client's first message is not a hello.
    #[error("expected Thello, found {found}")]
    NoHello {
        /// What came instead.
        found: Kind,
    },
    /// The hello has another tag than 0; the original closes the connection, too.
    #[error("the tag of the hello must be 0, found {found}")]
    HelloTag {
        /// The tag.
        found: Tag,
    },
    /// The hello chooses a version that was not negotiated.
    #[error("the hello asks for version {found:?}, which was not negotiated")]
    HelloVersion {
        /// The version, as the client sent it.
        found: String,
    },
    /// The server refused the hello.
    #[error("the server refused the hello: {message}")]
    HelloRefused {
        /// In its own words.
        message: String,
    },
    /// A length field is too large.
    #[error(transparent)]
    FrameTooLarge(#[from] FrameTooLarge),
    /// A message can not be understood, so that it is unknown what it answers.
    #[error("bad message: {0}")]
    Decode(#[from] DecodeError),
    /// The client used a tag again before the request that has it was answered.
    #[error("tag {tag} is in use already")]
    TagInUse {
        /// The tag.
        tag: Tag,
    },
    /// A reply came for a tag with which nothing was asked.
    #[error("a reply with tag {tag}, with which nothing was asked")]
    UnexpectedTag {
        /// The tag.
        tag: Tag,
    },
    /// A reply is of another kind than the request.
    #[error("a reply of kind {found} to a {asked}")]
    WrongReply {
        /// What was asked.
        asked: Kind,
        /// What came.
        found: Kind,
    },
    /// A server sent a request.
    #[error("expected a reply, found {found} with tag {tag}")]
    NotAReply {
        /// The tag.
        tag: Tag,
        /// What came.
        found: Kind,
    },
    /// A message of our own can not be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<SessionError> for StoreError {
    fn from(error: SessionError) -> StoreError {
        StoreError::Connection { detail: error.to_string() }
    }
}

/// The versions of `ours` that the other side offers, too; best first.
fn common(ours: &[Version], theirs: &[Version]) -> Option<Version> {
    ours.iter().copied().filter(|version| theirs.contains(version)).max()
}
