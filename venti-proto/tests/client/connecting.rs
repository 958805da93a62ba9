//! How connections begin, or do not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use venti_proto::address::Address;
use venti_proto::client::{Client, ClientOptions, ConnectError};
use venti_proto::{BlockStore as _, BlockType, MemoryStore, Version};

use crate::support::{one_block, serve};

/// A test that passes does not wait so long.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let store = MemoryStore::new();
        serve(listener.accept().unwrap().0, &store);
        store.len()
    });
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let client = Client::connect(&address).unwrap();
    assert_eq!(client.version(), Version::X1);
    client.ping().unwrap();
    client.write(&one_block(BlockType::DATA, b"over the wire")).unwrap();
    client.sync().unwrap();
    drop(client);
    assert_eq!(server.join().unwrap(), 1);
}

#[test]
fn over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("venti-proto-test-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0, &MemoryStore::new()));
    let client = Client::connect(&Address::Unix(path.clone())).unwrap();
    client.ping().unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let error = Client::connect(&address).unwrap_err();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error:?}");
    let start = format!("can not connect to 127.0.0.1:{port}: ");
    assert!(error.to_string().starts_with(&start), "{error}");

    let error = Client::connect(&Address::Unix(PathBuf::from("/no/such/socket"))).unwrap_err();
    assert!(error.to_string().starts_with("can not connect to unix:/no/such/socket"), "{error}");
}

/// What a client makes of a server that sends `greeting`, and then hangs up or is silent.
fn greeted_with(greeting: &'static [u8], hangs_up: bool, wait: Duration) -> ConnectError {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        theirs.write_all(greeting).unwrap();
        if !hangs_up {
            let mut rest = Vec::new();
            let _ = theirs.read_to_end(&mut rest);
        }
    });
    let options = ClientOptions { connect_timeout: wait, ..ClientOptions::default() };
    let error = Client::over(Box::new(ours), "fake", &options).unwrap_err();
    server.join().unwrap();
    error
}

#[test]
fn servers_that_hang_up_before_the_hello_is_answered() {
    let pieces: [&[u8]; 4] =
        [b"", b"venti-04", b"venti-04-fake\n", b"venti-04-fake\n\0\0\0\x0f\x05"];
    for greeting in pieces {
        let error = greeted_with(greeting, true, LONG);
        assert!(matches!(error, ConnectError::Hello { .. }), "{greeting:?}: {error:?}");
    }
}

#[test]
fn servers_that_fall_silent_before_the_hello_is_answered() {
    for greeting in [&b""[..], b"venti-", b"venti-04-fake\n", b"venti-04-fake\n\0\0\0\x0f\x05"] {
        let error = greeted_with(greeting, false, Duration::from_millis(100));
        let ConnectError::Hello { source, .. } = &error else { panic!("{greeting:?}: {error:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::TimedOut, "{greeting:?}");
    }
}

#[test]
fn servers_of_something_else() {
    let cases: [(&[u8], &str); 6] = [
        (b"220 mail ESMTP\r\n", "not a version line: byte 0x32 at position 0"),
        (b"venti-05:06-new\n", "no common version: the other side offers \"05:06\""),
        (b"venti-02-a\n\0\x05\x01\0\0\x01x", "the server refused the hello: x"),
        (b"venti-02-a\n\0\x02\x03\0", "a reply of kind Rping to a Thello"),
        (b"venti-02-a\n\0\x06\x05\x07\0\0\0\0", "a reply with tag 7, with which nothing was asked"),
        (b"venti-04-a\n\xff\xff\xff\xff", "a message of 4294967295 bytes is too large"),
    ];
    for (greeting, detail) in cases {
        let error = greeted_with(greeting, false, LONG);
        let expected = format!("fake is not a Venti server that can be talked to: {detail}");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
