//! `--snapshot` on a Btrfs in a file. Skipped where that can not be mounted.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Place, errors, score};

/// A Btrfs with the subvolume `home`, mounted at `disk` for as long as this lives.
struct Btrfs(Place);

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}

impl Btrfs {
    fn new() -> Option<Btrfs> {
        let place = Place::new();
        let (image, disk) = (place.path("image"), place.path("disk"));
        fs::create_dir(&disk).unwrap();
        fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let made = run("mkfs.btrfs", &["-q".as_ref(), &image])
            .and_then(|()| run("mount", &["-o".as_ref(), "loop".as_ref(), &image, &disk]));
        if let Err(error) = made {
            println!("skipped: no Btrfs can be mounted here: {error}");
            return None;
        }
        let btrfs = Btrfs(place);
        btrfs.subvolume("home");
        fs::create_dir(btrfs.0.path("disk/home/user")).unwrap();
        fs::write(btrfs.0.path("disk/home/user/file"), "before").unwrap();
        Some(btrfs)
    }

    fn subvolume(&self, name: &str) {
        let path = self.0.path("disk").join(name);
        run("btrfs", &["subvolume".as_ref(), "create".as_ref(), &path]).unwrap();
    }

    /// Starts an archive that waits for its standard input when the snapshot was taken.
    fn start(&self, tree: &str) -> Child {
        let arguments = ["-h", "./store", "-i", "input", "--snapshot", "require", tree];
        let old = self.containers();
        let mut command = self.0.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let is_new = |path: &PathBuf| !old.contains(path) && has_content(path);
        while !self.containers().iter().any(is_new) {
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    /// Directories for snapshots that are there.
    fn containers(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.0.path("disk/home")).unwrap().map(|e| e.unwrap().path());
        names.filter(|path| path.to_str().unwrap().contains(".vac-snapshot-")).collect()
    }

    /// Restores an archive, and returns the directory.
    fn restore(&self, score: &str) -> PathBuf {
        self.restore_from("store", score)
    }

    fn restore_from(&self, store: &str, score: &str) -> PathBuf {
        let target = self.0.path("restored");
        let _ = fs::remove_dir_all(&target);
        let mut command = Command::new(env!("CARGO_BIN_EXE_unvac"));
        command.args(["-h", self.0.path(store).to_str().unwrap(), "-C"]).arg(&target);
        let output = command.arg(score).output().unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        target
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        let disk = self.0.path("disk");
        if let Err(error) = run("umount", &[&disk]) {
            println!("{error}");
        }
    }
}

fn has_content(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut names| names.next().is_some())
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_archive_is_of_the_instant_of_the_snapshot() {
    let Some(btrfs) = Btrfs::new() else { return };
    let time = || fs::metadata(btrfs.0.path("disk/home")).unwrap().modified().unwrap();
    let before = time();
    for tree in ["disk/home", "disk/home/user", "disk/home/user/file"] {
        fs::write(btrfs.0.path("disk/home/user/file"), "before").unwrap();
        let mut child = btrfs.start(tree);
        fs::write(btrfs.0.path("disk/home/user/file"), "after").unwrap();
        child.stdin.take().unwrap().write_all(b"stream").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let restored = btrfs.restore(&score(&output));
        let name = Path::new(tree).file_name().unwrap().to_str().unwrap();
        let mut expected = [name, "input"];
        expected.sort_unstable();
        assert_eq!(names(&restored), expected);
        let file = Path::new("disk/home/user/file").strip_prefix(Path::new(tree).parent().unwrap());
        assert_eq!(fs::read_to_string(restored.join(file.unwrap())).unwrap(), "before");
        if name == "home" {
            assert_eq!(names(&restored.join("home")), ["user"]);
        }
        assert_eq!(btrfs.containers().len(), 0);
        assert_eq!(time(), before, "what is archived is not changed");
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_snapshot() {
    let Some(btrfs) = Btrfs::new() else { return };
    let mut crashed = btrfs.start("disk/home");
    crashed.kill().unwrap();
    crashed.wait().unwrap();
    while !btrfs.containers().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_snapshot_that_a_crash_left_is_removed_by_the_next_run() {
    let Some(btrfs) = Btrfs::new() else { return };
    let left = btrfs.0.path("disk/home/.vac-snapshot-1-0");
    fs::DirBuilder::new().mode(0o700).create(&left).unwrap();
    btrfs.subvolume("home/.vac-snapshot-1-0/home");
    let mut never = btrfs.0.command(&["-h", "./other", "--snapshot", "never", "disk/home"]);
    let output = never.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let restored = btrfs.restore_from("other", &score(&output));
    assert_eq!(names(&restored.join("home")), ["user"], "what was left is not archived");
    // One that is in use stays, and what only looks like one.
    let mut running = btrfs.start("disk/home");
    assert_eq!(btrfs.containers().len(), 1, "the one of the run that goes on");
    fs::write(btrfs.0.path("disk/home/.vac-snapshot-notes"), "mine").unwrap();
    let mut other = btrfs.0.command(&["-h", "./other", "--snapshot", "auto", "disk/home"]);
    let output = other.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let restored = btrfs.restore_from("other", &score(&output));
    assert_eq!(names(&restored.join("home")), [".vac-snapshot-notes", "user"]);
    assert_eq!(btrfs.containers().len(), 2);
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
    let left = btrfs.containers();
    assert_eq!(left, [btrfs.0.path("disk/home/.vac-snapshot-notes")]);
}

#[test]
fn every_snapshot_of_the_same_files_is_the_same_archive() {
    let Some(btrfs) = Btrfs::new() else { return };
    let archive = |usage| {
        let output = btrfs.0.vac(&["--no-cache", "--snapshot", usage, "disk/home/user"]);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        score(&output)
    };
    let first = archive("require");
    assert_eq!(archive("require"), first);
    assert_eq!(archive("never"), first, "as if there had been none");
}

#[test]
fn a_subvolume_beside_what_is_archived_is_not_missed() {
    let Some(btrfs) = Btrfs::new() else { return };
    btrfs.subvolume("home/beside");
    let output = btrfs.0.vac(&["--snapshot", "require", "disk/home/user"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let output = btrfs.0.vac(&["--snapshot", "require", "disk/home"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
}

#[test]
fn what_a_snapshot_would_miss_is_archived_as_it_is() {
    let Some(btrfs) = Btrfs::new() else { return };
    btrfs.subvolume("home/user/below");
    fs::write(btrfs.0.path("disk/home/user/below/deep"), "deep").unwrap();
    let output = btrfs.0.vac(&["disk/home"]);
    let said = errors(&output);
    assert!(said.contains("home/user/below") && said.contains("would be missed"), "{said}");
    let restored = btrfs.restore(&score(&output));
    assert_eq!(fs::read_to_string(restored.join("home/user/below/deep")).unwrap(), "deep");
    let output = btrfs.0.vac(&["--snapshot", "require", "disk/home"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_tree_elsewhere_has_no_snapshot() {
    let place = Place::new();
    assert_eq!(place.vac(&["--snapshot", "auto", "tree"]).status.code(), Some(0));
    let output = place.vac(&["--snapshot", "require", "tree"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("snapshot"), "{}", errors(&output));
}
