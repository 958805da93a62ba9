//! A disk in memory that loses, tears, reorders, flips, fills and fails, as real ones do.
//!
//! Every decision comes from a seed. A clone is another handle on the same disk; [`SimDisk::kill`]
//! and [`SimDisk::crash`] make a new disk, as a restarted process finds it with its page cache
//! intact, or as a restarted machine finds it. Written bytes are durable after `sync_data` of the
//! file, names after `sync_dir` of the directory, and neither implies the other.

mod fault;
mod inode;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

pub use fault::{Fault, FaultPlan};
use inode::Inode;
use random::Random;

use super::{Disk, DiskError, DiskFile, DiskLock, DiskResult, MappedBytes, OpenMode};

/// A simulated disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// A change of names that no `sync_dir` has made durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Link { name: String, file: u64 },
    Unlink { name: String },
    Rename { from: String, to: String, file: u64 },
}

impl NameChange {
    fn directory(&self) -> &str {
        match self {
            NameChange::Link { name, .. } | NameChange::Unlink { name } => parent(name),
            NameChange::Rename { to, .. } => parent(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Link { name, file } => {
                names.insert(name.clone(), *file);
            }
            NameChange::Unlink { name } => {
                names.remove(name);
            }
            NameChange::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct State {
    random: Random,
    files: BTreeMap<u64, Inode>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    directories: BTreeSet<String>,
    durable_directories: BTreeSet<String>,
    locked: BTreeSet<String>,
    /// Calls so far, each of which a plan may make fail.
    calls: u64,
    plan: Option<FaultPlan>,
    /// Most bytes that all files may have together.
    capacity: Option<usize>,
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn fail<T>(
    operation: &'static str,
    name: &str,
    offset: Option<u64>,
    source: io::Error,
) -> DiskResult<T> {
    Err(DiskError { operation, name: name.to_owned(), offset, source })
}

impl SimDisk {
    /// An empty disk whose decisions follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        let root = BTreeSet::from([String::new()]);
        SimDisk {
            state: Arc::new(Mutex::new(State {
                random: Random::new(seed),
                files: BTreeMap::new(),
                next_file: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                pending_names: Vec::new(),
                directories: root.clone(),
                durable_directories: root,
                locked: BTreeSet::new(),
                calls: 0,
                plan: None,
                capacity: None,
            })),
        }
    }

    /// The disk as it is after the process was killed: nothing that was written is lost.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        let state = self.state.lock();
        let state = State { locked: BTreeSet::new(), plan: None, calls: 0, ..state.clone() };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as it may be after a loss of power: of what was not synced, any part is there.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let mut random = Random::new(seed);
        let mut directories = state.durable_directories.clone();
        for directory in &state.directories {
            if random.chance(1, 2) {
                directories.insert(directory.clone());
            }
        }
        let mut names = state.durable_names.clone();
        let in_order = random.chance(1, 2);
        let kept = random.below(state.pending_names.len() + 1);
        for (number, change) in state.pending_names.iter().enumerate() {
            if if in_order { number < kept } else { random.chance(1, 2) } {
                change.apply(&mut names);
            }
        }
        names.retain(|name, _| directories.contains(parent(name)));
        let files = names
            .values()
            .filter_map(|file| Some((*file, state.files.get(file)?)))
            .map(|(file, inode)| (file, inode.after_power_loss(&mut random)))
            .collect();
        let state = State {
            random,
            files,
            next_file: state.next_file,
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            durable_directories: directories.clone(),
            directories,
            locked: BTreeSet::new(),
            calls: 0,
            plan: None,
            capacity: state.capacity,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes calls fail from now on, counted from now on; `None` ends that.
    pub fn set_faults(&self, plan: Option<FaultPlan>) {
        let mut state = self.state.lock();
        state.calls = 0;
        state.plan = plan;
    }

    /// Calls since the disk was made or the faults were set.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Limits what all files may hold together; `None` ends that.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state.lock().capacity = bytes;
    }

    /// The names of all files, with their directories.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// What reading the whole file would return.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        Some(state.files.get(state.names.get(name)?)?.contents().to_vec())
    }

    /// Changes a file behind everybody's back, durably, after all that was written to it has
    /// reached the disk. Returns whether there is such a file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state.lock();
        let file = state.names.get(name).copied();
        let inode = file.and_then(|file| state.files.get_mut(&file));
        inode.is_some_and(|inode| {
            inode.damage(change);
            true
        })
    }

    /// Makes bytes of a file unreadable from now on. Returns whether there is such a file.
    pub fn break_sectors(&self, name: &str, bytes: Range<usize>) -> bool {
        let mut state = self.state.lock();
        let file = state.names.get(name).copied();
        let inode = file.and_then(|file| state.files.get_mut(&file));
        inode.is_some_and(|inode| {
            inode.break_sectors(bytes);
            true
        })
    }

    /// Puts a durable file in place, whatever was there before; its directory too.
    pub fn put(&self, name: &str, contents: Vec<u8>) {
        let mut state = self.state.lock();
        state.settle(name);
        let file = state.add_file(Inode::with(contents));
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
        state.directories.insert(parent(name).to_owned());
        state.durable_directories.insert(parent(name).to_owned());
    }

    /// Takes a file away, durably. Returns whether there was one.
    pub fn delete(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        state.settle(name);
        state.durable_names.remove(name);
        state.names.remove(name).is_some()
    }
}

impl State {
    fn add_file(&mut self, inode: Inode) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, inode);
        self.next_file
    }

    /// Counts a call, and says what the plan has for it.
    fn call(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        self.plan.as_ref().and_then(|plan| plan.strikes(call))
    }

    /// Counts a call that either works or not.
    fn plain_call(
        &mut self,
        operation: &'static str,
        name: &str,
        offset: Option<u64>,
    ) -> DiskResult<()> {
        match self.call().and_then(Fault::error) {
            Some(source) => fail(operation, name, offset, source),
            None => Ok(()),
        }
    }

    fn find(&self, operation: &'static str, name: &str) -> DiskResult<u64> {
        match self.names.get(name) {
            Some(file) => Ok(*file),
            None => fail(operation, name, None, io::ErrorKind::NotFound.into()),
        }
    }

    /// Forgets what was still to become durable about a name.
    fn settle(&mut self, name: &str) {
        self.pending_names.retain(|change| match change {
            NameChange::Link { name: changed, .. } | NameChange::Unlink { name: changed } => {
                changed != name
            }
            NameChange::Rename { from, to, .. } => from != name && to != name,
        });
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// How many of `wanted` more bytes there is room for.
    fn room(&self, wanted: usize) -> usize {
        let Some(capacity) = self.capacity else { return wanted };
        let used: usize = self
            .names
            .values()
            .filter_map(|file| self.files.get(file))
            .map(|inode| inode.contents().len())
            .sum();
        wanted.min(capacity.saturating_sub(used))
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, mode: OpenMode) -> DiskResult<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.plain_call("open", name, None)?;
        let file = match (state.names.get(name).copied(), mode) {
            (Some(file), OpenMode::Read) => file,
            (Some(file), _) => {
                let Some(inode) = state.files.get_mut(&file) else {
                    return fail("open", name, None, io::ErrorKind::NotFound.into());
                };
                if inode.read_only {
                    return fail("open", name, None, io::ErrorKind::PermissionDenied.into());
                }
                if mode == OpenMode::Create {
                    inode.set_len(0);
                }
                file
            }
            (None, OpenMode::Create) if state.directories.contains(parent(name)) => {
                let file = state.add_file(Inode::default());
                state.change_names(NameChange::Link { name: name.to_owned(), file });
                file
            }
            (None, _) => return fail("open", name, None, io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { disk: self.clone(), file, name: name.to_owned() }))
    }

    fn list(&self, directory: &str) -> DiskResult<Vec<String>> {
        let mut state = self.state.lock();
        state.plain_call("list", directory, None)?;
        if !state.directories.contains(directory) {
            return fail("list", directory, None, io::ErrorKind::NotFound.into());
        }
        let here = |name: &&String| parent(name) == directory;
        let file_name = |name: &String| match name.rsplit_once('/') {
            Some((_, file_name)) => file_name.to_owned(),
            None => name.clone(),
        };
        Ok(state.names.keys().filter(here).map(file_name).collect())
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.plain_call("rename", from, None)?;
        let file = state.find("rename", from)?;
        state.change_names(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.plain_call("remove", name, None)?;
        state.find("remove", name)?;
        state.change_names(NameChange::Unlink { name: name.to_owned() });
        Ok(())
    }

    fn create_dir(&self, name: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.plain_call("create", name, None)?;
        state.directories.insert(name.to_owned());
        Ok(())
    }

    fn sync_dir(&self, directory: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.plain_call("sync", directory, None)?;
        let State { pending_names, durable_names, .. } = &mut *state;
        pending_names.retain(|change| {
            let here = change.directory() == directory;
            if here {
                change.apply(durable_names);
            }
            !here
        });
        let State { directories, durable_directories, .. } = &mut *state;
        let children = directories.iter().filter(|name| parent(name) == directory);
        durable_directories.extend(children.cloned());
        Ok(())
    }

    fn set_read_only(&self, name: &str) -> DiskResult<()> {
        let mut state = self.state.lock();
        state.plain_call("change mode of", name, None)?;
        let file = state.find("change mode of", name)?;
        if let Some(inode) = state.files.get_mut(&file) {
            inode.read_only = true;
        }
        Ok(())
    }

    fn is_read_only(&self, name: &str) -> DiskResult<bool> {
        let mut state = self.state.lock();
        state.plain_call("stat", name, None)?;
        let file = state.find("stat", name)?;
        Ok(state.files.get(&file).is_some_and(|inode| inode.read_only))
    }

    fn lock(&self, name: &str) -> DiskResult<Box<dyn DiskLock>> {
        let mut state = self.state.lock();
        state.plain_call("lock", name, None)?;
        if !state.locked.insert(name.to_owned()) {
            return fail("lock", name, None, io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), name: name.to_owned() }))
    }

    fn map(&self, name: &str) -> DiskResult<MappedBytes> {
        let mut state = self.state.lock();
        state.plain_call("map", name, None)?;
        let file = state.find("map", name)?;
        let contents = state.files.get(&file).map(|inode| inode.contents().to_vec());
        Ok(MappedBytes::copied(contents.unwrap_or_default()))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    name: String,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked.remove(&self.name);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: u64,
    name: String,
}

impl SimFile {
    /// Runs a call on the file's state; a file that was crashed away is an I/O error.
    fn with<T>(
        &self,
        operation: &'static str,
        offset: Option<u64>,
        call: impl FnOnce(&mut Inode, &mut Random) -> T,
    ) -> DiskResult<T> {
        let mut state = self.disk.state.lock();
        let State { files, random, .. } = &mut *state;
        match files.get_mut(&self.file) {
            Some(inode) => Ok(call(inode, random)),
            None => fail(operation, &self.name, offset, io::ErrorKind::NotFound.into()),
        }
    }
}

/// Simulated files are small.
fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl DiskFile for SimFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<usize> {
        let fault = self.disk.state.lock().call();
        if let Some(source) = fault.and_then(Fault::error) {
            return fail("read", &self.name, Some(offset), source);
        }
        let read = self.with("read", Some(offset), |inode, _| {
            let contents = inode.contents();
            let start = place(offset).min(contents.len());
            let mut count = buffer.len().min(contents.len() - start);
            if fault == Some(Fault::Short) {
                count = count.div_ceil(2);
            }
            if inode.is_unreadable(&(start..start + count)) {
                return None;
            }
            buffer[..count].copy_from_slice(&contents[start..start + count]);
            Some(count)
        })?;
        let bad = || fail("read", &self.name, Some(offset), Errno::IO.into());
        read.map_or_else(bad, Ok)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> DiskResult<usize> {
        let (fault, room) = {
            let mut state = self.disk.state.lock();
            let fault = state.call();
            let length = state.files.get(&self.file).map_or(0, |inode| inode.contents().len());
            let end = place(offset) + data.len();
            let (grows, room) =
                (end.saturating_sub(length), state.room(end.saturating_sub(length)));
            (fault, data.len() - (grows - room))
        };
        let count = match fault {
            Some(Fault::Short | Fault::Io) => room.div_ceil(2),
            Some(Fault::Full | Fault::Interrupted) => 0,
            None => room,
        };
        if count > 0 {
            self.with("write", Some(offset), |inode, _| {
                inode.write(&data[..count], place(offset));
            })?;
        }
        let full = (count == 0 && !data.is_empty()).then_some(Fault::Full);
        match fault.or(full).and_then(Fault::error) {
            Some(source) => fail("write", &self.name, Some(offset), source),
            None => Ok(count),
        }
    }

    fn sync_data(&self) -> DiskResult<()> {
        let fault = self.disk.state.lock().call();
        match fault.and_then(Fault::error) {
            Some(source) => {
                self.with("sync", None, Inode::fail_sync)?;
                fail("sync", &self.name, None, source)
            }
            None => self.with("sync", None, |inode, _| inode.sync()),
        }
    }

    fn len(&self) -> DiskResult<u64> {
        self.with("stat", None, |inode, _| inode.contents().len() as u64)
    }

    fn set_len(&self, length: u64) -> DiskResult<()> {
        self.disk.state.lock().plain_call("cut", &self.name, Some(length))?;
        self.with("cut", Some(length), |inode, _| inode.set_len(place(length)))
    }
}
