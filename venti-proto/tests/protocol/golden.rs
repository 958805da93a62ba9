//! Conversations with the original server, had again with ours: the answers are the recorded
//! ones, byte for byte, but for the exceptions listed here.

use std::path::{Path, PathBuf};

use crate::support::{TestServer, hex};

/// What ours sends where the original sent something else.
struct Exception {
    /// In the client's message, hex, after the length field.
    asked: Option<&'static str>,
    recorded: &'static [u8],
    ours: &'static [u8],
    /// Why.
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 2] = [
    Exception {
        asked: None,
        recorded: b"venti-04:02-libventi\n",
        ours: b"venti-x1:04:02-venti\n",
        reason: "the version line offers our own messages, which the original's clients skip",
    },
    Exception {
        asked: Some("02"),
        recorded: b"unknown request",
        ours: b"",
        reason: "ping is answered, as venti(7) says that it must be",
    },
];

/// What ours must send where `recorded` was sent after `asked`.
fn expected(asked: &[u8], recorded: &[u8], length_size: usize) -> (Vec<u8>, Option<&'static str>) {
    let [banner, ping] = &EXCEPTIONS;
    if recorded == banner.recorded && banner.asked.is_none() {
        return (banner.ours.to_vec(), Some(banner.reason));
    }
    let body = asked.get(length_size..).unwrap_or_default();
    let is_ping = body.len() == 2 && ping.asked.is_some_and(|kind| hex(kind)[0] == body[0]);
    if is_ping && recorded.ends_with(ping.recorded) {
        let mut reply = vec![0; length_size];
        reply[length_size - 1] = 2;
        reply.extend_from_slice(&[3, body[1]]);
        reply.extend_from_slice(ping.ours);
        return (reply, Some(ping.reason));
    }
    (recorded.to_vec(), None)
}

/// Has the conversation of `path` again, its bytes cut into pieces of `piece`.
fn replay(path: &Path, piece: usize) -> Vec<&'static str> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let length_size = if name.contains("v02") { 2 } else { 4 };
    let text = std::fs::read_to_string(path).unwrap();
    let mut server = TestServer::new();
    let mut pending = server.receive(b"");
    let (mut asked, mut reasons, mut answers) = (Vec::new(), Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{} in pieces of {piece}", number + 1);
        match line.split_once(' ') {
            Some(("C", digits)) => {
                asked = hex(digits);
                for piece in asked.chunks(piece) {
                    assert_eq!(server.closed(), None, "{place}: closed too early");
                    pending.extend(server.receive(piece));
                }
            }
            Some(("S", digits)) => {
                let (expected, reason) = expected(&asked, &hex(digits), length_size);
                let answer: Vec<u8> = pending.drain(..expected.len().min(pending.len())).collect();
                assert_eq!(answer, expected, "{place}: the answer differs");
                reasons.extend(reason);
                answers += 1;
            }
            _ => assert!(line.starts_with('#') || line.is_empty(), "{place}: not a line of ours"),
        }
    }
    assert!(answers >= 3, "{name}: has hardly any answers");
    assert_eq!(pending, b"", "{name}: more was answered than recorded");
    assert_eq!(server.closed(), Some(None), "{name}: goodbye closes the connection");
    reasons
}

fn conversations(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn recorded_conversations_are_had_again() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wire");
    let paths = conversations(&own);
    assert_eq!(paths.len(), 6, "all that are in the repository");
    let mut reasons: Vec<_> = paths.iter().flat_map(|path| replay(path, usize::MAX)).collect();
    for piece in [1, 3, 1000] {
        for path in &paths {
            replay(path, piece);
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), EXCEPTIONS.len(), "an exception is no longer needed: {reasons:?}");
}

#[test]
fn large_conversations_are_had_again() {
    let golden = std::env::var_os("VENTI_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"),
        PathBuf::from,
    );
    let paths = conversations(&golden.join("wire"));
    if paths.is_empty() {
        println!("skipped: no golden data at {}", golden.display());
    }
    for path in paths {
        replay(&path, usize::MAX);
        replay(&path, 4096);
    }
}
