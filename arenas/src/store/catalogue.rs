//! Where the blocks of arenas are that take no clumps any more: sealed ones through the index,
//! and those without a believable table of contents through an exact map.
//!
//! What the index says is a hint until the clump's header, or the arena's table of contents,
//! agrees. What the index does not say counts only if it covers every arena: until then the
//! missing ones are added from their tables of contents, here and now, before anything is called
//! absent.
//!
//! Lock order: `covering`, then any of the others, one at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};
use venti_proto::{BlockRequest, StoreError};

use super::toc::TocReader;
use super::trails::Trails;
use crate::Location;
use crate::arena::{Footer, TocEntry};
use crate::cache::{CacheStats, DataCache, FingerprintCache};
use crate::clump::ClumpInfo;
use crate::disk::{Disk, DiskFile, DiskResult, OpenMode};
use crate::fields::StoreIdentity;
use crate::finding::{Finding, Severity};
use crate::index::{Index, IndexEntry, IndexError, IndexOptions, IndexStats, Lookup, SealedArena};
use crate::log::Entries;
use crate::names;
use crate::rebuild::Progress;
use crate::recovery::{ScannedArena, Survey};

/// Files of sealed arenas that are kept open.
const OPEN_FILES: usize = 256;
/// Slots of the memory of what was lately touched.
pub(super) const HISTORY: usize = 1024;

/// What the fingerprint cache keeps of a block.
pub(super) type Fact = (Location, ClumpInfo);

/// All arenas but those that are written to.
pub(crate) struct Catalogue {
    disk: Arc<dyn Disk>,
    pub(crate) store: StoreIdentity,
    pub(super) sealed: RwLock<BTreeMap<u32, Footer>>,
    pub(super) scanned: RwLock<Vec<ScannedArena>>,
    files: Mutex<HashMap<u32, Arc<dyn DiskFile>>>,
    pub(super) index: Index,
    /// Held by whoever adds arenas that the index lacks.
    covering: Mutex<()>,
    pub(super) fingerprints: FingerprintCache<Fact>,
    pub(super) data: DataCache,
    pub(super) touched: Vec<AtomicU64>,
    pub(super) trails: Trails,
    findings: Mutex<Vec<Finding>>,
}

impl Catalogue {
    /// Opens the index for `sealed`.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        store: StoreIdentity,
        sealed: Vec<Footer>,
        scanned: Vec<ScannedArena>,
        read_only: bool,
        memory: u64,
    ) -> Result<Catalogue, IndexError> {
        let known: Vec<SealedArena> = sealed.iter().map(|footer| summary(footer, &store)).collect();
        let options = IndexOptions { read_only, ..IndexOptions::default() };
        let index = Index::open(Arc::clone(&disk), &known, options)?;
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let damage = index.damage();
        let catalogue = Catalogue {
            disk,
            store,
            sealed: RwLock::new(sealed.into_iter().map(|footer| (footer.number, footer)).collect()),
            scanned: RwLock::new(scanned),
            files: Mutex::new(HashMap::new()),
            index,
            covering: Mutex::new(()),
            fingerprints: FingerprintCache::new(memory / 4),
            data: DataCache::new(memory / 2),
            touched: (0..HISTORY).map(|_| AtomicU64::new(0)).collect(),
            trails: Trails::new(),
            findings: Mutex::new(Vec::new()),
        };
        for detail in damage {
            catalogue.report(Finding::of_store(Severity::Repairable, detail));
        }
        Ok(catalogue)
    }

    /// Enters an arena that was just sealed. Whether the index takes it or not, its blocks are
    /// found from now on.
    pub(super) fn add_sealed(&self, footer: Footer, entries: &Arc<Entries>) {
        self.sealed.write().insert(footer.number, footer);
        let arena = summary(&footer, &self.store);
        let listed = entries.iter().map(|entry| index_entry(footer.number, entry)).collect();
        if let Err(error) = self.index.add_arena(arena, listed) {
            tracing::warn!(%error, arena = footer.number, "sealed arena is not in the index yet");
            self.pin(footer.number, Arc::clone(entries));
        }
    }

    /// Keeps an exact map of an arena that the index could not take.
    fn pin(&self, number: u32, entries: Arc<Entries>) {
        self.set_scanned(ScannedArena { number, entries, scanned_through: 0, growing: false });
    }

    /// Replaces what is known of an arena by scanning it.
    pub(super) fn set_scanned(&self, arena: ScannedArena) {
        let mut scanned = self.scanned.write();
        scanned.retain(|known| known.number != arena.number);
        scanned.push(arena);
    }

    pub(super) fn toc(&self, footer: &Footer) -> DiskResult<TocReader> {
        let file = self.file(footer.number)?;
        Ok(TocReader::new(file, self.store, *footer))
    }

    /// An arena that neither the index nor an exact map covers, because it can not be read.
    pub(super) fn unknown_arena(&self) -> Option<u32> {
        let scanned = self.scanned.read();
        let uncovered = self.index.uncovered().into_iter().map(|arena| arena.number);
        uncovered.into_iter().find(|number| scanned.iter().all(|arena| arena.number != *number))
    }

    /// Adds all arenas that the index lacks, or keeps exact maps of them if it can not take them
    /// or is `given_up`. Returns whether there was any.
    pub(super) fn cover(&self, given_up: bool) -> bool {
        let _covering = self.covering.lock();
        let mut any = false;
        for arena in self.index.uncovered() {
            let pinned = self.scanned.read().iter().any(|known| known.number == arena.number);
            let footer = self.sealed.read().get(&arena.number).copied();
            if let (false, Some(footer)) = (pinned, footer) {
                self.cover_arena(&footer, given_up);
                any = true;
            }
        }
        any
    }

    fn cover_arena(&self, footer: &Footer, given_up: bool) {
        let number = footer.number;
        let entries = match self.entries_of(footer) {
            Ok(entries) => entries,
            Err(error) => {
                let detail = format!("can not be read: {error}");
                self.report(Finding::of_arena(Severity::Damaged, number, detail));
                return;
            }
        };
        let listed = entries.iter().map(|entry| index_entry(number, entry)).collect();
        let added = if given_up {
            None
        } else {
            self.index.add_arena(summary(footer, &self.store), listed).ok()
        };
        if added.is_none() {
            let mut map = Entries::new(&self.store);
            entries.into_iter().for_each(|entry| map.push(entry));
            self.pin(number, Arc::new(map));
        }
    }

    /// Every clump of a sealed arena: from its table of contents, or by scanning if that is
    /// damaged.
    pub(crate) fn entries_of(&self, footer: &Footer) -> DiskResult<Vec<TocEntry>> {
        let file = self.file(footer.number)?;
        match TocReader::new(Arc::clone(&file), self.store, *footer).all() {
            Ok(entries) => Ok(entries),
            Err(error) => {
                let detail = format!("table of contents: {error}; scanned instead");
                self.report(Finding::of_arena(Severity::Damaged, footer.number, detail));
                let survey = Survey::of_file(&file, self.store, footer.number)?;
                let mut entries = Entries::new(&self.store);
                survey.enter(&mut entries);
                Ok(entries.iter().copied().collect())
            }
        }
    }

    /// Makes the index drop what it says of these blocks' arenas if it calls one of the blocks
    /// absent, all of which are known to be stored in some sealed arena or another.
    pub(crate) fn drop_if_incomplete(&self, stored: &[(BlockRequest, u32)]) {
        let requests: Vec<BlockRequest> = stored.iter().map(|(request, _)| *request).collect();
        let mut answers = Vec::new();
        self.index.lookup(&requests, &mut answers);
        for ((request, arena), answer) in stored.iter().zip(&answers) {
            if *answer == Lookup::Absent && self.is_sealed(*arena) {
                let detail = format!("the index does not have block {}", request.score);
                self.report(Finding::of_arena(Severity::Repairable, *arena, detail));
                self.index.invalidate(*arena);
            }
        }
    }

    /// The file of an arena, opened at most once at a time for each.
    pub(crate) fn file(&self, number: u32) -> DiskResult<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.lock().get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&names::arena(number), OpenMode::Read)?;
        let mut files = self.files.lock();
        if files.len() >= OPEN_FILES {
            files.clear();
        }
        Ok(Arc::clone(files.entry(number).or_insert(file)))
    }

    /// Whether the arena is one whose bytes never change.
    pub(super) fn is_sealed(&self, number: u32) -> bool {
        self.sealed.read().contains_key(&number)
    }

    /// The footers of all sealed arenas, in order.
    pub(crate) fn footers(&self) -> Vec<Footer> {
        self.sealed.read().values().copied().collect()
    }

    /// The arenas that are known by exact maps, sealed ones that the index lacks among them.
    pub(crate) fn scanned(&self) -> Vec<ScannedArena> {
        self.scanned.read().clone()
    }

    /// Keeps a finding for the reports, once.
    pub(crate) fn report(&self, finding: Finding) {
        let mut findings = self.findings.lock();
        if !findings.contains(&finding) {
            tracing::warn!(%finding);
            findings.push(finding);
        }
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.findings.lock().clone()
    }

    /// One bounded step of the index's own work; whether there is more.
    pub(super) fn maintain(&self) -> bool {
        self.index.maintain().unwrap_or_else(|error| {
            tracing::warn!(%error, "index is not merged");
            false
        })
    }

    /// Throws the whole index away and builds it again, arena by arena.
    pub(crate) fn rebuild(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        self.index.invalidate_all();
        self.fingerprints.clear();
        let footers = self.footers();
        let total = footers.len() as u64;
        // What was pinned because the index would not take it gets another chance.
        let sealed = |number: u32| footers.iter().any(|footer| footer.number == number);
        for (done, footer) in footers.iter().enumerate() {
            progress(Progress { unit: "arenas", done: done as u64, total });
            let _covering = self.covering.lock();
            if self.index.uncovered().iter().any(|arena| arena.number == footer.number) {
                self.cover_arena(footer, false);
            }
        }
        progress(Progress { unit: "arenas", done: total, total });
        let missing = self.index.uncovered();
        if missing.is_empty() {
            self.scanned.write().retain(|arena| arena.growing || !sealed(arena.number));
            return Ok(());
        }
        let detail = format!("{} arenas could not be added to the index", missing.len());
        Err(StoreError::Io { detail })
    }

    pub(super) fn index_stats(&self) -> IndexStats {
        self.index.stats()
    }

    pub(super) fn cache_stats(&self) -> (CacheStats, CacheStats) {
        (self.fingerprints.stats(), self.data.stats())
    }
}

fn summary(footer: &Footer, store: &StoreIdentity) -> SealedArena {
    let identity = footer.identity(store);
    SealedArena { number: footer.number, identity, clumps: footer.clumps }
}

fn index_entry(arena: u32, entry: &TocEntry) -> IndexEntry {
    let BlockRequest { score, block_type } = entry.info.request();
    IndexEntry { score, block_type, arena, offset: entry.offset }
}
