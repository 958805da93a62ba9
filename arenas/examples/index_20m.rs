//! Measures the index at 20 million blocks (or as many as the first argument says), made
//! synthetically: `cargo run --release -p arenas --example index_20m [BLOCKS] [DIRECTORY]`.
//!
//! Prints the rate of a complete rebuild, the time to reopen in a new process with the files out
//! of the system's cache, memory at rest and at most, and the rates of lookups that hit and that
//! miss. At the end pages are read at random through mappings and with `read_at`, to compare time
//! and resident memory.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arenas::disk::{Disk, RealDisk};
use arenas::index::{Index, IndexEntry, IndexOptions, Lookup, SealedArena};
use venti_proto::{BlockRequest, BlockType, Score};

/// Clumps of one arena: 512 MiB of blocks of about 4 KiB as they are stored.
const ARENA_CLUMPS: u32 = 131_072;

/// Requests of one lookup, as a server gathers them.
const BATCH: usize = 256;

/// Lookups that are measured.
const LOOKUPS: usize = 1 << 20;

/// Lookups that are measured where each must wait for the disk: few of them share a page.
const COLD_LOOKUPS: usize = 1 << 14;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let blocks: u32 = arguments.next().map_or(Ok(20_000_000), |text| text.parse())?;
    let directory = arguments.next().map_or_else(scratch, PathBuf::from);
    let arenas = sealed_arenas(blocks);
    if arguments.next().as_deref() == Some("reopen") {
        return reopen(&directory, &arenas);
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(&directory)?);
    println!("{blocks} blocks in {} arenas, {}", arenas.len(), directory.display());
    rebuild(&disk, &arenas)?;
    forget_pages(&directory)?;
    let itself = std::env::current_exe()?;
    Command::new(itself).arg(blocks.to_string()).arg(&directory).arg("reopen").status()?;
    let index = Index::open(Arc::clone(&disk), &arenas, IndexOptions::default())?;
    look_up(&index, "hits, nothing cached", blocks, 0, COLD_LOOKUPS);
    look_up(&index, "hits", blocks, 0, LOOKUPS);
    look_up(&index, "misses", blocks, blocks, LOOKUPS);
    single(&index, blocks);
    println!("resident after lookups: {:.0} MB", resident_megabytes("VmRSS")?);
    drop(index);
    mapped(&*disk, &directory)?;
    fs::remove_dir_all(directory)?;
    Ok(())
}

fn sealed_arenas(blocks: u32) -> Vec<SealedArena> {
    (0..blocks.div_ceil(ARENA_CLUMPS))
        .map(|number| {
            let clumps = ARENA_CLUMPS.min(blocks - number * ARENA_CLUMPS);
            let mut identity = [7; 16];
            identity[..4].copy_from_slice(&number.to_be_bytes());
            SealedArena { number, identity, clumps }
        })
        .collect()
}

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("index_20m.{}", std::process::id()))
}

/// Adds every arena to an empty index, then merges until nothing is left to merge.
fn rebuild(disk: &Arc<dyn Disk>, arenas: &[SealedArena]) -> Outcome<()> {
    let index = Index::open(Arc::clone(disk), arenas, IndexOptions::default())?;
    let before = resident_megabytes("VmRSS")?;
    let mut added = Duration::ZERO;
    let mut busy = Duration::ZERO;
    for arena in index.uncovered() {
        let entries = (0..arena.clumps).map(|clump| entry(arena.number, clump)).collect();
        let (start, processor) = (Instant::now(), processor_time());
        index.add_arena(arena, entries)?;
        added += start.elapsed();
        busy += processor_time().saturating_sub(processor);
    }
    let processor = processor_time();
    let merging = Instant::now();
    let mut longest = Duration::ZERO;
    loop {
        let step = Instant::now();
        let more = index.maintain()?;
        longest = longest.max(step.elapsed());
        if !more {
            break;
        }
    }
    let merged = merging.elapsed();
    let busy_merging = processor_time().saturating_sub(processor);
    let stats = index.stats();
    let blocks = stats.entries as f64;
    let millions = |time: Duration| blocks / time.as_secs_f64() / 1e6;
    println!("rebuild, everything covered: {added:.2?}, {:.2} M blocks/s", millions(added));
    println!("merging: {merged:.2?}, longest step {longest:.0?}, {} merges", stats.merges);
    println!("rebuild with merging: {:.2} M blocks/s", millions(added + merged));
    println!("processor time: {busy:.2?} to cover, {busy_merging:.2?} to merge");
    let peak = resident_megabytes("VmHWM")?;
    println!("resident at most: {peak:.0} MB, {before:.0} MB of it before");
    Ok(())
}

/// Opens the index in this process, which has done nothing else.
fn reopen(directory: &Path, arenas: &[SealedArena]) -> Outcome<()> {
    let before = resident_megabytes("VmRSS")?;
    let start = Instant::now();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory));
    let index = Index::open(disk, arenas, IndexOptions::default())?;
    println!("reopen in a new process, nothing cached: {:.0?}", start.elapsed());
    let grown = resident_megabytes("VmRSS")? - before;
    let stats = index.stats();
    assert_eq!(stats.uncovered_arenas, 0, "everything is covered");
    let per_block = stats.memory_bytes as f64 / stats.entries as f64;
    println!("memory at rest: {} bytes, {per_block:.3} a block", stats.memory_bytes);
    println!("resident at rest: {grown:.1} MB more than before");
    let per_block = stats.disk_bytes as f64 / stats.entries as f64;
    println!("disk: {} bytes, {per_block:.1} a block, {} runs", stats.disk_bytes, stats.runs);
    Ok(())
}

/// Takes the files of the index out of the system's cache.
fn forget_pages(directory: &Path) -> Outcome<()> {
    for file in fs::read_dir(directory.join("index"))? {
        let file = fs::File::open(file?.path())?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Looks up blocks in batches; those from number `blocks` on do not exist.
fn look_up(index: &Index, what: &str, blocks: u32, first: u32, count: usize) {
    let requests: Vec<BlockRequest> = (0..count).map(|i| request(i, blocks, first)).collect();
    let before = index.stats();
    let mut answers = Vec::new();
    let start = Instant::now();
    for batch in requests.chunks(BATCH) {
        index.lookup(batch, &mut answers);
        let right = |answer: &Lookup| matches!(answer, Lookup::Found(_)) == (first == 0);
        assert!(answers.iter().all(right), "a wrong answer");
    }
    let time = start.elapsed();
    let stats = index.stats();
    let pages = (stats.pages_read - before.pages_read) as f64 / count as f64;
    let rate = count as f64 / time.as_secs_f64() / 1e6;
    println!("{what}: {rate:.2} M/s in batches of {BATCH}, {pages:.3} pages read for each");
}

/// Hits one at a time: the latency of a lookup.
fn single(index: &Index, blocks: u32) {
    let requests: Vec<BlockRequest> = (0..LOOKUPS / 4).map(|i| request(i, blocks, 0)).collect();
    let mut answers = Vec::new();
    let start = Instant::now();
    requests.iter().for_each(|one| index.lookup(std::slice::from_ref(one), &mut answers));
    println!("one hit: {:.2?}", start.elapsed() / u32::try_from(requests.len()).unwrap_or(1));
}

/// Reads one byte of pages at random through mappings of all runs.
fn mapped(disk: &dyn Disk, directory: &Path) -> Outcome<()> {
    let mut maps = Vec::new();
    for name in disk.list("index")?.iter().filter(|name| name.ends_with(".run")) {
        maps.push(disk.map(&format!("index/{name}"))?);
    }
    let pages: Vec<(usize, usize)> = maps
        .iter()
        .enumerate()
        .flat_map(|(map, bytes)| (0..bytes.len() / 4096).map(move |page| (map, page)))
        .collect();
    let count = pages.len() as u64;
    let chosen: Vec<usize> =
        (0..LOOKUPS as u64).map(|i| usize::try_from(mixed(i) % count)).collect::<Result<_, _>>()?;
    let mut sum = 0_u64;
    let start = Instant::now();
    for place in &chosen {
        let (map, page) = pages[*place];
        sum += u64::from(crc32c::crc32c(&maps[map][page * 4096..][..4096]));
    }
    let time = start.elapsed() / u32::try_from(LOOKUPS).unwrap_or(1);
    let resident = resident_megabytes("VmRSS")?;
    println!("mapped, first use: {time:.2?} a page, {resident:.0} MB resident (sum {sum})");
    let mut files = Vec::new();
    for name in disk.list("index")?.iter().filter(|name| name.ends_with(".run")) {
        files.push(fs::File::open(directory.join("index").join(name))?);
    }
    drop(maps);
    let mut page_bytes = [0; 4096];
    let start = Instant::now();
    for place in &chosen {
        let (map, page) = pages[*place];
        std::os::unix::fs::FileExt::read_exact_at(
            &files[map],
            &mut page_bytes,
            page as u64 * 4096,
        )?;
        sum += u64::from(crc32c::crc32c(&page_bytes));
    }
    let time = start.elapsed() / u32::try_from(LOOKUPS).unwrap_or(1);
    let resident = resident_megabytes("VmRSS")?;
    println!("read_at: {time:.2?} a page, {resident:.0} MB resident (sum {sum})");
    Ok(())
}

/// A block that is there (`first` 0) or is not (`first` the number of blocks), at random.
fn request(i: usize, blocks: u32, first: u32) -> BlockRequest {
    let number = u32::try_from(mixed(i as u64) % u64::from(blocks)).unwrap_or(0);
    if first == 0 {
        let made = entry(number / ARENA_CLUMPS, number % ARENA_CLUMPS);
        return BlockRequest { score: made.score, block_type: made.block_type };
    }
    BlockRequest { score: score(u64::from(number) | 1 << 40), block_type: BlockType::DATA }
}

fn entry(arena: u32, clump: u32) -> IndexEntry {
    let number = u64::from(arena) * u64::from(ARENA_CLUMPS) + u64::from(clump);
    IndexEntry { score: score(number), block_type: BlockType::DATA, arena, offset: clump * 4096 }
}

/// Bytes as uniform as those of a hash, much faster.
fn score(number: u64) -> Score {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&mixed(number).to_be_bytes());
    bytes[8..16].copy_from_slice(&mixed(number ^ 1 << 63).to_be_bytes());
    bytes[16..].copy_from_slice(&[1, 2, 3, 4]);
    Score::from_bytes(bytes)
}

/// A one-to-one scramble of 64 bits (splitmix64).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// What this process has used of all processors: on a busy machine a better measure than time.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// A line of /proc/self/status in MB.
fn resident_megabytes(field: &str) -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kilobytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<f64>()? * 1024.0 / 1e6)
}
