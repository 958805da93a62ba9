//! Certificates made up for tests, and servers that have them.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use venti_proto::client;
use venti_proto::roots::MemoryRootLog;
use venti_server::limits::Limits;
use venti_server::server::TlsFiles;

use crate::support::{TestEngine, TestServer, config};

/// Files of a made-up authority and of what it signed.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two are mixed up by their names.
        let name = directory.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { directory, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate for `name` and returns the files of it and its key.
    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        self.sign_for(name, &CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// One that was valid until the year 2001.
    pub(crate) fn sign_expired(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign_for(name, &params)
    }

    /// One that has a common name and no other.
    pub(crate) fn sign_common(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign_for(name, &params)
    }

    fn sign_for(&self, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// A server of the name localhost.
    pub(crate) fn server(&self, check_clients: bool) -> TestServer {
        self.server_with(self.sign("localhost"), check_clients)
    }

    pub(crate) fn server_with(&self, own: (PathBuf, PathBuf), check_clients: bool) -> TestServer {
        let files = TlsFiles {
            tls_cert: Some(own.0),
            tls_key: Some(own.1),
            tls_client_ca: check_clients.then(|| self.path("ca.pem")),
        };
        let mut config = config(Limits::default());
        config.tls = files.load().unwrap();
        assert!(config.tls.is_some());
        let roots = Some(MemoryRootLog::new("UTC", || 7));
        TestServer::start(Arc::new(TestEngine { roots, ..TestEngine::default() }), config)
    }

    /// What a client needs that trusts this authority, and is `own`.
    pub(crate) fn client_files(&self, own: Option<(PathBuf, PathBuf)>) -> client::TlsFiles {
        let authorities = Some(self.path("ca.pem"));
        let (certificate, key) = own.unzip();
        client::TlsFiles { authorities, certificate, key }
    }
}
