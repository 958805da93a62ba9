//! Connections under TLS, with certificates made here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use venti_proto::{Score, Version};
use venti_server::server::{TlsError, TlsFiles};

use crate::authority::Authority;
use crate::support::{Peer, closed};

/// A client under TLS that trusts `authority`.
fn client(
    stream: TcpStream,
    authority: &Path,
    own: Option<(PathBuf, PathBuf)>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
                .unwrap()
        }
    };
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

#[test]
fn blocks_go_there_and_back_under_tls() {
    let authority = Authority::new();
    let server = authority.server(false);
    let stream = client(server.dial(), &authority.path("ca.pem"), None);
    let mut peer = Peer::hello(stream, Version::V04);
    for round in 0..20 {
        let block = vec![round; 50_000];
        peer.write(round, &block);
        assert_eq!(peer.receive(), format!("Rwrite tag {round} score {}", Score::of(&block)));
        peer.read(round, Score::of(&block), 57344);
        assert_eq!(peer.frame().unwrap()[2..], block);
    }
}

#[test]
fn a_client_without_tls_is_closed_and_the_server_goes_on() {
    let authority = Authority::new();
    let server = authority.server(false);
    let mut plain = server.dial();
    plain.write_all(b"venti-04-plain\n").unwrap();
    closed(&mut plain);
    let stream = client(server.dial(), &authority.path("ca.pem"), None);
    Peer::hello(stream, Version::V04).ping();
}

#[test]
fn only_clients_with_a_certificate_are_served_if_one_is_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server(true);
    let refused = |own| {
        let mut stream = client(server.dial(), &authority.path("ca.pem"), own);
        let mut byte = [0];
        let sent = stream.write_all(b"venti-04-x\n");
        sent.and_then(|()| stream.read_exact(&mut byte)).is_err()
    };
    assert!(refused(None), "no certificate");
    assert!(refused(Some(stranger.sign("client"))), "a certificate of somebody else");
    let own = Some(authority.sign("client"));
    let stream = client(server.dial(), &authority.path("ca.pem"), own);
    Peer::hello(stream, Version::V04).ping();
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("localhost");
    let (_, other_key) = authority.sign("other");
    let load = |tls_cert: &Path, tls_key: &Path| {
        let files = TlsFiles {
            tls_cert: Some(tls_cert.to_owned()),
            tls_key: Some(tls_key.to_owned()),
            tls_client_ca: None,
        };
        files.load().map(|_| ()).unwrap_err()
    };
    let missing = authority.path("missing");
    assert!(matches!(load(&missing, &key), TlsError::File { path, .. } if path == missing));
    assert!(matches!(load(&certificate, &missing), TlsError::File { path, .. } if path == missing));
    assert!(matches!(load(&key, &key), TlsError::NoCertificate { path } if path == key));
    assert!(matches!(load(&certificate, &certificate), TlsError::File { .. }));
    assert!(matches!(load(&certificate, &other_key), TlsError::Unusable { .. }));
    assert!(
        TlsFiles { tls_cert: None, tls_key: None, tls_client_ca: None }.load().unwrap().is_none()
    );
}
