//! Servers in a thread, at the other end of a pair of sockets.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use venti_proto::client::{Client, ClientOptions};
use venti_proto::roots::RootLogError;
use venti_proto::session::{Request, Responder, ServerHandshake, SessionError};
use venti_proto::{BlockBatch, BlockRequest, BlockStore, BlockType, HashedBatch, MemoryStore};
use venti_proto::{Message, Score, Tag, Version};

/// Serves `store` as a server should, until the client leaves.
pub(crate) fn serve(mut stream: impl std::io::Read + std::io::Write, store: &dyn BlockStore) {
    let (mut input, mut output, mut piece) = (Vec::new(), Vec::new(), vec![0; 1 << 16]);
    let mut handshake = ServerHandshake::new(&Version::ALL, &mut output);
    let mut session = None;
    loop {
        let mut rest = &input[..];
        let ended = match &mut session {
            None => match handshake.receive(&mut rest, &mut output) {
                Ok(started) => {
                    session = started;
                    session.is_some().then_some(Ok(()))
                }
                Err(error) => Some(Err(error)),
            },
            Some(session) => match session.next_request(&mut rest, &mut output) {
                Ok(None) => None,
                Ok(Some(request)) => {
                    if request == Request::Goodbye {
                        return;
                    }
                    execute(&request, store, &session.responder(), &mut output);
                    Some(Ok(()))
                }
                Err(error) => Some(Err(error)),
            },
        };
        let used = input.len() - rest.len();
        input.drain(..used);
        if let Some(Err::<(), SessionError>(_)) = ended {
            return;
        }
        if ended.is_none() {
            if stream.write_all(&output).is_err() {
                return;
            }
            output.clear();
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => input.extend_from_slice(&piece[..read]),
            }
        }
    }
}

fn execute(
    request: &Request<'_>,
    store: &dyn BlockStore,
    responder: &Responder,
    output: &mut Vec<u8>,
) {
    match *request {
        Request::Read { tag, block, count } => {
            match store.read_block(block.score, block.block_type) {
                Ok(data) => responder.read(tag, count, &data, output),
                Err(error) => responder.error(tag, &error, output),
            }
        }
        Request::Write { tag, block_type, data } => {
            let batch = one_block(block_type, data);
            match store.write(&batch) {
                Ok(()) => responder.write(tag, batch.scores()[0], output),
                Err(error) => responder.error(tag, &error, output),
            }
        }
        Request::Sync { tag } => match store.sync() {
            Ok(()) => responder.sync(tag, output),
            Err(error) => responder.error(tag, &error, output),
        },
        Request::Roots { tag, .. } => responder.roots(tag, Err(RootLogError::Unsupported), output),
        Request::Stats { tag } => responder.stats(tag, b"{}", output),
        Request::Places { tag, ref blocks } => {
            responder.places(tag, store.places(blocks).as_deref(), output);
        }
        Request::Goodbye => {}
    }
}

/// A client of a good server with an empty store.
pub(crate) fn good(options: &ClientOptions) -> (Client, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let served = Arc::clone(&store);
    thread::spawn(move || serve(theirs, &*served));
    (Client::over(Box::new(ours), "test", options).expect("a good server"), store)
}

/// A server that does what a test tells it to.
pub(crate) struct Fake {
    pub(crate) stream: UnixStream,
    pub(crate) version: Version,
}

impl Fake {
    /// Says what a server says until the session exists.
    pub(crate) fn greet(&mut self) {
        self.raw(format!("venti-{}-fake\n", self.version).as_bytes());
        let mut line = [0];
        while line != *b"\n" {
            self.stream.read_exact(&mut line).expect("a version line");
        }
        let hello = self.next();
        assert!(matches!(hello, Message::Thello { tag: Tag(0), .. }), "{hello}");
        self.send(&Message::Rhello { tag: Tag(0), sid: "fake".into(), crypto: 0, codec: 0 });
    }

    /// The next request; the end of the thread if there is none.
    pub(crate) fn next(&mut self) -> Message<'static> {
        let mut length = vec![0; self.version.length_size()];
        self.stream.read_exact(&mut length).expect("a length");
        let size = length.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body).expect("a body");
        let message = Message::decode(&body).expect("a message");
        message.to_string().parse().expect("printed and parsed")
    }

    pub(crate) fn send(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(self.version, &mut bytes).expect("a message that can be sent");
        self.raw(&bytes);
    }

    /// The client may be gone already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Waits until the client gives up.
    pub(crate) fn wait_for_end(&mut self) {
        let mut piece = [0; 4096];
        while matches!(self.stream.read(&mut piece), Ok(read) if read > 0) {}
    }
}

/// Options with which a test need not wait for a server that falls silent.
pub(crate) fn impatient() -> ClientOptions {
    ClientOptions { progress_timeout: Duration::from_millis(200), ..ClientOptions::default() }
}

/// A client of a server that greets and then does as `script` says. The client waits long, so
/// that a test which passes has not waited at all.
pub(crate) fn fake(script: impl FnOnce(&mut Fake) + Send + 'static) -> Client {
    fake_with(&ClientOptions::default(), script)
}

pub(crate) fn fake_with(
    options: &ClientOptions,
    script: impl FnOnce(&mut Fake) + Send + 'static,
) -> Client {
    let (ours, stream) = UnixStream::pair().expect("a pair of sockets");
    thread::spawn(move || {
        let mut fake = Fake { stream, version: Version::V04 };
        fake.greet();
        script(&mut fake);
    });
    Client::over(Box::new(ours), "fake", options).expect("a greeting")
}

pub(crate) fn one_block(block_type: BlockType, data: &[u8]) -> HashedBatch {
    blocks([(block_type, data)])
}

pub(crate) fn blocks<'a>(blocks: impl IntoIterator<Item = (BlockType, &'a [u8])>) -> HashedBatch {
    let mut batch = BlockBatch::default();
    for (block_type, data) in blocks {
        batch.push(block_type, data);
    }
    batch.hash()
}

pub(crate) fn request(data: &[u8]) -> BlockRequest {
    BlockRequest { score: Score::of(data), block_type: BlockType::DATA }
}
