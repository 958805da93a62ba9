//! Whose archives a connection may record: a client adds under its own name, and under no other.
//!
//! docs/roots.md, "Who may record what", has the rule: a certificate decides by its names; else
//! the list of hosts, if there is one, by where the connection comes from; else the name is
//! believed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use venti_proto::roots::{HostName, NameError, RootLogError};

use crate::server::peer::Peer;

/// A longer file is no list of hosts.
const LONGEST: u64 = 16 << 20;

/// A file that says where the archives of each host come from. It is read again for each record,
/// so that a change counts at once.
#[derive(Clone, Debug)]
pub struct HostsFile {
    path: PathBuf,
}

/// What is wrong with the list of hosts.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// It can not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line begins with what can not be a host.
    #[error("{}:{line}: {source}", path.display())]
    Host {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with the name.
        source: NameError,
    },
    /// A word is no place where a host can be.
    #[error("{}:{line}: {found:?} is neither an address, nor a network, nor unix", path.display())]
    Origin {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The word.
        found: String,
    },
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// An address is a network of one.
    Network(IpNet),
    UnixSocket,
}

impl Origin {
    fn parse(word: &str) -> Option<Origin> {
        if word == "unix" {
            return Some(Origin::UnixSocket);
        }
        let network = word.parse().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
        network.ok().map(Origin::Network)
    }

    fn has(&self, peer: &Peer) -> bool {
        match (self, peer.address()) {
            (Origin::UnixSocket, None) => true,
            (Origin::Network(network), Some(address)) => network.contains(&address),
            _ => false,
        }
    }
}

type Hosts = HashMap<HostName, Vec<Origin>>;

impl HostsFile {
    /// Takes the file at `path` for the list.
    ///
    /// # Errors
    /// [`HostsError`] if it is none now.
    pub fn new(path: &Path) -> Result<HostsFile, HostsError> {
        let file = HostsFile { path: path.to_owned() };
        file.read()?;
        Ok(file)
    }

    fn read(&self) -> Result<Hosts, HostsError> {
        let failed = |source| HostsError::Read { path: self.path.clone(), source };
        if fs::metadata(&self.path).map_err(failed)?.len() > LONGEST {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        self.parse(&fs::read_to_string(&self.path).map_err(failed)?)
    }

    /// Lines of a host and where it is; the rest of a line behind `#` is for people.
    fn parse(&self, text: &str) -> Result<Hosts, HostsError> {
        let mut hosts = Hosts::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let (path, at) = (|| self.path.clone(), number + 1);
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let name: HostName = name.parse().map_err(|source| HostsError::Host {
                path: path(),
                line: at,
                source,
            })?;
            let origins = hosts.entry(name).or_default();
            for word in words {
                origins.push(Origin::parse(word).ok_or_else(|| HostsError::Origin {
                    path: path(),
                    line: at,
                    found: word.to_owned(),
                })?);
            }
        }
        Ok(hosts)
    }
}

/// Says whether `peer` may record archives of `host`.
pub(crate) fn may_record(
    peer: &Peer,
    host: &HostName,
    hosts: Option<&HostsFile>,
) -> Result<(), RootLogError> {
    let refused = |detail| Err(RootLogError::NotAllowed { detail });
    if let Peer::Certificate { names, .. } = peer {
        return match names.iter().any(|name| name == host.as_str()) {
            true => Ok(()),
            false if names.is_empty() => {
                refused(format!("host {host}: the client's certificate names no host"))
            }
            false => {
                let names = names.join(", ");
                refused(format!("host {host}: the client's certificate is of {names}"))
            }
        };
    }
    let Some(file) = hosts else { return Ok(()) };
    let hosts = match file.read() {
        Ok(hosts) => hosts,
        Err(error) => {
            tracing::error!(%error, "the list of hosts can not be used: nothing is recorded");
            return refused("the server can not read its list of hosts".to_owned());
        }
    };
    if hosts.get(host).is_some_and(|origins| origins.iter().any(|origin| origin.has(peer))) {
        return Ok(());
    }
    let place = match peer.address() {
        Some(address) => format!("at {address}"),
        None => "on this socket".to_owned(),
    };
    refused(format!("host {host}: the server's list of hosts does not have it {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# name   where its archives come from
www      192.0.2.17 2001:db8::/64   # the pair
db\t192.0.2.32/28

www      unix
closed
";

    fn list(text: &str) -> (tempfile::NamedTempFile, Result<HostsFile, HostsError>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let hosts = HostsFile::new(file.path());
        (file, hosts)
    }

    fn at(address: &str) -> Peer {
        Peer::Address(address.parse().unwrap())
    }

    fn allowed(peer: &Peer, host: &str, file: Option<&HostsFile>) -> bool {
        may_record(peer, &host.parse().unwrap(), file).is_ok()
    }

    #[test]
    fn a_host_is_believed_only_from_where_the_list_has_it() {
        let (file, hosts) = list(LIST);
        let hosts = hosts.unwrap();
        let cases = [
            (at("192.0.2.17:5"), "www", true),
            (at("[::ffff:192.0.2.17]:5"), "www", true),
            (at("[2001:db8::7]:5"), "www", true),
            (at("[2001:db8:1::7]:5"), "www", false),
            (at("192.0.2.18:5"), "www", false),
            (Peer::Unix, "www", true),
            (at("192.0.2.47:5"), "db", true),
            (at("192.0.2.48:5"), "db", false),
            (Peer::Unix, "db", false),
            (at("192.0.2.17:5"), "db", false),
            (at("192.0.2.17:5"), "WWW", false),
            (at("192.0.2.17:5"), "closed", false),
            (Peer::Unix, "unknown", false),
        ];
        for (peer, host, expected) in cases {
            assert_eq!(allowed(&peer, host, Some(&hosts)), expected, "{host} from {peer}");
            assert!(allowed(&peer, host, None), "without a list, names are believed");
        }
        fs::write(file.path(), "db 192.0.2.17").unwrap();
        assert!(allowed(&at("192.0.2.17:5"), "db", Some(&hosts)), "a change counts at once");
        fs::write(file.path(), "db 192.0.2.400").unwrap();
        assert!(!allowed(&at("192.0.2.17:5"), "db", Some(&hosts)), "a broken list allows nothing");
    }

    #[test]
    fn a_certificate_decides_whatever_the_list_says() {
        let (_file, hosts) = list("db 192.0.2.17\nwww 192.0.2.17");
        let hosts = hosts.unwrap();
        let names = vec!["www".to_owned(), "web".to_owned()];
        let peer = Peer::Certificate { names, address: "192.0.2.17:5".parse().unwrap() };
        assert!(allowed(&peer, "www", Some(&hosts)) && allowed(&peer, "web", None));
        for file in [None, Some(&hosts)] {
            let refused = may_record(&peer, &"db".parse().unwrap(), file).unwrap_err();
            let text = "not allowed: host db: the client's certificate is of www, web";
            assert_eq!(refused.to_string(), text);
        }
    }

    #[test]
    fn a_list_that_is_none_is_refused_with_the_line() {
        let error = |text: &str| list(text).1.unwrap_err().to_string();
        assert!(error("\na/b 192.0.2.1").contains(":2: "), "{}", error("\na/b 192.0.2.1"));
        let text = error("www here");
        assert!(text.ends_with(":1: \"here\" is neither an address, nor a network, nor unix"));
        assert!(error("www 192.0.2.0/33").contains("\"192.0.2.0/33\""));
        let missing = HostsFile::new(Path::new("/no/such/list")).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/list: "), "{missing}");
    }
}
