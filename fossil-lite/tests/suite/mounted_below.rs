//! Getting a directory back in which a file system is mounted: what is mounted there is no part of
//! the present version.

use std::fs;
use std::path::Path;

use crate::fuse_mount::can_mount;
use crate::machine::{Machine, Ran};

const DAY: &str = "2004-06-11T03:00:00Z";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs yesterday where `what` is mounted on `at`, for nobody else, and prints what is mounted on
/// `at` afterwards.
fn with_mount(machine: &Machine, what: &Path, at: &Path, arguments: &[&str]) -> Ran {
    let script = "mount --bind \"$1\" \"$2\" && shift && at=\"$1\" && shift && \"$@\"; code=$?; \
        findmnt -n -o TARGET \"$at\"; exit $code";
    let program = env!("CARGO_BIN_EXE_yesterday");
    let shell = ["--mount", "sh", "-c", script, "sh", text(what), text(at)];
    machine.run("unshare", &[&shell[..], &[program, "--host", "moby"], arguments].concat())
}

/// A directory with a file that has changed since the dump, and a place to mount on.
fn with_directory() -> Machine {
    let machine = Machine::new();
    fs::create_dir_all(machine.home("directory/sub/bind")).unwrap();
    fs::write(machine.home("directory/file"), "then").unwrap();
    std::os::unix::fs::symlink(".", machine.home("way")).unwrap();
    machine.dump(DAY);
    fs::write(machine.home("directory/file"), "now").unwrap();
    fs::create_dir(machine.place.path().join("other")).unwrap();
    fs::write(machine.place.path().join("other/precious"), "keep").unwrap();
    machine
}

#[test]
fn what_is_mounted_below_a_directory_is_neither_removed_nor_taken_along() {
    if !can_mount() {
        return;
    }
    let machine = with_directory();
    let other = machine.place.path().join("other");
    let directory = machine.home("directory");
    // Below it, and the directory itself; by any name.
    let by_link = machine.home("way/directory");
    for at in [directory.join("sub/bind"), directory.clone()] {
        for path in [&directory, &by_link] {
            for options in [&["-c"][..], &["-C"], &["-c", "--discard"], &["-C", "--discard"]] {
                let ran = with_mount(&machine, &other, &at, &[options, &[text(path)]].concat());
                assert_eq!(fs::read(other.join("precious")).unwrap(), b"keep", "{}", ran.err);
                assert_eq!(ran.code, 11, "{options:?}: {}", ran.err);
                assert_eq!(ran.out, format!("{}\n", text(&at)), "it is mounted there still");
                let expected = format!("a file system is mounted on {}, and would", text(&at));
                assert!(ran.err.contains(&expected), "{}", ran.err);
                assert_eq!(fs::read(directory.join("file")).unwrap(), b"now");
                assert_eq!(names(&machine.home("")), ["directory", "way"]);
            }
        }
    }
}

#[test]
fn what_is_mounted_elsewhere_is_no_hindrance() {
    if !can_mount() {
        return;
    }
    let machine = with_directory();
    let other = machine.place.path().join("other");
    let directory = machine.home("directory");
    let beside = machine.home("directory-2");
    fs::create_dir(&beside).unwrap();
    let ran = with_mount(&machine, &other, &beside, &["-c", "--discard", text(&directory)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(directory.join("file")).unwrap(), b"then");
    // A file beside the mount.
    fs::write(directory.join("file"), "now").unwrap();
    let (file, bind) = (directory.join("file"), directory.join("sub/bind"));
    let ran = with_mount(&machine, &other, &bind, &["-c", "--discard", text(&file)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(&file).unwrap(), b"then");
    assert_eq!(names(&directory), ["file", "sub"]);
}

/// A file that something is mounted on is not replaced either.
#[test]
fn a_file_that_is_a_mount_point_stays() {
    if !can_mount() {
        return;
    }
    let machine = with_directory();
    let other = machine.place.path().join("other/precious");
    let file = machine.home("directory/file");
    for options in [&["-c"][..], &["-c", "--discard"]] {
        let ran = with_mount(&machine, &other, &file, &[options, &[text(&file)]].concat());
        assert_eq!(ran.code, 11, "{}", ran.err);
        assert_eq!(fs::read(&other).unwrap(), b"keep");
        assert_eq!(fs::read(&file).unwrap(), b"now");
    }
}

/// Whatever fails: there is a present version, and who wants it is told where.
#[test]
fn a_present_version_that_can_not_be_put_back_is_kept() {
    if !can_mount() {
        return;
    }
    let machine = with_directory();
    let directory = machine.home("directory");
    // The exchange works, nothing after it.
    let trace = machine.place.path().join("trace");
    let inject = "inject=renameat2:error=EIO:when=2+";
    let strace = ["-o", text(&trace), "-e", "trace=renameat2", "-e", inject];
    let program = [env!("CARGO_BIN_EXE_yesterday"), "--host", "moby", "-c", text(&directory)];
    let ran = machine.run("strace", &[&strace[..], &program].concat());
    assert_eq!(ran.code, 1, "{}", ran.err);
    let beside = names(&machine.home("")).into_iter().find(|name| name.starts_with(".yesterday"));
    let present = machine.home(&beside.unwrap_or_default()).join("directory");
    assert_eq!(fs::read(present.join("file")).unwrap_or_default(), b"now", "{}", ran.err);
    assert!(ran.err.contains(text(&present)), "{}", ran.err);
}
