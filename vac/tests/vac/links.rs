//! Names that are of one file, and names that only look so.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use vac::archiver::{DumpDay, OldArchive, Options, Progress, Source, Trust, archive};
use vac::extractor::{ExtractOptions, Selection, TarWriter, visit};
use vac::reader::Archive;
use vac::walk::Moment;
use venti_proto::Score;

use crate::round_trip::{Fixture, Heard, snapshot};

fn number(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn add(fixture: &Fixture, options: &Options) -> Score {
    let progress = Arc::new(Progress::default());
    let sources = vec![Source::Path(fixture.tree())];
    let heard = Arc::new(Heard::default());
    archive(&*fixture.store, sources, options, &progress, heard).unwrap().root
}

/// Two days of a file with two names, that was given another mode in between.
fn two_days(fixture: &Fixture) -> Archive {
    let modified = Moment { seconds: 1_100_000_000, nanoseconds: 0 };
    let day = |day| Some(DumpDay { year: 2004, month: 6, day, modified });
    let first = add(fixture, &Options { dump: day(11), ..Options::default() });
    fs::set_permissions(fixture.tree().join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
    let old = Some(OldArchive { root: first, trust: Trust::Attributes });
    let second = add(fixture, &Options { dump: day(12), old, ..Options::default() });
    Archive::open(fixture.store.clone(), second).unwrap()
}

fn with_two_names() -> Fixture {
    let fixture = Fixture::new();
    fs::write(fixture.tree().join("a"), "content").unwrap();
    fs::set_permissions(fixture.tree().join("a"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::hard_link(fixture.tree().join("a"), fixture.tree().join("b")).unwrap();
    fixture
}

fn are_apart(restored: &Path) {
    let at = |day: &str, name: &str| restored.join("2004").join(day).join("tree").join(name);
    assert_eq!(number(&at("0611", "a")), number(&at("0611", "b")));
    assert_eq!(number(&at("0612", "a")), number(&at("0612", "b")));
    assert_ne!(number(&at("0611", "a")), number(&at("0612", "a")));
    assert_eq!((mode(&at("0611", "b")), mode(&at("0612", "b"))), (0o644, 0o4755));
}

#[test]
fn a_file_of_another_day_is_another_file() {
    let fixture = with_two_names();
    let archive = two_days(&fixture);
    fixture.restore(&archive, &ExtractOptions::default());
    are_apart(&fixture.target());
}

#[test]
fn a_file_that_did_not_change_is_another_file_on_each_day() {
    let fixture = with_two_names();
    let modified = Moment::default();
    let day = |day| Some(DumpDay { year: 2004, month: 6, day, modified });
    let first = add(&fixture, &Options { dump: day(11), ..Options::default() });
    let old = Some(OldArchive { root: first, trust: Trust::Attributes });
    let second = add(&fixture, &Options { dump: day(12), old, ..Options::default() });
    let archive = Archive::open(fixture.store.clone(), second).unwrap();
    fixture.restore(&archive, &ExtractOptions::default());
    let at = |day: &str| fixture.target().join("2004").join(day).join("tree/a");
    assert_ne!(number(&at("0611")), number(&at("0612")));
    assert_eq!(fs::metadata(at("0612")).unwrap().nlink(), 2);
    let qid = |day: &str| {
        let path = format!("2004/{day}/tree/a");
        archive.root().walk(path.as_bytes()).unwrap().unwrap().qid()
    };
    assert_ne!(qid("0611"), qid("0612"), "a qid is unique in the archive");
}

#[test]
fn a_file_of_a_merged_archive_is_another_file() {
    let fixture = with_two_names();
    let old = fixture.archive();
    let root = add(&fixture, &Options::default());
    drop(old);
    fs::set_permissions(fixture.tree().join("a"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir(fixture.tree().join("was")).unwrap();
    fs::write(fixture.tree().join("was/old.vac"), format!("vac:{root}\n")).unwrap();
    let merged = add(&fixture, &Options { merge: true, ..Options::default() });
    let archive = Archive::open(fixture.store.clone(), merged).unwrap();
    fixture.restore(&archive, &ExtractOptions::default());
    let at = |name: &str| fixture.target().join("tree").join(name);
    assert_eq!((mode(&at("b")), mode(&at("was/tree/b"))), (0o4755, 0o644));
    assert_ne!(number(&at("a")), number(&at("was/tree/a")));
}

#[test]
fn tar_streams_keep_days_apart() {
    let fixture = with_two_names();
    let archive = two_days(&fixture);
    let (mut stream, heard) = (Vec::new(), Heard::default());
    let mut tar = TarWriter::new(&mut stream, &heard);
    let options = ExtractOptions::default();
    visit(archive.root(), &Selection::everything(), &options.limits, &mut tar).unwrap();
    tar.finish().unwrap();
    let file = fixture.place.path().join("days.tar");
    fs::write(&file, stream).unwrap();
    fs::create_dir(fixture.target()).unwrap();
    let unpacked = Command::new("tar")
        .args(["-xpf", file.to_str().unwrap()])
        .current_dir(fixture.target())
        .status();
    assert!(unpacked.unwrap().success());
    are_apart(&fixture.target());
}

/// Links, pipes, sockets and devices may have several names as well.
#[test]
fn names_of_what_is_no_file_come_back() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    fs::create_dir(tree.join("d")).unwrap();
    symlink("nowhere", tree.join("link")).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, tree.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, tree.join("socket"), FileType::Socket, mode, 0).unwrap();
    let mut names = vec!["link", "pipe", "socket"];
    if rustix::process::geteuid().is_root() {
        let null = makedev(1, 3);
        mknodat(CWD, tree.join("device"), FileType::CharacterDevice, mode, null).unwrap();
        names.push("device");
    }
    for name in &names {
        fs::hard_link(tree.join(name), tree.join("d").join(name)).unwrap();
    }
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    assert_eq!(snapshot(&tree), snapshot(&restored));
    for name in names {
        assert_eq!(number(&restored.join(name)), number(&restored.join("d").join(name)), "{name}");
    }
}
