//! Our own client under TLS: what it does, whom it trusts, and as whom it may record.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use venti_proto::address::Address;
use venti_proto::client::{Client, ClientOptions, ConnectError, TlsError, TlsFiles};
use venti_proto::roots::{Completeness, NewRoot, RootLog as _, RootLogError};
use venti_proto::{BlockBatch, BlockRequest, BlockStore as _, BlockType, MAX_BLOCK_SIZE, Score};
use venti_server::limits::Limits;

use crate::authority::Authority;
use crate::support::TestServer;

/// The server as `localhost`.
fn address(server: &TestServer) -> Address {
    let address: Address = server.addresses[0].parse().unwrap();
    match address {
        Address::Tls { port, .. } => Address::Tls { host: "localhost".to_owned(), port },
        other => panic!("{other} is not under TLS"),
    }
}

fn connect(address: &Address, connections: usize, tls: TlsFiles) -> Result<Client, ConnectError> {
    let options = ClientOptions { tls, ..ClientOptions::default() };
    Client::connect_with(address, connections, &options)
}

/// Why there is no connection under TLS, and the exit code for it.
fn refused(address: &Address, tls: TlsFiles) -> (TlsError, u8) {
    let error = connect(address, 1, tls).unwrap_err();
    let code = error.exit_code();
    assert!(error.to_string().starts_with(&format!("{address}: ")), "{error}");
    match error {
        ConnectError::Tls { source, .. } => (*source, code),
        other => panic!("{other:?}"),
    }
}

fn root(host: &str) -> NewRoot {
    NewRoot {
        host: host.parse().unwrap(),
        archive: "-".parse().unwrap(),
        score: Score::of(b"root"),
        bytes: 1,
        files: 1,
        completeness: Completeness::Complete,
    }
}

#[test]
fn the_client_does_what_every_store_must() {
    let authority = Authority::new();
    let server = authority.server(false);
    for connections in [1, 3] {
        let client = connect(&address(&server), connections, authority.client_files(None)).unwrap();
        client.ping().unwrap();
        venti_proto::conformance::check(&client, connections as u64).unwrap();
    }
}

#[test]
fn megabytes_go_both_ways_at_once_over_one_connection() {
    let authority = Authority::new();
    let server = authority.server(false);
    let client = connect(&address(&server), 1, authority.client_files(None)).unwrap();
    let batch = |first: u32| {
        let mut batch = BlockBatch::default();
        for number in first..first + 300 {
            let block = number.to_be_bytes().repeat(MAX_BLOCK_SIZE / 4);
            batch.push(BlockType::DATA, &block);
        }
        batch.hash()
    };
    let stored = batch(0);
    client.write(&stored).unwrap();
    client.sync().unwrap();
    let wanted: Vec<BlockRequest> = stored.iter().map(|block| (&block).into()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..4 {
                client.write(&batch(round * 1000)).unwrap();
            }
        });
        for _ in 0..3 {
            let mut read = 0;
            client.read(&wanted, &mut |position, block| {
                assert_eq!(Score::of(block.unwrap()), wanted[position].score);
                read += 1;
            });
            assert_eq!(read, wanted.len());
        }
    });
    client.sync().unwrap();
}

#[test]
fn a_server_that_is_not_the_one_meant_is_not_talked_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server(false);
    let trusting = || authority.client_files(None);
    let (error, code) = refused(&address(&server), stranger.client_files(None));
    assert!(matches!(error, TlsError::Untrusted) && code == 10, "{error:?}");
    let port = match address(&server) {
        Address::Tls { port, .. } => port,
        _ => unreachable!(),
    };
    let other = Address::Tls { host: "127.0.0.1".to_owned(), port };
    let (error, code) = refused(&other, trusting());
    assert!(matches!(error, TlsError::WrongName { .. }) && code == 10, "{error:?}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    let expired = authority.server_with(authority.sign_expired("localhost"), false);
    let (error, code) = refused(&address(&expired), trusting());
    assert!(matches!(error, TlsError::OutOfDate { .. }) && code == 10, "{error:?}");
    // Both servers go on.
    connect(&address(&server), 1, trusting()).unwrap().ping().unwrap();
}

#[test]
fn a_server_that_speaks_no_tls_or_says_nothing_is_not_waited_for() {
    let authority = Authority::new();
    let (plain, _) = TestServer::with_limits(Limits::default());
    let port = plain.addresses[0].rsplit_once(':').unwrap().1.parse().unwrap();
    let address = Address::Tls { host: "localhost".to_owned(), port };
    let (error, code) = refused(&address, authority.client_files(None));
    assert!(matches!(error, TlsError::Handshake(_)) && code == 10, "{error:?}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = listener.accept().unwrap().0.read_to_end(&mut rest);
    });
    let options = ClientOptions {
        connect_timeout: Duration::from_millis(100),
        tls: authority.client_files(None),
        ..ClientOptions::default()
    };
    let address = Address::Tls { host: "127.0.0.1".to_owned(), port };
    let error = Client::connect_with(&address, 1, &options).unwrap_err();
    let lost = match &error {
        ConnectError::Tls { source, .. } => {
            matches!(&**source, TlsError::Lost(lost) if lost.kind() == std::io::ErrorKind::TimedOut)
        }
        _ => false,
    };
    assert!(lost, "{error:?}");
    silent.join().unwrap();
}

#[test]
fn a_client_that_is_not_let_in_is_told_so() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server(true);
    let attempt =
        |own: Option<(PathBuf, PathBuf)>| refused(&address(&server), authority.client_files(own));
    let cases = [
        (None, "the server does not accept a client without a certificate: CertificateRequired"),
        (Some(stranger.sign("www")), "the server does not accept the client's certificate: "),
        (
            Some(authority.sign_expired("www")),
            "the server does not accept the client's certificate: ",
        ),
    ];
    for (own, text) in cases {
        let (error, code) = attempt(own);
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(code, 12, "{error}");
    }
    let own = Some(authority.sign("www"));
    connect(&address(&server), 2, authority.client_files(own)).unwrap().ping().unwrap();
}

#[test]
fn files_that_can_not_be_used_are_named_with_their_variable() {
    let authority = Authority::new();
    let server = authority.server(false);
    let (certificate, key) = authority.sign("www");
    let (_, other_key) = authority.sign("db");
    let missing = authority.path("missing");
    let good = authority.client_files(Some((certificate, key.clone())));
    let cases = [
        (TlsFiles { authorities: Some(missing.clone()), ..good.clone() }, "VENTI_CA: "),
        (TlsFiles { authorities: Some(key), ..good.clone() }, "VENTI_CA: "),
        (TlsFiles { certificate: Some(missing.clone()), ..good.clone() }, "VENTI_CERT: "),
        (TlsFiles { key: Some(missing), ..good.clone() }, "VENTI_KEY: "),
        (TlsFiles { key: Some(other_key), ..good.clone() }, "VENTI_CERT: "),
        (
            TlsFiles { key: None, ..good.clone() },
            "VENTI_CERT and VENTI_KEY are wanted together, and VENTI_KEY is not set",
        ),
        (
            TlsFiles { certificate: None, ..good },
            "VENTI_CERT and VENTI_KEY are wanted together, and VENTI_CERT is not set",
        ),
    ];
    for (files, text) in cases {
        let (error, code) = refused(&address(&server), files);
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(code, 2, "{error}");
    }
}

#[test]
fn a_client_records_under_the_names_of_its_certificate_only() {
    let authority = Authority::new();
    let server = authority.server(true);
    let record = |own: (PathBuf, PathBuf), host: &str| {
        let files = authority.client_files(Some(own));
        connect(&address(&server), 1, files).unwrap().record(&root(host)).map(|_| ())
    };
    let not_allowed = |detail: &str| Err(RootLogError::NotAllowed { detail: detail.to_owned() });
    assert_eq!(record(authority.sign("www"), "www"), Ok(()));
    let other = not_allowed("host db: the client's certificate is of www");
    assert_eq!(record(authority.sign("www"), "db"), other);
    let other = not_allowed("host WWW: the client's certificate is of www");
    assert_eq!(record(authority.sign("www"), "WWW"), other);
    assert_eq!(record(authority.sign_common("mail"), "mail"), Ok(()));
    let nobody = not_allowed("host www: the client's certificate names no host");
    assert_eq!(record(authority.sign_common("*"), "www"), nobody);
}
