//! A client of version 04 that shares no code with ours, one request at a time.
//!
//! What it checks it checks by itself: that a sync was acknowledged, and what bytes came back.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An answer: its payload, or the text of the server's error.
pub(crate) type Answer = Result<Vec<u8>, String>;

/// One connection that has said hello.
pub(crate) struct RawClient {
    stream: UnixStream,
    tag: u8,
}

impl RawClient {
    pub(crate) fn connect(socket: &Path) -> io::Result<RawClient> {
        let mut stream = UnixStream::connect(socket)?;
        // Longer than anything that works takes: a hang becomes a failure.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(b"venti-04-test\n")?;
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
        }
        let mut client = RawClient { stream, tag: 0 };
        let hello = b"\0\x0204\0\x04test\0\0\0";
        client.call(4, hello)?.map_err(io::Error::other)?;
        Ok(client)
    }

    /// Writes a block; the answer is its score.
    pub(crate) fn write(&mut self, block_type: u8, block: &[u8]) -> io::Result<Answer> {
        self.call(14, &[&[block_type, 0, 0, 0], block].concat())
    }

    pub(crate) fn read(&mut self, score: &[u8], block_type: u8) -> io::Result<Answer> {
        self.call(12, &[score, &[block_type, 0, 0xe0, 0]].concat())
    }

    pub(crate) fn sync(&mut self) -> io::Result<Answer> {
        self.call(16, &[])
    }

    fn call(&mut self, message: u8, body: &[u8]) -> io::Result<Answer> {
        let length = u32::try_from(body.len() + 2).expect("a short message");
        let head = [&length.to_be_bytes()[..], &[message, self.tag]].concat();
        self.stream.write_all(&[&head, body].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("64 bits")];
        self.stream.read_exact(&mut reply)?;
        assert_eq!(reply[1], self.tag, "the reply has the tag of the request");
        // The hello must have tag 0; later requests take turns through the others.
        self.tag = self.tag % 200 + 1;
        match reply[0] {
            1 => Ok(Err(String::from_utf8_lossy(&reply[4..]).into_owned())),
            kind => {
                assert_eq!(kind, message + 1, "the reply answers the request");
                Ok(Ok(reply.split_off(2)))
            }
        }
    }
}
