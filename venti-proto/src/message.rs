//! The messages of the protocol: what each holds, and its bytes.
//!
//! A message borrows its payload from the buffer that it was decoded from, so reading a block
//! off the wire allocates nothing. Decoding consumes every byte or fails; lengths are checked
//! before anything is copied. [`Message::encode`] and [`Message::decode`] list the fields of each
//! message in the order of its spec line, which is that of venti(7); docs/protocol.md has the
//! byte tables. Printing a message and parsing the text gives the message again (`text`), which
//! is what transcripts in tests are made of.
//!
//! Messages of our own (version `x1`) get even numbers from 0x40 for requests and the number
//! after it for the reply, as the standard ones do, and are added to the same enumeration.

mod codec;
mod frame;
mod kind;
mod text;
mod version;

use std::borrow::Cow;
use std::fmt;

use crate::roots::RootWatch;
use crate::{BlockType, Score};

pub use codec::{DecodeError, EncodeError};
pub use frame::{FrameTooLarge, ReadReplyHeader, WriteHeader};
pub use kind::Kind;
pub use text::ParseMessageError;
pub use version::{ParseVersionError, Version};

/// The most bytes of a string in a message (venti(7)).
pub const MAX_STRING_SIZE: usize = 1024;

/// The most bytes of a message, without its length field: what version 02 can express. Peers of
/// later versions never need more, for the largest block has 56 KiB.
pub const MAX_MESSAGE_SIZE: usize = u16::MAX as usize;

/// The most bytes of figures in an `Rstats`.
pub const MAX_STATS_SIZE: usize = MAX_MESSAGE_SIZE - 2;

/// Matches a reply to its request. No two requests under way on one connection share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u8);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `VtRerror tag[1] error[s]`
    Rerror {
        /// That of the request which failed.
        tag: Tag,
        /// Why, for people; at most [`MAX_STRING_SIZE`] bytes.
        error: Cow<'a, str>,
    },
    /// `VtTping tag[1]`
    Tping {
        /// Chosen by the client.
        tag: Tag,
    },
    /// `VtRping tag[1]`
    Rping {
        /// That of the request.
        tag: Tag,
    },
    /// `VtThello tag[1] version[s] uid[s] strength[1] crypto[n] codec[n]`
    Thello {
        /// 0: servers close the connection otherwise.
        tag: Tag,
        /// The version that the client chose, `02`, `04` or `x1`.
        version: Cow<'a, str>,
        /// Who the client says that it is.
        uid: Cow<'a, str>,
        /// Ignored.
        strength: u8,
        /// Ignored; at most 255 bytes.
        crypto: Cow<'a, [u8]>,
        /// Ignored; at most 255 bytes.
        codec: Cow<'a, [u8]>,
    },
    /// `VtRhello tag[1] sid[s] rcrypto[1] rcodec[1]`
    Rhello {
        /// That of the request.
        tag: Tag,
        /// Who the server says that it is.
        sid: Cow<'a, str>,
        /// Ignored.
        crypto: u8,
        /// Ignored.
        codec: u8,
    },
    /// `VtTgoodbye tag[1]`
    Tgoodbye {
        /// Chosen by the client; there is no reply.
        tag: Tag,
    },
    /// `VtTread tag[1] score[20] type[1] pad[1] count[2|4]`
    Tread {
        /// Chosen by the client.
        tag: Tag,
        /// Which bytes.
        score: Score,
        /// As what.
        block_type: BlockType,
        /// The most bytes that the client takes. 0 asks only whether the block is there.
        count: u32,
    },
    /// `VtRread tag[1] data[]`
    Rread {
        /// That of the request.
        tag: Tag,
        /// The block.
        data: Cow<'a, [u8]>,
    },
    /// `VtTwrite tag[1] type[1] pad[3] data[]`
    Twrite {
        /// Chosen by the client.
        tag: Tag,
        /// What the block holds.
        block_type: BlockType,
        /// The block.
        data: Cow<'a, [u8]>,
    },
    /// `VtRwrite tag[1] score[20]`
    Rwrite {
        /// That of the request.
        tag: Tag,
        /// The score of the block that was written.
        score: Score,
    },
    /// `VtTsync tag[1]`
    Tsync {
        /// Chosen by the client.
        tag: Tag,
    },
    /// `VtRsync tag[1]`
    Rsync {
        /// That of the request.
        tag: Tag,
    },
    /// `VtTrecordRoot tag[1] host[n] archive[n] score[20] bytes[8] files[8] status[1]`
    TrecordRoot {
        /// Chosen by the client.
        tag: Tag,
        /// A [`NewRoot`](crate::roots::NewRoot).
        data: Cow<'a, [u8]>,
    },
    /// `VtRrecordRoot tag[1] record[]`
    RrecordRoot {
        /// That of the request.
        tag: Tag,
        /// A [`RootRecord`](crate::roots::RootRecord).
        data: Cow<'a, [u8]>,
    },
    /// `VtTlistRoots tag[1] first[8] end[8] until[8] limit[2] host[n]`
    TlistRoots {
        /// Chosen by the client.
        tag: Tag,
        /// A [`RootQuery`](crate::roots::RootQuery).
        data: Cow<'a, [u8]>,
    },
    /// `VtRlistRoots tag[1] next[8] zone[n] count[2] count*(record)`
    RlistRoots {
        /// That of the request.
        tag: Tag,
        /// A [`RootPage`](crate::roots::RootPage).
        data: Cow<'a, [u8]>,
    },
    /// `VtTwatchRoots tag[1] known[8] milliseconds[4]`
    TwatchRoots {
        /// Chosen by the client.
        tag: Tag,
        /// A [`RootWatch`](crate::roots::RootWatch).
        watch: RootWatch,
    },
    /// `VtRwatchRoots tag[1] next[8]`
    RwatchRoots {
        /// That of the request.
        tag: Tag,
        /// How many records there are.
        next: u64,
    },
    /// `VtTstats tag[1]`
    Tstats {
        /// Chosen by the client.
        tag: Tag,
    },
    /// `VtRstats tag[1] data[]`
    Rstats {
        /// That of the request.
        tag: Tag,
        /// A JSON object, at most [`MAX_STATS_SIZE`] bytes.
        data: Cow<'a, [u8]>,
    },
    /// `VtTplaces tag[1] (score[20] type[1])*`
    Tplaces {
        /// Chosen by the client.
        tag: Tag,
        /// See [`decode_question`](crate::places::decode_question).
        data: Cow<'a, [u8]>,
    },
    /// `VtRplaces tag[1] (place[8])*`
    Rplaces {
        /// That of the request.
        tag: Tag,
        /// See [`decode_answer`](crate::places::decode_answer).
        data: Cow<'a, [u8]>,
    },
}

impl Message<'_> {
    /// Which message it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Message::Rerror { .. } => Kind::Rerror,
            Message::Tping { .. } => Kind::Tping,
            Message::Rping { .. } => Kind::Rping,
            Message::Thello { .. } => Kind::Thello,
            Message::Rhello { .. } => Kind::Rhello,
            Message::Tgoodbye { .. } => Kind::Tgoodbye,
            Message::Tread { .. } => Kind::Tread,
            Message::Rread { .. } => Kind::Rread,
            Message::Twrite { .. } => Kind::Twrite,
            Message::Rwrite { .. } => Kind::Rwrite,
            Message::Tsync { .. } => Kind::Tsync,
            Message::Rsync { .. } => Kind::Rsync,
            Message::TrecordRoot { .. } => Kind::TrecordRoot,
            Message::RrecordRoot { .. } => Kind::RrecordRoot,
            Message::TlistRoots { .. } => Kind::TlistRoots,
            Message::RlistRoots { .. } => Kind::RlistRoots,
            Message::TwatchRoots { .. } => Kind::TwatchRoots,
            Message::RwatchRoots { .. } => Kind::RwatchRoots,
            Message::Tstats { .. } => Kind::Tstats,
            Message::Rstats { .. } => Kind::Rstats,
            Message::Tplaces { .. } => Kind::Tplaces,
            Message::Rplaces { .. } => Kind::Rplaces,
        }
    }

    /// The tag, which every message has.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match self {
            Message::Rerror { tag, .. }
            | Message::Tping { tag }
            | Message::Rping { tag }
            | Message::Thello { tag, .. }
            | Message::Rhello { tag, .. }
            | Message::Tgoodbye { tag }
            | Message::Tread { tag, .. }
            | Message::Rread { tag, .. }
            | Message::Twrite { tag, .. }
            | Message::Rwrite { tag, .. }
            | Message::Tsync { tag }
            | Message::Rsync { tag }
            | Message::TrecordRoot { tag, .. }
            | Message::RrecordRoot { tag, .. }
            | Message::TlistRoots { tag, .. }
            | Message::RlistRoots { tag, .. }
            | Message::TwatchRoots { tag, .. }
            | Message::RwatchRoots { tag, .. }
            | Message::Tstats { tag }
            | Message::Rstats { tag, .. }
            | Message::Tplaces { tag, .. }
            | Message::Rplaces { tag, .. } => *tag,
        }
    }
}
