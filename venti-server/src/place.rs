//! Where a command works: at a server, or on a store in a directory of this machine.

use std::env;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use arenas::{Store, StoreOptions};
use venti_proto::BlockStore;
use venti_proto::address::Address;
use venti_proto::client::Client;

use crate::cli::{LocalStore, Where};
use crate::outcome::Failure;
use crate::server::StoredError;

/// A server, or the directory of a store.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Reached over a connection.
    Server(Address),
    /// Opened by this process.
    Store(PathBuf),
}

impl Place {
    /// What `-h` or `$venti` names.
    ///
    /// # Errors
    /// [`Failure::NowhereToGo`], or what [`Place::named`] says.
    pub(crate) fn given(place: &Where) -> Result<Place, Failure> {
        let given = place.at.clone().or_else(|| env::var("venti").ok());
        match given.filter(|given| !given.is_empty()) {
            None => Err(Failure::NowhereToGo),
            Some(given) => Place::named(&given),
        }
    }

    /// A directory is a store; everything else is an address, and a path is a Unix socket.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it can be neither, [`Failure::NoStore`] for a path where nothing is.
    pub(crate) fn named(name: &str) -> Result<Place, Failure> {
        let path = Path::new(name);
        let looks_like_path = name.contains('/') && !name.contains(['!', ':']);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => return Ok(Place::Store(path.to_owned())),
            Ok(metadata) if metadata.file_type().is_socket() => {
                return Ok(Place::Server(Address::Unix(path.to_owned())));
            }
            Err(error) if looks_like_path => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => Failure::NoStore { path: path.to_owned() },
                    _ => Failure::Io { action: format!("looking at {name}"), source: error },
                });
            }
            _ => {}
        }
        match name.parse() {
            Ok(address) => Ok(Place::Server(address)),
            Err(error) => Err(Failure::Usage { detail: format!("{error}") }),
        }
    }

    /// Connects, or opens the store. A store that another process writes is opened for reading
    /// beside it if `read_only`, and is busy otherwise.
    ///
    /// # Errors
    /// [`Failure::NoServer`], [`Failure::Open`].
    pub(crate) fn open(&self, read_only: bool) -> Result<Box<dyn BlockStore>, Failure> {
        match self {
            Place::Server(address) => Ok(Box::new(connect(address)?)),
            Place::Store(path) => Ok(Box::new(open_store(path, read_only)?)),
        }
    }
}

impl LocalStore {
    /// The directory that is named.
    ///
    /// # Errors
    /// [`Failure::NowhereToGo`], or [`Failure::NotLocal`] if a server is named.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        match self.place()? {
            Place::Store(path) => Ok(path),
            Place::Server(address) => Err(Failure::NotLocal { address: address.to_string() }),
        }
    }

    /// The directory or server that is named, for commands that work with both.
    ///
    /// # Errors
    /// As [`Place::given`].
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        match &self.store {
            Some(path) => Ok(Place::Store(path.clone())),
            None => Place::given(&self.place),
        }
    }

    /// Opens the store, beside a process that writes it if `read_only`.
    ///
    /// # Errors
    /// As [`LocalStore::path`], [`Failure::NoStore`], [`Failure::Open`].
    pub(crate) fn open(&self, read_only: bool) -> Result<Store, Failure> {
        open_store(&self.path()?, read_only)
    }
}

/// What it means that a store with its log of roots can not be opened.
pub(crate) fn open_failure(path: &Path, error: StoredError) -> Failure {
    match error {
        StoredError::Open(source) => Failure::Open { path: path.to_owned(), source },
        StoredError::Roots(source) => Failure::Roots { source },
    }
}

/// Connects to a server.
pub(crate) fn connect(address: &Address) -> Result<Client, Failure> {
    Client::connect(address).map_err(|source| Failure::NoServer {
        address: address.to_string(),
        source: Box::new(source),
    })
}

/// Opens the store in a directory.
pub(crate) fn open_store(path: &Path, read_only: bool) -> Result<Store, Failure> {
    if let Err(error) = path.metadata() {
        return Err(match error.kind() {
            io::ErrorKind::NotFound => Failure::NoStore { path: path.to_owned() },
            _ => Failure::Io { action: format!("looking at {}", path.display()), source: error },
        });
    }
    let options = StoreOptions { create: false, read_only, ..StoreOptions::default() };
    Store::open_path(path, options)
        .map_err(|source| Failure::Open { path: path.to_owned(), source })
}
