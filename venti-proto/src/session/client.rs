//! The client's side.

use std::borrow::Cow;

use super::{SessionError, VersionLine, common, greeting};
use crate::message::Kind;
use crate::{Message, Score, Tag, Version};

/// A connection that has not been greeted by the server yet.
#[derive(Debug)]
pub struct ClientHandshake {
    offered: Vec<Version>,
    user: String,
    /// The version that was chosen, once the server's version line is there.
    chosen: Option<Version>,
}

impl ClientHandshake {
    /// Starts a conversation as `user` that offers `offered`, best first. Appends the version
    /// line to `output`.
    #[must_use]
    pub fn new(user: &str, offered: &[Version], output: &mut Vec<u8>) -> ClientHandshake {
        output.extend_from_slice(greeting(offered).as_bytes());
        ClientHandshake { offered: offered.to_vec(), user: user.to_owned(), chosen: None }
    }

    /// Takes what is complete off the front of `input`, and appends the hello to `output` when
    /// it is time; returns the version once the server has answered the hello.
    ///
    /// # Errors
    /// Any error ends the connection.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Version>, SessionError> {
        let version = match self.chosen {
            Some(version) => version,
            None => {
                let Some(line) = VersionLine::receive(input)? else { return Ok(None) };
                let version = common(&self.offered, &line.versions)
                    .ok_or(SessionError::NoCommonVersion { offered: line.offered })?;
                self.hello(version).encode(version, output)?;
                *self.chosen.insert(version)
            }
        };
        let Some(body) = version.next_frame(input)? else { return Ok(None) };
        match Message::decode(body)? {
            Message::Rhello { tag: Tag(0), .. } => Ok(Some(version)),
            Message::Rerror { error, .. } => {
                Err(SessionError::HelloRefused { message: error.into_owned() })
            }
            Message::Rhello { tag, .. } => Err(SessionError::UnexpectedTag { tag }),
            other => Err(SessionError::WrongReply { asked: Kind::Thello, found: other.kind() }),
        }
    }

    fn hello(&self, version: Version) -> Message<'_> {
        Message::Thello {
            tag: Tag(0),
            version: Cow::Borrowed(version.token()),
            uid: Cow::Borrowed(&self.user),
            strength: 0,
            crypto: Cow::Borrowed(&[]),
            codec: Cow::Borrowed(&[]),
        }
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To a read: the block, not yet compared with its score.
    Read(&'a [u8]),
    /// To a write: the score of what the server got.
    Write(Score),
    /// To a sync.
    Sync,
    /// To a ping.
    Ping,
    /// To the recording of a root: the record, not decoded yet.
    RecordRoot(&'a [u8]),
    /// To a query for roots: the page, not decoded yet.
    ListRoots(&'a [u8]),
    /// To a watch: how many records there are.
    WatchRoots(u64),
    /// To a question for figures: a JSON object, not parsed yet.
    Stats(&'a [u8]),
    /// To a question for places: those, not decoded yet.
    Places(&'a [u8]),
    /// To any request: why it failed.
    Error(Cow<'a, str>),
}

impl Answer<'_> {
    const fn kind(&self) -> Kind {
        match self {
            Answer::Read(_) => Kind::Rread,
            Answer::Write(_) => Kind::Rwrite,
            Answer::Sync => Kind::Rsync,
            Answer::Ping => Kind::Rping,
            Answer::RecordRoot(_) => Kind::RrecordRoot,
            Answer::ListRoots(_) => Kind::RlistRoots,
            Answer::WatchRoots(_) => Kind::RwatchRoots,
            Answer::Stats(_) => Kind::Rstats,
            Answer::Places(_) => Kind::Rplaces,
            Answer::Error(_) => Kind::Rerror,
        }
    }
}

/// Takes replies off what a server sent. It knows nothing of what was asked: see [`TagTable`].
#[derive(Clone, Copy, Debug)]
pub struct ReplyReader {
    version: Version,
}

impl ReplyReader {
    /// For a connection on which `version` was agreed on.
    #[must_use]
    pub const fn new(version: Version) -> ReplyReader {
        ReplyReader { version }
    }

    /// Takes the next reply off the front of `input`, without copying it; `None` if there is no
    /// whole one.
    ///
    /// # Errors
    /// Any error ends the connection.
    pub fn next_reply<'a>(
        &self,
        input: &mut &'a [u8],
    ) -> Result<Option<(Tag, Answer<'a>)>, SessionError> {
        let Some(body) = self.version.next_frame(input)? else { return Ok(None) };
        let message = Message::decode(body)?;
        let (tag, found) = (message.tag(), message.kind());
        let answer = match message {
            Message::Rread { data: Cow::Borrowed(data), .. } => Answer::Read(data),
            Message::Rwrite { score, .. } => Answer::Write(score),
            Message::Rsync { .. } => Answer::Sync,
            Message::Rping { .. } => Answer::Ping,
            Message::RrecordRoot { data: Cow::Borrowed(data), .. } => Answer::RecordRoot(data),
            Message::RlistRoots { data: Cow::Borrowed(data), .. } => Answer::ListRoots(data),
            Message::RwatchRoots { next, .. } => Answer::WatchRoots(next),
            Message::Rstats { data: Cow::Borrowed(data), .. } => Answer::Stats(data),
            Message::Rplaces { data: Cow::Borrowed(data), .. } => Answer::Places(data),
            Message::Rerror { error, .. } => Answer::Error(error),
            _ => return Err(SessionError::NotAReply { tag, found }),
        };
        Ok(Some((tag, answer)))
    }
}

/// What a client can ask once it has said hello, apart from the hello's goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// `Tread`.
    Read,
    /// `Twrite`.
    Write,
    /// `Tsync`.
    Sync,
    /// `Tping`.
    Ping,
    /// `TrecordRoot`.
    RecordRoot,
    /// `TlistRoots`.
    ListRoots,
    /// `TwatchRoots`.
    WatchRoots,
    /// `Tstats`.
    Stats,
    /// `Tplaces`.
    Places,
}

impl RequestKind {
    const fn kind(self) -> Kind {
        match self {
            RequestKind::Read => Kind::Tread,
            RequestKind::Write => Kind::Twrite,
            RequestKind::Sync => Kind::Tsync,
            RequestKind::Ping => Kind::Tping,
            RequestKind::RecordRoot => Kind::TrecordRoot,
            RequestKind::ListRoots => Kind::TlistRoots,
            RequestKind::WatchRoots => Kind::TwatchRoots,
            RequestKind::Stats => Kind::Tstats,
            RequestKind::Places => Kind::Tplaces,
        }
    }
}

/// The requests under way on one connection, with a `T` that the caller keeps for each.
#[derive(Debug)]
pub struct TagTable<T> {
    slots: Vec<Option<(RequestKind, T)>>,
    /// Those without a request; taken from the end.
    free: Vec<u8>,
}

impl<T> Default for TagTable<T> {
    fn default() -> TagTable<T> {
        let slots = std::iter::repeat_with(|| None).take(256).collect();
        TagTable { slots, free: (0..=u8::MAX).rev().collect() }
    }
}

impl<T> TagTable<T> {
    /// How many more requests can be started.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many requests are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a tag for a request; gives `about` back if there is none.
    ///
    /// # Errors
    /// `about`, if 256 requests are under way.
    pub fn begin(&mut self, kind: RequestKind, about: T) -> Result<Tag, T> {
        let Some(tag) = self.free.pop() else { return Err(about) };
        self.slots[usize::from(tag)] = Some((kind, about));
        Ok(Tag(tag))
    }

    /// Ends the request that `answer` came for, and says what it was about.
    ///
    /// # Errors
    /// If nothing was asked with this tag, or something else: then nothing that this server
    /// sends can be believed.
    pub fn finish(&mut self, tag: Tag, answer: &Answer<'_>) -> Result<T, SessionError> {
        let slot = &mut self.slots[usize::from(tag.0)];
        let Some((kind, about)) = slot.take() else {
            return Err(SessionError::UnexpectedTag { tag });
        };
        let (asked, found) = (kind.kind(), answer.kind());
        if found != Kind::Rerror && asked.reply() != Some(found) {
            *slot = Some((kind, about));
            return Err(SessionError::WrongReply { asked, found });
        }
        self.free.push(tag.0);
        Ok(about)
    }

    /// Ends every request that is under way, as when a connection is lost.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        let slots = std::mem::take(self).slots;
        slots.into_iter().flatten().map(|(_, about)| about)
    }
}
