//! Where a server is: what people type, read once and printed in one form.
//!
//! | typed | means |
//! |---|---|
//! | `host`, `192.0.2.1`, `::1`, `[::1]` | TCP, port 17034 |
//! | `host:17035`, `[::1]:17035`, `host:venti` | TCP |
//! | `tcp!host!venti`, `net!host!17034`, `tcp!host` | TCP, as Plan 9 writes it |
//! | `tls:host`, `tls:host:17035`, `tls!host!venti` | TLS over TCP; after `tls:` any form of the first two rows |
//! | `tcp!*!venti`, `*:17034`, `*` | TCP on every interface, to listen |
//! | `unix!/path`, `unix:/path`, `/path` | a Unix socket |

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of Venti (venti(7)).
pub const DEFAULT_PORT: u16 = 17034;

/// The host that stands for every interface of this machine.
pub const ANY_HOST: &str = "*";

/// Where a server is, or where it shall listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A name, an address of IPv4 or IPv6 without brackets, or [`ANY_HOST`].
        host: String,
        /// The port; 0 stands for any free one, to listen.
        port: u16,
    },
    /// TLS over a TCP port.
    Tls {
        /// As for TCP; the name that the server's certificate must have.
        host: String,
        /// As for TCP.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// What can stand before a colon and is no host.
const PREFIXES: [&str; 2] = ["tls", "unix"];

/// The form that any other program understands, too: `host:port`, `[v6]:port`, `unix:/path`; and
/// `tls:` before the first two.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = match self {
            Address::Unix(path) => return write!(f, "unix:{}", path.display()),
            Address::Tcp { host, port } if PREFIXES.contains(&host.as_str()) => {
                return write!(f, "tcp!{host}!{port}");
            }
            Address::Tcp { host, port } => (host, port),
            Address::Tls { host, port } => {
                f.write_str("tls:")?;
                (host, port)
            }
        };
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// Nothing where a host or a path must be.
    #[error(
        "no {missing} in the address {found:?}; examples: backup, backup:17034, unix:/run/venti"
    )]
    Missing {
        /// `host` or `path`.
        missing: &'static str,
        /// The text as given.
        found: String,
    },
    /// The network is not known here.
    #[error(
        "unknown network {network:?} in the address {found:?}; tcp, tls, net and unix are known"
    )]
    Network {
        /// What comes before the first `!`.
        network: String,
        /// The text as given.
        found: String,
    },
    /// The port is no number from 0 to 65535, nor `venti`.
    #[error("{port:?} in the address {found:?} is not a port: a number up to 65535, or venti")]
    Port {
        /// What should be the port.
        port: String,
        /// The text as given.
        found: String,
    },
    /// The host can not be one.
    #[error("{host:?} in the address {found:?} is not a host; IPv6 with a port is [::1]:17034")]
    Host {
        /// What should be the host.
        host: String,
        /// The text as given.
        found: String,
    },
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Address, ParseAddressError> {
        let unix = text.strip_prefix("unix!").or_else(|| text.strip_prefix("unix:"));
        match unix {
            Some("") => Err(ParseAddressError::Missing { missing: "path", found: text.to_owned() }),
            Some(path) => Ok(Address::Unix(path.into())),
            None if text.starts_with('/') => Ok(Address::Unix(text.into())),
            None => {
                let (host, port) = match text.split_once('!') {
                    Some((network, rest)) => dialled(text, network, rest)?,
                    None => typed(text, text.strip_prefix("tls:").unwrap_or(text))?,
                };
                Ok(match text.starts_with("tls!") || text.starts_with("tls:") {
                    true => Address::Tls { host, port },
                    false => Address::Tcp { host, port },
                })
            }
        }
    }
}

/// Plan 9's form: network, host, and perhaps service.
fn dialled(text: &str, network: &str, rest: &str) -> Result<(String, u16), ParseAddressError> {
    if !matches!(network, "tcp" | "tls" | "net") {
        let (network, found) = (network.to_owned(), text.to_owned());
        return Err(ParseAddressError::Network { network, found });
    }
    let (host, service) = rest.split_once('!').unwrap_or((rest, "venti"));
    host_and_port(text, host, service)
}

/// `host`, `host:port` or `[v6]:port`, in `place`, which is the end of `text`.
fn typed(text: &str, place: &str) -> Result<(String, u16), ParseAddressError> {
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => host_and_port(text, host, port),
            None if rest.is_empty() => host_and_port(text, host, "venti"),
            None => {
                let (host, found) = (place.to_owned(), text.to_owned());
                Err(ParseAddressError::Host { host, found })
            }
        };
    }
    match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => host_and_port(text, host, port),
        _ => host_and_port(text, place, "venti"),
    }
}

fn host_and_port(text: &str, host: &str, port: &str) -> Result<(String, u16), ParseAddressError> {
    let found = || text.to_owned();
    let number = match port {
        "venti" => Some(DEFAULT_PORT),
        digits => digits.parse().ok(),
    };
    let number =
        number.ok_or_else(|| ParseAddressError::Port { port: port.to_owned(), found: found() })?;
    if host.is_empty() {
        return Err(ParseAddressError::Missing { missing: "host", found: found() });
    }
    // A zone may follow an address of IPv6: fe80::1%eth0.
    let name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (digits, zone) = host.split_once('%').unwrap_or((host, ""));
    let v6 = digits.parse::<Ipv6Addr>().is_ok() && zone.chars().all(name);
    if !v6 && host != ANY_HOST && !host.chars().all(name) {
        return Err(ParseAddressError::Host { host: host.to_owned(), found: found() });
    }
    Ok((host.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood_and_printed_in_one_form() {
        let typed = [
            ("backup", "backup:17034"),
            ("backup.example.org:17035", "backup.example.org:17035"),
            ("192.0.2.1", "192.0.2.1:17034"),
            ("localhost:venti", "localhost:17034"),
            ("tcp!backup!venti", "backup:17034"),
            ("tcp!backup!17036", "backup:17036"),
            ("tcp!backup", "backup:17034"),
            ("net!backup", "backup:17034"),
            ("tcp!*!venti", "*:17034"),
            ("*", "*:17034"),
            ("::1", "[::1]:17034"),
            ("[::1]", "[::1]:17034"),
            ("[::1]:17034", "[::1]:17034"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("tcp!::1!venti", "[::1]:17034"),
            ("tls:backup", "tls:backup:17034"),
            ("tls:backup:17035", "tls:backup:17035"),
            ("tls!backup!17035", "tls:backup:17035"),
            ("tls!backup", "tls:backup:17034"),
            ("tls:[::1]", "tls:[::1]:17034"),
            ("tls:::1", "tls:[::1]:17034"),
            ("tls!*!venti", "tls:*:17034"),
            ("tls", "tcp!tls!17034"),
            ("tcp!unix!1", "tcp!unix!1"),
            ("unix!/run/venti", "unix:/run/venti"),
            ("unix:/run/a b", "unix:/run/a b"),
            ("/run/venti", "unix:/run/venti"),
        ];
        for (text, printed) in typed {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        let wrong = [
            ("", "no host in the address \"\""),
            (":17034", "no host in the address \":17034\""),
            ("tcp!!venti", "no host in"),
            ("unix:", "no path in the address \"unix:\""),
            ("host:", "\"\" in the address \"host:\" is not a port"),
            ("host:70000", "\"70000\" in the address"),
            ("host:+1x", "\"+1x\" in the address"),
            ("tcp!host!smtp", "\"smtp\" in the address"),
            ("tls:", "no host in the address \"tls:\""),
            ("tls:host:smtp", "\"smtp\" in the address \"tls:host:smtp\" is not a port"),
            ("il!host!venti", "unknown network \"il\" in the address \"il!host!venti\""),
            ("::1:zz", "\"::1:zz\" in the address \"::1:zz\" is not a host"),
            ("[::1]17034", "\"[::1]17034\" in the address"),
            ("[host name]:1", "\"host name\" in the address"),
            ("::1%eth]0", "\"::1%eth]0\" in the address"),
            ("./store", "\"./store\" in the address \"./store\" is not a host"),
        ];
        for (text, start) in wrong {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
