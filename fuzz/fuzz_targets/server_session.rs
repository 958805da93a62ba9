//! A server answers any bytes without a panic, and the same however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::roots::RootLogError;
use venti_proto::session::{Request, ServerHandshake, ServerSession, SessionError};
use venti_proto::{Score, Version};

/// Whether every request is answered at once, or none is: then tags stay in use.
#[derive(Clone, Copy)]
struct Answers(bool);

fn serve(
    session: &mut ServerSession,
    input: &mut &[u8],
    Answers(answers): Answers,
    output: &mut Vec<u8>,
) -> Result<bool, SessionError> {
    let responder = session.responder();
    while let Some(request) = session.next_request(input, output)? {
        match request {
            Request::Goodbye => return Ok(true),
            _ if !answers => {}
            Request::Read { tag, count, .. } => responder.read(tag, count, b"data", output),
            Request::Write { tag, data, .. } => responder.write(tag, Score::of(data), output),
            Request::Sync { tag } => responder.sync(tag, output),
            Request::Stats { tag } => responder.stats(tag, b"{}", output),
            Request::Places { tag, blocks } => {
                responder.places(tag, Some(&vec![Some(7); blocks.len()]), output);
            }
            Request::Roots { tag, .. } => {
                responder.roots(tag, Err(RootLogError::Unsupported), output);
            }
        }
    }
    Ok(false)
}

/// Everything that a server sends, and how it ends.
fn conversation(bytes: &[u8], piece: usize, answers: Answers) -> (Vec<u8>, String) {
    let mut output = Vec::new();
    let mut handshake = ServerHandshake::new(&Version::ALL, &mut output);
    let (mut session, mut input) = (None, Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        let mut rest = &input[..];
        if session.is_none() {
            match handshake.receive(&mut rest, &mut output) {
                Ok(started) => session = started,
                Err(error) => return (output, error.to_string()),
            }
        }
        if let Some(session) = &mut session {
            match serve(session, &mut rest, answers, &mut output) {
                Ok(false) => {}
                Ok(true) => return (output, "goodbye".to_owned()),
                Err(error) => return (output, error.to_string()),
            }
        }
        input.drain(..input.len() - rest.len());
    }
    (output, "open".to_owned())
}

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, piece], rest)) = data.split_first_chunk() else { return };
    let hello = match choice & 3 {
        0 => &b""[..],
        1 => b"venti-02-\n\0\x0b\x04\0\0\x0202\0\0\0\0\0",
        2 => b"venti-04-\n\0\0\0\x0b\x04\0\0\x0204\0\0\0\0\0",
        _ => b"venti-x1-\n\0\0\0\x0b\x04\0\0\x02x1\0\0\0\0\0",
    };
    let bytes = [hello, rest].concat();
    let answers = Answers(choice & 4 == 0);
    let whole = conversation(&bytes, usize::MAX, answers);
    assert_eq!(conversation(&bytes, usize::from(piece) + 1, answers), whole);
});
