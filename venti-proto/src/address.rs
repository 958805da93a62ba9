//! Where a server is: what people type, read once and printed in one form.
//!
//! | typed | means |
//! |---|---|
//! | `host`, `192.0.2.1`, `::1`, `[::1]` | TCP, port 17034 |
//! | `host:17035`, `[::1]:17035`, `host:venti` | TCP |
//! | `tcp!host!venti`, `net!host!17034`, `tcp!host` | TCP, as Plan 9 writes it |
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
    /// A Unix socket.
    Unix(PathBuf),
}

/// The form that any other program understands, too: `host:port`, `[v6]:port`, `unix:/path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
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
    #[error("unknown network {network:?} in the address {found:?}; tcp, net and unix are known")]
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
            None => match text.split_once('!') {
                Some((network, rest)) => dialled(text, network, rest),
                None => typed(text),
            },
        }
    }
}

/// Plan 9's form: network, host, and perhaps service.
fn dialled(text: &str, network: &str, rest: &str) -> Result<Address, ParseAddressError> {
    if !matches!(network, "tcp" | "net") {
        let (network, found) = (network.to_owned(), text.to_owned());
        return Err(ParseAddressError::Network { network, found });
    }
    let (host, service) = rest.split_once('!').unwrap_or((rest, "venti"));
    address(text, host, service)
}

/// `host`, `host:port` or `[v6]:port`.
fn typed(text: &str) -> Result<Address, ParseAddressError> {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => address(text, host, port),
            None if rest.is_empty() => address(text, host, "venti"),
            None => {
                let (host, found) = (text.to_owned(), text.to_owned());
                Err(ParseAddressError::Host { host, found })
            }
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => address(text, host, port),
        _ => address(text, text, "venti"),
    }
}

fn address(text: &str, host: &str, port: &str) -> Result<Address, ParseAddressError> {
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
    Ok(Address::Tcp { host: host.to_owned(), port: number })
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
