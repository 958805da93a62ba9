//! `-d` makes the target what the archive has: what is too much goes, and what is right is not
//! touched.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    CWD, FileType, IFlags, Mode, XattrFlags, ioctl_getflags, ioctl_setflags, lgetxattr, lsetxattr,
    makedev, mknodat,
};
use vac::extractor::ExtractOptions;

use crate::round_trip::{Fixture, snapshot};

const DIFFERENCES: fn() -> ExtractOptions =
    || ExtractOptions { differences: true, delete: true, ..ExtractOptions::default() };

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only the superuser can do this");
    }
    is_root
}

/// Adds or takes away flags. Whether the file system has them.
fn change_flags(path: &Path, flags: IFlags, on: bool) -> bool {
    let changed = File::open(path).map_err(|_| rustix::io::Errno::NOENT).and_then(|file| {
        let now = ioctl_getflags(&file)?;
        ioctl_setflags(&file, if on { now | flags } else { now - flags })
    });
    if let Err(errno) = changed {
        println!("not tested: no inode flags here ({errno})");
    }
    changed.is_ok()
}

fn flags(path: &Path) -> IFlags {
    ioctl_getflags(File::open(path).unwrap()).unwrap()
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn has_attribute(path: &Path, name: &str) -> bool {
    lgetxattr(path, name, &mut [0; 64][..]).is_ok()
}

fn changed(path: &Path) -> (u64, i64, i64) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.ino(), stat.ctime(), stat.ctime_nsec())
}

/// A flag as ext4 has it, on a file with content: how the file is stored is not the archive's.
#[test]
fn flags_of_files_with_content_come_back() {
    let fixture = Fixture::new();
    for name in ["nodump", "append", "large"] {
        fs::write(fixture.tree().join(name), vec![7; 3 * name.len() * 5000]).unwrap();
    }
    if !change_flags(&fixture.tree().join("nodump"), IFlags::NODUMP | IFlags::NOATIME, true) {
        return;
    }
    let is_root = is_root();
    if is_root {
        change_flags(&fixture.tree().join("append"), IFlags::APPEND, true);
        change_flags(&fixture.tree().join("large"), IFlags::IMMUTABLE, true);
    }
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    for name in ["nodump", "append", "large"] {
        assert_eq!(flags(&restored.join(name)), flags(&fixture.tree().join(name)), "{name}");
    }
    // Into a directory where they are already, whole and in parts, and with all rights to fail.
    fixture.restore(&archive, &ExtractOptions::default());
    let before = changed(&restored.join("large"));
    let summary = fixture.restore(&archive, &DIFFERENCES());
    assert_eq!(summary.unchanged, 3);
    assert_eq!(changed(&restored.join("large")), before);
    for tree in [fixture.tree(), restored] {
        change_flags(&tree.join("append"), IFlags::APPEND, false);
        change_flags(&tree.join("large"), IFlags::IMMUTABLE, false);
    }
}

/// What never changes is changed when a restore says so, and nothing of it stays behind.
#[test]
fn immutable_files_and_directories_are_replaced_and_removed() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new();
    fs::create_dir(fixture.tree().join("d")).unwrap();
    fs::write(fixture.tree().join("d/file"), "content").unwrap();
    fs::hard_link(fixture.tree().join("d/file"), fixture.tree().join("name")).unwrap();
    if !change_flags(&fixture.tree().join("d/file"), IFlags::IMMUTABLE, true) {
        return;
    }
    let archive = fixture.archive();
    let restored = fixture.target().join("tree");
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(fs::metadata(restored.join("name")).unwrap().nlink(), 2);
    change_flags(&restored.join("name"), IFlags::IMMUTABLE, false);
    fs::write(restored.join("name"), "changed").unwrap();
    fs::create_dir(restored.join("extra")).unwrap();
    fs::write(restored.join("extra/file"), "extra").unwrap();
    for name in ["name", "extra/file", "extra", "d"] {
        assert!(change_flags(&restored.join(name), IFlags::IMMUTABLE, true));
    }
    fixture.restore(&archive, &DIFFERENCES());
    assert!(flags(&restored.join("name")).contains(IFlags::IMMUTABLE));
    assert!(!flags(&restored.join("d")).contains(IFlags::IMMUTABLE));
    for tree in [fixture.tree(), restored.clone()] {
        change_flags(&tree.join("name"), IFlags::IMMUTABLE, false);
    }
    assert_eq!(snapshot(&restored), snapshot(&fixture.tree()));
}

#[test]
fn what_is_too_much_goes() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    fs::create_dir(tree.join("d")).unwrap();
    fs::write(tree.join("d/file"), "content").unwrap();
    fs::write(tree.join("kept"), "content").unwrap();
    set_attribute(&tree.join("kept"), "user.same", b"value");
    symlink("d", tree.join("link")).unwrap();
    mknodat(CWD, tree.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    let modified = |path: &Path| fs::symlink_metadata(path).unwrap().modified().unwrap();
    let before = modified(&restored.join("link"));
    for name in ["d", "d/file", "kept"] {
        set_attribute(&restored.join(name), "user.extra", b"extra");
    }
    change_flags(&restored.join("d/file"), IFlags::NODUMP, true);
    if is_root() {
        set_attribute(&restored.join("pipe"), "trusted.extra", b"extra");
        set_attribute(&restored.join("link"), "trusted.extra", b"extra");
        lchown(restored.join("link"), Some(77), Some(77)).unwrap();
    }
    assert_eq!(modified(&restored.join("link")), before);
    let untouched = changed(&restored.join("pipe"));
    fixture.restore(&archive, &DIFFERENCES());
    assert_eq!(snapshot(&restored), snapshot(&tree));
    assert!(!flags(&restored.join("d/file")).contains(IFlags::NODUMP));
    assert_eq!(changed(&restored.join("pipe")).0, untouched.0, "the same pipe");
    // Directories are made what they were without -d, too.
    set_attribute(&restored.join("d"), "user.extra", b"extra");
    fixture.restore(&archive, &ExtractOptions::default());
    assert!(!has_attribute(&restored.join("d"), "user.extra"));
}

#[test]
fn what_is_right_is_not_touched() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    fs::write(tree.join("attribute"), "content").unwrap();
    set_attribute(&tree.join("attribute"), "user.note", b"value");
    fs::write(tree.join("flag"), "content").unwrap();
    change_flags(&tree.join("flag"), IFlags::NODUMP, true);
    symlink("flag", tree.join("link")).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, tree.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, tree.join("socket"), FileType::Socket, mode, 0).unwrap();
    let mut names = vec!["attribute", "flag", "link", "pipe", "socket"];
    if is_root() {
        mknodat(CWD, tree.join("device"), FileType::BlockDevice, mode, makedev(7, 300)).unwrap();
        names.push("device");
    }
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    let before: Vec<_> = names.iter().map(|name| changed(&restored.join(name))).collect();
    let summary = fixture.restore(&archive, &DIFFERENCES());
    assert_eq!(summary.unchanged, names.len() as u64);
    let after: Vec<_> = names.iter().map(|name| changed(&restored.join(name))).collect();
    assert_eq!(before, after);
}

/// The ACL of a directory is not handed down to pipes and devices either.
#[test]
fn pipes_and_devices_get_no_acl_of_the_target() {
    let fixture = Fixture::new();
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, fixture.tree().join("pipe"), FileType::Fifo, mode, 0).unwrap();
    if is_root() {
        let null = makedev(1, 3);
        let device = fixture.tree().join("device");
        mknodat(CWD, device, FileType::CharacterDevice, mode, null).unwrap();
    }
    let archive = fixture.archive();
    let restored = fixture.target().join("tree");
    fs::create_dir_all(&restored).unwrap();
    // Owner, user 1234, group, mask, others, as the kernel takes them.
    let acl: Vec<u8> = [(1, 7, [0xff; 4]), (2, 7, [0xd2, 4, 0, 0]), (4, 5, [0xff; 4])]
        .into_iter()
        .chain([(16, 7, [0xff; 4]), (32, 5, [0xff; 4])])
        .flat_map(|(tag, permissions, number)| {
            [[tag, 0, permissions, 0].to_vec(), number.to_vec()].concat()
        })
        .collect();
    let acl = [&[2, 0, 0, 0][..], &acl].concat();
    let set = lsetxattr(&restored, "system.posix_acl_default", &acl, XattrFlags::empty());
    if let Err(errno) = set {
        println!("skipped: this file system has no ACLs ({errno})");
        return;
    }
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(snapshot(&restored), snapshot(&fixture.tree()));
}

/// File systems cut a time that they can not hold.
#[test]
fn a_time_that_can_not_be_kept_is_named() {
    let fixture = Fixture::new();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(40_000_000_000);
    let path = fixture.tree().join("far");
    fs::write(&path, "x").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(far).unwrap();
    let kept_there = fs::metadata(&path).unwrap().modified().unwrap() == far;
    // One of memory takes any time, and the one of the target may not.
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = if kept_there { path } else { shm.path().join("far") };
    if !kept_there {
        fs::write(&source, "x").unwrap();
        File::options().write(true).open(&source).unwrap().set_modified(far).unwrap();
        if fs::metadata(&source).unwrap().modified().unwrap() != far {
            println!("skipped: no file system here keeps such a time");
            return;
        }
    }
    let archive = fixture.archive_of(&source);
    let (summary, problems) = fixture.try_restore(&archive, &ExtractOptions::default());
    let now = fs::metadata(fixture.target().join("far")).unwrap().modified().unwrap();
    if now == far {
        assert_eq!((summary.exit_code(), problems.len()), (0, 0));
    } else {
        assert_eq!(summary.exit_code(), 3);
        let expected = "far: not restored: the time, which this file system can not hold";
        assert_eq!(problems, [expected]);
    }
}

/// What a mode forbids to write to gets its attributes all the same.
#[test]
fn modes_do_not_forbid_attributes() {
    let fixture = Fixture::new();
    let file = fixture.tree().join("read-only");
    fs::write(&file, "x").unwrap();
    set_attribute(&file, "user.note", b"value");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    assert_eq!(snapshot(&restored), snapshot(&fixture.tree()));
    set_attribute(&restored.join("read-only"), "user.note", b"other");
    fixture.restore(&archive, &DIFFERENCES());
    assert_eq!(snapshot(&restored), snapshot(&fixture.tree()));
}
