//! Opens the store that `-h` or `$venti` names: a server, or a directory for a store in this
//! process.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arenas::{OpenError, Store, StoreOptions, SystemEnvironment};
use venti_proto::address::{Address, ParseAddressError};
use venti_proto::client::{Client, ConnectError};
use venti_proto::roots::{RootLog, RootLogError};
use venti_proto::{BlockStore, StoreError};

use crate::walk::{Attributes, Identity};

/// Bytes that an embedded store may keep in memory: enough for a run that goes through the log
/// in order, as archiving and restoring do, and little beside what a tree of millions takes.
const MEMORY: u64 = 40 << 20;

/// What the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read from it; beside a program that writes, too.
    Read,
    /// To write to it; a path where nothing is becomes a new store.
    Write,
}

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// What for.
    pub access: Access,
    /// Connections to a server.
    pub connections: usize,
}

/// A store that is open.
pub struct OpenedStore {
    /// The store.
    pub blocks: Arc<dyn BlockStore>,
    /// The log of roots: a server's, if it keeps one, or that of the store.
    pub roots: Arc<dyn RootLog>,
    /// The store itself, if it is in this process, and the directory that it is in.
    embedded: Option<(Store, Identity)>,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Nothing says which store.
    #[error(
        "no store is named: give -h with the host of a server or the directory of a store, \
         or set the environment variable venti"
    )]
    Unnamed,
    /// The name is no address.
    #[error(transparent)]
    Address(#[from] ParseAddressError),
    /// The server can not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A name without a slash is a host's, though there is a file or directory of that name.
    #[error("{source}; {name} in the present directory is no store (a new one: -h ./{name})")]
    Host {
        /// The name.
        name: String,
        /// Why there is no server.
        source: ConnectError,
    },
    /// The directory can not be opened as a store.
    #[error("{}: {error}{}", path.display(), advice(error))]
    Open {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        error: OpenError,
    },
    /// The log of roots in the directory can not be opened.
    #[error("{}: {error}", path.display())]
    Roots {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        error: RootLogError,
    },
    /// There is something at the path that is neither a directory nor a socket.
    #[error("{}: {error}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// What the user can do about it, to be said behind it.
const fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Busy => ": wait for it, or go through its server with -h HOST",
        OpenError::NewerFormat { .. } => ": use newer programs for it",
        OpenError::NotAStore { .. } => {
            ": give -h a store, or for a new one a path where nothing is"
        }
        _ => "",
    }
}

impl OpenStoreError {
    /// The exit code: 2 usage, 10 no such store, 11 busy, 12 not allowed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let of_io = |error: &io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => 12,
            _ => 10,
        };
        match self {
            OpenStoreError::Unnamed | OpenStoreError::Address(_) => 2,
            OpenStoreError::Connect(error) => error.exit_code(),
            OpenStoreError::Host { .. } => 10,
            OpenStoreError::Open { error: OpenError::Busy, .. } => 11,
            OpenStoreError::Open { error: OpenError::Disk(error), .. } => of_io(&error.source),
            OpenStoreError::Open { .. } | OpenStoreError::Roots { .. } => 10,
            OpenStoreError::Path { error, .. } => of_io(error),
        }
    }
}

/// What a name stands for. Paths are absolute, so that they mean the same in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A server.
    Server(Address),
    /// The directory of a store.
    Directory(PathBuf),
}

/// Decides whether a name is a directory or a server. `host` and `name` without a slash are
/// hosts, unless there is a store of this name in the present directory.
fn place_of(name: &str) -> Result<Place, OpenStoreError> {
    if name.contains('!') || name.starts_with("unix:") || name.starts_with("tls:") {
        return Ok(Place::Server(match name.parse()? {
            Address::Unix(path) => Address::Unix(absolute(&path)),
            address => address,
        }));
    }
    let path = Path::new(name);
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            return Ok(Place::Server(Address::Unix(absolute(path))));
        }
        Ok(found) if found.is_dir() && (name.contains('/') || looks_like_store(path)) => {
            return Ok(Place::Directory(absolute(path)));
        }
        Ok(_) | Err(_) => {}
    }
    if name.contains('/') {
        return Ok(Place::Directory(absolute(path)));
    }
    Ok(Place::Server(name.parse()?))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn looks_like_store(path: &Path) -> bool {
    path.join("store.toml").exists() || path.join("arenas").is_dir()
}

/// What `named` (the option `-h`) or else the environment variable `venti` stands for.
///
/// # Errors
/// [`OpenStoreError::Unnamed`], [`OpenStoreError::Address`].
pub fn place(named: Option<&str>) -> Result<Place, OpenStoreError> {
    let environment = std::env::var("venti").ok();
    let name = named.or(environment.as_deref()).filter(|name| !name.is_empty());
    place_of(name.ok_or(OpenStoreError::Unnamed)?)
}

/// What changes with every archive that anybody records in the store in a directory.
#[must_use]
pub fn recorded(directory: &Path) -> Option<(u64, u64)> {
    let log = std::fs::metadata(directory.join(arenas::names::ROOTS_LOG)).ok()?;
    Some((log.ino(), log.len()))
}

/// Opens what `named` (the option `-h`) or else the environment variable `venti` names.
///
/// # Errors
/// Any [`OpenStoreError`].
pub fn open(named: Option<&str>, options: OpenOptions) -> Result<OpenedStore, OpenStoreError> {
    let environment = std::env::var("venti").ok();
    let name = named.or(environment.as_deref()).filter(|name| !name.is_empty());
    match place_of(name.ok_or(OpenStoreError::Unnamed)?)? {
        Place::Server(address) => {
            let client = Client::connect_many(&address, options.connections)
                .map_err(|error| no_server(name.unwrap_or_default(), error))?;
            let client = Arc::new(client);
            let roots = Arc::clone(&client) as _;
            Ok(OpenedStore { blocks: client, roots, embedded: None, is_new: false })
        }
        Place::Directory(path) => open_directory(&path, options.access),
    }
}

fn no_server(name: &str, source: ConnectError) -> OpenStoreError {
    match source {
        source @ ConnectError::Resolve { .. } if Path::new(name).exists() => {
            OpenStoreError::Host { name: name.to_owned(), source }
        }
        source => OpenStoreError::Connect(source),
    }
}

/// Opens the store in a directory.
///
/// # Errors
/// Any [`OpenStoreError`] but those of servers.
pub fn open_directory(path: &Path, access: Access) -> Result<OpenedStore, OpenStoreError> {
    let path_error = |error| OpenStoreError::Path { path: path.to_owned(), error };
    let create = access == Access::Write && !looks_like_store(path);
    if create && is_in_use(path).map_err(path_error)? {
        let detail = "there are files in the directory, and they are no store".to_owned();
        let error = OpenError::NotAStore { detail };
        return Err(OpenStoreError::Open { path: path.to_owned(), error });
    }
    let read_only = access == Access::Read;
    let options = StoreOptions { create, read_only, memory: MEMORY, ..StoreOptions::default() };
    let open_error = |error| OpenStoreError::Open { path: path.to_owned(), error };
    let store = Store::open_path(path, options).map_err(open_error)?;
    let zone = jiff::tz::TimeZone::system();
    // Only for a store that has none.
    let zone = zone.iana_name().filter(|_| !zone.is_unknown()).unwrap_or("UTC");
    let roots = store.roots_log(zone, Arc::new(SystemEnvironment));
    let roots = roots.map_err(|error| OpenStoreError::Roots { path: path.to_owned(), error })?;
    let directory = File::open(path).map_err(path_error)?;
    let attributes = Attributes::of_open(&directory).map_err(|errno| path_error(errno.into()))?;
    Ok(OpenedStore {
        blocks: Arc::new(store.clone()),
        roots: Arc::new(roots),
        embedded: Some((store, attributes.identity)),
        is_new: create,
    })
}

/// Whether there is anything at the path that a new store could get mixed up with.
fn is_in_use(path: &Path) -> io::Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl OpenedStore {
    /// The directory of a store in this process: not to be archived into itself.
    #[must_use]
    pub fn directory(&self) -> Option<Identity> {
        self.embedded.as_ref().map(|(_, identity)| *identity)
    }

    /// Closes a store in this process, which ends its threads; a server is just left.
    ///
    /// # Errors
    /// What the store says.
    pub fn close(self) -> Result<(), StoreError> {
        self.embedded.map_or(Ok(()), |(store, _)| store.close())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_only_where_nothing_is() {
        let place = tempfile::tempdir().unwrap();
        let name = place.path().to_str().unwrap();
        let new = format!("{name}/new");
        let (write, read) = (Access::Write, Access::Read);
        let open = |name: &str, access| open(Some(name), OpenOptions { access, connections: 1 });
        assert!(open(&new, read).is_err());
        let opened = open(&new, write).unwrap();
        assert!(opened.is_new && opened.directory().is_some());
        assert_eq!(open(&new, write).err().map(|e| e.exit_code()), Some(11), "in use");
        opened.close().unwrap();
        assert!(!open(&new, write).unwrap().is_new);
        let refused = open(name, write).err().unwrap();
        assert!(refused.to_string().contains("they are no store"), "{refused}");
        assert_eq!(refused.exit_code(), 10);
    }

    #[test]
    fn names_stand_for_servers_or_directories() {
        let place = tempfile::tempdir().unwrap();
        let tcp = |host: &str| Place::Server(Address::Tcp { host: host.to_owned(), port: 17034 });
        assert_eq!(place_of("backup").unwrap(), tcp("backup"));
        assert_eq!(place_of("tcp!backup!venti").unwrap(), tcp("backup"));
        let tls = Address::Tls { host: "backup".to_owned(), port: 17034 };
        assert_eq!(place_of("tls:backup").unwrap(), Place::Server(tls));
        let directory = place.path().to_str().unwrap().to_owned();
        assert_eq!(place_of(&directory).unwrap(), Place::Directory(place.path().to_owned()));
        let new = place.path().join("new");
        assert_eq!(place_of(new.to_str().unwrap()).unwrap(), Place::Directory(new));
        let socket = place.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let named = place_of(socket.to_str().unwrap()).unwrap();
        assert_eq!(named, Place::Server(Address::Unix(socket)));
        assert_eq!(place_of("tcp!host!what").unwrap_err().exit_code(), 2);
        assert_eq!(OpenStoreError::Unnamed.exit_code(), 2);
    }
}
