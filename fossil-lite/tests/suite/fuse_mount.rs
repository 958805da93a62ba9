//! The dump mounted for real. Needs root and `/dev/fuse`: skipped, and said so, elsewhere.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fossil_lite::dump::Tree;
use fossil_lite::fuse::{Audience, mount};
use venti_proto::{BlockRequest, BlockType};

use crate::world::World;

pub(crate) struct Mounted {
    directory: tempfile::TempDir,
    session: Option<fuser::BackgroundSession>,
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn new(tree: Arc<Tree>) -> Mounted {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let session = mount(tree, directory.path(), Audience::Everybody).unwrap();
        Mounted { directory, session: Some(session) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

/// Whether mounting can be tried at all.
pub(crate) fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("skipped: needs root and /dev/fuse");
    }
    can
}

pub(crate) fn names(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// One of everything that a file system can have.
fn make_one_of_everything(top: &Path) {
    fs::create_dir_all(top.join("lib/deep/er")).unwrap();
    fs::write(top.join("lib/libc.a"), b"archive").unwrap();
    fs::write(top.join("lib/deep/er/large"), vec![7; 3_000_000]).unwrap();
    fs::write(top.join("empty"), b"").unwrap();
    symlink("lib/libc.a", top.join("link")).unwrap();
    fs::hard_link(top.join("lib/libc.a"), top.join("second name")).unwrap();
    let path = top.to_str().unwrap();
    assert!(run("mkfifo", &[&format!("{path}/pipe")]).0);
    assert!(run("mknod", &[&format!("{path}/null"), "c", "1", "3"]).0);
    assert!(run("chown", &["1234:5678", &format!("{path}/empty")]).0);
    fs::set_permissions(top.join("empty"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::write(top.join(std::ffi::OsStr::new("odd")), b"x").unwrap();
}

#[test]
fn a_mount_shows_every_host_every_day_and_everything_in_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    make_one_of_everything(source.path());
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    world.dump("moby", "2004-06-11T04:00:00Z", source.path());
    world.dump("pequod", "2003-12-31T12:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(None));
    let dump = mounted.path();
    assert_eq!(names(dump.to_owned()), ["moby", "pequod"]);
    assert_eq!(names(dump.join("moby")), ["2004", "latest"]);
    assert_eq!(names(dump.join("moby/2004")), ["0611", "0611.1"]);
    assert_eq!(fs::read_link(dump.join("moby/latest")).unwrap(), Path::new("2004/0611.1"));
    assert!(fs::metadata(dump.join("ahab")).is_err());
    assert!(fs::metadata(dump.join("moby/2005")).is_err());

    let root = dump.join("moby/2004/0611");
    for (name, expected) in [("empty", 0), ("lib/deep/er/large", 3_000_000)] {
        let data = fs::read(root.join(name)).unwrap();
        assert!(data.len() == expected && data.iter().all(|byte| *byte == 7));
    }
    // rsync compares kind, mode, owner, times, links, devices and content, attribute by attribute.
    let (theirs, ours) = (source.path().to_str().unwrap(), root.to_str().unwrap());
    let (good, text) =
        run("diff", &["-r", "--no-dereference", &format!("{theirs}/lib"), &format!("{ours}/lib")]);
    assert!(good, "{text}");
    for name in ["lib", "lib/libc.a", "empty", "link", "pipe", "null", "second name"] {
        let (a, b) = (source.path().join(name), root.join(name));
        let (a, b) = (fs::symlink_metadata(a).unwrap(), fs::symlink_metadata(b).unwrap());
        assert_eq!(
            (a.mode(), a.uid(), a.gid(), a.rdev(), a.mtime(), a.mtime_nsec(), a.ctime_nsec()),
            (b.mode(), b.uid(), b.gid(), b.rdev(), b.mtime(), b.mtime_nsec(), b.ctime_nsec()),
            "{name}"
        );
        assert!(a.is_dir() || a.len() == b.len(), "{name}");
    }
    let link = fs::metadata(root.join("lib/libc.a")).unwrap();
    let second = fs::metadata(root.join("second name")).unwrap();
    assert_eq!((link.nlink(), link.ino()), (2, second.ino()));
    assert!(fs::symlink_metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::read(dump.join("moby/latest/link")).unwrap(), b"archive");

    // The top is no directory of the host: it is made up, as the year is.
    let top = fs::metadata(&root).unwrap();
    let recorded = "2004-06-11T03:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!((top.mode() & 0o7777, top.uid(), top.mtime()), (0o555, 0, recorded));

    // Nothing can be changed, and no device opened.
    assert!(fs::write(root.join("new"), b"").is_err());
    assert!(fs::remove_file(root.join("empty")).is_err());
    assert!(fs::File::open(root.join("null")).is_err(), "nodev");
}

#[test]
fn a_version_has_the_same_inode_in_every_dump() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for (name, content) in [("same", "1"), ("changed", "1"), ("remade", "1")] {
        fs::write(source.path().join(name), content).unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    fs::write(source.path().join("changed"), "22").unwrap();
    fs::remove_file(source.path().join("remade")).unwrap();
    fs::write(source.path().join("other"), "x").unwrap();
    fs::write(source.path().join("remade"), "1").unwrap();
    fs::rename(source.path().join("same"), source.path().join("moved")).unwrap();
    world.dump("moby", "2004-06-12T03:00:00Z", source.path());
    let tree = world.tree(Some("moby"));
    let mounted = Mounted::new(Arc::clone(&tree));
    let inode = |path: &str| fs::metadata(mounted.path().join(path)).unwrap().ino();
    assert_ne!(inode("2004/0611/changed"), inode("2004/0612/changed"));
    assert_ne!(inode("2004/0611/remade"), inode("2004/0612/remade"));
    assert_eq!(inode("2004/0611/changed"), inode("2004/0611/changed"));

    // The same file has the same path, a version of it the same version, a new file neither.
    let id = |path: &str| {
        let mut place = tree.root();
        for name in path.split('/') {
            place = tree.lookup(&place, name.as_bytes()).unwrap();
        }
        tree.attributes(&place).unwrap().id
    };
    let (before, after) = (id("2004/0611/changed"), id("2004/0612/changed"));
    assert!(before.path == after.path && before.version != after.version);
    assert_ne!(id("2004/0611/remade").path, id("2004/0612/remade").path);
    assert_eq!(id("2004/0611/same").path, id("2004/0612/moved").path, "renamed");
}

#[test]
fn new_dumps_appear_as_they_are_recorded() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("old"), "x").unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    assert_eq!(names(mounted.path().join("2004")), ["0611"]);
    let latest = mounted.path().join("latest");
    assert_eq!(fs::read_link(&latest).unwrap(), Path::new("2004/0611"), "the kernel keeps it");
    fs::write(source.path().join("new"), "x").unwrap();
    world.dump("moby", "2005-01-01T03:00:00Z", source.path());
    let appears = mounted.path().join("2005/0101/new");
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !appears.exists() {
        assert!(std::time::Instant::now() < limit, "the new dump appears");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    while fs::read_link(&latest).unwrap() != Path::new("2005/0101") {
        assert!(std::time::Instant::now() < limit, "latest follows");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_missing_block_is_an_error_on_that_file_and_no_other() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("whole"), "whole").unwrap();
    fs::write(source.path().join("holed"), "holed").unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let lost =
        BlockRequest { score: venti_proto::Score::of(b"holed"), block_type: BlockType::DATA };
    assert!(world.store.forget(&lost));
    world.record("moby", venti_proto::Score::of(b"no archive"));
    let mounted = Mounted::new(world.tree(Some("moby")));
    let root = mounted.path().join("2004/0611");
    let error = fs::read(root.join("holed")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "EIO: {error}");
    assert_eq!(fs::read(root.join("whole")).unwrap(), b"whole");
    assert_eq!(names(root), ["holed", "whole"]);
    // The dump whose root is missing is there, and says so.
    let year = mounted.path().join("2004");
    assert_eq!(names(year.clone()), ["0611", "0611.1"]);
    let error = fs::read_dir(year.join("0611.1")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "EIO: {error}");
    assert!(fs::metadata(year.join("0611")).unwrap().is_dir());
}

#[test]
fn a_directory_of_many_entries_lists_and_looks_up() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("many")).unwrap();
    for number in 0..20_000 {
        fs::write(source.path().join(format!("many/file{number}")), "").unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let root = mounted.path().join("2004/0611/many");
    assert!(root.join("file12345").exists());
    assert_eq!(names(root).len(), 20_000);
}
