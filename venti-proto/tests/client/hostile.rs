//! Servers that lie, break the protocol, vanish, or never end.

use std::io::Read as _;
use std::time::Duration;

use venti_proto::client::ClientOptions;
use venti_proto::{BlockStore as _, BlockType, Message, Presence, Score, StoreError, Tag};

use crate::support::{Fake, fake, fake_with, impatient, one_block, request};

/// What a read of `wanted` finds when the server answers it with `reply`.
fn read_answered_with(
    reply: impl FnOnce(Tag) -> Message<'static> + Send + 'static,
) -> Result<Vec<u8>, StoreError> {
    let client = fake(|server| {
        let tag = server.next().tag();
        server.send(&reply(tag));
        server.wait_for_end();
    });
    let wanted = request(b"wanted");
    client.read_block(wanted.score, wanted.block_type)
}

fn is_damaged(found: &Result<Vec<u8>, StoreError>, words: &str) -> bool {
    matches!(found, Err(StoreError::Damaged { detail, .. }) if detail.contains(words))
}

fn is_lost(found: &Result<Vec<u8>, StoreError>, words: &str) -> bool {
    matches!(found, Err(StoreError::Connection { detail }) if detail.contains(words))
}

#[test]
fn the_right_block_is_delivered() {
    let found = read_answered_with(|tag| Message::Rread { tag, data: b"wanted"[..].into() });
    assert_eq!(found, Ok(b"wanted".to_vec()));
}

#[test]
fn wrong_bytes_are_not_delivered() {
    let found = read_answered_with(|tag| Message::Rread { tag, data: b"wantex"[..].into() });
    assert!(is_damaged(&found, "6 bytes with score"), "{found:?}");
}

#[test]
fn a_short_block_is_not_delivered() {
    for short in [&b"wante"[..], b""] {
        let found = read_answered_with(move |tag| Message::Rread { tag, data: short.into() });
        assert!(is_damaged(&found, "with score"), "{found:?}");
    }
}

#[test]
fn a_block_larger_than_asked_for_is_not_delivered() {
    let found = read_answered_with(|tag| Message::Rread { tag, data: vec![1; 57345].into() });
    assert!(is_damaged(&found, "at most 57344 were asked for"), "{found:?}");
    let text = "read too small: asked for 57344 need at least 60000";
    let found = read_answered_with(move |tag| Message::Rerror { tag, error: text.into() });
    assert_eq!(found, Err(StoreError::TooLarge { size: 60000, limit: 57344 }));
}

#[test]
fn a_wrong_tag_ends_the_connection() {
    let other = |tag: Tag| Tag(tag.0.wrapping_add(1));
    let found = read_answered_with(move |tag| Message::Rread {
        tag: other(tag),
        data: b"wanted"[..].into(),
    });
    assert!(is_lost(&found, "with which nothing was asked"), "{found:?}");
}

#[test]
fn a_reply_of_another_kind_ends_the_connection() {
    let found = read_answered_with(|tag| Message::Rwrite { tag, score: Score::of(b"wanted") });
    assert!(is_lost(&found, "a reply of kind Rwrite to a Tread"), "{found:?}");
    let found = read_answered_with(|tag| Message::Tping { tag });
    assert!(is_lost(&found, "expected a reply, found Tping"), "{found:?}");
}

#[test]
fn a_server_that_answers_twice_is_not_believed_again() {
    let client = fake(|server| {
        let tag = server.next().tag();
        for _ in 0..2 {
            server.send(&Message::Rread { tag, data: b"wanted"[..].into() });
        }
        server.wait_for_end();
    });
    let wanted = request(b"wanted");
    assert_eq!(client.read_block(wanted.score, wanted.block_type), Ok(b"wanted".to_vec()));
    // The second answer may come before this request or after it.
    let found = client.read_block(Score::of(b"other"), BlockType::DATA);
    assert!(matches!(&found, Err(StoreError::Damaged { .. } | StoreError::Connection { .. })));
}

/// What a read finds when the server answers any request with `bytes` and hangs up.
fn read_answered_with_bytes(bytes: &'static [u8]) -> Result<Vec<u8>, StoreError> {
    let client = fake(move |server| {
        server.next();
        server.raw(bytes);
    });
    client.read_block(Score::of(b"wanted"), BlockType::DATA)
}

#[test]
fn broken_frames_end_the_connection() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "closed"),
        (b"\0\0", "closed"),
        (b"\0\0\0\x08\x0d\0wan", "closed"),
        (b"\0\0\0\0", "at least 2 bytes"),
        (b"\0\0\0\x01\x0d", "at least 2 bytes"),
        (b"\0\0\0\x02\xff\0", "unknown message type 255"),
        (b"\xff\xff\xff\xff", "too large"),
        (b"\0\0\0\x06\x01\0\xff\xffab", "at most 1024"),
    ];
    for (bytes, words) in cases {
        let found = read_answered_with_bytes(bytes);
        assert!(is_lost(&found, words), "{bytes:?}: {found:?}");
    }
}

#[test]
fn endless_data_ends_the_connection() {
    let client = fake(|server| {
        let flood = [b"\0\0\xff\xff\x0d\x07".to_vec(), vec![0; 0xffff - 2]].concat();
        while std::io::Write::write_all(&mut server.stream, &flood).is_ok() {}
    });
    let found = client.read_block(Score::of(b"wanted"), BlockType::DATA);
    assert!(is_lost(&found, "tag 7"), "{found:?}");
}

#[test]
fn a_lost_connection_fails_everything_under_way_and_everything_later() {
    let client = fake(|server| {
        // Some of the requests, and then nothing more.
        for _ in 0..20 {
            server.next();
        }
    });
    let requests: Vec<_> = (0..1000_u32).map(|n| request(&n.to_be_bytes())).collect();
    let mut answers = vec![0; requests.len()];
    client.read(&requests, &mut |position, found| {
        assert!(matches!(found, Err(StoreError::Connection { .. })));
        answers[position] += 1;
    });
    assert_eq!(answers, vec![1; requests.len()]);
    assert!(matches!(client.sync(), Err(StoreError::Connection { .. })));
    assert!(matches!(client.ping(), Err(StoreError::Connection { .. })));
    assert!(matches!(client.probe(&requests), Err(StoreError::Connection { .. })));
    let written = client.write(&one_block(BlockType::DATA, b"later"));
    assert!(matches!(written, Err(StoreError::Connection { .. })));
}

#[test]
fn a_server_that_hangs_up_after_a_write_fails_the_sync() {
    let hang_ups: [fn(&mut Fake); 3] = [
        |_| {},
        |server| drop(server.next()),
        |server| {
            let Message::Twrite { tag, data, .. } = server.next() else { panic!("no write") };
            server.send(&Message::Rwrite { tag, score: Score::of(&data) });
            let Message::Tsync { .. } = server.next() else { panic!("no sync") };
        },
    ];
    for hang_up in hang_ups {
        let client = fake(hang_up);
        // The first write may already find the connection closed.
        let _ = client.write(&one_block(BlockType::DATA, b"data"));
        let synced = client.sync();
        assert!(matches!(synced, Err(StoreError::Connection { .. })), "{synced:?}");
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let client = fake_with(&impatient(), Fake::wait_for_end);
    let found = client.read_block(Score::of(b"wanted"), BlockType::DATA);
    assert!(is_lost(&found, "no answer for 0.2 s"), "{found:?}");
}

#[test]
fn a_server_that_sends_a_reply_byte_by_byte_for_ever_is_given_up() {
    let client = fake_with(&impatient(), |server| {
        server.next();
        server.raw(b"\0\0\xe0\x02\x0d\0");
        while std::io::Write::write_all(&mut server.stream, b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let found = client.read_block(Score::of(b"wanted"), BlockType::DATA);
    assert!(is_lost(&found, "no answer"), "{found:?}");
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let client = fake_with(&impatient(), |server| {
        // Holds the connection open without reading, until the client has ended it.
        while server.stream.peer_addr().is_ok()
            && std::io::Write::write_all(&mut server.stream, b"").is_ok()
            && !is_closed(&server.stream)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let mut failed = false;
    for n in 0..64_u8 {
        let data = vec![n; 57344];
        let batch: Vec<_> = (0..8).map(|_| (BlockType::DATA, &data[..])).collect();
        failed |= client.write(&crate::support::blocks(batch)).is_err();
    }
    assert!(failed, "28 MB did not fit into the socket");
    assert!(matches!(client.sync(), Err(StoreError::Connection { .. })));
}

/// Whether the other side has shut the connection down; takes nothing from it.
fn is_closed(stream: &std::os::unix::net::UnixStream) -> bool {
    let mut copy = stream.try_clone().unwrap();
    copy.set_nonblocking(true).unwrap();
    // One byte is little enough for the client not to get any further.
    let closed = matches!(copy.read(&mut [0]), Ok(0));
    copy.set_nonblocking(false).unwrap();
    closed
}

#[test]
fn a_server_that_is_only_slow_is_waited_for() {
    let options = ClientOptions { progress_timeout: Duration::from_secs(2), ..impatient() };
    let client = fake_with(&options, |server| {
        let Message::Tread { tag: read, .. } = server.next() else { panic!("no read") };
        // Longer than the limit: three halves of it go by before the third ping.
        for _ in 0..3 {
            let ping = server.next();
            assert!(matches!(ping, Message::Tping { .. }), "{ping}");
            server.send(&Message::Rping { tag: ping.tag() });
        }
        server.send(&Message::Rread { tag: read, data: b"wanted"[..].into() });
        let Message::Tsync { tag: sync } = server.next() else { panic!("no sync") };
        // The original answers a ping with an error, and only when it has done what was before.
        let ping = server.next();
        std::thread::sleep(Duration::from_millis(1100));
        server.send(&Message::Rsync { tag: sync });
        server.send(&Message::Rerror { tag: ping.tag(), error: "unknown request".into() });
        server.wait_for_end();
    });
    let wanted = request(b"wanted");
    assert_eq!(client.read_block(wanted.score, wanted.block_type), Ok(b"wanted".to_vec()));
    client.sync().unwrap();
}

#[test]
fn a_server_that_answers_pings_and_nothing_else_is_given_up() {
    let options = ClientOptions { progress_timeout: Duration::from_millis(40), ..impatient() };
    let client = fake_with(&options, |server| {
        server.next();
        loop {
            let ping = server.next();
            server.send(&Message::Rping { tag: ping.tag() });
        }
    });
    let found = client.read_block(Score::of(b"wanted"), BlockType::DATA);
    assert!(is_lost(&found, "no answer"), "{found:?}");
}

#[test]
fn a_connection_that_is_idle_is_kept() {
    let client = fake_with(&impatient(), |server| {
        for _ in 0..2 {
            let Message::Tping { tag } = server.next() else { panic!("no ping") };
            server.send(&Message::Rping { tag });
        }
        server.wait_for_end();
    });
    client.ping().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    client.ping().unwrap();
}

#[test]
fn only_the_text_of_the_original_says_that_a_block_is_there() {
    let client = fake(|server| {
        for n in 0.. {
            let Message::Tread { tag, score, count: 0, .. } = server.next() else { return };
            let text = match n {
                0 => "read too small: asked for 0 need at least 12".to_owned(),
                1 => "read too small 1: asked for 0 need at least 12".to_owned(),
                2 => format!("no block with score {score}/0 exists"),
                _ => {
                    server.send(&Message::Rread { tag, data: b""[..].into() });
                    continue;
                }
            };
            server.send(&Message::Rerror { tag, error: text.into() });
        }
    });
    let requests: Vec<_> = (0..4_u8).map(|n| request(&[n])).collect();
    use Presence::{Absent, Present};
    assert_eq!(client.probe(&requests), Ok(vec![Present, Present, Absent, Absent]));
}

#[test]
fn a_probe_that_fails_says_nothing_of_any_block() {
    let client = fake(|server| {
        for text in ["no block with score x/0 exists", "out of order"] {
            let tag = server.next().tag();
            server.send(&Message::Rerror { tag, error: text.into() });
        }
        server.wait_for_end();
    });
    let refused = StoreError::Refused { message: "out of order".to_owned() };
    assert_eq!(client.probe(&[request(b"1"), request(b"2")]), Err(refused));
}

#[test]
fn a_client_that_is_dropped_leaves_no_thread_behind() {
    let client = fake(|server| {
        server.next();
        server.wait_for_end();
    });
    client.write(&one_block(BlockType::DATA, b"never answered")).unwrap();
    // Returns only when its thread has ended.
    drop(client);
}
