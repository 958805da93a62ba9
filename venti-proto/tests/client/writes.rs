//! Writes that the server refuses, and who is told when.

use venti_proto::{BlockStore as _, BlockType, Message, Score, StoreError};

use crate::support::{Fake, blocks, fake, one_block};

/// Answers writes with their scores and syncs, but those of `bad` with an error.
fn refuse(server: &mut Fake, bad: &[u8], text: &'static str) {
    loop {
        let reply = match server.next() {
            Message::Twrite { tag, data, .. } if *data == *bad => {
                Message::Rerror { tag, error: text.into() }
            }
            Message::Twrite { tag, data, .. } => Message::Rwrite { tag, score: Score::of(&data) },
            Message::Tsync { tag } => Message::Rsync { tag },
            Message::Tgoodbye { .. } => return,
            other => panic!("{other}"),
        };
        server.send(&reply);
    }
}

#[test]
fn a_refused_write_fails_the_next_sync_and_no_other() {
    let client = fake(|server| refuse(server, b"bad", "score collision 1234"));
    let batch = blocks([(BlockType::DATA, &b"good"[..]), (BlockType::DATA, b"bad")]);
    client.write(&batch).unwrap();
    let collision = StoreError::Collision { score: Score::of(b"bad") };
    assert_eq!(client.sync(), Err(collision));
    client.sync().unwrap();
    client.write(&one_block(BlockType::DATA, b"other")).unwrap();
    client.sync().unwrap();
}

#[test]
fn what_the_server_says_of_a_write_is_understood() {
    let score = Score::of(b"bad");
    let cases = [
        ("lump too large", StoreError::TooLarge { size: 3, limit: 57344 }),
        ("read only", StoreError::ReadOnly { detail: "read only".to_owned() }),
        ("input/output error: disk full", StoreError::Io { detail: "disk full".to_owned() }),
        ("score collision", StoreError::Collision { score }),
        ("no more beer", StoreError::Refused { message: "no more beer".to_owned() }),
    ];
    for (text, error) in cases {
        let client = fake(move |server| refuse(server, b"bad", text));
        client.write(&one_block(BlockType::DATA, b"bad")).unwrap();
        assert_eq!(client.sync(), Err(error));
    }
}

#[test]
fn a_server_that_acknowledges_another_block_is_not_believed() {
    let client = fake(|server| {
        let Message::Twrite { tag, .. } = server.next() else { panic!("no write") };
        server.send(&Message::Rwrite { tag, score: Score::of(b"another") });
        server.wait_for_end();
    });
    client.write(&one_block(BlockType::DATA, b"mine")).unwrap();
    let error = client.sync().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_refused_sync_is_no_success() {
    let client = fake(|server| {
        let Message::Tsync { tag } = server.next() else { panic!("no sync") };
        server.send(&Message::Rerror { tag, error: "read only: a disk failed".into() });
        server.wait_for_end();
    });
    let detail = "a disk failed".to_owned();
    assert_eq!(client.sync(), Err(StoreError::ReadOnly { detail }));
}

#[test]
fn sync_waits_for_writes_and_is_sent_after_them() {
    let client = fake(|server| {
        let Message::Twrite { tag: first, data: one, .. } = server.next() else { panic!() };
        let Message::Twrite { tag: second, data: two, .. } = server.next() else { panic!() };
        // In another order than asked.
        server.send(&Message::Rwrite { tag: second, score: Score::of(&two) });
        server.stream.set_nonblocking(true).unwrap();
        let mut byte = [0];
        let early = std::io::Read::read(&mut server.stream, &mut byte);
        assert!(early.is_err(), "no sync before every write was answered");
        server.stream.set_nonblocking(false).unwrap();
        server.send(&Message::Rwrite { tag: first, score: Score::of(&one) });
        let Message::Tsync { tag } = server.next() else { panic!("no sync") };
        server.send(&Message::Rsync { tag });
        server.wait_for_end();
    });
    client.write(&blocks([(BlockType::DATA, &b"1"[..]), (BlockType::DATA, b"2")])).unwrap();
    client.sync().unwrap();
}
