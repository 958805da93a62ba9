//! A client takes any bytes from a server without a panic, and ends no request that it has not
//! begun.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::Version;
use venti_proto::session::{ClientHandshake, ReplyReader, RequestKind, TagTable};

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, asked], rest)) = data.split_first_chunk() else { return };
    let mut output = Vec::new();
    let mut handshake = ClientHandshake::new("fuzz", &Version::ALL, &mut output);
    let greeting = [&b"venti-04:02-fuzz\n"[..], rest].concat();
    let mut input = if choice & 1 == 0 { rest } else { &greeting };
    let _ = handshake.receive(&mut input, &mut output);

    let version = Version::ALL[usize::from(choice >> 1) % Version::ALL.len()];
    let (reader, mut tags) = (ReplyReader::new(version), TagTable::default());
    let kinds = [
        RequestKind::Read,
        RequestKind::Write,
        RequestKind::Sync,
        RequestKind::Ping,
        RequestKind::Stats,
    ];
    for number in 0..asked {
        let kind = kinds[usize::from(number) % kinds.len()];
        tags.begin(kind, number).expect("fewer than 256");
    }
    let mut under_way = usize::from(asked);
    let mut input = rest;
    while let Ok(Some((tag, answer))) = reader.next_reply(&mut input) {
        under_way -= usize::from(tags.finish(tag, &answer).is_ok());
        assert_eq!(tags.under_way(), under_way);
    }
    assert_eq!(tags.drain().count(), under_way);
    assert_eq!(tags.under_way(), 0);
});
