//! The server's side.
//!
//! What the original does with a request decides what is done here, as far as golden
//! conversations show it; where it ignores a request without a word, or dies, the request gets
//! an error (docs/protocol.md, "Differences").

use std::borrow::Cow;
use std::sync::Arc;

use super::tags::TagSet;
use super::{
    SessionError, VersionLine, common, error_text, greeting, read_too_small, store_error_to_text,
};
use crate::message::{DecodeError, FrameTooLarge, Kind, ReadReplyHeader};
use crate::places::{decode_question, encode_answer};
use crate::roots::{NewRoot, RootAnswer, RootLogError, RootQuery, RootRequest};
use crate::{BlockRequest, BlockType, MAX_BLOCK_SIZE, Message, Score, StoreError, Tag, Version};

/// The name that a server gives itself in the hello: the original's.
const SERVER_NAME: &str = "anonymous";

/// A connection whose client has not said hello yet.
#[derive(Debug)]
pub struct ServerHandshake {
    offered: Vec<Version>,
    /// What the client offered, once its version line is there.
    client: Option<VersionLine>,
}

impl ServerHandshake {
    /// Starts a conversation that offers `offered`, best first. Appends the version line to
    /// `output`: the server does not wait for the client's.
    #[must_use]
    pub fn new(offered: &[Version], output: &mut Vec<u8>) -> ServerHandshake {
        output.extend_from_slice(greeting(offered).as_bytes());
        ServerHandshake { offered: offered.to_vec(), client: None }
    }

    /// Takes what is complete off the front of `input`; returns the session once the client's
    /// hello was answered. `input` may then go on with requests.
    ///
    /// # Errors
    /// Any error ends the connection; the original closes it without a reply, and so should the
    /// caller.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<ServerSession>, SessionError> {
        if self.client.is_none() {
            let Some(line) = VersionLine::receive(input)? else { return Ok(None) };
            if common(&self.offered, &line.versions).is_none() {
                return Err(SessionError::NoCommonVersion { offered: line.offered });
            }
            self.client = Some(line);
        }
        let Some(line) = &self.client else { return Ok(None) };
        // The client chooses (venti(7)), and may choose another version than the server would:
        // a hello has 20 to 65535 bytes, so a length field of 4 bytes starts with two zeros.
        let Some(start) = input.first_chunk::<2>() else { return Ok(None) };
        let framing = if *start == [0, 0] { Version::V04 } else { Version::V02 };
        let Some(body) = framing.next_frame(input)? else { return Ok(None) };
        let version = hello_version(Message::decode(body)?)?;
        let negotiated: Option<Version> = version.parse().ok();
        let negotiated = negotiated.filter(|version| {
            let both = self.offered.contains(version) && line.versions.contains(version);
            both && version.length_size() == framing.length_size()
        });
        let Some(version) = negotiated else {
            return Err(SessionError::HelloVersion { found: version.into_owned() });
        };
        let sid = Cow::Borrowed(SERVER_NAME);
        Message::Rhello { tag: Tag(0), sid, crypto: 0, codec: 0 }.encode(version, output)?;
        Ok(Some(ServerSession { responder: Responder { version, tags: Arc::default() } }))
    }
}

/// The version that the first message asks for.
fn hello_version(message: Message<'_>) -> Result<Cow<'_, str>, SessionError> {
    match message {
        Message::Thello { tag: Tag(0), version, .. } => Ok(version),
        Message::Thello { tag: found, .. } => Err(SessionError::HelloTag { found }),
        other => Err(SessionError::NoHello { found: other.kind() }),
    }
}

/// What a client asks of the store. Each but goodbye must be answered through [`Responder`],
/// exactly once, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Send this block if it has at most `count` bytes.
    Read {
        /// For the answer.
        tag: Tag,
        /// Which block.
        block: BlockRequest,
        /// Bytes; 0 asks only whether the block is there.
        count: u32,
    },
    /// Keep this block.
    Write {
        /// For the answer.
        tag: Tag,
        /// What it holds.
        block_type: BlockType,
        /// 1 to [`MAX_BLOCK_SIZE`] bytes.
        data: &'a [u8],
    },
    /// Answer when everything that was written before is durable.
    Sync {
        /// For the answer.
        tag: Tag,
    },
    /// Something about the roots that the server owns; only in version x1.
    Roots {
        /// For the answer.
        tag: Tag,
        /// What.
        request: RootRequest,
    },
    /// Say what the store holds and the server did; only in version x1.
    Stats {
        /// For the answer.
        tag: Tag,
    },
    /// Say where these blocks lie; only in version x1.
    Places {
        /// For the answer.
        tag: Tag,
        /// At most [`MAX_PLACES`](crate::places::MAX_PLACES).
        blocks: Vec<BlockRequest>,
    },
    /// The client is done: answer what is under way, then close.
    Goodbye,
}

/// A connection whose client has said hello.
#[derive(Debug)]
pub struct ServerSession {
    responder: Responder,
}

impl ServerSession {
    /// The version that was agreed on.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.responder.version
    }

    /// Whether messages of our own were agreed on.
    fn extended(&self) -> bool {
        self.version() == Version::X1
    }

    /// The side that answers; any number of copies may be handed out.
    #[must_use]
    pub fn responder(&self) -> Responder {
        self.responder.clone()
    }

    /// Takes the next request for the store off the front of `input`, without copying it; `None`
    /// if there is no whole one. Requests that need no store are answered to `output` on the way,
    /// so `output` is to be sent whenever it is not empty.
    ///
    /// # Errors
    /// Any error ends the connection: what is under way is to be answered, `output` (which may
    /// hold an error reply that says why) is to be sent, and nothing more is to be read.
    pub fn next_request<'a>(
        &mut self,
        input: &mut &'a [u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Request<'a>>, SessionError> {
        loop {
            let body = match self.version().next_frame(input) {
                Ok(Some(body)) => body,
                Ok(None) => return Ok(None),
                Err(error) => return self.refuse_frame(error, input, output),
            };
            let message = match Message::decode(body) {
                Ok(message) => message,
                Err(error) => {
                    self.refuse_message(error, body, output)?;
                    continue;
                }
            };
            let tag = message.tag();
            if self.responder.tags.contains(tag) {
                self.responder.put_error(tag, &format!("tag {tag} is in use already"), output);
                return Err(SessionError::TagInUse { tag });
            }
            if let Some(request) = self.request(message, output) {
                if request != Request::Goodbye {
                    self.responder.tags.insert(tag);
                }
                return Ok(Some(request));
            }
        }
    }

    /// Turns a message into a request, or answers it and returns `None`.
    fn request<'a>(&self, message: Message<'a>, output: &mut Vec<u8>) -> Option<Request<'a>> {
        let reply = match message {
            Message::Tread { tag, score, block_type, count } => {
                let block = BlockRequest { score, block_type };
                if score != Score::ZERO {
                    return Some(Request::Read { tag, block, count });
                }
                // The original does not know that this is the block of no bytes: its clients,
                // and ours, never ask.
                let error = StoreError::NotFound { score, block_type };
                Message::Rerror { tag, error: store_error_to_text(&error).into() }
            }
            Message::Twrite { tag, block_type, data: Cow::Borrowed(data) } => match data.len() {
                0 => Message::Rwrite { tag, score: Score::ZERO },
                1..=MAX_BLOCK_SIZE => return Some(Request::Write { tag, block_type, data }),
                size => {
                    let error = StoreError::TooLarge { size, limit: MAX_BLOCK_SIZE };
                    Message::Rerror { tag, error: store_error_to_text(&error).into() }
                }
            },
            Message::Tsync { tag } => return Some(Request::Sync { tag }),
            Message::TrecordRoot { tag, data } if self.extended() => match NewRoot::decode(&data) {
                Ok(root) => return Some(root_request(tag, RootRequest::Record(root))),
                Err(error) => bad_packet(tag, &error),
            },
            Message::TlistRoots { tag, data } if self.extended() => {
                match RootQuery::decode(&data) {
                    Ok(query) => return Some(root_request(tag, RootRequest::List(query))),
                    Err(error) => bad_packet(tag, &error),
                }
            }
            Message::TwatchRoots { tag, watch } if self.extended() => {
                return Some(root_request(tag, RootRequest::Watch(watch)));
            }
            Message::Tstats { tag } if self.extended() => return Some(Request::Stats { tag }),
            Message::Tplaces { tag, data } if self.extended() => match decode_question(&data) {
                Ok(blocks) => return Some(Request::Places { tag, blocks }),
                Err(error) => bad_packet(tag, &error),
            },
            Message::Tgoodbye { .. } => return Some(Request::Goodbye),
            Message::Tping { tag } => Message::Rping { tag },
            other => {
                Message::Rerror { tag: other.tag(), error: error_text::UNKNOWN_REQUEST.into() }
            }
        };
        self.responder.put(&reply, output);
        None
    }

    /// Answers a message that can not be understood, if it says whom to answer.
    fn refuse_message(
        &self,
        error: DecodeError,
        body: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let Some(tag) = body.get(1).copied().map(Tag) else { return Err(error.into()) };
        if self.responder.tags.contains(tag) {
            return Err(error.into());
        }
        let unknown = matches!(error, DecodeError::UnknownKind { .. });
        let text = if unknown {
            error_text::UNKNOWN_REQUEST.into()
        } else {
            format!("bad packet: {error}")
        };
        self.responder.put_error(tag, &text, output);
        Ok(())
    }

    /// Answers a message that is too large to be waited for, once its type and tag are there.
    fn refuse_frame<'a>(
        &self,
        error: FrameTooLarge,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Request<'a>>, SessionError> {
        let start = self.version().length_size();
        let Some(&[kind, tag]) = input.get(start..start + 2) else { return Ok(None) };
        let request = Kind::from_wire(kind).is_some_and(|kind| kind.reply().is_some());
        if request && !self.responder.tags.contains(Tag(tag)) {
            self.responder.put_error(Tag(tag), &error.to_string(), output);
        }
        Err(error.into())
    }
}

const fn root_request<'a>(tag: Tag, request: RootRequest) -> Request<'a> {
    Request::Roots { tag, request }
}

fn bad_packet<'a>(tag: Tag, error: &dyn std::error::Error) -> Message<'a> {
    Message::Rerror { tag, error: format!("bad packet: {error}").into() }
}

/// Makes the replies of one connection. Each call gives the tag back for use by the client.
#[derive(Clone, Debug)]
pub struct Responder {
    version: Version,
    tags: Arc<TagSet>,
}

impl Responder {
    /// Requests that were handed out and are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.tags.len()
    }

    /// Answers a write.
    pub fn write(&self, tag: Tag, score: Score, output: &mut Vec<u8>) {
        self.finish(&Message::Rwrite { tag, score }, output);
    }

    /// Answers a sync.
    pub fn sync(&self, tag: Tag, output: &mut Vec<u8>) {
        self.finish(&Message::Rsync { tag }, output);
    }

    /// Answers anything about roots, as [`RootRequest::perform`] says.
    pub fn roots(&self, tag: Tag, answer: Result<RootAnswer, RootLogError>, output: &mut Vec<u8>) {
        let reply = match answer {
            Ok(RootAnswer::Recorded(record)) => {
                Message::RrecordRoot { tag, data: record.encode().into() }
            }
            Ok(RootAnswer::Page(page)) => Message::RlistRoots { tag, data: page.encode().into() },
            Ok(RootAnswer::Grown(next)) => Message::RwatchRoots { tag, next },
            Err(error) => {
                let error = match error {
                    RootLogError::Store(error) => error,
                    other => StoreError::Refused { message: other.to_string() },
                };
                Message::Rerror { tag, error: store_error_to_text(&error).into() }
            }
        };
        self.finish(&reply, output);
    }

    /// Answers a question for figures with a JSON object of at most
    /// [`MAX_STATS_SIZE`](crate::message::MAX_STATS_SIZE) bytes.
    pub fn stats(&self, tag: Tag, json: &[u8], output: &mut Vec<u8>) {
        self.finish(&Message::Rstats { tag, data: json.into() }, output);
    }

    /// Answers a question for places; a store that has none knows no such request.
    pub fn places(&self, tag: Tag, places: Option<&[Option<u64>]>, output: &mut Vec<u8>) {
        let reply = match places {
            Some(places) => Message::Rplaces { tag, data: encode_answer(places).into() },
            None => Message::Rerror { tag, error: error_text::UNKNOWN_REQUEST.into() },
        };
        self.finish(&reply, output);
    }

    /// Answers any request with why it failed.
    pub fn error(&self, tag: Tag, error: &StoreError, output: &mut Vec<u8>) {
        self.tags.remove(tag);
        self.put_error(tag, &store_error_to_text(error), output);
    }

    /// Answers a read with the block, or with its size if that is more than `count`.
    pub fn read(&self, tag: Tag, count: u32, data: &[u8], output: &mut Vec<u8>) {
        match self.read_header(tag, count, data.len()) {
            Ok(header) => {
                output.extend_from_slice(header.as_bytes());
                output.extend_from_slice(data);
            }
            Err(size) => self.too_small(tag, count, size, output),
        }
    }

    /// What to send before the block in answer to a read, for callers that send the block from
    /// where it lies.
    ///
    /// # Errors
    /// The size of the block if that is more than `count`: then [`Responder::too_small`] is the
    /// answer.
    pub fn read_header(&self, tag: Tag, count: u32, size: usize) -> Result<ReadReplyHeader, usize> {
        if size > count as usize {
            return Err(size);
        }
        let header = ReadReplyHeader::new(self.version, tag, size).map_err(|_| size)?;
        self.tags.remove(tag);
        Ok(header)
    }

    /// Answers a read of a block that has more bytes than were asked for: `size` of them.
    pub fn too_small(&self, tag: Tag, count: u32, size: usize, output: &mut Vec<u8>) {
        self.tags.remove(tag);
        self.put_error(tag, &read_too_small(count, size), output);
    }

    fn finish(&self, reply: &Message<'_>, output: &mut Vec<u8>) {
        self.tags.remove(reply.tag());
        self.put(reply, output);
    }

    fn put_error(&self, tag: Tag, text: &str, output: &mut Vec<u8>) {
        self.put(&Message::Rerror { tag, error: Cow::Borrowed(text) }, output);
    }

    /// Replies made here are within every limit: strings were cut, and blocks go by
    /// [`ReadReplyHeader`].
    fn put(&self, reply: &Message<'_>, output: &mut Vec<u8>) {
        let encoded = reply.encode(self.version, output);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
    }
}
