//! A server in this process, a store that can be told to fail, and a client that may do wrong.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arenas::UnverifiedBlock;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use venti_proto::roots::{MemoryRootLog, RootLog};
use venti_proto::{
    BlockBatch, BlockRequest, BlockStore, BlockType, Deliver, HashedBatch, MemoryStore, Message,
    Presence, Score, StoreError, Tag, Version,
};
use venti_server::limits::Limits;
use venti_server::memory::MemoryPlan;
use venti_server::server::{
    Engine, ServeError, Server, ServerConfig, ShutdownHandle, Snapshot, shutdown,
};

/// How long a test waits for what must happen, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Blocks in memory, with syncs that are counted and can be made to fail.
#[derive(Default)]
pub(crate) struct TestEngine {
    pub(crate) blocks: MemoryStore,
    pub(crate) syncs: AtomicU64,
    pub(crate) fail_syncs: AtomicBool,
    pub(crate) fail_writes: AtomicBool,
    pub(crate) batches: AtomicU64,
    pub(crate) largest_batch: AtomicU64,
    /// `None` in a server that keeps no roots.
    pub(crate) roots: Option<MemoryRootLog>,
}

impl BlockStore for TestEngine {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.blocks.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.note_batch(requests.len());
        self.blocks.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.blocks.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.fail_syncs.load(Ordering::SeqCst) {
            return Err(StoreError::Io { detail: "fdatasync: injected".to_owned() });
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl TestEngine {
    fn note_batch(&self, blocks: usize) {
        self.batches.fetch_add(1, Ordering::SeqCst);
        self.largest_batch.fetch_max(blocks as u64, Ordering::SeqCst);
    }
}

impl Engine for TestEngine {
    fn write_unverified(
        &self,
        blocks: &[UnverifiedBlock<'_>],
        results: &mut Vec<Result<Score, StoreError>>,
    ) {
        self.note_batch(blocks.len());
        let full = self.fail_writes.load(Ordering::SeqCst);
        for block in blocks {
            if full {
                let detail = "write arena 3: No space left on device".to_owned();
                results.push(Err(StoreError::Io { detail }));
                continue;
            }
            let mut batch = BlockBatch::default();
            batch.push(block.block_type, block.data);
            let batch = batch.hash();
            results.push(self.blocks.write(&batch).map(|()| batch.scores()[0]));
        }
    }

    fn sizes(&self, requests: &[BlockRequest], sizes: &mut Vec<Result<Option<u32>, StoreError>>) {
        for request in requests {
            let block = self.blocks.read_block(request.score, request.block_type);
            sizes.push(Ok(block.ok().map(|block| u32::try_from(block.len()).unwrap())));
        }
    }

    fn roots(&self) -> Option<&dyn RootLog> {
        self.roots.as_ref().map(|log| log as &dyn RootLog)
    }

    fn stats(&self) -> Value {
        json!({ "blocks": self.blocks.len() })
    }
}

/// A server on a free port of this machine.
pub(crate) struct TestServer {
    pub(crate) addresses: Vec<String>,
    pub(crate) http: Option<String>,
    pub(crate) handle: ShutdownHandle,
    runtime: Runtime,
    running: Option<JoinHandle<Result<Snapshot, ServeError>>>,
}

/// A server as the tests want it, on `127.0.0.1` unless told otherwise.
pub(crate) fn config(limits: Limits) -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        socket_mode: 0o600,
        http: Some("127.0.0.1:0".parse().unwrap()),
        tls: None,
        hosts: None,
        limits,
        memory: MemoryPlan { store: 0, buffers: 16 << 20, held: 16 << 20 },
    }
}

impl TestServer {
    pub(crate) fn start(engine: Arc<dyn Engine>, config: ServerConfig) -> TestServer {
        let runtime = Runtime::new().unwrap();
        let (handle, shutdown) = shutdown();
        let server = runtime.block_on(Server::bind(engine, config, shutdown)).unwrap();
        let addresses = server.addresses().unwrap();
        let http = server.http_address().unwrap();
        let running = Some(runtime.spawn(server.run()));
        TestServer { addresses, http, handle, runtime, running }
    }

    pub(crate) fn with_limits(limits: Limits) -> (TestServer, Arc<TestEngine>) {
        let engine = Arc::new(TestEngine::default());
        (TestServer::start(Arc::clone(&engine) as _, config(limits)), engine)
    }

    /// A connection on which nothing was said.
    pub(crate) fn dial(&self) -> TcpStream {
        let address = self.addresses[0].trim_start_matches("tls:");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection on which hello was said.
    pub(crate) fn connect(&self) -> Peer<TcpStream> {
        Peer::hello(self.dial(), Version::V04)
    }

    /// The numbers of the status page.
    pub(crate) fn snapshot(&self) -> Value {
        let mut stream = TcpStream::connect(self.http.as_ref().unwrap()).unwrap();
        write!(stream, "GET /stats.json HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Waits for the end of a server that was told to end.
    pub(crate) fn join(mut self) -> Result<Snapshot, ServeError> {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running).unwrap()
    }
}

/// A client that sends what it is told, right or wrong.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    version: Version,
}

impl<S: Read + Write> Peer<S> {
    /// Exchanges version lines and the hello.
    pub(crate) fn hello(mut stream: S, version: Version) -> Peer<S> {
        stream.write_all(format!("venti-{version}-test\n").as_bytes()).unwrap();
        let line = read_line(&mut stream).unwrap();
        assert!(line.starts_with("venti-"), "{line}");
        let mut peer = Peer { stream, version };
        peer.send(&Message::Thello {
            tag: Tag(0),
            version: version.token().into(),
            uid: "test".into(),
            strength: 0,
            crypto: (&[][..]).into(),
            codec: (&[][..]).into(),
        });
        assert_eq!(peer.receive(), "Rhello tag 0 sid \"anonymous\" rcrypto 0 rcodec 0");
        peer
    }

    pub(crate) fn send(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(self.version, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next frame, without its length field; an error if the server closed the connection.
    pub(crate) fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = vec![0; self.version.length_size()];
        self.stream.read_exact(&mut length)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// The next message, as text.
    pub(crate) fn receive(&mut self) -> String {
        let body = self.frame().unwrap();
        Message::decode(&body).unwrap().to_string()
    }

    pub(crate) fn write(&mut self, tag: u8, data: &[u8]) {
        let (tag, block_type) = (Tag(tag), BlockType::DATA);
        self.send(&Message::Twrite { tag, block_type, data: data.into() });
    }

    pub(crate) fn read(&mut self, tag: u8, score: Score, count: u32) {
        self.send(&Message::Tread { tag: Tag(tag), score, block_type: BlockType::DATA, count });
    }

    pub(crate) fn sync(&mut self, tag: u8) {
        self.send(&Message::Tsync { tag: Tag(tag) });
    }

    /// Waits for the server to close the connection; what it still sends is counted.
    pub(crate) fn closed(&mut self) -> usize {
        closed(&mut self.stream)
    }

    /// Asks something that any server in order answers.
    pub(crate) fn ping(&mut self) {
        self.send(&Message::Tping { tag: Tag(99) });
        assert_eq!(self.receive(), "Rping tag 99");
    }
}

/// Waits for the other side to close; a reset closes, too. Returns the bytes that came before.
pub(crate) fn closed(stream: &mut impl Read) -> usize {
    let (mut buffer, mut bytes) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(length) => bytes += length,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
    }
}

pub(crate) fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
