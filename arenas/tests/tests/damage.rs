//! Bytes that change behind the store's back: noticed or harmless, never wrong data, and never
//! "not found" for a block that is there.

use arenas::disk::SimDisk;
use arenas::{CheckOptions, Finding, Severity, Store};
use venti_proto::StoreError;

use crate::support::{Dice, assert_all_there, block, long_suite, open, read, write};

const ARENA: u64 = 4 << 10;
/// The arena of [`complete`] that takes blocks.
const OPEN_ARENA: u32 = 3;

/// A complete small store: sealed arenas, an index, an arena that takes blocks.
fn complete() -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(8);
    let store = open(&disk, ARENA).unwrap();
    let blocks: Vec<Vec<u8>> = (0..34).map(|number| block(number, 430)).collect();
    for batch in blocks.chunks(3) {
        write(&store, batch).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let store = open(&disk, ARENA).unwrap();
    assert!(store.stats().sealed_arenas == u64::from(OPEN_ARENA) - 1);
    assert_eq!(store.stats().index.runs, 2);
    assert_eq!(store.findings(), []);
    drop(store);
    (disk.kill(), blocks)
}

/// What became of the blocks of a damaged store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    damaged: usize,
    absent: usize,
}

fn losses(store: &Store, blocks: &[Vec<u8>], what: &str) -> Losses {
    let mut losses = Losses::default();
    for (place, (found, expected)) in read(store, blocks).into_iter().zip(blocks).enumerate() {
        match found {
            Ok(found) => assert!(found == *expected, "{what}: block {place} has other bytes"),
            Err(StoreError::Damaged { .. } | StoreError::Io { .. }) => losses.damaged += 1,
            Err(StoreError::NotFound { .. }) => losses.absent += 1,
            Err(error) => panic!("{what}: block {place}: {error}"),
        }
    }
    losses
}

fn serious(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Damaged)
}

/// Opens a damaged store, reads, checks, rebuilds, and reads again.
fn examine(image: &SimDisk, blocks: &[Vec<u8>], what: &str) -> Losses {
    let store = open(image, ARENA).unwrap_or_else(|error| panic!("{what}: {error}"));
    let at_once = losses(&store, blocks, what);
    let report = store.check(CheckOptions { data: true }, &mut |_| {});
    store.rebuild_index(&mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    let after = losses(&store, blocks, what);
    let total = |losses: &Losses| losses.damaged + losses.absent;
    assert!(total(&after) <= total(&at_once), "{what}: {at_once:?}, then {after:?}");
    if after != Losses::default() {
        assert!(!report.findings.is_empty(), "{what}: {after:?} is not reported");
        // Damage that takes the last mark and all behind it looks like a crash, and nothing else.
        let open_arena = report.findings.iter().all(|finding| finding.arena == Some(OPEN_ARENA));
        assert!(open_arena || serious(&report.findings), "{what}: {after:?} is called harmless");
    }
    after
}

#[test]
fn one_flipped_bit_in_every_byte_of_a_store() {
    let (disk, blocks) = complete();
    let mut dice = Dice::new(1);
    let (mut flips, mut harmless) = (0, 0);
    for name in disk.names() {
        let sealed = name.ends_with(".arena")
            && disk.kill().contents(&name).is_some_and(|bytes| bytes.len() > ARENA as usize);
        for place in 0..disk.contents(&name).unwrap().len() {
            // Padding of the index is by far the most of it.
            let padding = name.starts_with("index/")
                && disk.contents(&name).unwrap()[place] == 0
                && !dice.chance(1, 20);
            if padding && !long_suite() {
                continue;
            }
            let image = disk.kill();
            image.damage(&name, |bytes| bytes[place] ^= 1 << dice_bit(place));
            let what = format!("{name} byte {place}");
            let losses = examine(&image, &blocks, &what);
            let total = losses.damaged + losses.absent;
            flips += 1;
            harmless += usize::from(total == 0);
            if !name.starts_with("arenas/") {
                assert_eq!(total, 0, "{what}: nothing but the log holds data");
            }
            assert!(total <= 1, "{what}: {losses:?}");
            if sealed {
                assert_eq!(losses.absent, 0, "{what}: its table of contents has every block");
            }
        }
    }
    assert!(flips > 10_000 && harmless < flips, "{harmless} of {flips}");
}

const fn dice_bit(place: usize) -> u32 {
    (place * 5 % 8) as u32
}

#[test]
fn sectors_that_are_zeroed_doubled_or_swapped() {
    let (disk, blocks) = complete();
    let rounds = if long_suite() { 20_000 } else { 1_500 };
    let names: Vec<String> = disk.names().into_iter().filter(|name| name.contains('/')).collect();
    for seed in 0..rounds {
        let mut dice = Dice::new(seed);
        let name = &names[dice.below(names.len())];
        let size = [512, 512, 4096][dice.below(3)];
        let image = disk.kill();
        let other = image.contents(&names[dice.below(names.len())]).unwrap();
        image.damage(name, |bytes| {
            let mut dice = Dice::new(seed ^ 1);
            let sectors = bytes.len().div_ceil(size);
            let first = dice.below(sectors) * size;
            let end = (first + size).min(bytes.len());
            let from = dice.below(other.len().div_ceil(size)) * size;
            match dice.below(4) {
                0 => bytes[first..end].fill(0),
                1 => bytes[first..end].fill(0xff),
                // A write that went to the wrong place, from this file or another.
                2 => {
                    let source = &other[from.min(other.len())..];
                    let length = source.len().min(end - first);
                    bytes[first..first + length].copy_from_slice(&source[..length]);
                }
                _ => {
                    let second = dice.below(sectors) * size;
                    let length = (end - first).min(bytes.len() - second);
                    for place in 0..length {
                        bytes.swap(first + place, second + place);
                    }
                }
            }
        });
        examine(&image, &blocks, &format!("seed {seed}, {name}"));
    }
}

#[test]
fn an_arena_cut_anywhere_or_with_rubbish_behind() {
    let (disk, blocks) = complete();
    let names: Vec<String> =
        disk.names().into_iter().filter(|name| name.ends_with(".arena")).collect();
    for name in &names {
        let whole = disk.contents(name).unwrap();
        for length in 0..whole.len() {
            if !long_suite() && length % 3 != 0 {
                continue;
            }
            let image = disk.kill();
            image.damage(name, |bytes| bytes.truncate(length));
            let what = format!("{name} cut to {length}");
            let store = open(&image, ARENA).unwrap_or_else(|error| panic!("{what}: {error}"));
            losses(&store, &blocks, &what);
            if name != names.last().unwrap() {
                assert!(serious(&store.findings()), "{what}: not reported");
            }
        }
        for rubbish in [vec![0; 100], vec![0x56; 5000], whole.clone()] {
            let image = disk.kill();
            image.damage(name, |bytes| bytes.extend_from_slice(&rubbish));
            let what = format!("{name} with {} bytes behind", rubbish.len());
            let store = open(&image, ARENA).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_all_there(&store, &blocks);
            assert!(!store.findings().is_empty(), "{what}: not reported");
        }
    }
}

#[test]
fn an_index_that_is_gone_cut_or_of_another_day() {
    let (disk, blocks) = complete();
    let index: Vec<String> =
        disk.names().into_iter().filter(|name| name.starts_with("index/")).collect();
    for gone in index.iter().map(|name| vec![name.clone()]).chain([index.clone()]) {
        let image = disk.kill();
        gone.iter().for_each(|name| assert!(image.delete(name)));
        assert_eq!(examine(&image, &blocks, &format!("without {gone:?}")), Losses::default());
    }
    for name in &index {
        for length in [0, 1, 100, 4095, 4096] {
            let image = disk.kill();
            image.damage(name, |bytes| bytes.truncate(length));
            let what = format!("{name} cut to {length}");
            assert_eq!(examine(&image, &blocks, &what), Losses::default());
        }
    }
    // The store goes on, and then its index of today is put back.
    let store = open(&disk, ARENA).unwrap();
    let mut all = blocks;
    for number in 100..160 {
        all.push(block(number, 430));
        write(&store, &all[all.len() - 1..]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let later = disk.kill();
    let (old, _) = complete();
    for name in later.names().iter().filter(|name| name.starts_with("index/")) {
        later.delete(name);
    }
    for name in &index {
        later.put(name, old.contents(name).unwrap());
    }
    let store = open(&later, ARENA).unwrap();
    assert_all_there(&store, &all);
    write(&store, &all).unwrap();
    assert_eq!(store.stats().blocks, all.len() as u64, "a stale index makes no second copies");
}

#[test]
fn an_index_of_another_store_is_not_believed() {
    let (disk, blocks) = complete();
    let other = SimDisk::new(9);
    let options = arenas::StoreOptions {
        environment: std::sync::Arc::new(arenas::ScriptedEnvironment::new(5, 1234)),
        ..crate::support::small(ARENA)
    };
    let store = Store::open(std::sync::Arc::new(other.clone()), options).unwrap();
    for number in 0..22 {
        write(&store, &[block(1000 + number, 430)]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    for name in other.names().iter().filter(|name| name.starts_with("index/")) {
        disk.put(name, other.contents(name).unwrap());
    }
    assert_eq!(examine(&disk, &blocks, "another's index"), Losses::default());
}

#[test]
fn store_toml_half_written_empty_or_missing() {
    let (disk, blocks) = complete();
    let whole = disk.contents("store.toml").unwrap();
    for length in 0..whole.len() - 1 {
        let image = disk.kill();
        image.damage("store.toml", |bytes| bytes.truncate(length));
        let store = open(&image, ARENA).unwrap();
        assert_all_there(&store, &blocks);
        let [finding] = &store.findings()[..] else { panic!("cut to {length}") };
        assert_eq!(finding.severity, Severity::Repairable);
        drop(store);
        let written = image.contents("store.toml").unwrap();
        assert!(written.starts_with(b"format = 1\nidentity = \""));
        assert_eq!(open(&image, ARENA).unwrap().findings(), []);
    }
    let image = disk.kill();
    image.delete("store.toml");
    for name in image.names().iter().filter(|name| name.ends_with(".arena")) {
        image.damage(name, |bytes| bytes[..512].fill(0));
    }
    let lost = open(&image, ARENA).unwrap_err().to_string();
    assert!(lost.starts_with("store.toml and the headers of all "), "{lost}");
}

#[test]
fn a_store_of_a_newer_format_is_named_and_left_alone() {
    let (disk, _) = complete();
    for (without_toml, number) in [(false, 0), (true, 0), (false, 1)] {
        let image = disk.kill();
        let arenas = image.names().into_iter().filter(|name| name.ends_with(".arena"));
        let name = arenas.min_by_key(|name| name.clone()).unwrap();
        let name = name.replace("01.arena", if number == 0 { "01.arena" } else { "02.arena" });
        image.damage(&name, |bytes| {
            bytes[4..8].copy_from_slice(&99u32.to_be_bytes());
            let end = arenas::arena::ARENA_HEADER_SIZE - 4;
            let checksum = crc32c::crc32c(&bytes[..end]);
            bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        });
        if without_toml {
            image.delete("store.toml");
        }
        let before: Vec<_> = image.names().iter().map(|name| image.contents(name)).collect();
        let error = open(&image, ARENA).err().unwrap();
        assert!(matches!(error, arenas::OpenError::NewerFormat { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("99"), "{error}");
        let after: Vec<_> = image.names().iter().map(|name| image.contents(name)).collect();
        assert_eq!(before, after, "{name}");
    }
}
