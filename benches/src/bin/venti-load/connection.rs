//! One connection to a Venti server, with a window of requests under way.
//!
//! Requests go out in bursts of half a window, so that neither side makes a system call for each
//! block; replies are taken in whatever order they come. A single thread does both: the server can
//! not stall on replies that are not read, because what a window of replies to writes, or of
//! requests to read, takes fits in the socket's buffers.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use anyhow::{Context, Result, bail, ensure};
use venti_proto::message::{Message, Tag, Version};
use venti_proto::{BlockType, Score};

/// The most requests under way: the tags there are, but for 0, which is the hello's.
pub(crate) const MAX_WINDOW: usize = 255;
/// Bytes a read from the socket.
const READ_SIZE: usize = 1 << 18;
/// Largest count of a read: what the original's clients ask for.
const READ_COUNT: u32 = 65_535;

/// A request; blocks are named by their position in the run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// Write the block that the caller appends.
    Write,
    /// Read the block with this score.
    Read(Score),
    /// Ask whether the block with this score is there.
    Probe(Score),
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply<'a> {
    Score(Score),
    Data(&'a [u8]),
    Error(&'a str),
}

pub(crate) struct Connection {
    stream: TcpStream,
    version: Version,
    window: usize,
    /// Received and not yet decoded: `input[taken..filled]`. Never grows: there is always room for
    /// the rest of a message, as none is longer than `READ_SIZE`.
    input: Vec<u8>,
    taken: usize,
    filled: usize,
    output: Vec<u8>,
    block: Vec<u8>,
}

impl Connection {
    /// Connects and says hello, in the best version that both know.
    pub(crate) fn open(address: &str, window: usize) -> Result<Connection> {
        let addresses = address.to_socket_addrs().with_context(|| format!("address {address}"))?;
        let stream = TcpStream::connect(addresses.collect::<Vec<_>>().as_slice())
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            version: Version::V02,
            window: window.clamp(2, MAX_WINDOW),
            input: vec![0; 2 * READ_SIZE],
            taken: 0,
            filled: 0,
            output: Vec::new(),
            block: Vec::new(),
        };
        connection.shake_hands()?;
        Ok(connection)
    }

    fn shake_hands(&mut self) -> Result<()> {
        self.stream.write_all(b"venti-04:02-load\n")?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 1024 {
            self.stream.read_exact(&mut byte).context("reading the server's version line")?;
            if byte == *b"\n" {
                break;
            }
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let offered: Vec<&str> = line.split('-').nth(1).unwrap_or_default().split(':').collect();
        let known = [Version::V04, Version::V02];
        let common = known.into_iter().find(|version| offered.contains(&version.token()));
        self.version = common.with_context(|| format!("no common version in {line:?}"))?;
        let hello = Message::Thello {
            tag: Tag(0),
            version: Cow::Borrowed(self.version.token()),
            uid: Cow::Borrowed("load"),
            strength: 0,
            crypto: Cow::Borrowed(&[]),
            codec: Cow::Borrowed(&[]),
        };
        self.exchange(&hello, |reply| matches!(reply, Message::Rhello { .. }))
    }

    /// Waits until everything written is durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.exchange(&Message::Tsync { tag: Tag(1) }, |r| matches!(r, Message::Rsync { .. }))
    }

    fn exchange(
        &mut self,
        request: &Message<'_>,
        expected: impl Fn(&Message<'_>) -> bool,
    ) -> Result<()> {
        self.output.clear();
        request.encode(self.version, &mut self.output)?;
        self.stream.write_all(&self.output)?;
        loop {
            self.receive()?;
            let mut input = &self.input[self.taken..self.filled];
            if let Some(frame) = self.version.next_frame(&mut input)? {
                let reply = Message::decode(frame)?;
                ensure!(expected(&reply), "unexpected reply {reply:?} to {request:?}");
                self.taken = self.filled - input.len();
                return Ok(());
            }
        }
    }

    /// Does `count` requests. `request` gets the position of each, and a buffer to which it
    /// appends the block of a write; `reply` gets the position again with what came back.
    pub(crate) fn run(
        &mut self,
        count: usize,
        mut request: impl FnMut(usize, &mut Vec<u8>) -> Request,
        mut reply: impl FnMut(usize, Reply<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut free: Vec<u8> = (1..=self.window).filter_map(|t| u8::try_from(t).ok()).collect();
        let mut positions = [0; MAX_WINDOW + 1];
        let (mut sent, mut received) = (0, 0);
        while received < count {
            if sent < count && free.len() * 2 >= self.window {
                self.output.clear();
                while sent < count
                    && let Some(tag) = free.pop()
                {
                    positions[usize::from(tag)] = sent;
                    self.block.clear();
                    let request = request(sent, &mut self.block);
                    message(request, Tag(tag), &self.block)
                        .encode(self.version, &mut self.output)?;
                    sent += 1;
                }
                self.stream.write_all(&self.output)?;
            }
            self.receive()?;
            let mut input = &self.input[self.taken..self.filled];
            while let Some(frame) = self.version.next_frame(&mut input)? {
                let (tag, answer) = answer(Message::decode(frame)?, &mut reply, &positions)?;
                answer?;
                free.push(tag.0);
                received += 1;
            }
            self.taken = self.filled - input.len();
        }
        Ok(())
    }

    /// Reads what there is, after what is left over.
    fn receive(&mut self) -> Result<()> {
        self.input.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let length = self.stream.read(&mut self.input[self.filled..])?;
        self.filled += length;
        ensure!(length > 0, "the server closed the connection");
        Ok(())
    }
}

fn message(request: Request, tag: Tag, block: &[u8]) -> Message<'_> {
    let block_type = BlockType::DATA;
    match request {
        Request::Write => Message::Twrite { tag, block_type, data: Cow::Borrowed(block) },
        Request::Read(score) => Message::Tread { tag, score, block_type, count: READ_COUNT },
        Request::Probe(score) => Message::Tread { tag, score, block_type, count: 0 },
    }
}

fn answer(
    message: Message<'_>,
    reply: &mut impl FnMut(usize, Reply<'_>) -> Result<()>,
    positions: &[usize; MAX_WINDOW + 1],
) -> Result<(Tag, Result<()>)> {
    let position = |tag: Tag| positions[usize::from(tag.0)];
    Ok(match message {
        Message::Rwrite { tag, score } => (tag, reply(position(tag), Reply::Score(score))),
        Message::Rread { tag, data } => (tag, reply(position(tag), Reply::Data(&data))),
        Message::Rerror { tag, error } => (tag, reply(position(tag), Reply::Error(&error))),
        other => bail!("unexpected reply {other:?}"),
    })
}
