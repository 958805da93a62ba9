//! What strace(1) makes happen while vac reads. Skipped where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::{Place, errors, score};

/// Calls that are made to fail or to take long, for one file of the tree.
struct Traced<'a> {
    place: &'a Place,
    file: &'a str,
    inject: &'a str,
}

impl Traced<'_> {
    /// Starts vac on the tree; the log has what the calls were.
    fn start(&self) -> Option<Child> {
        let (log, program) = (self.place.path("log"), env!("CARGO_BIN_EXE_vac"));
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(log).arg("-P").arg(self.place.path(self.file));
        command.args(["-e", &format!("inject={}", self.inject), program, "-h", "./store"]);
        command.args(["--no-cache", "--host", "moby", "tree"]).current_dir(self.place.path(""));
        command.env("XDG_CACHE_HOME", self.place.path("cache")).env_remove("venti");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().inspect_err(|error| println!("skipped: strace: {error}"));
        child.ok()
    }

    fn run(&self) -> Option<Output> {
        Some(self.start()?.wait_with_output().unwrap())
    }

    /// Waits until a call is made.
    fn wait_for(&self, call: &str) {
        while !fs::read_to_string(self.place.path("log")).is_ok_and(|log| log.contains(call)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Restores an archive of the tree, and returns where its tree is.
fn restored(place: &Place, output: &Output) -> PathBuf {
    let target = place.path("restored");
    let _ = fs::remove_dir_all(&target);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unvac"));
    command.arg("-h").arg(place.path("store")).arg("-C").arg(&target).arg(score(output));
    let restoring = command.output().unwrap();
    assert!(restoring.status.success(), "{}", errors(&restoring));
    target.join("tree")
}

fn set(path: &Path, value: &str) -> bool {
    let done = setxattr(path, "user.v", value.as_bytes(), XattrFlags::empty());
    done.inspect_err(|errno| println!("skipped: no extended attributes: {errno}")).is_ok()
}

fn get(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let length = getxattr(path, "user.v", &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn an_attribute_that_changes_while_the_content_is_read_is_read_again() {
    for size in [10, 3_000_000] {
        let place = Place::new();
        fs::write(place.path("tree/file"), vec![7; size]).unwrap();
        let inject = "pread64:delay_enter=1500000:when=1";
        let traced = Traced { place: &place, file: "tree/file", inject };
        if !set(&place.path("tree/file"), "old") {
            return;
        }
        let Some(child) = traced.start() else { return };
        traced.wait_for("pread64(");
        assert!(set(&place.path("tree/file"), "new"));
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        assert_eq!(get(&restored(&place, &output).join("file")).unwrap(), b"new", "{size}");
    }
}

#[test]
fn what_could_not_be_read_once_is_not_taken_for_unchanged() {
    let place = Place::new();
    let inject = "fgetxattr:error=EIO";
    let traced = Traced { place: &place, file: "tree/file", inject };
    if !set(&place.path("tree/file"), "precious") {
        return;
    }
    let Some(first) = traced.run() else { return };
    assert_eq!(first.status.code(), Some(3), "{}", errors(&first));
    let again = place.vac(&["tree"]);
    assert_eq!(again.status.code(), Some(0), "{}", errors(&again));
    assert_eq!(get(&restored(&place, &again).join("file")).unwrap(), b"precious");
}

#[test]
fn a_file_system_that_can_not_tell_holes_loses_no_data() {
    let place = Place::new();
    let file = fs::File::create(place.path("tree/file")).unwrap();
    for offset in [1 << 20, 20 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", offset).unwrap();
    }
    file.set_len(40 << 20).unwrap();
    let inject = "lseek:error=EIO:when=2+";
    let traced = Traced { place: &place, file: "tree/file", inject };
    let Some(output) = traced.run() else { return };
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let found = fs::read(restored(&place, &output).join("file")).unwrap();
    assert!(found == fs::read(place.path("tree/file")).unwrap());
}

/// A file system with times in whole seconds, unmounted when this is dropped.
struct Ext4<'a>(&'a Place);

impl<'a> Ext4<'a> {
    fn mount_on_tree(place: &'a Place) -> Option<Ext4<'a>> {
        let image = place.path("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let run = |command: &mut Command| match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(errors(&output)),
            Err(error) => Err(error.to_string()),
        };
        let made =
            run(Command::new("mkfs.ext4").args(["-q", "-I", "128"]).arg(&image)).and_then(|()| {
                let mut mount = Command::new("mount");
                run(mount.args(["-o", "loop"]).arg(&image).arg(place.path("tree")))
            });
        made.inspect_err(|error| println!("skipped: no ext4 can be mounted: {error}")).ok()?;
        Some(Ext4(place))
    }
}

impl Drop for Ext4<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("tree")).status();
    }
}

#[test]
fn a_change_in_the_tick_of_the_one_before_is_noticed() {
    let place = Place::new();
    let Some(_mounted) = Ext4::mount_on_tree(&place) else { return };
    for (round, content) in ["aaaa", "bbbb", "cccc", "dddd"].iter().enumerate() {
        fs::write(place.path("tree/file"), content).unwrap();
        let output = place.vac(&["--exclude", "lost+found", "tree"]);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let found = fs::read_to_string(restored(&place, &output).join("file")).unwrap();
        assert_eq!(&found, content, "round {round}");
    }
}
