//! What a client gets that does everything right.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use venti_proto::client::Client;
use venti_proto::{Message, Score, Tag, Version, conformance};
use venti_server::limits::Limits;

use crate::support::{Peer, TestEngine, TestServer, config};

#[test]
fn a_block_goes_there_and_comes_back_in_every_version() {
    for version in Version::ALL {
        let (server, engine) = TestServer::with_limits(Limits::default());
        let mut peer = Peer::hello(server.dial(), version);
        let score = Score::of(b"hello venti\n");
        peer.write(1, b"hello venti\n");
        assert_eq!(peer.receive(), format!("Rwrite tag 1 score {score}"));
        peer.read(2, score, 57344);
        assert_eq!(peer.receive(), "Rread tag 2 count 12 \"hello venti\\n\"");
        peer.sync(3);
        assert_eq!(peer.receive(), "Rsync tag 3");
        assert_eq!(engine.syncs.load(Ordering::SeqCst), 1);
        peer.send(&Message::Tgoodbye { tag: Tag(4) });
        assert_eq!(peer.closed(), 0);
    }
}

#[test]
fn a_probe_is_answered_with_the_two_texts_of_the_original() {
    let (server, _) = TestServer::with_limits(Limits::default());
    let mut peer = server.connect();
    peer.write(1, b"twelve bytes");
    peer.receive();
    peer.read(2, Score::of(b"twelve bytes"), 0);
    assert_eq!(
        peer.receive(),
        "Rerror tag 2 error \"read too small: asked for 0 need at least 12\""
    );
    peer.read(3, Score::of(b"nothing"), 0);
    let text = format!("no block with score {}/0 exists", Score::of(b"nothing"));
    assert_eq!(peer.receive(), format!("Rerror tag 3 error \"{text}\""));
}

#[test]
fn pipelined_requests_reach_the_store_in_batches_and_all_are_answered() {
    let (server, engine) = TestServer::with_limits(Limits::default());
    let mut peer = server.connect();
    let blocks: Vec<Vec<u8>> = (0..=255).map(|n| vec![n; 100 + usize::from(n)]).collect();
    let mut bytes = Vec::new();
    for (tag, block) in (0..=255).zip(&blocks) {
        let block_type = venti_proto::BlockType::DATA;
        let write = Message::Twrite { tag: Tag(tag), block_type, data: block.into() };
        write.encode(Version::V04, &mut bytes).unwrap();
    }
    peer.stream.write_all(&bytes).unwrap();
    let mut answers: Vec<String> = (0..=255).map(|_| peer.receive()).collect();
    let mut expected: Vec<String> = (0..=255)
        .zip(&blocks)
        .map(|(tag, block): (u8, _)| format!("Rwrite tag {tag} score {}", Score::of(block)))
        .collect();
    answers.sort();
    expected.sort();
    assert_eq!(answers, expected);
    assert!(engine.largest_batch.load(Ordering::SeqCst) >= 16);

    let before = engine.batches.load(Ordering::SeqCst);
    bytes.clear();
    for (tag, block) in (0..=255).zip(&blocks) {
        let (score, block_type) = (Score::of(block), venti_proto::BlockType::DATA);
        let read = Message::Tread { tag: Tag(tag), score, block_type, count: 1000 };
        read.encode(Version::V04, &mut bytes).unwrap();
    }
    peer.stream.write_all(&bytes).unwrap();
    for _ in 0..=255 {
        let body = peer.frame().unwrap();
        let tag = usize::from(body[1]);
        assert_eq!(body[2..], blocks[tag], "{tag}");
    }
    assert!(engine.batches.load(Ordering::SeqCst) - before <= 128);
}

#[test]
fn a_sync_that_fails_is_never_acknowledged() {
    let (server, engine) = TestServer::with_limits(Limits::default());
    let mut peer = server.connect();
    engine.fail_syncs.store(true, Ordering::SeqCst);
    peer.write(1, b"block");
    peer.sync(2);
    assert!(peer.receive().starts_with("Rwrite tag 1"));
    let answer = peer.receive();
    assert_eq!(answer, "Rerror tag 2 error \"input/output error: fdatasync: injected\"");
    peer.ping();
    server.handle.advance();
    let ended = server.join();
    assert!(ended.unwrap_err().to_string().starts_with("the last sync failed"));
}

#[test]
fn a_full_disk_is_named_and_reads_go_on() {
    let (server, engine) = TestServer::with_limits(Limits::default());
    let mut peer = server.connect();
    peer.write(1, b"before");
    peer.receive();
    engine.fail_writes.store(true, Ordering::SeqCst);
    peer.write(2, b"after");
    let full = "input/output error: write arena 3: No space left on device";
    assert_eq!(peer.receive(), format!("Rerror tag 2 error \"{full}\""));
    peer.read(3, Score::of(b"before"), 100);
    assert_eq!(peer.receive(), "Rread tag 3 count 6 \"before\"");
    engine.fail_writes.store(false, Ordering::SeqCst);
    peer.write(4, b"after");
    assert!(peer.receive().starts_with("Rwrite tag 4"));
}

#[test]
fn a_unix_socket_is_for_its_owner_and_goes_away_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut config = config(Limits::default());
    config.listen.push(format!("unix:{}", path.display()).parse().unwrap());
    let server = TestServer::start(Arc::new(TestEngine::default()), config);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut local = Peer::hello(UnixStream::connect(&path).unwrap(), Version::V04);
    local.write(1, b"over a file");
    local.receive();
    let mut remote = server.connect();
    remote.read(1, Score::of(b"over a file"), 100);
    assert_eq!(remote.receive(), "Rread tag 1 count 11 \"over a file\"");
    server.handle.advance();
    server.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn status_pages_show_what_was_done() {
    let (server, _) = TestServer::with_limits(Limits::default());
    let mut peer = server.connect();
    peer.write(1, b"counted");
    peer.receive();
    peer.sync(2);
    peer.receive();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(server.http.as_ref().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let metrics = get("/metrics");
    for line in ["venti_writes_total 1", "venti_written_bytes_total 7", "venti_store_blocks 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(get("/healthz"), "ok\n");
    let stats: serde_json::Value = serde_json::from_str(&get("/stats.json")).unwrap();
    assert_eq!(stats["server"]["syncs"], 1);
    assert_eq!(stats["store"]["blocks"], 1);
    assert!(get("/").contains("<td>server.writes<td align=right>1"));
}

#[test]
fn what_was_received_is_finished_before_the_server_ends() {
    let (server, engine) = TestServer::with_limits(Limits::default());
    let mut idle = server.connect();
    let mut busy = server.connect();
    for tag in 0..200 {
        busy.write(tag, &[tag; 1000]);
    }
    busy.sync(200);
    // The first answer says that the server is at work on these.
    assert!(busy.receive().starts_with("Rwrite"));
    server.handle.advance();
    for _ in 1..200 {
        assert!(busy.receive().starts_with("Rwrite"));
    }
    assert_eq!(busy.receive(), "Rsync tag 200");
    assert_eq!(busy.closed(), 0);
    assert_eq!(idle.closed(), 0);
    drop((busy, idle));
    let done = server.join().unwrap();
    assert_eq!((done.writes, done.open_connections), (200, 0));
    assert_eq!(engine.blocks.len(), 200);
}

#[test]
fn a_store_behind_a_connection_behaves_as_every_store() {
    let (server, _) = TestServer::with_limits(Limits::default());
    let address = server.addresses[0].parse().unwrap();
    for (connections, seed) in [(1, 1), (3, 2)] {
        let client = Client::connect_many(&address, connections).unwrap();
        conformance::check(&client, seed).unwrap();
    }
}
