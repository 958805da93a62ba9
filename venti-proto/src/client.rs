//! A blocking client of a Venti server that keeps many requests under way.
//!
//! A write returns when its blocks are in the socket; up to 256 requests wait for their replies
//! on each connection, and a thread a connection takes replies as they come. What the server
//! refuses surfaces on a later call, at the latest on the next sync. Blocks that are read are
//! hashed on the thread that asked for them before anybody sees them: a server is not trusted.
//!
//! With several connections a block goes by its score always over the same one, so that whoever
//! writes a block and then reads it is served in that order. A connection that is lost stays
//! lost: everything under way fails, as does every later call. Nothing hangs: see
//! [`ClientOptions::progress_timeout`].
//!
//! Locks, in this order: `Shared::sending`, `Shared::state`, `Call::inbox`; none is held while a
//! caller's code runs.

mod call;
mod connection;
mod error;
mod greeting;
mod receiver;
mod roots;
mod shared;
mod state;
mod tls;
mod transport;

use std::time::Duration;

use crate::address::Address;
use crate::message::Version;
use crate::places::{MAX_PLACES, decode_answer, encode_question};
use crate::session::{ReadError, RequestKind, store_error_from_text};
use crate::{
    BlockRequest, BlockStore, BlockType, Deliver, HashedBatch, MAX_BLOCK_SIZE, Message, Presence,
    Score, StoreError,
};
use call::{Call, Inbox, Outcome};
use connection::Connection;
use transport::Connector;

pub use error::ConnectError;
pub use tls::{TlsError, TlsFiles};
pub use transport::Transport;

/// How to connect; the defaults suit everybody.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Who to say that one is; servers believe it as little as they should.
    pub user: String,
    /// What to offer, best first.
    pub versions: Vec<Version>,
    /// For each address of the server, and for the hello.
    pub connect_timeout: Duration,
    /// A connection is given up when blocks are under way and nothing is answered, not even a
    /// ping, for so long, or when nothing can be sent for so long. A server that answers pings,
    /// or owes no more than a sync, gets ten times as long.
    pub progress_timeout: Duration,
    /// For servers under TLS.
    pub tls: TlsFiles,
}

impl ClientOptions {
    /// The defaults, with the files for TLS that the environment names.
    #[must_use]
    pub fn from_environment() -> ClientOptions {
        ClientOptions { tls: TlsFiles::from_environment(), ..ClientOptions::default() }
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            user: "anonymous".to_owned(),
            versions: Version::ALL.to_vec(),
            connect_timeout: Duration::from_secs(10),
            progress_timeout: Duration::from_secs(60),
            tls: TlsFiles::default(),
        }
    }
}

/// A server, reached over one or more connections.
#[derive(Debug)]
pub struct Client {
    /// At least one.
    connections: Vec<Connection>,
}

impl Client {
    /// Connects once, as [`ClientOptions::from_environment`] says.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(address: &Address) -> Result<Client, ConnectError> {
        Client::connect_many(address, 1)
    }

    /// Connects `connections` times, at least once: for servers with several cores, and for
    /// links on which 256 requests are not enough to keep them busy.
    ///
    /// # Errors
    /// [`ConnectError`] if any connection fails.
    pub fn connect_many(address: &Address, connections: usize) -> Result<Client, ConnectError> {
        Client::connect_with(address, connections, &ClientOptions::from_environment())
    }

    /// Connects as `options` say.
    ///
    /// # Errors
    /// [`ConnectError`] if any connection fails.
    pub fn connect_with(
        address: &Address,
        connections: usize,
        options: &ClientOptions,
    ) -> Result<Client, ConnectError> {
        let connector = Connector::new(address, options)?;
        let open = |_| Connection::open(connector.connect()?, &address.to_string(), options);
        let connections = (0..connections.max(1)).map(open).collect::<Result<_, _>>()?;
        Ok(Client { connections })
    }

    /// Speaks over a connection that was made elsewhere, as through a tunnel. `name` is for
    /// errors.
    ///
    /// # Errors
    /// [`ConnectError`] if the server does not greet.
    pub fn over(
        transport: Box<dyn Transport>,
        name: &str,
        options: &ClientOptions,
    ) -> Result<Client, ConnectError> {
        Ok(Client { connections: vec![Connection::open(transport, name, options)?] })
    }

    /// The version that was agreed on.
    #[must_use]
    pub fn version(&self) -> Version {
        self.connections.first().map_or(Version::V02, Connection::version)
    }

    /// Asks whether the server is there, on every connection.
    ///
    /// # Errors
    /// `Connection` or `Refused`; a server that does not know the request says so in the latter,
    /// which [`is_unknown_request`](StoreError::is_unknown_request) tells.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.connections.iter().try_for_each(|c| c.ask_alone(RequestKind::Ping))
    }

    /// What the store holds and the server did: a JSON object (docs/protocol.md, "stats").
    ///
    /// # Errors
    /// `Connection` or `Refused`; an old server, or one that is not ours, says in the latter that
    /// it does not know the request.
    pub fn stats(&self) -> Result<Vec<u8>, StoreError> {
        let connection = match self.connections.first() {
            Some(connection) if self.version() == Version::X1 => connection,
            _ => return Err(StoreError::unknown_request()),
        };
        let message = |tag| Message::Tstats { tag };
        match connection.ask_for_answer(RequestKind::Stats, &message)? {
            (Outcome::Refused(text), _) => Err(refused(&text, &NO_BLOCK, 0)),
            (_, json) => Ok(json),
        }
    }

    /// Which connection a block goes over. Scores are uniform, so any byte will do.
    fn lane(&self, score: &Score) -> usize {
        usize::from(score.as_bytes()[Score::SIZE - 1]) % self.connections.len()
    }

    /// Asks for each of `wanted` (positions in `requests`) and hands over what arrives as it
    /// arrives, until every one was answered.
    fn ask(
        &self,
        requests: &[BlockRequest],
        wanted: impl Iterator<Item = usize>,
        count: u32,
        arrived: &mut dyn FnMut(&Inbox),
    ) {
        let mut lanes = vec![Lane::default(); self.connections.len()];
        for position in wanted {
            lanes[self.lane(&requests[position].score)].positions.push(position);
        }
        let (call, mut inbox, mut under_way) = (Call::new(), Inbox::default(), 0);
        while under_way > 0 || lanes.iter().any(Lane::is_unfinished) {
            for (lane, connection) in lanes.iter_mut().zip(&self.connections) {
                let positions = &lane.positions[lane.begun..];
                let message = |position: usize, tag| {
                    let BlockRequest { score, block_type } = requests[position];
                    Message::Tread { tag, score, block_type, count }
                };
                match connection.begin(&call, positions, under_way == 0, &message) {
                    Ok(begun) => (lane.begun, under_way) = (lane.begun + begun, under_way + begun),
                    Err(error) => {
                        lane.begun = lane.positions.len();
                        arrived(&Inbox::all_lost(positions, &error));
                    }
                }
            }
            if under_way > 0 {
                call.take(&mut inbox);
                under_way -= inbox.items.len();
                arrived(&inbox);
            }
        }
    }

    /// The part of a sync that waits for the replies to writes; the first failure counts.
    fn settle_writes(&self) -> Result<(), StoreError> {
        let mut result = Ok(());
        let marks: Vec<_> = self.connections.iter().map(Connection::begin_sync).collect();
        for (connection, mark) in self.connections.iter().zip(marks) {
            let settled = connection.end_sync(mark);
            result = result.and(settled);
        }
        result
    }
}

/// The requests of one call that go over one connection.
#[derive(Clone, Debug, Default)]
struct Lane {
    positions: Vec<usize>,
    /// How many of them have been sent.
    begun: usize,
}

impl Lane {
    fn is_unfinished(&self) -> bool {
        self.begun < self.positions.len()
    }
}

impl BlockStore for Client {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        let mut lanes = vec![Vec::with_capacity(batch.len()); self.connections.len()];
        for block in batch.iter() {
            let (size, limit) = (block.data().len(), MAX_BLOCK_SIZE);
            if size > limit {
                return Err(StoreError::TooLarge { size, limit });
            }
            // The block of no bytes is in every store.
            if size > 0 {
                lanes[self.lane(&block.score())].push(block);
            }
        }
        let mut pairs = self.connections.iter().zip(&lanes);
        pairs.try_for_each(|(connection, blocks)| connection.write(blocks))
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        let is_zero = |position: &usize| requests[*position].score == Score::ZERO;
        (0..requests.len()).filter(is_zero).for_each(|position| deliver(position, Ok(&[])));
        let wanted = (0..requests.len()).filter(|position| !is_zero(position));
        let mut scores = Vec::new();
        self.ask(requests, wanted, LIMIT, &mut |inbox| {
            scores.clear();
            scores.resize(inbox.items.len(), Score::ZERO);
            Score::of_all(inbox.items.iter().map(|item| inbox.data(item)), &mut scores);
            for (item, score) in inbox.items.iter().zip(&scores) {
                let request = &requests[item.position];
                deliver(item.position, verified(inbox.data(item), &item.outcome, *score, request));
            }
        });
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        let mut presence = vec![Presence::Present; requests.len()];
        let mut failure = Ok(());
        let wanted = (0..requests.len()).filter(|p| requests[*p].score != Score::ZERO);
        self.ask(requests, wanted, 0, &mut |inbox| {
            for item in &inbox.items {
                match probed(&item.outcome, &requests[item.position]) {
                    Ok(found) => presence[item.position] = found,
                    Err(error) => failure = Err(error),
                }
            }
        });
        failure.map(|()| presence)
    }

    /// Asked over the first connection; a server that does not know the question is not asked
    /// again by whoever got no answer.
    fn places(&self, requests: &[BlockRequest]) -> Option<Vec<Option<u64>>> {
        let connection = self.connections.first().filter(|c| c.version() == Version::X1)?;
        let mut places = Vec::with_capacity(requests.len());
        for part in requests.chunks(MAX_PLACES) {
            let data = encode_question(part);
            let message = |tag| Message::Tplaces { tag, data: data.clone().into() };
            let answer = connection.ask_for_answer(RequestKind::Places, &message).ok()?;
            let (Outcome::Data(_), answer) = answer else { return None };
            places.extend(decode_answer(&answer, part.len()).ok()?);
        }
        Some(places)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.settle_writes()?;
        let first = self.connections.first();
        first.map_or(Ok(()), |connection| connection.ask_alone(RequestKind::Sync))
    }
}

/// What reads ask for at the most, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "56 KiB")]
const LIMIT: u32 = MAX_BLOCK_SIZE as u32;

/// What the server sent for `request`, if it is that.
fn verified<'a>(
    data: &'a [u8],
    outcome: &Outcome,
    found: Score,
    request: &BlockRequest,
) -> Result<&'a [u8], StoreError> {
    let score = request.score;
    let damaged = |detail| Err(StoreError::Damaged { score, detail });
    match outcome {
        Outcome::Data(_) if data.len() > MAX_BLOCK_SIZE => damaged(format!(
            "the server sent {} bytes where at most {MAX_BLOCK_SIZE} were asked for",
            data.len()
        )),
        Outcome::Data(_) if found != score => {
            damaged(format!("the server sent {} bytes with score {found} instead", data.len()))
        }
        Outcome::Data(_) => Ok(data),
        Outcome::Done | Outcome::Next(_) => damaged("the server sent no data".to_owned()),
        Outcome::Lost(error) => Err(error.clone()),
        Outcome::Refused(text) => Err(match ReadError::from_text(text, request) {
            ReadError::TooSmall { size } => StoreError::TooLarge { size, limit: MAX_BLOCK_SIZE },
            ReadError::Store(error) => error,
        }),
    }
}

/// What the answer to a read with count 0 says.
fn probed(outcome: &Outcome, request: &BlockRequest) -> Result<Presence, StoreError> {
    match outcome {
        // No block but that of no bytes fits into a count of 0, and nobody asked for that one:
        // a server which answers so may not be believed that it has the block.
        Outcome::Data(_) | Outcome::Done | Outcome::Next(_) => Ok(Presence::Absent),
        Outcome::Lost(error) => Err(error.clone()),
        Outcome::Refused(text) => match ReadError::from_text(text, request) {
            ReadError::TooSmall { .. } => Ok(Presence::Present),
            ReadError::Store(StoreError::NotFound { .. }) => Ok(Presence::Absent),
            ReadError::Store(error) => Err(error),
        },
    }
}

/// What requests are about that are about no block.
const NO_BLOCK: BlockRequest = BlockRequest { score: Score::ZERO, block_type: BlockType::DATA };

/// What the refusal of a request means; `size` is that of the block if one was to be written.
fn refused(text: &str, block: &BlockRequest, size: usize) -> StoreError {
    store_error_from_text(text, block, size)
}
