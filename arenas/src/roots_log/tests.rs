//! The log of roots on the simulated disk: order, crashes, damage, forgery.

use std::sync::atomic::{AtomicI64, Ordering};

use venti_proto::MemoryStore;
use venti_proto::roots::Completeness;

use super::*;
use crate::disk::{Fault, FaultPlan, SimDisk};
use crate::{Location, names};

/// Blocks that remember which root blocks were written, so that they can be scanned for.
#[derive(Default)]
struct Blocks {
    store: MemoryStore,
    roots: Mutex<Vec<Root>>,
    fails: std::sync::atomic::AtomicBool,
}

impl BlockStore for Blocks {
    fn write(&self, batch: &venti_proto::HashedBatch) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Io { detail: "no disk".into() });
        }
        let roots = batch.iter().filter(|block| block.block_type() == BlockType::ROOT);
        self.roots.lock().extend(roots.filter_map(|block| Root::decode(block.data()).ok()));
        self.store.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut venti_proto::Deliver<'_>) {
        self.store.read(requests, deliver);
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.store.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

impl RootBlocks for Blocks {
    fn each(&self, from: Location, take: &mut dyn FnMut(&Root) -> bool) -> Result<(), StoreError> {
        let roots = self.roots.lock().clone();
        let _ = roots[from.offset as usize..].iter().rev().all(take);
        Ok(())
    }

    fn place(&self, request: &BlockRequest) -> Result<Option<Location>, StoreError> {
        let roots = self.roots.lock();
        let is_it = |root: &Root| Score::of(&root.encode().unwrap()) == request.score;
        let found = roots.iter().position(is_it);
        Ok(found.map(|position| Location { arena: 0, offset: position.try_into().unwrap() }))
    }

    fn first_open_arena(&self) -> u32 {
        0
    }
}

impl Blocks {
    /// Writes an archive's root block, so that it may be recorded.
    fn archive(&self, number: u64) -> Score {
        let root = Root::vac(Score::of(&number.to_be_bytes()), 8192).encode().unwrap();
        let mut batch = BlockBatch::default();
        batch.push(BlockType::ROOT, &root);
        let batch = batch.hash();
        self.write(&batch).unwrap();
        batch.scores()[0]
    }
}

const IDENTITY: [u8; 16] = [7; 16];

fn options(read_only: bool) -> RootsLogOptions {
    let now = AtomicI64::new(1000);
    RootsLogOptions {
        identity: IDENTITY,
        read_only,
        time_zone: DayZone::Keep("UTC".to_owned()),
        clock: Arc::new(move || now.fetch_sub(1, Ordering::Relaxed)),
    }
}

fn open_with(
    disk: &SimDisk,
    blocks: &Arc<Blocks>,
    options: RootsLogOptions,
) -> Result<RootsLog, RootLogError> {
    let disk = Arc::new(disk.clone()) as _;
    RootsLog::open(&disk, Arc::clone(blocks) as _, options, &**blocks)
}

fn open(disk: &SimDisk, blocks: &Arc<Blocks>) -> RootsLog {
    open_with(disk, blocks, options(false)).unwrap()
}

fn root(blocks: &Blocks, host: &str, number: u64) -> NewRoot {
    NewRoot {
        host: host.parse().unwrap(),
        archive: "-".parse().unwrap(),
        score: blocks.archive(number),
        bytes: number,
        files: 1,
        completeness: Completeness::Complete,
    }
}

fn all(log: &RootsLog) -> Vec<RootRecord> {
    let mut all = Vec::new();
    log.each(&RootQuery::default(), &mut |record| {
        all.push(record);
        true
    })
    .unwrap();
    all.reverse();
    all
}

fn filled(disk: &SimDisk, blocks: &Arc<Blocks>, count: u64) -> Vec<RootRecord> {
    let log = open(disk, blocks);
    (0..count)
        .map(|n| log.record(&root(blocks, ["moby", "ishmael"][(n % 2) as usize], n)).unwrap())
        .collect()
}

#[test]
fn records_are_chained_in_order_of_time_and_found_again() {
    let (disk, blocks) = (SimDisk::new(1), Arc::default());
    let records = filled(&disk, &blocks, 150);
    assert!(records.windows(2).all(|pair| pair[1].previous == pair[0].seal));
    // The clock of the test runs backwards.
    assert!(records.is_sorted_by_key(|record| record.time));
    let log = open(&disk.kill(), &blocks);
    assert_eq!(all(&log), records);
    assert_eq!(log.report(), RootsLogReport { records: 150, rebuilt: false, missing: 0 });
    let query = RootQuery { host: Some("moby".parse().unwrap()), end: 100, ..RootQuery::default() };
    let page = log.list(&RootQuery { limit: 3, ..query }).unwrap();
    assert_eq!(page.records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [98, 96, 94]);
    assert_eq!((page.next, page.time_zone.as_str()), (150, "UTC"));
    let nobody = RootQuery { host: Some("ahab".parse().unwrap()), ..RootQuery::default() };
    assert!(log.list(&nobody).unwrap().records.is_empty());
}

#[test]
fn only_archives_that_are_stored_are_recorded() {
    let (disk, blocks) = (SimDisk::new(1), Arc::<Blocks>::default());
    let log = open(&disk, &blocks);
    let mut absent = root(&blocks, "moby", 1);
    absent.score = Score::of(b"nothing");
    let error = log.record(&absent).unwrap_err();
    assert!(matches!(error, RootLogError::Store(StoreError::NotFound { .. })), "{error}");
    assert!(all(&log).is_empty());
}

/// After any crash at any call, what was acknowledged is there, and nothing that was not asked.
#[test]
fn no_crash_loses_an_acknowledged_record() {
    for calls in 0..40 {
        for seed in 0..20 {
            let (disk, blocks) = (SimDisk::new(seed), Arc::<Blocks>::default());
            let before = filled(&disk, &blocks, 2);
            let log = open(&disk, &blocks);
            disk.set_faults(Some(FaultPlan { after: calls, fault: Fault::Io, forever: true }));
            let mut acknowledged = before;
            let mut asked = acknowledged.len();
            for number in 2..6 {
                asked += 1;
                match log.record(&root(&blocks, "moby", number)) {
                    Ok(record) => acknowledged.push(record),
                    Err(_) => break,
                }
            }
            disk.set_faults(None);
            for image in [disk.kill(), disk.crash(seed)] {
                let found = all(&open(&image, &blocks));
                assert_eq!(found[..acknowledged.len()], acknowledged[..], "{calls} {seed}");
                assert!(found.len() <= asked);
            }
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_recorded_and_everything_is_readable() {
    let (disk, blocks) = (SimDisk::new(3), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 2);
    let log = open(&disk, &blocks);
    let another = root(&blocks, "moby", 9);
    // The write succeeds, the sync fails.
    disk.set_faults(Some(FaultPlan { after: 1, fault: Fault::Io, forever: false }));
    log.record(&another).unwrap_err();
    disk.set_faults(None);
    let error = log.record(&another).unwrap_err();
    assert!(matches!(error, RootLogError::Store(StoreError::ReadOnly { .. })), "{error}");
    assert_eq!(all(&log), records);
}

#[test]
fn a_full_disk_passes() {
    let (disk, blocks) = (SimDisk::new(3), Arc::<Blocks>::default());
    let mut records = filled(&disk, &blocks, 2);
    let log = open(&disk, &blocks);
    let another = root(&blocks, "moby", 9);
    disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Full, forever: false }));
    log.record(&another).unwrap_err();
    disk.set_faults(None);
    records.push(log.record(&another).unwrap());
    assert_eq!(all(&open(&disk.kill(), &blocks)), records);
}

/// Blocks that could not be written are written with the next record.
#[test]
fn blocks_that_failed_are_written_later() {
    let (disk, blocks) = (SimDisk::new(3), Arc::<Blocks>::default());
    let log = open(&disk, &blocks);
    let (first, second) = (root(&blocks, "moby", 1), root(&blocks, "moby", 2));
    blocks.fails.store(true, Ordering::SeqCst);
    log.record(&first).unwrap_err();
    blocks.fails.store(false, Ordering::SeqCst);
    log.record(&second).unwrap();
    let records = all(&log);
    assert_eq!(records.len(), 2);
    assert!(disk.delete(names::ROOTS_LOG));
    assert_eq!(all(&open(&disk, &blocks)), records);
}

/// Every byte of the file, cut off and flipped: the records come back from the blocks.
#[test]
fn the_file_is_rebuilt_from_the_blocks_whatever_happened_to_it() {
    let (disk, blocks) = (SimDisk::new(4), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 3);
    let length = disk.contents(names::ROOTS_LOG).unwrap().len();
    for position in 0..length {
        for cut in [true, false] {
            let image = disk.kill();
            image.damage(names::ROOTS_LOG, |bytes| match cut {
                true => bytes.truncate(position),
                false => bytes[position] ^= 0x10,
            });
            let read_only = open_with(&image, &blocks, options(true)).unwrap();
            assert_eq!(all(&read_only)[..], records[..], "read-only, at {position}");
            let log = open(&image, &blocks);
            assert_eq!(all(&log), records, "cut {cut} at {position}");
            drop(log);
            assert!(!open(&image, &blocks).report().rebuilt);
        }
    }
    disk.delete(names::ROOTS_LOG);
    let log = open(&disk, &blocks);
    assert_eq!(all(&log), records);
    assert_eq!(log.report(), RootsLogReport { records: 3, rebuilt: true, missing: 0 });
}

#[test]
fn a_record_that_is_lost_everywhere_is_reported_and_the_others_stay() {
    let (disk, blocks) = (SimDisk::new(4), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 4);
    disk.delete(names::ROOTS_LOG);
    let lost = BlockRequest { score: Score::of(&records[1].encode()), block_type: BlockType::DATA };
    assert!(blocks.store.forget(&lost));
    let log = open(&disk, &blocks);
    assert_eq!(all(&log), [&records[..1], &records[2..]].concat());
    assert_eq!(log.report(), RootsLogReport { records: 3, rebuilt: true, missing: 1 });
    let next = log.record(&root(&blocks, "moby", 9)).unwrap();
    assert_eq!(next.sequence, 4);
}

/// A client can write any block, but does not know what the seal is keyed with.
#[test]
fn forged_records_are_not_believed() {
    let (disk, blocks) = (SimDisk::new(5), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 2);
    let mut forged = records[1].clone();
    forged.sequence = 2;
    forged.previous = records[1].seal;
    forged.time = 0;
    forged.seal = seal(&blake3::derive_key("venti roots v1", &[0; 16]), &forged);
    blocks.write(&record_blocks(&[forged]).unwrap().hash()).unwrap();
    disk.delete(names::ROOTS_LOG);
    assert_eq!(all(&open(&disk, &blocks)), records);
}

#[test]
fn a_log_that_is_read_only_follows_the_one_that_is_written() {
    let (disk, blocks) = (SimDisk::new(4), Arc::<Blocks>::default());
    let reader = || open_with(&disk, &blocks, options(true)).unwrap();
    let before_all = reader();
    let mut records = filled(&disk, &blocks, 3);
    let before = reader();
    assert_eq!(all(&before), records);
    let log = open(&disk, &blocks);
    for number in 3..6 {
        records.push(log.record(&root(&blocks, "queequeg", number)).unwrap());
        assert_eq!((all(&before), all(&before_all)), (records.clone(), records.clone()));
    }
    assert_eq!(before.watch(5, Duration::from_secs(60)), Ok(6));
    assert_eq!(before.watch(6, Duration::ZERO), Ok(6));
}

#[test]
fn the_newest_of_each_host_comes_in_the_order_of_names() {
    let (disk, blocks) = (SimDisk::new(5), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 10);
    let newest = open(&disk, &blocks).newest_of_each().unwrap();
    assert_eq!(newest.next, 10);
    assert_eq!(newest.records, [records[9].clone(), records[8].clone()], "ishmael, then moby");
}

#[test]
fn a_log_that_is_read_only_records_nothing() {
    let (disk, blocks) = (SimDisk::new(6), Arc::<Blocks>::default());
    let records = filled(&disk, &blocks, 1);
    let log = open_with(&disk, &blocks, options(true)).unwrap();
    let error = log.record(&root(&blocks, "moby", 9)).unwrap_err();
    assert!(matches!(error, RootLogError::Store(StoreError::ReadOnly { .. })), "{error}");
    assert_eq!(all(&log), records);
}
