//! What the programs have in common: where the dump is, and why they fail.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use vac::reader::ReadError;
use vac::store::{OpenStoreError, Place};
use venti_proto::address::Address;
use venti_proto::client::{Client, ClientOptions, ConnectError};
use venti_proto::roots::{HostName, RootLog};
use venti_proto::{BlockStore, StoreError};

use crate::FileError;
use crate::date::DateError;
use crate::dump::{Catalogue, Tree};
use crate::past::Missing;
use crate::store::{BlockCache, Connect, Reconnecting, Reopening};

/// Where the dump is, for every program that reads it.
#[derive(Clone, Debug, clap::Args)]
pub struct Source {
    /// Server, or directory of a store [default: $venti]
    ///
    /// tls:HOST speaks TLS: $VENTI_CA names a file of the authorities to trust, $VENTI_CERT and
    /// $VENTI_KEY those of the certificate to show.
    ///
    /// Whoever can reach the server, or read the directory, can read everything in it: permissions
    /// count in a mount and over 9P only.
    #[arg(short = 'h', long = "store", value_name = "HOST|DIRECTORY")]
    pub store: Option<String>,

    /// Whose files [default: this machine's]
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostName>,

    /// Memory for blocks, in megabytes
    #[arg(long, value_name = "MB", default_value_t = 64, hide = true)]
    pub memory: usize,
}

/// Why a program did not do what it should, with its exit status.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no store.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// A file of the dump can not be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A date is none.
    #[error(transparent)]
    Date(#[from] DateError),
    /// The arguments make no sense.
    #[error("{detail}")]
    Usage {
        /// Why.
        detail: String,
    },
    /// A command can not be run with files of the past.
    #[error("{detail}")]
    Past {
        /// Why.
        detail: String,
    },
    /// What is there does not allow it.
    #[error("{detail}")]
    NotPossible {
        /// What is there.
        detail: String,
    },
    /// Somebody wanted an end of it.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// Which signal came.
        signal: i32,
    },
    /// Something is in use.
    #[error("{detail}")]
    Busy {
        /// What.
        detail: String,
    },
    /// The system refused.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What it said.
        source: std::io::Error,
    },
}

impl Failure {
    /// Whether every other file would fail in the same way: there is no server, or nobody who
    /// reads what is printed.
    #[must_use]
    pub fn is_of_every_file(&self) -> bool {
        self.is_broken_pipe() || matches!(self, Failure::File(FileError::Unreachable { .. }))
    }

    /// Whether nobody reads what is printed.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let broken = |source: &std::io::Error| source.kind() == ErrorKind::BrokenPipe;
        matches!(self, Failure::System { source, .. } if broken(source))
    }

    /// 1 failed, 2 usage, 10 no such server or store, 11 busy, 12 not allowed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Store(error) => error.exit_code(),
            Failure::File(FileError::Unreachable { .. }) => 10,
            Failure::File(FileError::PermissionDenied) => 12,
            Failure::System { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied => 12,
                _ => 1,
            },
            Failure::File(_)
            | Failure::Missing(_)
            | Failure::Past { .. }
            | Failure::NotPossible { .. } => 1,
            Failure::Date(_) | Failure::Usage { .. } => 2,
            Failure::Busy { .. } => 11,
            Failure::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        FileError::from(error).into()
    }
}

/// Makes a [`Failure::System`] of what the system said.
pub fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
    let action = action.into();
    move |source| Failure::System { action, source }
}

/// A server that could not be reached is not asked again for so long: whoever waits for it does
/// so once, however many blocks they want.
const HOPELESS: Duration = Duration::from_secs(1);

/// A server that is connected to as often as need be.
struct Server {
    address: Address,
    /// As they were when the program began, wherever it is by now.
    options: ClientOptions,
}

impl Server {
    fn new(address: Address) -> Server {
        // Whoever reads a file waits for this: an error is better than a long wait.
        let options = ClientOptions {
            connect_timeout: Duration::from_secs(5),
            progress_timeout: Duration::from_secs(12),
            ..ClientOptions::from_environment()
        };
        Server { address, options }
    }

    fn client(&self) -> Result<Client, ConnectError> {
        Client::connect_with(&self.address, 1, &self.options)
    }
}

impl Connect for Server {
    type Connection = Client;

    fn connect(&self) -> Result<Client, StoreError> {
        Ok(self.client()?)
    }
}

/// A store or server that can be read from.
pub struct Connected {
    /// Its blocks.
    pub blocks: Arc<dyn BlockStore>,
    /// Its log of roots.
    pub roots: Arc<dyn RootLog>,
}

/// Opens what `named` (the option `-h`) or else `$venti` names: a server, which is connected to
/// again whenever the connection is lost, or a store in this process.
///
/// # Errors
/// If there is no store, or no connection to the server, for whichever reason.
pub fn connect(named: Option<&str>) -> Result<Connected, OpenStoreError> {
    match vac::store::place(named)? {
        Place::Server(address) => {
            let server = Server::new(address);
            let first = server.client()?;
            let server = Arc::new(Reconnecting::new(server, HOPELESS).begin_with(first));
            Ok(Connected { blocks: Arc::clone(&server) as _, roots: server })
        }
        Place::Directory(path) => {
            let store = Arc::new(Reopening::open(path)?);
            Ok(Connected { blocks: Arc::clone(&store) as _, roots: store })
        }
    }
}

impl Source {
    /// Whose files are meant.
    ///
    /// # Errors
    /// If this machine has no name that can be used.
    pub fn host(&self) -> Result<HostName, Failure> {
        if let Some(host) = &self.host {
            return Ok(host.clone());
        }
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy().into_owned();
        name.parse().map_err(|error| Failure::Usage {
            detail: format!("the name of this machine can not be used, give --host: {error}"),
        })
    }

    /// What is given for the store, here or in the environment.
    #[must_use]
    pub fn named(&self) -> Option<String> {
        self.store.clone().or_else(|| std::env::var("venti").ok())
    }

    /// Opens the dump, rooted at one host or showing all.
    ///
    /// # Errors
    /// If there is no store, it can not be reached, it keeps no roots, or none of that host.
    pub fn open(&self, rooted: Option<HostName>) -> Result<Arc<Tree>, Failure> {
        let Connected { blocks, roots } = connect(self.store.as_deref())?;
        let catalogue = Arc::new(Catalogue::new(roots));
        catalogue.refresh()?;
        if let Some(host) = rooted.as_ref().filter(|host| !catalogue.has(host)) {
            return Err(Missing::Host { host: host.clone() }.into());
        }
        let cache = Arc::new(BlockCache::new(Arc::clone(&blocks), self.memory << 20));
        Ok(Arc::new(Tree::new(catalogue, cache, rooted).with_beneath(blocks)))
    }
}
