//! What a restore, and a comparison, find in a directory where something is already.

use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use vac::extractor::{Difference, ExtractOptions, Selection, verify};
use vac::reader::Archive;

use crate::round_trip::Fixture;

fn differences(fixture: &Fixture, archive: &Archive) -> Vec<(String, Difference)> {
    let mut found = Vec::new();
    let (options, everything) = (ExtractOptions::default(), Selection::everything());
    let mut tell = |path: &[u8], difference| {
        found.push((String::from_utf8_lossy(path).into_owned(), difference));
    };
    let mut problem = |_: &[u8], error: &_| panic!("{error}");
    let target = fixture.target();
    verify(
        archive.root(),
        &target,
        &everything,
        &options,
        &AtomicBool::new(false),
        &mut tell,
        &mut problem,
    )
    .unwrap();
    found.retain(|(_, difference)| *difference != Difference::Time);
    found
}

#[test]
fn names_that_are_of_another_file_than_in_the_archive_are_a_difference() {
    let fixture = Fixture::new();
    for name in ["a", "c", "d"] {
        fs::write(fixture.tree().join(name), "content").unwrap();
    }
    fs::hard_link(fixture.tree().join("a"), fixture.tree().join("b")).unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(differences(&fixture, &archive), []);
    let at = |name: &str| fixture.target().join("tree").join(name);
    fs::hard_link(at("d"), fixture.target().join("tree-d")).unwrap();
    let extra = ("tree-d".to_owned(), Difference::Extra);
    let found = differences(&fixture, &archive);
    assert_eq!(found, std::slice::from_ref(&extra), "what is not in the archive");
    // One file of two names becomes two, and two files become one.
    fs::remove_file(at("b")).unwrap();
    fs::copy(at("a"), at("b")).unwrap();
    fs::remove_file(at("d")).unwrap();
    fs::hard_link(at("c"), at("d")).unwrap();
    let links = |name: &str| (format!("tree/{name}"), Difference::Links);
    assert_eq!(differences(&fixture, &archive), [links("b"), links("d"), extra]);
}

#[test]
fn inode_flags_are_compared() {
    let fixture = Fixture::new();
    fs::write(fixture.tree().join("file"), "content").unwrap();
    fs::create_dir(fixture.tree().join("directory")).unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(differences(&fixture, &archive), []);
    for name in ["tree/directory", "tree/file"] {
        let file = File::open(fixture.target().join(name)).unwrap();
        let set =
            ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::NODUMP));
        if let Err(errno) = set {
            println!("skipped: this file system has no inode flags ({errno})");
            return;
        }
    }
    let flags = |name: &str| (name.to_owned(), Difference::Flags);
    assert_eq!(differences(&fixture, &archive), [flags("tree/directory"), flags("tree/file")]);
}

#[test]
fn what_a_killed_restore_left_is_removed_by_the_next_one() {
    let fixture = Fixture::new();
    fs::write(fixture.tree().join("file"), "content").unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let (gone, own) = (gone.id(), std::process::id());
    let stale =
        [format!(".unvac-{gone}-0"), format!(".unvac-{gone}-17"), format!(".unvac-{own}-0")];
    // Of a process that there is, and what only looks similar.
    let others = [".unvac-1-0".to_owned(), format!(".unvac-{gone}"), format!(".unvac-{gone}-x")];
    for directory in [fixture.target(), fixture.target().join("tree")] {
        for name in stale.iter().chain(&others) {
            fs::write(directory.join(name), "half").unwrap();
        }
    }
    fixture.restore(&archive, &ExtractOptions::default());
    for directory in [fixture.target(), fixture.target().join("tree")] {
        for name in &stale {
            assert!(!directory.join(name).exists(), "{name}");
        }
        for name in &others {
            assert!(directory.join(name).exists(), "{name}");
        }
    }
}
