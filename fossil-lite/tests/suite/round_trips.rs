//! What reading the dump costs: round trips, and blocks that nobody asked for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fossil_lite::dump::{Catalogue, DumpFile, Place, Tree};
use fossil_lite::past::{HistoryCache, history};
use jiff::ToSpan;
use jiff::civil::date;
use venti_proto::Score;
use venti_proto::roots::{
    HostName, NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord,
};

use crate::counting::Counting;
use crate::fuse_mount::{Mounted, can_mount};
use crate::world::World;

fn walk(tree: &Tree, path: &str) -> DumpFile {
    let mut place = tree.root();
    for name in path.split('/') {
        place = tree.lookup(&place, name.as_bytes()).unwrap();
    }
    let Place::File(file) = place else { panic!("{path} is no file") };
    file
}

fn names(tree: &Tree, directory: &DumpFile) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let place = Place::File(directory.clone());
    tree.list(&place, 0, &mut |name, _, _| {
        names.push(name.to_vec());
        true
    })
    .unwrap();
    names
}

fn child(tree: &Tree, directory: &DumpFile, name: &[u8]) -> DumpFile {
    match tree.lookup(&Place::File(directory.clone()), name).unwrap() {
        Place::File(file) => file,
        _ => panic!("no file"),
    }
}

fn read(tree: &Tree, file: &DumpFile) -> Vec<u8> {
    tree.will_read(file);
    let mut content = vec![0; usize::try_from(file.node().size()).unwrap()];
    file.node().read_at(0, &mut content).unwrap();
    content
}

/// Twelve directories side by side, with ten files in each.
fn world_of_directories() -> World {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for directory in 0..12 {
        let directory = source.path().join(format!("tree/part/{directory:02}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..10 {
            let content = format!("{} {file}", directory.display());
            fs::write(directory.join(file.to_string()), content).unwrap();
        }
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    world
}

#[test]
fn the_first_byte_takes_one_round_trip_a_directory() {
    let world = world_of_directories();
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let (calls, _, _) = counting.during(|| walk(&tree, "moby/2004/0611"));
    assert_eq!(calls, 3, "the root, its directory, the streams at the top");
    let (calls, blocks, file) = counting.during(|| walk(&tree, "moby/2004/0611/tree/part/07/3"));
    assert_eq!((calls, blocks), (3, 6), "two blocks each of tree, part and 07");
    let (calls, blocks, _) = counting.during(|| read(&tree, &file));
    assert_eq!((calls, blocks), (1, 1), "a file alone");
    let (calls, _, _) = counting.during(|| walk(&tree, "moby/2004/0611/tree/part/07/4"));
    assert_eq!(calls, 0, "what was read once");
}

#[test]
fn files_beside_each_other_are_read_together_and_only_if_files_are_read() {
    let world = world_of_directories();
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let part = walk(&tree, "moby/2004/0611/tree/part");
    let (calls, blocks, ()) = counting.during(|| {
        for name in names(&tree, &part) {
            assert_eq!(names(&tree, &child(&tree, &part, &name)).len(), 10);
        }
    });
    assert_eq!((calls, blocks), (3, 26), "part, the first in it, then all twelve together");
    // The kernel may ask for the files of a directory in any order.
    let directory = child(&tree, &part, b"00");
    let (calls, blocks, ()) = counting.during(|| {
        for name in names(&tree, &directory).iter().rev() {
            let content = read(&tree, &child(&tree, &directory, name));
            assert!(content.ends_with(&[&b"00 "[..], name].concat()));
        }
    });
    assert_eq!((calls, blocks), (2, 10), "one, and with the second all");
}

#[test]
fn a_tree_that_is_copied_costs_a_round_trip_a_directory() {
    let world = world_of_directories();
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let part = walk(&tree, "moby/2004/0611/tree/part");
    let (calls, blocks, ()) = counting.during(|| {
        for name in names(&tree, &part) {
            let directory = child(&tree, &part, &name);
            for name in names(&tree, &directory) {
                read(&tree, &child(&tree, &directory, &name));
            }
        }
    });
    assert_eq!(blocks, 2 + 12 * (2 + 10), "nothing twice");
    assert!(calls <= 3 + 2 * 2 + 10, "{calls} round trips for 12 directories of 10 files");
}

#[test]
fn a_year_is_listed_in_a_few_round_trips() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for day in 0..100 {
        fs::write(source.path().join("file"), day.to_string()).unwrap();
        let time = date(2004, 1, 1).checked_add(day.days()).unwrap();
        world.dump("moby", &format!("{time}T03:00:00Z"), source.path());
    }
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, Some("moby"));
    tree.catalogue().refresh().unwrap();
    let year = tree.lookup(&tree.root(), b"2004").unwrap();
    let mut names = Vec::new();
    let (calls, _, ()) = counting.during(|| {
        tree.list(&year, 0, &mut |name, _, _| {
            names.push(name.to_vec());
            true
        })
        .unwrap();
    });
    assert_eq!((calls, names.len()), (0, 100), "the names are in the log");
    let (calls, _, ()) = counting.during(|| {
        for name in &names {
            tree.attributes(&tree.lookup(&year, name).unwrap()).unwrap();
        }
    });
    assert_eq!(calls, 9, "three for the first, and for each 64 behind it");
}

/// Every day another file in the directory changes, and so every directory on the way.
#[test]
fn a_history_in_busy_directories_goes_down_many_dumps_at_once() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let directory = source.path().join("a/b/c");
    fs::create_dir_all(&directory).unwrap();
    for day in 0..200 {
        fs::write(directory.join("daily"), day.to_string()).unwrap();
        if day % 50 == 0 {
            fs::write(directory.join("file"), format!("version {day}")).unwrap();
        }
        let time = date(2004, 1, 1).checked_add(day.days()).unwrap();
        world.dump("moby", &format!("{time}T03:00:00Z"), source.path());
    }
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let host: HostName = "moby".parse().unwrap();
    let dumps = tree.catalogue().dumps(&host).unwrap();
    let mut cache = HistoryCache::empty();
    let (calls, _, found) =
        counting.during(|| history(&tree, &host, &dumps, b"/a/b/c/file", &mut cache).unwrap());
    assert_eq!(found.versions.len(), 4);
    assert_eq!(calls, 2 * (3 + 3), "for 128 dumps and 72: three to open them, one a directory");
}

#[test]
fn a_name_among_many_takes_few_blocks() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("many")).unwrap();
    for number in 0..20_000 {
        fs::write(source.path().join(format!("many/file{number}")), "").unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, Some("moby"));
    tree.catalogue().refresh().unwrap();
    let many = walk(&tree, "2004/0611/many");
    let (_, blocks, _) = counting.during(|| child(&tree, &many, b"file12345"));
    assert!(blocks <= 16, "{blocks} blocks for one name among 20,000");
    // The whole is some 350 blocks of names and 100 of entries.
    let (_, blocks, names) = counting.during(|| names(&tree, &many));
    assert_eq!(names.len(), 20_000);
    assert!(blocks < 600, "{blocks} blocks for the whole directory");
}

#[test]
fn a_file_is_read_ahead_through_the_mount_and_nothing_else() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..6_000_000u32).flat_map(|n| n.to_be_bytes()).collect();
    fs::write(source.path().join("large"), &content).unwrap();
    for number in 0..50 {
        fs::write(source.path().join(format!("small{number}")), vec![number; 5000]).unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let counting = Counting::of(&world);
    let mounted = Mounted::new(world.tree_over(Arc::clone(&counting) as _, Some("moby")));
    let root = mounted.path().join("2004/0611");
    assert!(root.join("large").exists());
    let (calls, blocks, read) = counting.during(|| fs::read(root.join("large")).unwrap());
    assert!(read == content);
    let needed = content.len().div_ceil(8192) as u64;
    let needed = needed + needed.div_ceil(8192 / 20) + 1;
    assert!(blocks <= needed + needed / 10, "{blocks} blocks for {needed}");
    assert!(calls <= 40, "{calls} round trips for 24 MB");
    // Read again, it is the kernel's.
    let (_, blocks, read) = counting.during(|| fs::read(root.join("large")).unwrap());
    assert!(read == content && blocks == 0, "{blocks} blocks");
}

/// A log that counts how often it is asked for records.
struct CountingLog<'a>(&'a World, AtomicU64);

impl RootLog for CountingLog<'_> {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        self.0.log.record(root)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.log.list(query)
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        self.0.log.watch(known, time)
    }
}

#[test]
fn a_long_log_is_only_read_where_somebody_looks() {
    // Leaked, for a catalogue keeps its log.
    let world: &'static World = Box::leak(Box::new(World::new()));
    for _ in 0..100 {
        for host in ["ahab", "ishmael", "moby", "pequod", "queequeg"] {
            world.record(host, Score::of(b"root"));
        }
    }
    let log = Arc::new(CountingLog(world, AtomicU64::new(0)));
    let catalogue = Catalogue::new(Arc::clone(&log) as _);
    catalogue.refresh().unwrap();
    assert_eq!(catalogue.hosts().len(), 5);
    assert!(catalogue.newest(Some(&"moby".parse().unwrap())).is_some());
    assert_eq!(log.1.load(Ordering::SeqCst), 2, "a page of hosts, and none behind it");
    assert_eq!(catalogue.dumps(&"moby".parse().unwrap()).unwrap().len(), 100);
    assert_eq!(log.1.load(Ordering::SeqCst), 5, "64 dumps, 36, and none behind them");
    let last = catalogue.latest(&"moby".parse().unwrap()).unwrap().unwrap();
    assert_eq!((last.record.sequence, last.name.number), (497, 99));
    assert!(catalogue.dumps(&"nobody".parse().unwrap()).unwrap().is_empty());
    assert_eq!(log.1.load(Ordering::SeqCst), 5);
}

/// Bytes of files that the kernel has in memory, as fincore(1) says.
pub(crate) fn in_memory(files: &[PathBuf]) -> Option<Vec<u64>> {
    let options = ["--bytes", "--noheadings", "--output", "RES"];
    let output = Command::new("fincore").args(options).args(files).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().map(|line| line.trim().parse().ok()).collect()
}

#[test]
fn the_kernel_gets_files_that_were_read_ahead() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for number in 0..10u8 {
        fs::write(source.path().join(number.to_string()), vec![number; 5000]).unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let root = mounted.path().join("2004/0611");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 10);
    let files: Vec<PathBuf> = (0..10).map(|number| root.join(number.to_string())).collect();
    let Some(before) = in_memory(&files) else { return eprintln!("skipped: no fincore(1)") };
    assert_eq!(before, [0; 10]);
    assert_eq!(fs::read(&files[7]).unwrap(), [7; 5000]);
    assert_eq!(fs::read(&files[3]).unwrap(), [3; 5000]);
    // Nobody asks for the others, and yet they come.
    let limit = Instant::now() + Duration::from_secs(20);
    while in_memory(&files).is_none_or(|found| found != [8192; 10]) {
        assert!(Instant::now() < limit, "{:?}", in_memory(&files));
        std::thread::sleep(Duration::from_millis(10));
    }
    for (number, file) in (0..10).zip(&files) {
        assert_eq!(fs::read(file).unwrap(), [number; 5000]);
        assert_eq!(fs::metadata(file).unwrap().len(), 5000);
    }
}
