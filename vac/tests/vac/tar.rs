//! Tar streams, as GNU tar reads them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
use vac::extractor::{ExtractOptions, Selection, TarWriter, visit};

use crate::round_trip::{Fixture, Heard};

/// Writes the archive of the tree as a stream, and lets tar unpack it with everything.
fn unpack(fixture: &Fixture) -> Vec<u8> {
    let archive = fixture.archive();
    let (mut stream, heard) = (Vec::new(), Heard::default());
    let mut tar = TarWriter::new(&mut stream, &heard);
    let options = ExtractOptions::default();
    visit(archive.root(), &Selection::everything(), &options.limits, &mut tar).unwrap();
    tar.finish().unwrap();
    assert_eq!(heard.0.lock().as_slice(), [""; 0]);
    let file = fixture.place.path().join("stream.tar");
    fs::write(&file, &stream).unwrap();
    fs::create_dir(fixture.target()).unwrap();
    let unpacked = Command::new("tar")
        .args(["--acls", "--xattrs", "--xattrs-include=*", "--warning=no-timestamp", "-xpf"])
        .arg(&file)
        .current_dir(fixture.target())
        .output()
        .unwrap();
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    stream
}

#[test]
fn acls_and_odd_attributes_come_through() {
    let fixture = Fixture::new();
    let path = fixture.tree().join("file");
    fs::write(&path, "x").unwrap();
    fs::create_dir(fixture.tree().join("directory")).unwrap();
    let acl: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255,
        255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let set = [
        ("file", "system.posix_acl_access", &acl[..]),
        ("directory", "system.posix_acl_default", &acl),
        ("file", "user.a=b%c", b"value"),
    ];
    for (name, attribute, value) in set {
        let path = fixture.tree().join(name);
        if let Err(errno) = lsetxattr(&path, attribute, value, XattrFlags::empty()) {
            println!("skipped: no {attribute} here ({errno})");
            return;
        }
    }
    unpack(&fixture);
    for (name, attribute, value) in set {
        let mut found = [0; 100];
        let path = fixture.target().join("tree").join(name);
        let length = lgetxattr(&path, attribute, &mut found[..]).unwrap();
        assert_eq!(&found[..length], value, "{attribute}");
    }
}

#[test]
fn holes_stay_holes() {
    let fixture = Fixture::new();
    let sizes = [("in the middle", 16 << 20), ("at the end", 1 << 20), ("nothing", 3 << 20)];
    for (name, size) in sizes {
        let file = File::create(fixture.tree().join(name)).unwrap();
        file.set_len(size).unwrap();
        if name != "nothing" {
            file.write_all_at(&[1; 5000], 300).unwrap();
        }
        if name == "in the middle" {
            file.write_all_at(&[2; 7000], 10 << 20).unwrap();
            file.write_all_at(b"end", size - 3).unwrap();
        }
    }
    fs::write(fixture.tree().join("dense"), vec![3; 100_000]).unwrap();
    let stream = unpack(&fixture);
    assert!(stream.len() < 1 << 20, "{} bytes", stream.len());
    for name in ["in the middle", "at the end", "nothing", "dense"] {
        let (before, after) = (fixture.tree().join(name), fixture.target().join("tree").join(name));
        assert!(fs::read(&before).unwrap() == fs::read(&after).unwrap(), "{name}");
        let space = |path| fs::metadata(path).unwrap().blocks();
        assert!(space(&after) <= space(&before) + 16, "{name}");
    }
}

#[test]
fn times_far_away_come_through() {
    let fixture = Fixture::new();
    let path = fixture.tree().join("far");
    fs::write(&path, "x").unwrap();
    // 2400, and no nanoseconds.
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(13_569_465_600);
    File::options().write(true).open(&path).unwrap().set_modified(far).unwrap();
    let before = fs::metadata(&path).unwrap().mtime();
    unpack(&fixture);
    assert_eq!(fs::metadata(fixture.target().join("tree/far")).unwrap().mtime(), before);
}

/// Tar has no sockets, so none of its names is there: not as a name of what was left out either.
#[test]
fn no_name_leads_to_what_was_left_out() {
    let fixture = Fixture::new();
    let socket = fixture.tree().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    fs::hard_link(&socket, fixture.tree().join("twin")).unwrap();
    let archive = fixture.archive();
    let (mut stream, heard) = (Vec::new(), Heard::default());
    let mut tar = TarWriter::new(&mut stream, &heard);
    let limits = ExtractOptions::default().limits;
    visit(archive.root(), &Selection::everything(), &limits, &mut tar).unwrap();
    tar.finish().unwrap();
    assert_eq!(heard.0.lock().len(), 2);
}
