//! Hostile archives against a canary tree: whatever an archive says, nothing outside the target
//! changes, the restore ends, and the entry is named.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use vac::extractor::{ExtractError, ExtractOptions, Observer, Selection, Summary, restore};
use vac::format::{DeviceNumber, ExternalStream, FileKind, HardLink, Hole, Mode, Xattr};
use vac::reader::Archive;
use venti_proto::{BlockType, Entry, Root, Score, StreamKind};

use crate::builder::{BLOCK_SIZE, Builder, Item};

/// What a case must end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Exit code 1: the archive is to blame.
    Refused,
    /// Exit code 3: something is missing.
    Incomplete,
    /// Nothing is wrong after all: it is restored inside the target.
    Harmless,
    /// The archive can not even be opened.
    NoArchive,
}

use Outcome::{Harmless, Incomplete, NoArchive, Refused};

struct Case {
    name: &'static str,
    outcome: Outcome,
    build: fn(&Builder) -> Score,
    /// Puts something into the target before the restore.
    plant: fn(&Path),
}

const fn case(name: &'static str, outcome: Outcome, build: fn(&Builder) -> Score) -> Case {
    Case { name, outcome, build, plant: |_| {} }
}

const fn planted(
    name: &'static str,
    outcome: Outcome,
    plant: fn(&Path),
    build: fn(&Builder) -> Score,
) -> Case {
    Case { name, outcome, build, plant }
}

/// What was reported, by path.
#[derive(Default)]
struct Problems(Mutex<Vec<(String, String)>>);

impl Observer for Problems {
    fn problem(&self, path: &[u8], error: &ExtractError) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.0.lock().push((path, error.to_string()));
    }
}

/// Everything below a directory but what is in `target`: names, kinds, modes, times, content.
///
/// `exact`: change times and link counts too. To remove a name from the target changes those of a
/// file that has another name outside.
fn snapshot(directory: &Path, exact: bool, seen: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names {
        let stat = fs::symlink_metadata(&path).unwrap();
        let content = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let target = path.file_name().is_some_and(|name| name == "target");
        let (mode, owner, links) = (stat.mode(), stat.uid(), stat.nlink());
        if target {
            continue;
        }
        let (mtime, ctime) = ((stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()));
        let links = if stat.is_dir() || !exact { 0 } else { links };
        let ctime = if exact { ctime } else { (0, 0) };
        seen.push(format!(
            "{} {mode:o} {owner} {links} {mtime:?} {ctime:?} {content:?}",
            path.display()
        ));
        if stat.is_dir() {
            snapshot(&path, exact, seen);
        }
    }
}

/// The tree that no archive may change: beside the target, with what hostile names aim at.
fn plant_canaries(place: &Path) {
    fs::create_dir_all(place.join("outside/dir")).unwrap();
    for name in ["victim", "outside/victim", "outside/dir/victim", "a", "b"] {
        fs::write(place.join(name), "canary").unwrap();
    }
    symlink("outside", place.join("link")).unwrap();
    fs::create_dir(place.join("target")).unwrap();
}

/// Runs a case; with `over`, differences only are written over what is there, and the rest is
/// removed: that may end in another way, but as safely.
fn run(case: &Case, over: bool) -> Result<(), String> {
    let place = tempfile::tempdir().unwrap();
    plant_canaries(place.path());
    let target = place.path().join("target");
    (case.plant)(&target);
    let mut before = Vec::new();
    let exact = !over && !case.name.starts_with("planted hard link");
    snapshot(place.path(), exact, &mut before);
    let builder = Builder::new();
    let score = (case.build)(&builder);
    let problems = Problems::default();
    let outcome = match Archive::open(builder.store, score) {
        Err(_) => NoArchive,
        Ok(archive) => {
            let summary = restore_all(&archive, &target, &problems, over);
            match summary.exit_code() {
                0 => Harmless,
                3 => Incomplete,
                _ => Refused,
            }
        }
    };
    let mut after = Vec::new();
    snapshot(place.path(), exact, &mut after);
    let problems = problems.0.into_inner();
    if before != after {
        return Err(format!("changed outside the target: {problems:?}"));
    }
    if !over && outcome != case.outcome {
        return Err(format!("ended as {outcome:?}, expected {:?}: {problems:?}", case.outcome));
    }
    Ok(())
}

fn restore_all(archive: &Archive, target: &Path, problems: &Problems, over: bool) -> Summary {
    let mut options = ExtractOptions { differences: over, delete: over, ..Default::default() };
    options.limits.depth = 200;
    (options.limits.counted_from, options.limits.copies) = (2000, 30);
    let (everything, stop) = (Selection::everything(), AtomicBool::new(false));
    restore(archive.root(), target, &everything, &options, problems, &stop).unwrap()
}

#[test]
fn no_archive_changes_anything_outside_the_target() {
    let cases = [names(), links(), planted_cases(), metadata(), streams(), blocks(), graphs()];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    println!("{} cases", cases.len());
    let mut failed = Vec::new();
    for over in [false, true] {
        let named = |case: &Case| run(case, over).err().map(|e| format!("{}: {e}", case.name));
        failed.extend(cases.iter().filter_map(named));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(cases.len() >= 60, "{} cases", cases.len());
}

fn named(builder: &Builder, name: &[u8]) -> Score {
    builder.archive_of(vec![builder.file(name, b"hostile")])
}

fn directory_named(builder: &Builder, name: &[u8]) -> Score {
    let inside = vec![builder.file(b"victim", b"hostile")];
    builder.archive_of(vec![builder.directory(name, inside)])
}

fn names() -> Vec<Case> {
    vec![
        case("file called ..", Refused, |b| named(b, b"..")),
        case("file called .", Refused, |b| named(b, b".")),
        case("file without a name", Refused, |b| named(b, b"")),
        case("absolute file name", Refused, |b| named(b, b"/victim")),
        case("file name with slashes", Refused, |b| named(b, b"../victim")),
        case("file name that goes down and up", Refused, |b| named(b, b"x/../../victim")),
        case("file name of a slash", Refused, |b| named(b, b"/")),
        case("file name with a slash at the end", Refused, |b| named(b, b"victim/")),
        case("file name with a zero byte", Refused, |b| named(b, b"vic\0tim")),
        case("file name of a zero byte", Refused, |b| named(b, b"\0")),
        case("file name of 256 bytes", Refused, |b| named(b, &[b'n'; 256])),
        case("file name of 700 bytes", Refused, |b| named(b, &[b'n'; 700])),
        case("file name of 255 bytes", Harmless, |b| named(b, &[b'n'; 255])),
        case("file name of dots", Harmless, |b| named(b, b"...")),
        case("file name with a line end", Harmless, |b| named(b, b"a\nb")),
        case("file name that is not UTF-8", Harmless, |b| named(b, b"\xff\xfe")),
        case("file name with terminal commands", Harmless, |b| named(b, b"\x1b[2J")),
        case("file name of a temporary file", Harmless, |b| named(b, b".unvac-1-0")),
        case("directory called ..", Refused, |b| directory_named(b, b"..")),
        case("directory called .", Refused, |b| directory_named(b, b".")),
        case("directory without a name", Refused, |b| directory_named(b, b"")),
        case("directory with an absolute name", Refused, |b| directory_named(b, b"/outside")),
        case("directory name with slashes", Refused, |b| directory_named(b, b"../outside")),
        case("directory name with a zero byte", Refused, |b| directory_named(b, b"outside\0")),
        case("bad name deep down", Refused, |b| {
            let bad = b.directory(b"y", vec![b.file(b"..", b"hostile")]);
            b.archive_of(vec![b.directory(b"x", vec![bad])])
        }),
    ]
}

fn two(builder: &Builder, first: Item, second: Item) -> Score {
    builder.archive_of(vec![first, second])
}

fn hard_link(item: Item, group: u64) -> Item {
    item.unix(|unix| unix.link = Some(HardLink { group, count: 2 }))
}

fn links() -> Vec<Case> {
    vec![
        case("link to the outside", Harmless, |b| {
            b.archive_of(vec![b.link(b"out", b"../outside/victim")])
        }),
        case("absolute link", Harmless, |b| b.archive_of(vec![b.link(b"out", b"/etc/passwd")])),
        case("link, then a file of its name", Refused, |b| {
            two(b, b.link(b"x", b"../outside/victim"), b.file(b"x", b"hostile"))
        }),
        case("link, then a directory of its name", Refused, |b| {
            let inside = vec![b.file(b"victim", b"hostile")];
            two(b, b.link(b"x", b"../outside"), b.directory(b"x", inside))
        }),
        case("directory, then a link of its name", Refused, |b| {
            let inside = vec![b.file(b"victim", b"hostile")];
            two(b, b.directory(b"x", inside), b.link(b"x", b"../outside"))
        }),
        case("directory twice", Refused, |b| {
            let inside = |name: &[u8]| vec![b.file(name, b"hostile")];
            two(b, b.directory(b"x", inside(b"a")), b.directory(b"x", inside(b"b")))
        }),
        case("names that differ in case only", Harmless, |b| {
            two(b, b.file(b"Twin", b"1"), b.file(b"twin", b"2"))
        }),
        case("link, then a directory with its name in other case", Harmless, |b| {
            let inside = vec![b.file(b"victim", b"not hostile")];
            two(b, b.link(b"X", b"../outside"), b.directory(b"x", inside))
        }),
        case("file twice", Refused, |b| two(b, b.file(b"x", b"1"), b.file(b"x", b"2"))),
        case("duplicate in a directory of its own", Refused, |b| {
            let inside = vec![b.file(b"x", b"1"), b.link(b"x", b"../../victim")];
            b.archive_of(vec![b.directory_as_is(b"d", inside)])
        }),
        case("hard link to a symbolic link", Harmless, |b| {
            let link = hard_link(b.link(b"x", b"../outside/victim"), 1);
            two(b, link.clone(), link.named(b"y"))
        }),
        case("hard links of other content", Harmless, |b| {
            two(b, hard_link(b.file(b"x", b"1"), 1), hard_link(b.file(b"y", b"2"), 1))
        }),
        case("hard link whose first name is refused", Refused, |b| {
            let file = hard_link(b.file(b"..", b"1"), 1);
            two(b, file.clone(), file.named(b"y"))
        }),
        case("hard-linked directories", Harmless, |b| {
            let directory = hard_link(b.directory(b"x", vec![]), 1);
            two(b, directory.clone(), directory.named(b"y"))
        }),
        case("link without a target", Incomplete, |b| b.archive_of(vec![b.link(b"x", b"")])),
        case("link to a zero byte", Incomplete, |b| b.archive_of(vec![b.link(b"x", b"a\0b")])),
        case("link with a target of 5,000 bytes", Refused, |b| {
            b.archive_of(vec![b.link(b"x", &[b't'; 5000])])
        }),
        case("link cut by the original", Incomplete, |b| {
            b.archive_of(vec![b.link(b"x", b"lib/libc\0\0").plain()])
        }),
    ]
}

fn planted_cases() -> Vec<Case> {
    vec![
        planted(
            "planted link where a file goes",
            Harmless,
            |target| symlink("../victim", target.join("x")).unwrap(),
            |b| named(b, b"x"),
        ),
        planted(
            "planted link where a directory goes",
            Incomplete,
            |target| symlink("../outside", target.join("x")).unwrap(),
            |b| directory_named(b, b"x"),
        ),
        planted(
            "planted absolute link where a directory goes",
            Incomplete,
            |target| symlink(target.join("../outside"), target.join("x")).unwrap(),
            |b| directory_named(b, b"x"),
        ),
        planted(
            "planted link below a directory that is there",
            Incomplete,
            |target| {
                fs::create_dir(target.join("x")).unwrap();
                symlink("../../outside", target.join("x/y")).unwrap();
            },
            |b| {
                let below = b.directory(b"y", vec![b.file(b"victim", b"hostile")]);
                b.archive_of(vec![b.directory(b"x", vec![below])])
            },
        ),
        planted(
            "planted hard link to a file outside",
            Harmless,
            |target| fs::hard_link(target.join("../a"), target.join("x")).unwrap(),
            |b| named(b, b"x"),
        ),
        planted(
            "planted hard link to a file outside, with the content and another mode",
            Harmless,
            |target| fs::hard_link(target.join("../a"), target.join("x")).unwrap(),
            |b| {
                let item = b.node(b"x", FileKind::Regular, 0o4777, b"canary");
                two(b, hard_link(item.clone(), 1), hard_link(item, 1).named(b"y"))
            },
        ),
        planted(
            "planted file where a directory goes",
            Incomplete,
            |target| fs::write(target.join("x"), "there").unwrap(),
            |b| directory_named(b, b"x"),
        ),
        planted(
            "planted directory where a file goes",
            Incomplete,
            |target| fs::create_dir(target.join("x")).unwrap(),
            |b| named(b, b"x"),
        ),
        planted(
            "planted link, and a hard link through it",
            Incomplete,
            |target| symlink("../outside", target.join("d")).unwrap(),
            |b| {
                let file = hard_link(b.file(b"victim", b"hostile"), 1);
                b.archive_of(vec![b.directory(b"d", vec![file.clone()]), file.named(b"y")])
            },
        ),
    ]
}

fn metadata() -> Vec<Case> {
    vec![
        case("mode says link, section says file", Harmless, |b| {
            let mut item = b.file(b"x", b"../outside/victim");
            item.vac_dir.mode = Mode::LINK;
            b.archive_of(vec![item])
        }),
        case("mode says directory, streams say file", Refused, |b| {
            let mut item = b.file(b"x", b"hostile");
            item.vac_dir.mode = Mode::DIRECTORY;
            b.archive_of(vec![item])
        }),
        case("mode says file, streams say directory", Refused, |b| {
            let mut item = b.directory(b"x", vec![]);
            item.vac_dir.mode = Mode(0o644);
            b.archive_of(vec![item])
        }),
        case("section says directory, mode says file", Harmless, |b| {
            b.archive_of(vec![b.file(b"x", b"1").unix(|unix| unix.mode = 0o040_755)])
        }),
        case("device without a number", Incomplete, |b| {
            b.archive_of(vec![b.node(b"x", FileKind::CharDevice, 0o600, b"")])
        }),
        case("device with words for numbers", Incomplete, |b| {
            b.archive_of(vec![b.node(b"x", FileKind::BlockDevice, 0o600, b"b one two")])
        }),
        case("device with a novel for a number", Refused, |b| {
            b.archive_of(vec![b.node(b"x", FileKind::BlockDevice, 0o600, &[b'1'; 3000])])
        }),
        case("attribute of no name space", Incomplete, |b| {
            let xattr = Xattr { name: b"nonsense".to_vec(), value: b"x".to_vec() };
            b.archive_of(vec![b.file(b"x", b"1").unix(|unix| unix.xattrs = vec![xattr])])
        }),
        case("attribute with a zero byte in its name", Incomplete, |b| {
            let xattr = Xattr { name: b"user.\0".to_vec(), value: b"x".to_vec() };
            b.archive_of(vec![b.file(b"x", b"1").unix(|unix| unix.xattrs = vec![xattr])])
        }),
        case("external stream that is not there", Refused, |b| {
            let external = ExternalStream { entry: 4_000_000_000, generation: 0 };
            b.archive_of(vec![b.file(b"x", b"1").unix(|unix| unix.external = Some(external))])
        }),
        case("external stream that is the content", Refused, |b| {
            let external = ExternalStream { entry: 0, generation: 0 };
            b.archive_of(vec![b.file(b"x", b"\x07").unix(|unix| unix.external = Some(external))])
        }),
        case("pipe with a device number", Harmless, |b| {
            let device = Some(DeviceNumber { major: 1, minor: 3 });
            let pipe = b.node(b"x", FileKind::Fifo, 0o600, b"");
            b.archive_of(vec![pipe.unix(|unix| unix.device = device)])
        }),
    ]
}

fn with_entry(builder: &Builder, change: impl FnOnce(&mut Entry)) -> Score {
    let mut item = builder.file(b"x", &[7; 5000]);
    change(&mut item.content);
    builder.archive_of(vec![item])
}

fn streams() -> Vec<Case> {
    vec![
        case("file of 16 TiB of zeros", Harmless, |b| {
            with_entry(b, |e| {
                (e.size, e.score, e.depth, e.data_size) = ((1 << 44) - 8192, Score::ZERO, 6, 8192);
            })
        }),
        case("16 TiB of zeros that are said to be no hole", Incomplete, |b| {
            let mut item = b.file(b"x", b"").unix(|unix| unix.holes = Some(Vec::new()));
            let entry = &mut item.content;
            (entry.size, entry.depth, entry.data_size) = ((1 << 44) - 8192, 6, 8192);
            b.archive_of(vec![item])
        }),
        case("hole over what was written", Harmless, |b| {
            let holes = vec![Hole { offset: 0, length: 60_000 }];
            let file = b.file(b"x", &[0, 7, 0].repeat(20_000));
            b.archive_of(vec![file.unix(|unix| unix.holes = Some(holes))])
        }),
        case("holes upon holes", Refused, |b| {
            let holes = [0, 1].map(|offset| Hole { offset, length: 9 }).to_vec();
            b.archive_of(vec![b.file(b"x", b"1").unix(|unix| unix.holes = Some(holes))])
        }),
        case("size that the tree does not have", Refused, |b| {
            with_entry(b, |e| e.size = (1 << 48) - 1)
        }),
        case("file of 2^47 bytes from one block", Incomplete, |b| {
            let mut score = b.block(BlockType::DATA, &[7; 1024]);
            for level in 0..7 {
                let block: Vec<u8> = score.as_bytes().repeat(51);
                score = b.block(BlockType::pointer(level).unwrap(), &block);
            }
            with_entry(b, |e| (e.size, e.score, e.depth) = (1 << 47, score, 7))
        }),
        case("depth 0 for many blocks", Refused, |b| with_entry(b, |e| e.depth = 0)),
        case("depth 7 for few blocks", Incomplete, |b| with_entry(b, |e| e.depth = 7)),
        case("leaf longer than its stream allows", Refused, |b| {
            with_entry(b, |e| {
                (e.size, e.depth, e.score, e.data_size) =
                    (200, 0, b.block(BlockType::DATA, &[7; 600]), 256);
            })
        }),
        case("pointer block longer than its stream allows", Refused, |b| {
            let long = b.block(BlockType::pointer(0).unwrap(), &[7; 5100]);
            with_entry(b, |e| e.score = long)
        }),
        case("missing block", Incomplete, |b| with_entry(b, |e| e.score = Score::of(b"nowhere"))),
        case("entry behind the end of the directory", Refused, |b| {
            raw_directory(b, |vac_dirs| vac_dirs[0].entry = 1000)
        }),
        case("entry of another generation", Refused, |b| {
            raw_directory(b, |vac_dirs| vac_dirs[0].generation = 1)
        }),
        case("entry number 2^32 - 1", Refused, |b| {
            raw_directory(b, |vac_dirs| vac_dirs[0].entry = u32::MAX)
        }),
        case("directory stream of zeros", Refused, |b| {
            let mut item = b.directory(b"x", vec![b.file(b"y", b"1")]);
            item.content.score = Score::ZERO;
            b.archive_of(vec![item])
        }),
        case("directory of 2^48 zeros", Harmless, |b| {
            let mut item = b.directory(b"x", vec![]);
            let zeros = Entry::empty(StreamKind::Data, 8180, 8192);
            item.meta = Some(Entry { size: (1 << 48) - 1, depth: 7, ..zeros });
            b.archive_of(vec![item])
        }),
    ]
}

/// A directory of one file whose entry is changed after it was made.
fn raw_directory(builder: &Builder, change: impl FnOnce(&mut Vec<vac::format::VacDir>)) -> Score {
    let file = builder.file(b"x", b"hostile");
    let mut vac_dirs = vec![file.vac_dir];
    change(&mut vac_dirs);
    let mut meta = vac::format::MetaBlockBuilder::new(BLOCK_SIZE);
    let mut bytes = Vec::new();
    vac_dirs[0].encode(&mut bytes).unwrap();
    assert!(meta.push(&bytes));
    let mut block = Vec::new();
    meta.finish(&mut block);
    builder.archive(&builder.directory_of(b"/", &[file.content], &[block]))
}

/// An archive whose root directory has this meta block.
fn meta_block(builder: &Builder, change: impl FnOnce(&mut Vec<u8>)) -> Score {
    let items = vec![builder.file(b"a", b"1"), builder.file(b"b", b"2")];
    let root = builder.directory(b"/", items);
    let mut block = venti_proto::BlockStore::read_block(
        &*builder.store,
        root.meta.unwrap().score,
        BlockType::DATA,
    )
    .unwrap();
    change(&mut block);
    let entries = [builder.data(b"1"), builder.data(b"2")];
    builder.archive(&builder.directory_of(b"/", &entries, &[block]))
}

fn blocks() -> Vec<Case> {
    vec![
        case("meta block of noise", Refused, |b| meta_block(b, |block| block.fill(0xa5))),
        case("meta block with another magic", Refused, |b| meta_block(b, |block| block[3] = 0)),
        case("meta block larger than it is", Refused, |b| {
            meta_block(b, |block| block[4..6].fill(0xff))
        }),
        case("meta block with 65,535 names", Refused, |b| {
            meta_block(b, |block| block[8..12].fill(0xff))
        }),
        case("meta block with more names than slots", Refused, |b| {
            meta_block(b, |block| block[11] = 200)
        }),
        case("meta entry inside the index", Refused, |b| meta_block(b, |block| block[13] = 4)),
        case("meta entry behind the end", Refused, |b| {
            meta_block(b, |block| block[12..14].copy_from_slice(&[3, 0xff]))
        }),
        case("meta entries upon each other", Refused, |b| {
            meta_block(b, |block| block.copy_within(12..16, 16))
        }),
        case("meta entry cut short", Refused, |b| meta_block(b, |block| block[15] = 7)),
        case("meta entry of another version", Refused, |b| {
            meta_block(b, |block| block[20 + 5] = 200)
        }),
        case("name longer than its entry", Refused, |b| {
            meta_block(b, |block| block[20 + 6..20 + 8].fill(0xff))
        }),
        case("root that is a directory", NoArchive, |b| b.block(BlockType::DIRECTORY, b"no root")),
        case("root of another kind", NoArchive, |b| {
            let root = Root { kind: b"fossil".to_vec(), ..Root::vac(Score::ZERO, BLOCK_SIZE) };
            b.block(BlockType::ROOT, &root.encode().unwrap())
        }),
        case("root cut short", NoArchive, |b| b.block(BlockType::ROOT, &[0, 2, 0])),
        case("root over nothing", NoArchive, |b| {
            b.block(BlockType::ROOT, &Root::vac(Score::ZERO, BLOCK_SIZE).encode().unwrap())
        }),
    ]
}

/// Directories of ten names, each leading to the same directory, and so on.
fn doubling(builder: &Builder, levels: usize) -> Item {
    let mut item = builder.directory(b"0", vec![builder.file(b"x", b"1")]);
    for _ in 0..levels {
        let copies = (b'0'..=b'9').map(|name| item.named(&[name])).collect();
        item = builder.directory(b"0", copies);
    }
    item
}

fn graphs() -> Vec<Case> {
    vec![
        case("a billion files of ten directories", Refused, |b| b.archive(&doubling(b, 9))),
        case("directories 100,000 deep", Refused, |b| {
            let mut item = b.directory(b"d", vec![]);
            for _ in 0..100_000 {
                item = b.directory(b"d", vec![item]);
            }
            b.archive(&item)
        }),
        case("a directory with the names of another", Harmless, |b| {
            let one = b.directory(b"x", vec![b.file(b"a", b"1")]);
            two(b, one.clone(), one.named(b"y"))
        }),
    ]
}
