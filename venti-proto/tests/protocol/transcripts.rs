//! The driver of tests/transcripts/*.txt: conversations in words, of both good and bad clients.
//!
//! One step a line, and `#` starts a comment:
//!
//!     use 04                 a version line and a hello with this version, both answered
//!     C Tping tag 1          the client sends a message; before a hello it is framed as 04
//!     C raw hex:0000         the client sends bytes
//!     S Rping tag 1          the server has sent this message
//!     S raw "venti-"         the server has sent these bytes
//!     S closed REASON        the server has sent nothing more, and closed for this reason
//!     S open                 the server has sent nothing more, and waits
//!     hold                   the server takes syncs and does not answer them
//!     release                the server answers them now

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use venti_proto::{Message, Tag, Version};

use crate::support::TestServer;

struct Transcript {
    server: TestServer,
    version: Version,
    pending: Vec<u8>,
}

impl Transcript {
    fn step(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("use", _) => self.hello(rest),
            ("hold", _) => {
                self.server.holds = true;
                Ok(())
            }
            ("release", _) => {
                self.pending.extend(self.server.release());
                Ok(())
            }
            ("C", ("raw", bytes)) => self.send(&raw(bytes)?),
            ("C", _) => self.send(&self.encoded(rest)?),
            ("S", ("raw", bytes)) => self.expect(&raw(bytes)?),
            ("S", ("closed", reason)) => self.expect_closed(reason),
            ("S", ("open", _)) => match (self.server.closed(), self.pending.is_empty()) {
                (None, true) => Ok(()),
                (None, false) => Err(format!("more was sent: {}", self.describe())),
                (Some(reason), _) => Err(format!("closed: {reason:?}")),
            },
            ("S", _) => self.expect(&self.encoded(rest)?),
            _ => Err("not a step".to_owned()),
        }
    }

    fn hello(&mut self, version: &str) -> Result<(), String> {
        self.version = version.parse().map_err(|error| format!("{error}"))?;
        let offer = format!("C raw \"venti-{version}-test\\n\"");
        let hello = format!(
            r#"C Thello tag 0 version "{version}" uid "test" strength 0 crypto "" codec """#
        );
        self.step(r#"S raw "venti-x1:04:02-venti\n""#)?;
        self.step(&offer)?;
        self.step(&hello)?;
        self.step(r#"S Rhello tag 0 sid "anonymous" rcrypto 0 rcodec 0"#)
    }

    fn encoded(&self, line: &str) -> Result<Vec<u8>, String> {
        let message: Message = line.parse().map_err(|error| format!("{error}"))?;
        let mut bytes = Vec::new();
        message.encode(self.version, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        if let Some(reason) = self.server.closed() {
            return Err(format!("closed already: {reason:?}"));
        }
        let answer = self.server.receive(bytes);
        self.pending.extend(answer);
        Ok(())
    }

    fn expect(&mut self, expected: &[u8]) -> Result<(), String> {
        if !self.pending.starts_with(expected) {
            return Err(format!("the server sent {}", self.describe()));
        }
        self.pending.drain(..expected.len());
        Ok(())
    }

    fn expect_closed(&mut self, reason: &str) -> Result<(), String> {
        if !self.pending.is_empty() {
            return Err(format!("more was sent: {}", self.describe()));
        }
        let found = match self.server.closed() {
            None => return Err("the connection is open".to_owned()),
            Some(None) => "goodbye".to_owned(),
            Some(Some(error)) => error.to_string(),
        };
        if found == reason { Ok(()) } else { Err(format!("closed for another reason: {found}")) }
    }

    /// What was sent and not expected yet, as messages where it is any.
    fn describe(&self) -> String {
        let (mut rest, mut text) = (&self.pending[..], String::new());
        while let Ok(Some(body)) = self.version.next_frame(&mut rest) {
            match Message::decode(body) {
                Ok(message) => write!(text, "{message}; ").unwrap(),
                Err(error) => write!(text, "({error}) {body:02x?}; ").unwrap(),
            }
        }
        write!(text, "{rest:02x?} {:?}", String::from_utf8_lossy(rest)).unwrap();
        text
    }
}

/// Bytes in any of the forms that a message's data has.
fn raw(text: &str) -> Result<Vec<u8>, String> {
    let line = format!(r#"Thello tag 0 version "" uid "" strength 0 crypto {text} codec """#);
    match line.parse().map_err(|error| format!("{error}"))? {
        Message::Thello { crypto: Cow::Owned(bytes), .. } => Ok(bytes),
        other => Err(format!("{other}")),
    }
}

#[test]
fn transcripts_are_followed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut failures = String::new();
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut transcript = new_transcript();
        files += 1;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line == "new connection" {
                transcript = new_transcript();
            } else if !line.is_empty()
                && !line.starts_with('#')
                && let Err(error) = transcript.step(line)
            {
                writeln!(failures, "{name}:{}: {line}\n    {error}", number + 1).unwrap();
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(files >= 4, "the transcripts were found");
}

fn new_transcript() -> Transcript {
    let mut server = TestServer::new();
    let pending = server.receive(b"");
    Transcript { server, version: Version::V04, pending }
}

/// The driver itself finds a difference: otherwise the test above could not fail.
#[test]
fn a_difference_is_found() {
    let mut transcript = new_transcript();
    transcript.step("use 02").unwrap();
    transcript.step("C Tping tag 1").unwrap();
    let error = transcript.step("S Rping tag 2").unwrap_err();
    assert_eq!(error, format!("the server sent Rping tag {}; [] \"\"", Tag(1)));
    assert!(transcript.step("S open").is_err());
    transcript.step("S Rping tag 1").unwrap();
    assert!(transcript.step("S closed goodbye").is_err());
}
