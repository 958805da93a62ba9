//! What `--delete` leaves alone: what the archive does not speak of.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use vac::archiver::{Options, Progress, Source, archive};
use vac::extractor::{ExtractOptions, remove_directory};
use vac::format::Gap;
use vac::reader::Archive;

use crate::round_trip::{Fixture, Heard};

/// A file system in memory, for as long as this lives.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn on(path: &Path) -> Option<Mounted<'_>> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(path).output();
        let is_there = mount.is_ok_and(|output| output.status.success());
        if !is_there {
            println!("skipped: only the superuser can mount a file system");
        }
        is_there.then_some(Mounted(path))
    }

    fn bind<'a>(what: &Path, path: &'a Path) -> Option<Mounted<'a>> {
        let mount = Command::new("mount").arg("--bind").args([what, path]).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Mounted(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().unwrap().success());
    }
}

fn with_delete() -> ExtractOptions {
    ExtractOptions { differences: true, delete: true, ..ExtractOptions::default() }
}

fn archive_with(fixture: &Fixture, options: &Options) -> Archive {
    let (progress, heard) = (Arc::new(Progress::default()), Arc::new(Heard::default()));
    let sources = vec![Source::Path(fixture.tree())];
    let made = archive(&*fixture.store, sources, options, &progress, heard).unwrap();
    Archive::open(fixture.store.clone(), made.root).unwrap()
}

fn gap(archive: &Archive, path: &str) -> Option<Gap> {
    archive.root().walk(path.as_bytes()).unwrap().unwrap().gap().unwrap()
}

#[test]
fn directories_that_were_left_out_are_not_emptied() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    fs::create_dir_all(tree.join("cache")).unwrap();
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n";
    fs::write(tree.join("cache/CACHEDIR.TAG"), tag).unwrap();
    fs::write(tree.join("cache/precious"), "x").unwrap();
    let mut options = Options::default();
    options.exclusions.caches = true;
    let archive = archive_with(&fixture, &options);
    assert_eq!(gap(&archive, "tree/cache"), Some(Gap::LeftOut));
    assert_eq!(gap(&archive, "tree"), None);
    let restored = fixture.target().join("tree");
    fs::create_dir_all(restored.join("cache")).unwrap();
    for name in ["cache/precious", "extra"] {
        fs::write(restored.join(name), "x").unwrap();
    }
    let summary = fixture.restore(&archive, &with_delete());
    assert_eq!(summary.removed, 1);
    assert!(restored.join("cache/precious").exists() && !restored.join("extra").exists());
}

#[test]
fn what_is_mounted_is_left_alone() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    for name in ["known", "bound"] {
        fs::create_dir(tree.join(name)).unwrap();
    }
    fs::write(tree.join("known/file"), "x").unwrap();
    let archive = fixture.archive();
    let restored = fixture.target().join("tree");
    for name in ["known", "bound", "extra/deep", "elsewhere"] {
        fs::create_dir_all(restored.join(name)).unwrap();
    }
    let (known, deep) = (restored.join("known"), restored.join("extra/deep"));
    let (bound, elsewhere) = (restored.join("bound"), fixture.place.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let Some(first) = Mounted::on(&known) else { return };
    let second = Mounted::on(&deep).unwrap();
    // On the same device, so that only the mount tells.
    let third = Mounted::bind(&elsewhere, &bound).unwrap();
    let precious = [&known, &deep, &elsewhere].map(|place| place.join("precious"));
    precious.iter().for_each(|path| fs::write(path, "x").unwrap());
    let (summary, problems) = fixture.try_restore(&archive, &with_delete());
    let left: Vec<_> = precious.iter().filter(|path| path.exists()).collect();
    assert_eq!(left.len(), 3, "{problems:?}");
    assert!(known.join("file").exists(), "it is restored there all the same");
    assert_eq!(summary.exit_code(), 3);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.contains("mounted")), "{problems:?}");
    assert!(!restored.join("elsewhere").exists(), "what is not mounted goes");
    drop((first, second, third));
}

#[test]
fn a_mounted_file_system_is_marked_as_left_out() {
    let fixture = Fixture::new();
    let mounted = fixture.tree().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let Some(mount) = Mounted::on(&mounted) else { return };
    let mut options = Options::default();
    options.exclusions.one_file_system = true;
    options.exclusions.file_systems =
        vac::walk::FileSystems::parse(&fs::read("/proc/self/mountinfo").unwrap());
    let archive = archive_with(&fixture, &options);
    drop(mount);
    assert_eq!(gap(&archive, "tree/mounted"), Some(Gap::LeftOut));
    let precious = fixture.target().join("tree/mounted/precious");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "x").unwrap();
    fixture.restore(&archive, &with_delete());
    assert!(precious.exists());
}

#[test]
fn a_directory_is_removed_with_everything_but_what_is_mounted_in_it() {
    let place = tempfile::tempdir().unwrap();
    let [directory, other] = ["directory", "other"].map(|name| place.path().join(name));
    let bound = directory.join("a/bound");
    for below in ["a/b/c/d", "a/bound", "e"] {
        fs::create_dir_all(directory.join(below)).unwrap();
        fs::write(directory.join(below).join("file"), "x").unwrap();
    }
    fs::create_dir(&other).unwrap();
    fs::write(other.join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(&other, directory.join("link")).unwrap();
    if let Some(mount) = Mounted::bind(&other, &bound) {
        let refused = remove_directory(&directory).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::CrossesDevices);
        assert!(bound.join("precious").exists());
        drop(mount);
    }
    remove_directory(&directory).unwrap();
    assert!(!directory.exists() && other.join("precious").exists());
    assert_eq!(remove_directory(&directory).unwrap_err().kind(), ErrorKind::NotFound);
}
