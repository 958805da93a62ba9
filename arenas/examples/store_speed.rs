//! How fast a store takes and gives blocks, on the disk that holds the directory given.
//!
//!     cargo run --release -p arenas --example store_speed -- DIRECTORY [MEGABYTES] [THREADS]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement by hand")]

use std::path::Path;
use std::time::Instant;

use arenas::{Store, StoreOptions, UnverifiedBlock};
use venti_proto::{BlockBatch, BlockRequest, BlockStore, BlockType, HashedBatch};

const BLOCK: usize = 8192;
const BATCH: usize = 128;

/// Text of words, which LZ4 halves, and a number that makes every block another.
fn batch(number: usize) -> HashedBatch {
    let words = ["arena ", "clump ", "score ", "index ", "venti ", "fossil ", "block ", "root\n"];
    let mut batch = BlockBatch::with_capacity(BATCH * BLOCK);
    for block in 0..BATCH {
        let mut state = (number * BATCH + block) as u64 + 1;
        let mut bytes = Vec::with_capacity(BLOCK + 16);
        while bytes.len() < BLOCK {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let word = usize::try_from(state >> 61).unwrap();
            bytes.extend_from_slice(words[word].as_bytes());
            bytes.extend_from_slice(&(state >> 40).to_be_bytes()[5..]);
        }
        bytes.truncate(BLOCK);
        batch.push(BlockType::DATA, &bytes);
    }
    batch.hash()
}

/// Prints elapsed time, and processor time, which other work on the machine does not spoil.
fn timed(what: &str, megabytes: f64, work: impl FnOnce()) {
    let (start, used) = (Instant::now(), processor_seconds());
    work();
    let (seconds, used) = (start.elapsed().as_secs_f64(), processor_seconds() - used);
    let [speed, per_core] = [seconds, used].map(|seconds| megabytes / seconds);
    println!(
        "{what:30} {seconds:7.3} s {speed:7.0} MB/s  {used:7.3} cpu s {per_core:7.0} MB/s a core"
    );
}

fn processor_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap();
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (megabytes, threads) = (number(1000), number(1));
    let path = Path::new(&directory).join("store");
    let batches: Vec<HashedBatch> =
        (0..megabytes * 1_000_000 / (BATCH * BLOCK)).map(batch).collect();
    let megabytes = (batches.len() * BATCH * BLOCK) as f64 / 1e6;
    let options = StoreOptions { create: true, ..StoreOptions::default() };
    let store = Store::open_path(&path, options.clone()).unwrap();
    let parallel = |work: &(dyn Fn(&HashedBatch) + Sync)| {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let batches = &batches;
                scope.spawn(move || batches.iter().skip(thread).step_by(threads).for_each(work));
            }
        });
    };
    timed("virgin writes, hashed", megabytes, || parallel(&|batch| store.write(batch).unwrap()));
    timed("sync", megabytes, || store.sync().unwrap());
    timed("duplicate writes, hashed", megabytes, || parallel(&|batch| store.write(batch).unwrap()));
    timed("duplicate writes, unverified", megabytes, || {
        parallel(&|batch| {
            let blocks: Vec<UnverifiedBlock<'_>> = batch
                .iter()
                .map(|block| UnverifiedBlock { block_type: block.block_type(), data: block.data() })
                .collect();
            let mut results = Vec::new();
            store.write_unverified(&blocks, &mut results);
            assert!(results.iter().all(Result::is_ok));
        });
    });
    let read = |store: &Store| {
        parallel(&|batch| {
            let requests: Vec<BlockRequest> =
                batch.iter().map(|block| BlockRequest::from(&block)).collect();
            store.read(&requests, &mut |_, block| assert_eq!(block.unwrap().len(), BLOCK));
        });
    };
    timed("reads, 128 at once", megabytes, || read(&store));
    timed("probes", megabytes, || {
        parallel(&|batch| {
            let requests: Vec<BlockRequest> =
                batch.iter().map(|block| BlockRequest::from(&block)).collect();
            assert_eq!(store.probe(&requests).unwrap().len(), BATCH);
        });
    });
    store.close().unwrap();
    drop(store);
    let mut reopened = None;
    timed("open again", 0.0, || reopened = Some(Store::open_path(&path, options.clone()).unwrap()));
    let store = reopened.unwrap();
    assert_eq!(store.findings(), []);
    timed("reads after opening", megabytes, || read(&store));
    timed("reads, cached", megabytes, || read(&store));
    timed("duplicates after opening", megabytes, || {
        parallel(&|batch| store.write(batch).unwrap());
    });
    println!("{:?}", store.stats());
}
