//! Trees that are copied out of the mount: files come before they are asked for.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fossil_lite::dump::{DumpFile, Place, Tree};

use crate::counting::Counting;
use crate::fuse_mount::{Mounted, can_mount};
use crate::round_trips::in_memory;
use crate::world::World;

/// What becomes of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Listed,
    /// As cp goes.
    Number,
}

fn entries(directory: &Path, order: Order) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(Result::unwrap).collect();
    if order == Order::Number {
        entries.sort_by_key(DirEntryExt::ino);
    }
    entries.iter().map(fs::DirEntry::path).collect()
}

/// Reads everything as a program that copies it would.
fn copy(from: &Path, to: &Path, order: Order) {
    fs::create_dir_all(to).unwrap();
    for path in entries(from, order) {
        let target = to.join(path.file_name().unwrap());
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            copy(&path, &target, order);
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), target).unwrap();
        } else {
            fs::write(target, fs::read(&path).unwrap()).unwrap();
        }
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    let output = std::process::Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([a, b])
        .output()
        .unwrap();
    output.status.success() && output.stdout.is_empty()
}

/// Directories three deep, with files of all sizes, many of them equal.
fn tree(top: &Path) {
    for number in 0..90u32 {
        let directory = top.join(format!("tree/{}/{}/{number}", number % 3, number % 10));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..6u32 {
            let bytes = [0, 10, 5000, 9000, 50_000, 10][file as usize];
            let seed = if file == 5 { 0 } else { number };
            let content: Vec<u8> = (0..bytes).map(|n| ((n + seed) * 7 % 251) as u8).collect();
            fs::write(directory.join(format!("file{file}")), content).unwrap();
        }
        symlink(format!("to/{number}"), directory.join("link")).unwrap();
    }
    let large: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_be_bytes).collect();
    fs::write(top.join("tree/1/large"), &large).unwrap();
    fs::write(top.join("tree/1/1/hole"), vec![0; 3_000_000]).unwrap();
}

#[test]
fn a_copy_is_what_was_archived_whatever_the_order_and_however_many_copy() {
    if !can_mount() {
        return;
    }
    let (source, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(source.path());
    let world = World::new();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    for order in [Order::Listed, Order::Number] {
        let counting = Counting::of(&world);
        let mounted = Mounted::new(world.tree_over(Arc::clone(&counting) as _, Some("moby")));
        let from = mounted.path().join("2004/0611");
        std::thread::scope(|scope| {
            for reader in 0..4 {
                let (from, to) = (from.clone(), copies.path().join(format!("{order:?}{reader}")));
                scope.spawn(move || copy(&from, &to, order));
            }
        });
        for reader in 0..4 {
            let copied = copies.path().join(format!("{order:?}{reader}"));
            assert!(is_same(source.path(), &copied), "{order:?}");
        }
    }
}

/// What a side that keeps what it is given makes of a directory.
fn visit(tree: &Tree, directory: &DumpFile, number: &mut u64) {
    let will_read = tree.will_list(directory);
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    let place = Place::File(directory.clone());
    tree.list(&place, 0, &mut |_, place, _| {
        let Place::File(file) = place else { panic!("no file") };
        match file.node().is_directory() {
            true => directories.push(file),
            false => files.push(file),
        }
        true
    })
    .unwrap();
    let numbered = directories.iter().cloned().map(|directory| {
        *number += 1;
        (*number, directory)
    });
    tree.has_listed(directory, numbered.collect());
    if will_read {
        let nodes: Vec<_> = files.iter().map(|file| file.node().clone()).collect();
        tree.will_read_all(&nodes);
        for node in &nodes {
            assert_eq!(tree.take_content(node).unwrap().len() as u64, node.size());
        }
        tree.go_ahead(directory);
    } else {
        for file in &files {
            tree.will_read(file);
            let mut content = vec![0; usize::try_from(file.node().size()).unwrap()];
            file.node().read_at(0, &mut content).unwrap();
        }
    }
    for directory in &directories {
        visit(tree, directory, number);
    }
}

#[test]
fn a_walk_takes_a_round_trip_for_many_directories() {
    let source = tempfile::tempdir().unwrap();
    for directory in 0..200 {
        let directory = source.path().join(format!("tree/{directory}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..5 {
            let content = format!("{} {file}", directory.display());
            fs::write(directory.join(file.to_string()), content).unwrap();
        }
    }
    let world = World::new();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, Some("moby"));
    tree.catalogue().refresh().unwrap();
    let Place::File(top) =
        tree.lookup(&tree.lookup(&tree.root(), b"2004").unwrap(), b"0611").unwrap()
    else {
        panic!("no dump");
    };
    let (calls, blocks, ()) = counting.during(|| visit(&tree, &top, &mut 0));
    assert!(blocks <= 200 * (2 + 5) + 20, "{blocks} blocks: nothing twice");
    assert!(calls <= 50, "{calls} round trips for 200 directories of 5 files");
}

#[test]
fn whoever_only_lists_reads_no_files() {
    if !can_mount() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    let world = World::new();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let counting = Counting::of(&world);
    let mounted = Mounted::new(world.tree_over(Arc::clone(&counting) as _, Some("moby")));
    let found = std::process::Command::new("find").arg(mounted.path()).output().unwrap();
    assert!(found.status.success());
    let directories = 1 + 1 + 3 + 30 + 90;
    let blocks = counting.blocks();
    assert!(blocks <= 3 + 3 * directories, "{blocks} blocks for {directories} directories");
}

#[test]
fn files_of_a_walk_are_in_the_kernel_before_they_are_asked_for() {
    if !can_mount() {
        return;
    }
    let (source, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in ["a", "b", "c", "d"] {
        let directory = source.path().join("tree").join(directory);
        fs::create_dir_all(&directory).unwrap();
        for file in 0..20u8 {
            fs::write(directory.join(file.to_string()), vec![file; 5000]).unwrap();
        }
    }
    let world = World::new();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let directories = entries(&mounted.path().join("2004/0611/tree"), Order::Listed);
    for directory in &directories[..2] {
        copy(directory, &copies.path().join(directory.file_name().unwrap()), Order::Listed);
    }
    let files = entries(&directories[2], Order::Listed);
    let Some(found) = in_memory(&files) else { return eprintln!("skipped: no fincore(1)") };
    assert!(found[..4].iter().all(|bytes| *bytes == 8192), "{found:?}");
    let limit = Instant::now() + Duration::from_secs(20);
    while in_memory(&files).is_none_or(|found| found != [8192; 20]) {
        assert!(Instant::now() < limit, "{:?}", in_memory(&files));
        std::thread::sleep(Duration::from_millis(10));
    }
    for file in &files {
        let number: u8 = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(fs::read(file).unwrap(), [number; 5000]);
        assert_eq!(fs::metadata(file).unwrap().size(), 5000);
    }
}

#[test]
fn a_directory_that_stays_open_shows_new_dumps() {
    if !can_mount() {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "1").unwrap();
    let world = World::new();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let open = fs::File::open(mounted.path().join("2004")).unwrap();
    let mut directory = rustix::fs::Dir::new(open).unwrap();
    let mut names = || -> Vec<CString> {
        directory.rewind();
        let entries = std::iter::from_fn(|| directory.read().map(Result::unwrap));
        entries.map(|entry| entry.file_name().to_owned()).collect()
    };
    assert_eq!(names().len(), 3);
    world.dump("moby", "2004-06-12T03:00:00Z", source.path());
    let limit = Instant::now() + Duration::from_secs(20);
    while !names().contains(&c"0612".to_owned()) {
        assert!(Instant::now() < limit, "the new dump appears");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The kernel was told what a name of a day leads to, and it leads to something else now.
#[test]
fn a_mount_follows_to_another_time_zone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    // Days of Tokyo: the 11th, and twice the 12th. In UTC the 11th twice, and the 12th.
    for (number, time) in ["2004-06-11T03", "2004-06-11T23", "2004-06-12T03"].iter().enumerate() {
        fs::write(source.path().join("file"), number.to_string()).unwrap();
        world.dump("moby", &format!("{time}:00:00Z"), source.path());
    }
    world.log.move_to("Asia/Tokyo");
    let mounted = Mounted::new(world.tree(Some("moby")));
    let read = |name: &str| fs::read_to_string(mounted.path().join(name).join("file")).ok();
    let all = |names: [&str; 4]| names.map(read);
    let names = ["2004/0611", "2004/0611.1", "2004/0612", "2004/0612.1"];
    let of = |contents: [Option<&str>; 4]| contents.map(|content| content.map(str::to_owned));
    assert_eq!(all(names), of([Some("0"), None, Some("1"), Some("2")]));
    let latest = mounted.path().join("latest");
    assert_eq!(fs::read_link(&latest).unwrap(), Path::new("2004/0612.1"));
    world.log.move_to("UTC");
    let limit = Instant::now() + Duration::from_secs(20);
    while all(names) != of([Some("0"), Some("1"), Some("2"), None])
        || fs::read_link(&latest).unwrap() != Path::new("2004/0612")
    {
        assert!(Instant::now() < limit, "{:?}", all(names));
        std::thread::sleep(Duration::from_millis(100));
    }
}
