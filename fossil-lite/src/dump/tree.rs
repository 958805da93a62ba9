//! The tree: what is where, found and listed.

use std::sync::Arc;

use parking_lot::Mutex;
use vac::format::{FileKind, Timestamp};
use vac::reader::{Archive, Node};
use venti_proto::roots::{Completeness, HostName, MemoryRootLog, NewRoot, RootLog};
use venti_proto::{BlockStore, Score};

use super::entry::hash;
use super::listing::Listings;
use super::visits::Visits;
use super::walk::Stores;
use super::{Attributes, Catalogue, Dump, DumpFile, ahead};
use crate::FileError;
use venti_proto::roots::DumpName;

/// The name beside the years.
pub const LATEST: &str = "latest";

/// The host that an archive alone is shown as the dump of.
const ALONE: &str = "archive";

/// Archives that are kept open.
const OPEN_ARCHIVES: usize = 256;

/// Archives that are opened at once when a year is listed.
const ARCHIVES_AT_ONCE: usize = 64;

/// A name in the tree.
#[derive(Clone)]
pub enum Place {
    /// All hosts.
    Top,
    /// A host: its years, and `latest`.
    Host(HostName),
    /// The symbolic link to a dump of a host, the newest when it was looked for.
    Latest(HostName, Arc<Dump>),
    /// A year of a host.
    Year(HostName, i16),
    /// A dump that was listed, for which no block was read.
    Dump(HostName, Arc<Dump>),
    /// A file in a dump, or the dump's root.
    File(DumpFile),
}

/// The dump.
pub struct Tree {
    catalogue: Arc<Catalogue>,
    store: Arc<dyn BlockStore>,
    /// The same without a cache, for blocks of which others keep what is in them.
    beneath: Arc<dyn BlockStore>,
    /// Only this host is shown, without its name.
    host: Option<HostName>,
    /// Only this archive is shown, without host and day.
    top: Option<DumpFile>,
    /// Most recently used last.
    open: Mutex<Vec<(Score, Archive)>>,
    listings: Listings,
    visits: Visits,
}

impl Tree {
    /// All hosts, or one.
    #[must_use]
    pub fn new(
        catalogue: Arc<Catalogue>,
        store: Arc<dyn BlockStore>,
        host: Option<HostName>,
    ) -> Tree {
        let (open, listings, visits) = Default::default();
        let beneath = Arc::clone(&store);
        Tree { catalogue, store, beneath, host, top: None, open, listings, visits }
    }

    /// With what is behind the cache of the store, for blocks of which others keep what is in
    /// them.
    #[must_use]
    pub fn with_beneath(self, beneath: Arc<dyn BlockStore>) -> Tree {
        Tree { beneath, ..self }
    }

    /// One archive, which need not be in any log.
    ///
    /// # Errors
    /// If it can not be opened.
    pub fn of_archive(store: Arc<dyn BlockStore>, score: Score) -> Result<Tree, FileError> {
        // What identifies its files is theirs alone, so any name and time do for the dump.
        let host: HostName = ALONE.parse().map_err(|_| bad_name(ALONE))?;
        let archive = ALONE.parse().map_err(|_| bad_name(ALONE))?;
        let log = MemoryRootLog::new("UTC", || 0);
        let completeness = Completeness::Complete;
        let root = NewRoot { host: host.clone(), archive, score, bytes: 0, files: 0, completeness };
        log.record(&root).map_err(|error| FileError::Io { detail: error.to_string() })?;
        let catalogue = Arc::new(Catalogue::new(Arc::new(log)));
        catalogue.refresh()?;
        let mut tree = Tree::new(catalogue, store, Some(host.clone()));
        tree.top = Some(tree.latest(&host)?);
        Ok(tree)
    }

    /// Which dumps there are.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Where the blocks are.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn BlockStore> {
        &self.store
    }

    /// The host that alone is shown.
    #[must_use]
    pub fn only_host(&self) -> Option<&HostName> {
        self.host.as_ref().filter(|_| self.top.is_none())
    }

    /// Where the tree begins.
    #[must_use]
    pub fn root(&self) -> Place {
        if let Some(top) = &self.top {
            return Place::File(top.clone());
        }
        self.host.clone().map_or(Place::Top, Place::Host)
    }

    /// The root of a dump.
    ///
    /// # Errors
    /// If the archive can not be opened.
    pub fn open_dump(&self, host: &HostName, dump: &Arc<Dump>) -> Result<DumpFile, FileError> {
        let archive = self.archive(dump.record.root.score)?;
        Ok(DumpFile::root(host.clone(), Arc::clone(dump), archive.root().clone()))
    }

    fn archive(&self, score: Score) -> Result<Archive, FileError> {
        let mut open = self.open.lock();
        if let Some(position) = open.iter().position(|(known, _)| *known == score) {
            let found = open.remove(position);
            let archive = found.1.clone();
            open.push(found);
            return Ok(archive);
        }
        drop(open);
        ahead::archives(&*self.store, &[score]);
        let archive = Archive::open(Arc::clone(&self.store), score)?;
        let mut open = self.open.lock();
        if open.len() >= OPEN_ARCHIVES {
            open.remove(0);
        }
        open.push((score, archive.clone()));
        Ok(archive)
    }

    /// The parent of a place; the root's is the root.
    #[must_use]
    pub fn parent(&self, place: &Place) -> Place {
        match place {
            Place::Top => Place::Top,
            Place::Host(_) => self.root(),
            Place::Year(host, _) | Place::Latest(host, _) => Place::Host(host.clone()),
            Place::Dump(host, dump) => Place::Year(host.clone(), dump.name.day.year()),
            Place::File(file) => match file.parent() {
                Some(parent) => Place::File(parent.clone()),
                None if self.top.is_some() => self.root(),
                None => Place::Year(file.host().clone(), file.dump().name.day.year()),
            },
        }
    }

    /// The last element of the name of a place.
    #[must_use]
    pub fn name(&self, place: &Place) -> Vec<u8> {
        match place {
            Place::Top => b"/".to_vec(),
            Place::Host(_) if self.host.is_some() => b"/".to_vec(),
            Place::File(file) if self.top.is_some() && file.parent().is_none() => b"/".to_vec(),
            Place::Host(host) => host.as_str().as_bytes().to_vec(),
            Place::Latest(..) => LATEST.as_bytes().to_vec(),
            Place::Year(_, year) => format!("{year:04}").into_bytes(),
            Place::Dump(_, dump) => dump.name.month_and_day().into_bytes(),
            Place::File(file) if file.parent().is_none() => {
                file.dump().name.month_and_day().into_bytes()
            }
            Place::File(file) => file.node().name().to_vec(),
        }
    }

    /// The name `name` in a directory.
    ///
    /// # Errors
    /// [`FileError::NotFound`], [`FileError::NotADirectory`], or why it can not be read.
    pub fn lookup(&self, place: &Place, name: &[u8]) -> Result<Place, FileError> {
        match place {
            Place::File(file) if file.node().is_directory() => {
                self.visits.enter(&*self.store, file);
                let found = file.node().lookup(name)?;
                found.map(|node| Place::File(file.child(node))).ok_or(FileError::NotFound)
            }
            Place::File(_) | Place::Latest(..) => Err(FileError::NotADirectory),
            Place::Dump(host, dump) => self.lookup(&Place::File(self.open_dump(host, dump)?), name),
            Place::Top | Place::Host(_) | Place::Year(..) => {
                let text = std::str::from_utf8(name).map_err(|_| FileError::NotFound)?;
                // Dumps that are known stay; the log is only asked for new ones.
                let found = match self.lookup_known(place, text) {
                    Err(FileError::NotFound) => {
                        self.catalogue.refresh()?;
                        self.lookup_known(place, text)
                    }
                    found => found,
                };
                match found? {
                    Place::Dump(host, dump) => self.enter(&host, &dump).map(Place::File),
                    place => Ok(place),
                }
            }
        }
    }

    fn lookup_known(&self, place: &Place, name: &str) -> Result<Place, FileError> {
        match place {
            Place::Host(host) if name == LATEST => {
                self.catalogue.refresh()?;
                let dump = self.catalogue.latest(host)?.ok_or(FileError::NotFound)?;
                Ok(Place::Latest(host.clone(), dump))
            }
            Place::Host(host) => {
                let year = name.parse::<i16>().ok().filter(|year| format!("{year:04}") == name);
                let year = year.ok_or(FileError::NotFound)?;
                let in_year = |dump: &Arc<Dump>| dump.name.day.year() == year;
                let found = self.catalogue.dumps(host)?.iter().any(in_year);
                found.then(|| Place::Year(host.clone(), year)).ok_or(FileError::NotFound)
            }
            Place::Year(host, year) => {
                let name: DumpName =
                    format!("{year:04}/{name}").parse().map_err(|_| FileError::NotFound)?;
                let dump = self.catalogue.find(host, name)?.ok_or(FileError::NotFound)?;
                Ok(Place::Dump(host.clone(), dump))
            }
            _ => {
                let host: HostName = name.parse().map_err(|_| FileError::NotFound)?;
                let found = self.catalogue.has(&host);
                found.then_some(Place::Host(host)).ok_or(FileError::NotFound)
            }
        }
    }

    /// Gives the entries of a directory from `position` on to `take`, each with its name and the
    /// position behind it, until it says no.
    ///
    /// # Errors
    /// If it is none; or, when everything else was given, if something in it can not be read.
    pub fn list(
        &self,
        place: &Place,
        position: u64,
        take: &mut dyn FnMut(&[u8], Place, u64) -> bool,
    ) -> Result<(), FileError> {
        match place {
            Place::File(file) if file.node().is_directory() => {
                if position == 0 {
                    self.visits.enter(&*self.store, file);
                }
                let key = file.content_key();
                return self.listings.list(key, file.node(), position, &mut |node, behind| {
                    take(node.name(), Place::File(file.child(node.clone())), behind)
                });
            }
            Place::File(_) | Place::Latest(..) => return Err(FileError::NotADirectory),
            Place::Dump(host, dump) => {
                let root = Place::File(self.open_dump(host, dump)?);
                return self.list(&root, position, take);
            }
            Place::Top | Place::Host(_) | Place::Year(..) => {
                self.catalogue.refresh()?;
            }
        }
        let names = self.names(place)?;
        let skipped = usize::try_from(position).unwrap_or(usize::MAX);
        for (at, name) in names.iter().enumerate().skip(skipped) {
            // Names are never taken away.
            let child = self.lookup_known(place, name)?;
            if !take(name.as_bytes(), child, at as u64 + 1) {
                break;
            }
        }
        Ok(())
    }

    /// Opens a dump that was come upon in its year. Whoever comes from the one before goes through
    /// the year: what it takes to open the next ones is read at once.
    fn enter(&self, host: &HostName, dump: &Arc<Dump>) -> Result<DumpFile, FileError> {
        let dumps = self.catalogue.dumps(host)?;
        let year = dump.name.day.year();
        let start = dumps.partition_point(|other| other.name.day.year() < year);
        let at = dumps.partition_point(|other| other.name < dump.name);
        if at > start
            && (at - start) % ARCHIVES_AT_ONCE == 1
            && self.is_open(dumps[at - 1].record.root.score)
        {
            let next = dumps[at..].iter().take(ARCHIVES_AT_ONCE);
            let scores: Vec<_> = next.map(|dump| dump.record.root.score).collect();
            ahead::archives(&*self.store, &scores);
        }
        self.open_dump(host, dump)
    }

    fn is_open(&self, score: Score) -> bool {
        self.open.lock().iter().any(|(known, _)| *known == score)
    }

    /// The content of a file is going to be read from its start. Returns small files beside it
    /// whose content was read ahead with this: they will probably be read next.
    pub fn will_read(&self, file: &DumpFile) -> Vec<DumpFile> {
        self.visits.read(&*self.store, file)
    }

    /// A directory is going to be listed, from its start or on: whether its files will probably be
    /// read.
    pub fn will_list(&self, directory: &DumpFile) -> bool {
        self.visits.list(&*self.store, directory)
    }

    /// A list of a directory has shown directories, with the numbers that the reader knows them
    /// by.
    pub fn has_listed(&self, directory: &DumpFile, directories: Vec<(u64, DumpFile)>) {
        self.visits.show(directory, directories);
    }

    /// Whether a reader of this directory goes by the numbers of the files, not as it is listed.
    pub fn goes_by_number(&self, directory: &DumpFile) -> bool {
        self.visits.goes_by_number(directory)
    }

    /// Small files are going to be read: reads them all at once.
    pub fn will_read_all(&self, files: &[Node]) {
        self.visits.walk().read_files(self.stores(), files);
    }

    /// The content of such a file, for one who keeps it. `None` if it could not be read.
    pub fn take_content(&self, file: &Node) -> Option<Arc<Vec<u8>>> {
        self.visits.walk().take(file)
    }

    /// Reads what comes behind a directory whose files are being read, or nothing if this is being
    /// done already.
    pub fn go_ahead(&self, directory: &DumpFile) {
        self.visits.go_ahead(self.stores(), &self.listings, directory);
    }

    fn stores(&self) -> Stores<'_> {
        Stores { cached: &*self.store, beneath: &*self.beneath }
    }

    /// The names in a directory that no archive holds.
    fn names(&self, place: &Place) -> Result<Vec<String>, FileError> {
        Ok(match place {
            Place::Top => self.catalogue.hosts().iter().map(ToString::to_string).collect(),
            Place::Host(host) => {
                let dumps = self.catalogue.dumps(host)?;
                let mut years: Vec<String> = dumps.iter().map(|dump| dump.name.year()).collect();
                years.dedup();
                if !years.is_empty() {
                    years.insert(0, LATEST.to_owned());
                }
                years
            }
            Place::Year(host, year) => {
                let dumps = self.catalogue.dumps(host)?;
                let in_year = |dump: &&Arc<Dump>| dump.name.day.year() == *year;
                dumps.iter().filter(in_year).map(|dump| dump.name.month_and_day()).collect()
            }
            Place::Latest(..) | Place::Dump(..) | Place::File(_) => Vec::new(),
        })
    }

    /// What stat shows of a place.
    ///
    /// # Errors
    /// If it can not be read.
    pub fn attributes(&self, place: &Place) -> Result<Attributes, FileError> {
        match place {
            Place::File(file) => file.attributes(),
            Place::Dump(host, dump) => self.enter(host, dump)?.attributes(),
            _ => Ok(self.listed(place)),
        }
    }

    /// What is known of a place without reading a block, which is everything if it is not in a
    /// dump. Of what is, it is which file of which kind, and that nobody may do anything with it.
    #[must_use]
    pub fn listed(&self, place: &Place) -> Attributes {
        let last = |host| self.catalogue.newest(host).map_or_else(epoch, timestamp);
        let synthetic = |parts: &[&[u8]], time| Attributes::synthetic(hash(parts), time);
        match place {
            Place::File(file) => Attributes {
                id: file.id(),
                kind: file.node().kind(),
                permissions: 0,
                ..Attributes::synthetic(0, time_of(file.dump()))
            },
            Place::Dump(host, dump) => {
                let sequence = dump.record.sequence.to_be_bytes();
                let parts = [b"dump", host.as_str().as_bytes(), &sequence];
                Attributes { permissions: 0, ..synthetic(&parts, time_of(dump)) }
            }
            Place::Top => synthetic(&[b"top"], last(None)),
            Place::Host(host) => synthetic(&[b"host", host.as_str().as_bytes()], last(Some(host))),
            Place::Year(host, year) => synthetic(
                &[b"year", host.as_str().as_bytes(), &year.to_be_bytes()],
                last(Some(host)),
            ),
            Place::Latest(host, dump) => {
                // The kernel keeps what a link says: one that says something else is another.
                let sequence = dump.record.sequence.to_be_bytes();
                let name = dump.name.to_string();
                let parts = [b"latest", host.as_str().as_bytes(), &sequence, name.as_bytes()];
                Attributes {
                    kind: FileKind::Symlink,
                    permissions: 0o777,
                    size: dump.name.to_string().len() as u64,
                    ..synthetic(&parts, time_of(dump))
                }
            }
        }
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// If it is none, or can not be read.
    pub fn link_target(&self, place: &Place) -> Result<Vec<u8>, FileError> {
        match place {
            Place::Latest(_, dump) => Ok(dump.name.to_string().into_bytes()),
            Place::File(file) if file.node().kind() == FileKind::Symlink => {
                Ok(file.node().link_target()?)
            }
            _ => Err(FileError::Io { detail: "not a symbolic link".to_owned() }),
        }
    }

    /// The root of the newest dump, which `latest` leads to.
    ///
    /// # Errors
    /// If there is none, or it can not be opened.
    pub fn latest(&self, host: &HostName) -> Result<DumpFile, FileError> {
        let dump = self.catalogue.latest(host)?.ok_or(FileError::NotFound)?;
        self.open_dump(host, &dump)
    }
}

const fn epoch() -> Timestamp {
    Timestamp { seconds: 0, nanoseconds: 0 }
}

/// When the server recorded a dump.
pub(super) fn time_of(dump: &Dump) -> Timestamp {
    timestamp(dump.record.time)
}

/// Nanoseconds since 1970 in seconds and the rest.
fn timestamp(time: i64) -> Timestamp {
    let nanoseconds = u32::try_from(time.rem_euclid(1_000_000_000)).unwrap_or(0);
    Timestamp { seconds: time.div_euclid(1_000_000_000), nanoseconds }
}

fn bad_name(name: &str) -> FileError {
    FileError::Name { name: name.to_owned() }
}
