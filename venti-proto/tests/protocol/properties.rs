//! What holds for every message and for any bytes.

use std::borrow::Cow;

use proptest::prelude::*;
use venti_proto::roots::RootWatch;
use venti_proto::session::{ClientHandshake, ReplyReader};
use venti_proto::{BlockType, Message, Score, Tag, Version};

use crate::support::TestServer;

fn data() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[ -~\\n\\t]{0,40}".prop_map(String::into_bytes),
        (any::<u8>(), 0..60_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
    .prop_map(Cow::Owned)
}

fn short_data() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop::collection::vec(any::<u8>(), 0..256).prop_map(Cow::Owned)
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof!["[^\0]{0,200}", "[\\\\\"' \\n{}u0]{0,20}"].prop_map(Cow::Owned)
}

fn score() -> impl Strategy<Value = Score> {
    any::<[u8; Score::SIZE]>().prop_map(Score::from_bytes)
}

fn block_type() -> impl Strategy<Value = BlockType> {
    any::<u8>().prop_map(BlockType::from_wire_or_unknown)
}

fn message() -> impl Strategy<Value = Message<'static>> {
    let tag = || any::<u8>().prop_map(Tag);
    prop_oneof![
        (tag(), text()).prop_map(|(tag, error)| Message::Rerror { tag, error }),
        tag().prop_map(|tag| Message::Tping { tag }),
        tag().prop_map(|tag| Message::Rping { tag }),
        (tag(), text(), text(), any::<u8>(), short_data(), short_data()).prop_map(
            |(tag, version, uid, strength, crypto, codec)| Message::Thello {
                tag,
                version,
                uid,
                strength,
                crypto,
                codec
            }
        ),
        (tag(), text(), any::<u8>(), any::<u8>())
            .prop_map(|(tag, sid, crypto, codec)| Message::Rhello { tag, sid, crypto, codec }),
        tag().prop_map(|tag| Message::Tgoodbye { tag }),
        (tag(), score(), block_type(), prop_oneof![any::<u32>(), any::<u16>().prop_map(u32::from)])
            .prop_map(|(tag, score, block_type, count)| Message::Tread {
                tag,
                score,
                block_type,
                count
            }),
        (tag(), data()).prop_map(|(tag, data)| Message::Rread { tag, data }),
        (tag(), block_type(), data()).prop_map(|(tag, block_type, data)| Message::Twrite {
            tag,
            block_type,
            data
        }),
        (tag(), score()).prop_map(|(tag, score)| Message::Rwrite { tag, score }),
        tag().prop_map(|tag| Message::Tsync { tag }),
        tag().prop_map(|tag| Message::Rsync { tag }),
        (tag(), data()).prop_map(|(tag, data)| Message::TrecordRoot { tag, data }),
        (tag(), data()).prop_map(|(tag, data)| Message::RrecordRoot { tag, data }),
        (tag(), data()).prop_map(|(tag, data)| Message::TlistRoots { tag, data }),
        (tag(), data()).prop_map(|(tag, data)| Message::RlistRoots { tag, data }),
        (tag(), any::<u64>(), any::<u32>()).prop_map(|(tag, known, milliseconds)| {
            Message::TwatchRoots { tag, watch: RootWatch { known, milliseconds } }
        }),
        (tag(), any::<u64>()).prop_map(|(tag, next)| Message::RwatchRoots { tag, next }),
        tag().prop_map(|tag| Message::Tstats { tag }),
        (tag(), data()).prop_map(|(tag, data)| Message::Rstats { tag, data }),
        (tag(), data()).prop_map(|(tag, data)| Message::Tplaces { tag, data }),
        (tag(), data()).prop_map(|(tag, data)| Message::Rplaces { tag, data }),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

/// The start of a conversation that the server accepts, so that what follows reaches a session.
fn hello(version: Version) -> Vec<u8> {
    let mut bytes = format!("venti-{version}-test\n").into_bytes();
    let empty = Cow::Borrowed(&[][..]);
    let hello = Message::Thello {
        tag: Tag(0),
        version: version.token().into(),
        uid: "test".into(),
        strength: 0,
        crypto: empty.clone(),
        codec: empty,
    };
    hello.encode(version, &mut bytes).unwrap();
    bytes
}

/// Everything that a server sends for `bytes`, which come in these pieces.
fn served(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, String) {
    let mut server = TestServer::new();
    let (mut output, mut rest) = (server.receive(b""), bytes);
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        output.extend(if server.closed().is_none() { server.receive(piece) } else { Vec::new() });
        rest = after;
    }
    output.extend(if server.closed().is_none() { server.receive(rest) } else { Vec::new() });
    (output, format!("{:?}", server.closed()))
}

proptest! {
    #[test]
    fn a_message_is_decoded_as_it_was_encoded(message in message(), version in version()) {
        let mut bytes = vec![];
        message.encode(version, &mut bytes).unwrap();
        let mut input = &bytes[..];
        let body = version.next_frame(&mut input).unwrap().unwrap();
        prop_assert_eq!(input, b"");
        prop_assert_eq!(Message::decode(body).unwrap(), message);
    }

    #[test]
    fn a_message_is_parsed_as_it_was_printed(message in message()) {
        let line = message.to_string();
        prop_assert!(!line.contains('\n'), "one line: {}", line);
        prop_assert_eq!(line.parse::<Message>().unwrap(), message);
    }

    #[test]
    fn a_message_with_a_byte_more_or_less_is_another_or_none(message in message()) {
        let mut bytes = vec![];
        message.encode(Version::V04, &mut bytes).unwrap();
        let body = &bytes[4..];
        prop_assert_ne!(Message::decode(&body[..body.len() - 1]), Ok(message.clone()));
        let longer = [body, &[0]].concat();
        prop_assert_ne!(Message::decode(&longer), Ok(message));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(message) = Message::decode(&bytes) {
            let mut again = vec![];
            if message.encode(Version::V04, &mut again).is_ok() {
                prop_assert_eq!(Message::decode(&again[4..]).unwrap(), message);
            }
        }
        let _ = String::from_utf8_lossy(&bytes).parse::<Message>();
    }

    #[test]
    fn any_text_is_parsed_or_refused(
        text in "(Rerror|Thello|Rread|Tread) tag [0-9] [a-z]{0,6} [\"\\\\u{}x*:0-9a-f ]{0,30}"
    ) {
        let _ = text.parse::<Message>();
    }

    #[test]
    fn a_server_answers_the_same_however_the_bytes_are_cut(
        version in version(),
        messages in prop::collection::vec(message(), 0..8),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        cuts in prop::collection::vec(0..80_usize, 0..20),
    ) {
        let mut bytes = hello(version);
        for message in &messages {
            message.encode(version, &mut bytes).unwrap();
        }
        bytes.extend(garbage);
        let whole = served(&bytes, &[]);
        prop_assert_eq!(&served(&bytes, &cuts), &whole);
        if bytes.len() < 4000 {
            prop_assert_eq!(served(&bytes, &vec![1; bytes.len()]), whole);
        }
    }

    #[test]
    fn a_server_survives_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        greeted in any::<bool>(),
    ) {
        let start = if greeted { hello(Version::V02) } else { b"venti-0".to_vec() };
        served(&[start, bytes].concat(), &[]);
    }

    #[test]
    fn a_client_survives_any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in version(),
    ) {
        let mut output = vec![];
        let mut handshake = ClientHandshake::new("test", &Version::ALL, &mut output);
        let start = format!("venti-{version}-test\n").into_bytes();
        let all = [start, bytes.clone()].concat();
        let _ = handshake.receive(&mut &all[..], &mut output);
        let mut input = &bytes[..];
        while let Ok(Some(_)) = ReplyReader::new(version).next_reply(&mut input) {}
    }
}
