//! The requests of the kernel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use vac::reader::Node;

use super::attributes::{errno, file_attr, file_type};
use super::inodes::Inodes;
use super::walks::{Files, Walks};
use crate::FileError;
use crate::dump::read_ahead::ReadAhead;
use crate::dump::{Attributes, DumpFile, Place, Tree, is_read_ahead};
use fuser::{
    Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, Notifier, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEntry, ReplyOpen, ReplyXattr, Request,
};

/// What is in a dump never changes.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Hosts and years get new dumps.
const SHORT: Duration = Duration::from_secs(1);

/// Files that the kernel is given before it hears that a directory has no more names: enough for
/// the others to come before they are asked for.
const FIRST_FILES: usize = 4;

/// `.` and `..` come before the entries.
const DOTS: u64 = 2;

pub(super) struct DumpFileSystem {
    tree: Arc<Tree>,
    inodes: Inodes,
    reading: ReadAhead,
    walks: Walks,
    /// Whether the kernel has to hear that a file may be opened, each time.
    opens: bool,
    /// The same of a directory.
    opens_directories: bool,
    /// To tell the kernel what it did not ask for; set when the mount is there.
    notifier: Arc<OnceLock<Notifier>>,
}

/// An entry as the kernel is told of it.
struct Entry {
    inode: u64,
    attributes: Attributes,
    lifetime: Duration,
}

impl DumpFileSystem {
    pub(super) fn new(tree: Arc<Tree>) -> DumpFileSystem {
        let inodes = Inodes::new(tree.root());
        DumpFileSystem {
            tree,
            inodes,
            reading: ReadAhead::default(),
            walks: Walks::default(),
            opens: true,
            opens_directories: true,
            notifier: Arc::default(),
        }
    }

    /// Where the way to the kernel has to be put.
    pub(super) fn notifier(&self) -> Arc<OnceLock<Notifier>> {
        Arc::clone(&self.notifier)
    }

    fn place(&self, inode: INodeNo) -> Result<Place, FileError> {
        self.inodes.place(inode.0).ok_or(FileError::NotFound)
    }

    fn find(&self, parent: INodeNo, name: &[u8]) -> Result<Entry, FileError> {
        let place = self.tree.lookup(&self.place(parent)?, name)?;
        let attributes = self.tree.attributes(&place)?;
        let lifetime = lifetime(&place);
        let inode = self.inodes.tell(parent.0, name, &place, &attributes);
        Ok(Entry { inode, attributes, lifetime })
    }

    fn xattr(&self, inode: INodeNo, name: &OsStr) -> Result<Vec<u8>, FileError> {
        let Place::File(file) = self.place(inode)? else { return Err(FileError::NoAttribute) };
        let xattrs = file.xattrs()?;
        let found = xattrs.into_iter().find(|xattr| xattr.name == name.as_bytes());
        found.map(|xattr| xattr.value).ok_or(FileError::NoAttribute)
    }

    /// The names of all attributes, each with a zero byte behind it. Those that only root can
    /// read, only root gets to know of.
    fn xattr_names(&self, inode: INodeNo, uid: u32) -> Result<Vec<u8>, FileError> {
        let Place::File(file) = self.place(inode)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for xattr in file.xattrs()? {
            if uid == 0 || !xattr.name.starts_with(b"trusted.") {
                names.extend_from_slice(&xattr.name);
                names.push(0);
            }
        }
        Ok(names)
    }

    fn file(&self, inode: INodeNo) -> Result<DumpFile, FileError> {
        match self.place(inode)? {
            Place::File(file) => Ok(file),
            _ => Err(FileError::IsADirectory),
        }
    }

    /// Gives the kernel the content of files, as `content` reads it: of what can not be read, or
    /// has no room in the kernel, nothing.
    fn give(&self, files: &[(u64, Node)], content: &dyn Fn(&Node) -> Option<Arc<Vec<u8>>>) {
        let (Some(notifier), Some(_giver)) = (self.notifier.get(), self.walks.giver()) else {
            return;
        };
        for (inode, node) in files {
            if let Some(content) = content(node) {
                let _ = notifier.store(INodeNo(*inode), 0, &content);
            }
        }
    }

    /// Gives the kernel files beside one that it has asked for. Only for a thread that has
    /// answered its own request: see [`super::walks`].
    fn give_beside(&self, files: Vec<DumpFile>) {
        let known = files.into_iter().filter_map(|file| {
            let attributes = file.attributes().ok().filter(|_| is_read_ahead(file.node()))?;
            Some((self.inodes.known(&attributes)?, file.node().clone()))
        });
        self.give(&known.collect::<Vec<_>>(), &|node| {
            let mut content = vec![0; usize::try_from(node.size()).ok()?];
            let read = node.read_at(0, &mut content).ok()?;
            (read == content.len()).then(|| Arc::new(content))
        });
    }

    /// Gives the kernel the first files that it was told of before, where they will be read, and
    /// returns the rest.
    fn give_first(&self, inode: INodeNo) -> Option<Files> {
        let mut files = self.walks.take(inode.0)?;
        let nodes: Vec<Node> = files.iter().map(|(_, node)| node.clone()).collect();
        self.tree.will_read_all(&nodes);
        let rest = files.split_off(files.len().min(FIRST_FILES));
        self.give(&files, &|node| self.tree.take_content(node));
        Some(rest)
    }

    /// The kernel has a list of hosts, years or dumps, and would keep it for ever.
    fn drop_list(&self, inode: INodeNo) {
        if let (false, Some(notifier)) = (self.opens_directories, self.notifier.get())
            && !matches!(self.inodes.place(inode.0), Some(Place::File(_)))
        {
            let _ = notifier.inval_inode(inode, 0, 0);
        }
    }

    /// Gives it the rest, and reads what will be read behind them. Only for a thread that has
    /// answered its own request.
    fn give_rest(&self, inode: INodeNo, rest: Option<Files>) {
        let (Some(files), Ok(directory)) = (rest, self.file(inode)) else { return };
        self.give(&files, &|node| self.tree.take_content(node));
        self.tree.go_ahead(&directory);
    }

    /// What the kernel is told of an entry of a directory, and for how long. Where that takes
    /// blocks which nobody asked for, or which can not be read, it is told the name and the kind
    /// and has to ask for the rest.
    fn listed(&self, place: &Place) -> (Attributes, Duration) {
        let known = match place {
            Place::Dump(..) => None,
            _ => self.tree.attributes(place).ok(),
        };
        match known {
            Some(attributes) => (attributes, lifetime(place)),
            None => (self.tree.listed(place), Duration::ZERO),
        }
    }

    /// The entries of a directory, the dots first. Fails only if there are none: those before
    /// something that can not be read are taken, and whoever asks for more gets the error.
    fn list(
        &self,
        inode: INodeNo,
        offset: u64,
        take: &mut dyn FnMut(&[u8], Place, u64) -> bool,
    ) -> Result<(), FileError> {
        let place = self.place(inode)?;
        if offset < 1 && !take(b".", place.clone(), 1) {
            return Ok(());
        }
        if offset < DOTS && !take(b"..", self.tree.parent(&place), DOTS) {
            return Ok(());
        }
        let mut taken = offset < DOTS;
        let position = offset.saturating_sub(DOTS);
        let listed = self.tree.list(&place, position, &mut |name, place, behind| {
            taken = true;
            take(name, place, behind + DOTS)
        });
        listed.or_else(|error| if taken { Ok(()) } else { Err(error) })
    }
}

fn lifetime(place: &Place) -> Duration {
    match place {
        // The server's time zone says what the name of a dump is.
        Place::File(file) if file.parent().is_some() => FOR_EVER,
        Place::File(_) | Place::Top | Place::Host(_) | Place::Year(..) | Place::Latest(..) => SHORT,
        Place::Dump(..) => Duration::ZERO,
    }
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

impl Filesystem for DumpFileSystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in [
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_READ,
        ] {
            // Whatever this kernel has not, it does without.
            let _ = config.add_capabilities(wanted);
        }
        self.opens = !config.capabilities().contains(InitFlags::FUSE_NO_OPEN_SUPPORT);
        self.opens_directories =
            !config.capabilities().contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        let most = config.set_max_readahead(4 << 20).err();
        if let Some(most) = most {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent, name.as_bytes()) {
            Ok(entry) => {
                let attr = file_attr(entry.inode, &entry.attributes);
                reply.entry(&entry.lifetime, &attr, Generation(0));
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn forget(&self, _: &Request, inode: INodeNo, lookups: u64) {
        self.inodes.forget(inode.0, lookups);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = self
            .place(inode)
            .and_then(|place| Ok((lifetime(&place), self.tree.attributes(&place)?)));
        match attributes {
            Ok((lifetime, attributes)) => reply.attr(&lifetime, &file_attr(inode.0, &attributes)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match self.place(inode).and_then(|place| self.tree.link_target(&place)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing is kept of an open file. A kernel that is told so does not ask again.
        match self.opens {
            true => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            false => reply.error(Errno::ENOSYS),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let file = match self.file(inode) {
            Ok(file) => file,
            Err(error) => return reply.error(errno(&error)),
        };
        let beside = if offset == 0 { self.tree.will_read(&file) } else { Vec::new() };
        match self.reading.read(inode.0, file.node(), offset, size) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(errno(&error)),
        }
        self.give_beside(beside);
        self.reading.go_ahead(inode.0, file.node());
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nor of an open directory: then the kernel keeps all lists, see `drop_list`.
        if !self.opens_directories {
            return reply.error(Errno::ENOSYS);
        }
        let flags = match self.inodes.place(inode.0) {
            Some(Place::File(_)) => FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
            _ => FopenFlags::empty(),
        };
        reply.opened(FileHandle(0), flags);
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let rest = self.give_first(inode);
        let listed = self.list(inode, offset, &mut |name, place, behind| {
            let (attributes, _) = self.listed(&place);
            let (number, kind) = match is_dot(name) {
                true => (inode.0, FileType::Directory),
                false => {
                    (Inodes::number(inode.0, name, &place, &attributes), file_type(attributes.kind))
                }
            };
            !reply.add(INodeNo(number), behind, kind, OsStr::from_bytes(name))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
        self.drop_list(inode);
        self.give_rest(inode, rest);
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let rest = self.give_first(inode);
        let directory = self.file(inode).ok();
        let will_read = directory.as_ref().is_some_and(|file| self.tree.will_list(file));
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        let listed = self.list(inode, offset, &mut |name, place, behind| {
            let (attributes, lifetime) = self.listed(&place);
            // The kernel does not count the dots as lookups.
            let told = !is_dot(name);
            let number = match told {
                true => self.inodes.tell(inode.0, name, &place, &attributes),
                false => inode.0,
            };
            let attr = file_attr(number, &attributes);
            let name = OsStr::from_bytes(name);
            let full = reply.add(INodeNo(number), behind, name, &lifetime, &attr, Generation(0));
            match place {
                _ if !told => {}
                _ if full => self.inodes.forget(number, 1),
                Place::File(file) if attributes.is_directory() => directories.push((number, file)),
                Place::File(file) if is_read_ahead(file.node()) => {
                    files.push((number, file.node().clone()));
                }
                _ => {}
            }
            !full
        });
        if let Some(directory) = &directory {
            self.tree.has_listed(directory, directories);
            if will_read {
                if self.tree.goes_by_number(directory) {
                    files.sort_unstable_by_key(|(number, _)| *number);
                }
                self.walks.see(inode.0, files);
            }
        }
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
        self.drop_list(inode);
        self.give_rest(inode, rest);
    }

    fn getxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        answer_xattr(self.xattr(inode, name), size, reply);
    }

    fn listxattr(&self, request: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        answer_xattr(self.xattr_names(inode, request.uid()), size, reply);
    }
}

/// A size of 0 asks how large the answer is.
fn answer_xattr(answer: Result<Vec<u8>, FileError>, size: u32, reply: ReplyXattr) {
    match answer {
        Ok(data) => match u32::try_from(data.len()) {
            Ok(length) if size == 0 => reply.size(length),
            Ok(length) if length <= size => reply.data(&data),
            _ => reply.error(Errno::ERANGE),
        },
        Err(error) => reply.error(errno(&error)),
    }
}
