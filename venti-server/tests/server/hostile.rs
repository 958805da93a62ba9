//! Clients that break the protocol, stop in the middle, or do not listen: each costs itself
//! only.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use venti_proto::{BlockType, MAX_BLOCK_SIZE, Message, Score, Tag, Version};
use venti_server::limits::Limits;
use venti_server::memory::MemoryPlan;
use venti_server::server::Engine;

use crate::support::{Peer, TestEngine, TestServer, closed, config, read_line};

const SHORT: Duration = Duration::from_millis(50);

/// One of the three times short, the others so long that a test would not end.
fn only(change: impl FnOnce(&mut Limits)) -> Limits {
    let long = Duration::from_secs(3600);
    let mut limits = Limits {
        hello_timeout: long,
        frame_timeout: long,
        idle_timeout: long,
        ..Limits::default()
    };
    change(&mut limits);
    limits
}

#[test]
fn a_client_without_a_hello_is_closed() {
    let (server, _) = TestServer::with_limits(only(|limits| limits.hello_timeout = SHORT));
    let mut silent = server.dial();
    let mut version_only = server.dial();
    version_only.write_all(b"venti-04-test\n").unwrap();
    let mut half = server.dial();
    half.write_all(b"venti-0").unwrap();
    for stream in [&mut silent, &mut version_only, &mut half] {
        closed(stream);
    }
}

#[test]
fn bytes_that_are_no_hello_close_the_connection_at_once() {
    let (server, _) = TestServer::with_limits(only(|_| {}));
    let ping = [0, 0, 0, 2, 2, 1];
    let starts: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"venti-01-old\n",
        b"\n",
        &[0xff; 64],
        &[b"venti-04-x\n", &ping[..]].concat(),
        &[b"venti-04-x\n", &[0, 0, 0, 0][..]].concat(),
    ];
    for start in starts {
        let mut stream = server.dial();
        stream.write_all(start).unwrap();
        assert!(closed(&mut stream) <= "venti-x1:04:02-venti\n".len(), "only the version line");
    }
    server.connect().ping();
}

#[test]
fn a_message_that_never_ends_is_not_waited_for() {
    let (server, _) = TestServer::with_limits(only(|limits| limits.frame_timeout = SHORT));
    let mut in_length = server.connect();
    in_length.stream.write_all(&[0, 0]).unwrap();
    let mut in_body = server.connect();
    in_body.stream.write_all(&[0, 0, 0, 40, 14, 1, 13, 0]).unwrap();
    in_length.closed();
    in_body.closed();
    // Another client may stay silent.
    server.connect().ping();
}

#[test]
fn a_client_that_trickles_a_message_is_closed() {
    let (server, _) = TestServer::with_limits(only(|limits| {
        limits.frame_timeout = Duration::from_millis(200);
    }));
    let mut slow = server.connect();
    let mut bytes = Vec::new();
    let (tag, block_type) = (Tag(1), BlockType::DATA);
    let data = vec![7; 50_000];
    let write = Message::Twrite { tag, block_type, data: (&data[..]).into() };
    write.encode(Version::V04, &mut bytes).unwrap();
    // A byte now and then, for ever: each alone is within every limit.
    let refused = bytes.iter().any(|byte| {
        std::thread::sleep(Duration::from_millis(5));
        slow.stream.write_all(&[*byte]).is_err()
    });
    assert!(refused, "the server took all of it");
}

#[test]
fn an_idle_client_is_closed_and_a_busy_one_is_not() {
    let (server, _) = TestServer::with_limits(only(|limits| limits.idle_timeout = SHORT));
    let mut idle = server.connect();
    idle.ping();
    idle.closed();
}

#[test]
fn a_frame_longer_than_any_message_closes_the_connection() {
    let (server, _) = TestServer::with_limits(only(|_| {}));
    for length in [0x0001_0000_u32, 0x7fff_ffff, 0xffff_ffff] {
        let mut peer = server.connect();
        peer.stream.write_all(&length.to_be_bytes()).unwrap();
        peer.stream.write_all(&[14, 5]).unwrap();
        peer.closed();
    }
    server.connect().ping();
}

#[test]
fn requests_that_can_not_be_understood_are_answered_or_close_only_their_connection() {
    let (server, _) = TestServer::with_limits(only(|_| {}));
    // Frames of 0 and 1 byte name no tag, so nobody can be answered.
    for frame in [&[0, 0, 0, 0][..], &[0, 0, 0, 1, 12]] {
        let mut peer = server.connect();
        peer.stream.write_all(frame).unwrap();
        assert_eq!(peer.closed(), 0);
    }
    // Type 200, a read that ends inside its score, a second hello: errors, and the server goes on.
    let mut peer = server.connect();
    for (tag, frame) in
        [(1, &[0, 0, 0, 2, 200, 1][..]), (2, &[0, 0, 0, 4, 12, 2, 1, 1]), (3, &[0, 0, 0, 2, 4, 3])]
    {
        peer.stream.write_all(frame).unwrap();
        assert!(peer.receive().starts_with(&format!("Rerror tag {tag} ")));
    }
    let (tag, block_type) = (Tag(4), BlockType::DATA);
    let data = vec![0; MAX_BLOCK_SIZE + 1];
    peer.send(&Message::Twrite { tag, block_type, data: data.into() });
    assert_eq!(peer.receive(), "Rerror tag 4 error \"lump too large\"");
    peer.ping();
}

#[test]
fn a_tag_in_use_ends_the_connection_after_what_was_asked_is_answered() {
    let (server, _) = TestServer::with_limits(only(|_| {}));
    let mut peer = server.connect();
    let mut bytes = Vec::new();
    for _ in 0..2 {
        let (tag, block_type) = (Tag(7), BlockType::DATA);
        let write = Message::Twrite { tag, block_type, data: (&b"same tag"[..]).into() };
        write.encode(Version::V04, &mut bytes).unwrap();
    }
    peer.stream.write_all(&bytes).unwrap();
    let mut answers = vec![peer.receive(), peer.receive()];
    answers.sort();
    assert!(answers[0].starts_with("Rerror tag 7 error \"tag 7 is in use"), "{answers:?}");
    assert!(answers[1].starts_with("Rwrite tag 7"), "{answers:?}");
    peer.closed();
}

#[test]
fn a_client_that_vanishes_inside_a_message_leaves_nothing_behind() {
    let (server, engine) = TestServer::with_limits(only(|_| {}));
    for length in [1, 3, 5, 9, 500] {
        let mut peer = server.connect();
        let mut bytes = Vec::new();
        let (tag, block_type) = (Tag(1), BlockType::DATA);
        let write = Message::Twrite { tag, block_type, data: vec![9; 1000].into() };
        write.encode(Version::V04, &mut bytes).unwrap();
        peer.stream.write_all(&bytes[..length]).unwrap();
        drop(peer);
    }
    server.connect().ping();
    server.handle.advance();
    server.join().unwrap();
    assert!(engine.blocks.is_empty());
}

#[test]
fn more_connections_than_allowed_are_closed_and_a_free_slot_is_used_again() {
    let (server, _) = TestServer::with_limits(only(|limits| limits.max_connections = 2));
    let mut one = server.connect();
    let mut two = server.connect();
    let mut three = server.dial();
    closed(&mut three);
    two.send(&Message::Tgoodbye { tag: Tag(1) });
    two.closed();
    drop(two);
    // The slot is free once the server has seen the end of the connection: until then it refuses.
    let again = std::iter::repeat_with(|| {
        let mut stream = server.dial();
        stream.write_all(b"venti-04-test\n").ok()?;
        read_line(&mut stream).ok()
    });
    assert!(again.take(10_000).flatten().next().is_some());
    one.ping();
}

/// Asks for as much as it may, again and again, and reads nothing until the server has stopped.
#[test]
fn a_client_that_does_not_read_stops_itself_and_nobody_else() {
    let mut limits = only(|_| {});
    limits.max_reply_bytes = "64k".parse().unwrap();
    let engine = Arc::new(TestEngine::default());
    let mut config = config(limits);
    // Two pairs of buffers: if the slow readers kept theirs, nobody else would be served.
    config.memory = MemoryPlan { store: 0, buffers: 0, held: 64 << 20 };
    let server = TestServer::start(Arc::clone(&engine) as Arc<dyn Engine>, config);
    let block = vec![1; MAX_BLOCK_SIZE];
    let score = Score::of(&block);
    let mut writer = server.connect();
    writer.write(1, &block);
    writer.receive();
    let mut slow: Vec<Peer<_>> = (0..4).map(|_| server.connect()).collect();
    for peer in &mut slow {
        // 256 times 56 KiB are more than the buffers of both sockets take.
        for tag in 0..=255 {
            peer.read(tag, score, 57344);
        }
    }
    for round in 0..50 {
        writer.read(round, score, 57344);
        assert_eq!(writer.frame().unwrap().len(), MAX_BLOCK_SIZE + 2);
    }
    // Nothing is lost for those who read late.
    for peer in &mut slow {
        let mut tags: Vec<u8> = (0..=255).map(|_| peer.frame().unwrap()[1]).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..=255).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_never_takes_its_replies_is_closed() {
    let (server, _) = TestServer::with_limits(only(|limits| limits.frame_timeout = SHORT));
    let block = vec![1; MAX_BLOCK_SIZE];
    let mut peer = server.connect();
    peer.write(1, &block);
    peer.receive();
    for tag in 0..=255 {
        peer.read(tag, Score::of(&block), 57344);
    }
    // The server gives up: its counter says so while this client has not read anything.
    let broken = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        server.snapshot()["server"]["broken_connections"].as_u64()
    });
    assert!(broken.take(1000).flatten().any(|broken| broken == 1));
    assert!(peer.closed() < 256 * MAX_BLOCK_SIZE);
}

#[test]
fn what_waiting_connections_may_hold_together_is_limited() {
    let mut config = config(only(|_| {}));
    config.memory.held = 100_000;
    let server = TestServer::start(Arc::new(TestEngine::default()), config);
    let mut bytes = Vec::new();
    let (tag, block_type) = (Tag(1), BlockType::DATA);
    let write = Message::Twrite { tag, block_type, data: vec![9; 50_000].into() };
    write.encode(Version::V04, &mut bytes).unwrap();
    let mut peers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.stream.write_all(&bytes[..40_000]).unwrap();
    }
    // Two of them are over what is allowed; the others go on when they send the rest.
    let broken = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(5));
        server.snapshot()["server"]["broken_connections"].as_u64()
    });
    assert!(broken.take(10_000).flatten().any(|broken| broken == 2));
    let served = peers.into_iter().filter_map(|mut peer| {
        peer.stream.write_all(&bytes[40_000..]).ok()?;
        peer.frame().ok()
    });
    assert_eq!(served.count(), 2);
}

#[test]
fn a_thousand_idle_and_two_hundred_busy_clients_are_served_at_once() {
    let (server, engine) = TestServer::with_limits(only(|limits| limits.max_connections = 1300));
    let mut idle: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    let busy: Vec<_> = (0..200).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for (number, mut peer) in busy.into_iter().enumerate() {
            scope.spawn(move || {
                for tag in 0..50 {
                    peer.write(tag, format!("client {number} block {tag}").as_bytes());
                }
                peer.sync(50);
                for _ in 0..50 {
                    assert!(peer.receive().starts_with("Rwrite"));
                }
                assert_eq!(peer.receive(), "Rsync tag 50");
            });
        }
    });
    assert_eq!(engine.blocks.len(), 200 * 50);
    assert_eq!(server.snapshot()["held_bytes"], 0);
    for peer in &mut idle {
        peer.ping();
    }
    // One sync of the store answers all that wait for it.
    assert!((1..=200).contains(&engine.syncs.load(Ordering::SeqCst)));
}
