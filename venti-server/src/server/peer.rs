//! Who is at the other end of a connection, as far as that is known.

use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A process of this machine that may open the socket.
    Unix,
    /// Whoever has this address.
    Address(SocketAddr),
    /// Whoever has the key of a certificate that was checked.
    Certificate {
        /// The hosts that it is of.
        names: Vec<String>,
        address: SocketAddr,
    },
}

impl Peer {
    /// The peer of a connection under TLS, which may have shown a certificate.
    pub(crate) fn under_tls(
        certificates: Option<&[CertificateDer<'_>]>,
        address: SocketAddr,
    ) -> Peer {
        match certificates.and_then(<[_]>::first) {
            Some(certificate) => Peer::Certificate { names: hosts_of(certificate), address },
            None => Peer::Address(address),
        }
    }

    /// The address, an IPv4 one as such though it came over a socket of IPv6.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Unix => None,
            Peer::Address(address) | Peer::Certificate { address, .. } => {
                Some(address.ip().to_canonical())
            }
        }
    }
}

/// As the log has it.
impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Unix => f.write_str("unix"),
            Peer::Address(address) | Peer::Certificate { address, .. } => address.fmt(f),
        }
    }
}

/// The hosts that a certificate is of: its alternative names of DNS, or where it has no
/// alternative names at all its common name. A wildcard is the name of no host.
fn hosts_of(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names: Vec<&str> = match certificate.subject_alternative_name() {
        Ok(Some(names)) => names.value.general_names.iter().filter_map(dns_name).collect(),
        Ok(None) => {
            let names = certificate.subject().iter_common_name();
            names.filter_map(|name| name.as_str().ok()).collect()
        }
        // Twice the same extension: nothing is sure.
        Err(_) => Vec::new(),
    };
    let names = names.into_iter().filter(|name| !name.contains('*'));
    names.map(str::to_owned).collect()
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn hosts(common: &[&str], alternative: &[&str]) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        for name in alternative {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            });
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        hosts_of(certificate.der())
    }

    #[test]
    fn the_common_name_counts_only_where_there_are_no_alternative_names() {
        assert_eq!(hosts(&["www"], &[]), ["www"]);
        assert_eq!(hosts(&["www"], &["db", "mail"]), ["db", "mail"]);
        assert_eq!(hosts(&["www"], &["192.0.2.1"]), [""; 0]);
        assert_eq!(hosts(&[], &[]), [""; 0]);
        assert_eq!(hosts(&["*.example.org"], &[]), [""; 0]);
        assert_eq!(hosts(&[], &["*.example.org", "www.example.org"]), ["www.example.org"]);
    }

    #[test]
    fn bytes_that_are_no_certificate_are_of_no_host() {
        assert_eq!(hosts_of(b""), [""; 0]);
        assert_eq!(hosts_of(&[0x30, 0x82, 0xff, 0xff]), [""; 0]);
    }

    #[test]
    fn an_address_of_ipv4_is_known_through_a_socket_of_ipv6() {
        let peer = Peer::Address("[::ffff:192.0.2.1]:5".parse().unwrap());
        assert_eq!(peer.address(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(peer.to_string(), "[::ffff:192.0.2.1]:5");
    }
}
