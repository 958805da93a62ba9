//! Conversations with the original server, had again over a socket.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use crate::support::{TestEngine, TestServer, closed, config};

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |start| u8::from_str_radix(&digits[start..start + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// What ours sends where the original sent something else: the exceptions that venti-proto's
/// test of the same conversations explains.
fn expected(asked: &[u8], recorded: Vec<u8>) -> Vec<u8> {
    match asked {
        _ if recorded.starts_with(b"venti-") => b"venti-x1:04:02-venti\n".to_vec(),
        [length @ .., 2, tag] if length.ends_with(&[0, 2]) && length.len() <= 4 => {
            [length, &[3, *tag]].concat()
        }
        _ => recorded,
    }
}

#[test]
fn recorded_conversations_are_had_again() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../venti-proto/testdata/wire");
    let mut conversations = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let server = TestServer::start(Arc::new(TestEngine::default()), config(Default::default()));
        let mut stream = server.dial();
        let mut asked = Vec::new();
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            match line.split_once(' ') {
                Some(("C", digits)) => {
                    asked = unhex(digits);
                    stream.write_all(&asked).unwrap();
                }
                Some(("S", digits)) => {
                    let expected = expected(&asked, unhex(digits));
                    let mut answer = vec![0; expected.len()];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, expected, "{}:{}", path.display(), number + 1);
                }
                _ => assert!(line.starts_with('#') || line.is_empty(), "{line}"),
            }
        }
        assert_eq!(closed(&mut stream), 0, "goodbye closes the connection");
        conversations += 1;
    }
    assert_eq!(conversations, 6);
}
