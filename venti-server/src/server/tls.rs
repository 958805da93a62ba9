//! Loading certificates and keys for connections under TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

/// The files that TLS needs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsFiles {
    /// Certificate chain in PEM: every TCP address then speaks TLS only, and clients name it
    /// tls:HOST
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Take only clients with a certificate signed by one in this file; it must have the name of a
    /// host that archives are recorded for
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}

/// Why TLS can not be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read, or holds no PEM of the expected kind.
    #[error("{}: expected {expected}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A file that should hold certificates holds none.
    #[error("{}: no certificate in it", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("certificate {} can not be used: {source}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The certificates that clients are checked against can not be used.
    #[error("client certificates {} can not be used: {detail}", path.display())]
    ClientRoots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

impl TlsFiles {
    /// Reads the files; `None` if none are given.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn load(&self) -> Result<Option<TlsAcceptor>, TlsError> {
        let (Some(cert_path), Some(key_path)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let chain = certificates(cert_path)?;
        let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| TlsError::File {
            path: key_path.clone(),
            expected: "a private key",
            source,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |source| TlsError::Unusable { path: cert_path.clone(), source };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &self.tls_client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let failed = |detail: String| TlsError::ClientRoots { path: path.clone(), detail };
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| failed(error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| failed(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key).map_err(unusable)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed =
        |source| TlsError::File { path: path.to_owned(), expected: "certificates", source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}
