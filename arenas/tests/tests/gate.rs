//! A simulated disk whose writes to arenas can be held up, to put two callers into one moment.

use std::sync::Arc;

use arenas::disk::{
    Disk, DiskError, DiskFile, DiskLock, DiskResult, Fault, MappedBytes, OpenMode, SimDisk,
};
use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct GateDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    closed: bool,
    /// Writes that wait at the gate.
    waiting: usize,
    /// Whether later writes go past those that wait.
    pass: bool,
    /// How the writes that wait will fail.
    outcome: Option<Fault>,
}

impl GateDisk {
    pub(crate) fn new(disk: SimDisk) -> GateDisk {
        GateDisk { disk, gate: Arc::default() }
    }

    /// Holds up all writes to arenas from now on.
    pub(crate) fn close(&self) {
        self.gate.state.lock().closed = true;
    }

    /// Returns once a write waits.
    pub(crate) fn wait_for_arrival(&self) {
        let mut state = self.gate.state.lock();
        while state.waiting == 0 {
            self.gate.changed.wait(&mut state);
        }
    }

    /// Lets writes past that come from now on; those that wait go on waiting.
    pub(crate) fn let_others_pass(&self) {
        self.gate.state.lock().pass = true;
    }

    /// Ends the waiting, by failing if `outcome` says so.
    pub(crate) fn open(&self, outcome: Option<Fault>) {
        let mut state = self.gate.state.lock();
        state.closed = false;
        state.outcome = outcome;
        self.gate.changed.notify_all();
    }
}

impl Disk for GateDisk {
    fn open(&self, name: &str, mode: OpenMode) -> DiskResult<Arc<dyn DiskFile>> {
        let file = self.disk.open(name, mode)?;
        Ok(Arc::new(GateFile { file, gate: Arc::clone(&self.gate) }))
    }

    fn list(&self, directory: &str) -> DiskResult<Vec<String>> {
        self.disk.list(directory)
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        self.disk.remove(name)
    }

    fn create_dir(&self, name: &str) -> DiskResult<()> {
        self.disk.create_dir(name)
    }

    fn sync_dir(&self, directory: &str) -> DiskResult<()> {
        self.disk.sync_dir(directory)
    }

    fn set_read_only(&self, name: &str) -> DiskResult<()> {
        self.disk.set_read_only(name)
    }

    fn is_read_only(&self, name: &str) -> DiskResult<bool> {
        self.disk.is_read_only(name)
    }

    fn lock(&self, name: &str) -> DiskResult<Box<dyn DiskLock>> {
        self.disk.lock(name)
    }

    fn map(&self, name: &str) -> DiskResult<MappedBytes> {
        self.disk.map(name)
    }
}

#[derive(Debug)]
struct GateFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl DiskFile for GateFile {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> DiskResult<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> DiskResult<usize> {
        let mut state = self.gate.state.lock();
        if state.closed && !state.pass {
            state.waiting += 1;
            self.gate.changed.notify_all();
            while state.closed {
                self.gate.changed.wait(&mut state);
            }
            state.waiting -= 1;
            let source = match state.outcome {
                None => None,
                Some(Fault::Full) => Some(std::io::ErrorKind::StorageFull.into()),
                Some(_) => Some(std::io::Error::other("input/output error")),
            };
            if let Some(source) = source {
                let name = self.file.name().to_owned();
                return Err(DiskError { operation: "write", name, offset: Some(offset), source });
            }
        }
        drop(state);
        self.file.write_at(data, offset)
    }

    fn sync_data(&self) -> DiskResult<()> {
        self.file.sync_data()
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }

    fn set_len(&self, length: u64) -> DiskResult<()> {
        self.file.set_len(length)
    }
}
