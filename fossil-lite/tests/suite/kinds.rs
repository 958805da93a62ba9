//! What is no file and no directory: pipes, sockets and devices of then and of today.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fuse_mount::can_mount;
use crate::machine::{Machine, Ran};

fn make_node(path: &Path, kind: &[&str]) {
    assert!(Command::new("mknod").arg(path).args(kind).status().unwrap().success());
}

/// A directory with one of each kind, archived.
fn machine() -> Machine {
    let machine = Machine::new();
    let directory = machine.home("directory");
    fs::create_dir(&directory).unwrap();
    make_node(&directory.join("pipe"), &["p"]);
    make_node(&directory.join("device"), &["c", "1", "3"]);
    fs::hard_link(directory.join("device"), directory.join("further name")).unwrap();
    drop(UnixListener::bind(directory.join("socket")).unwrap());
    fs::write(directory.join("file"), "a file that is a pipe while file b is a pipe\n").unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
    machine.dump("2004-06-11T03:00:00Z");
    machine
}

#[test]
fn only_files_are_printed() {
    if !can_mount() {
        return;
    }
    let machine = machine();
    for (name, what) in [("pipe", "a pipe"), ("device", "a device"), ("socket", "a socket")] {
        let path = machine.home("directory").join(name);
        let ran = machine.yesterday(&["--cat", path.to_str().unwrap()]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{name}: {}", ran.err);
        assert!(ran.err.contains(&format!("{name}: is {what}\n")), "{}", ran.err);
    }
}

#[test]
fn what_has_not_changed_in_a_directory_is_no_difference_whatever_it_is() {
    if !can_mount() {
        return;
    }
    let machine = machine();
    let directory = machine.home("directory");
    let diff = || machine.yesterday(&["--diff", directory.to_str().unwrap()]);
    let ran = diff();
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    fs::write(directory.join("file"), "other\n").unwrap();
    let ran = diff();
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("-a file that is a pipe while") && ran.out.contains("+other"));
    assert!(!ran.out.contains("pipe is") && !ran.out.contains("special"), "{}", ran.out);
    for (name, kind, was, is) in [
        ("device", &["c", "1", "5"][..], "the character device 1:3", "the character device 1:5"),
        ("device", &["b", "1", "3"], "the character device 1:3", "the block device 1:3"),
        ("pipe", &["c", "1", "3"], "a pipe", "the character device 1:3"),
    ] {
        fs::remove_file(directory.join(name)).unwrap();
        make_node(&directory.join(name), kind);
        let ran = diff();
        assert_eq!(ran.code, 1, "{}", ran.err);
        let today = directory.join(name).display().to_string();
        let said = format!("2004/0611{today} is {was}, {today} is {is}\n");
        assert!(ran.out.contains(&said), "{said}{}", ran.out);
        assert_eq!(ran.out.matches(" is the ").count(), if name == "pipe" { 3 } else { 2 });
    }
    fs::remove_file(directory.join("device")).unwrap();
    let ran = diff();
    assert!(ran.out.contains("Only in") && ran.out.contains(": device\n"), "{}", ran.out);
}

/// They can not be made by who is not root.
#[test]
fn devices_are_compared_for_ordinary_users_too() {
    if !can_mount() {
        return;
    }
    let machine = machine();
    let directory = machine.home("directory");
    let temporary = machine.place.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let chown = |path: &Path| Command::new("chown").args(["-R", "65534:65534"]).arg(path).status();
    assert!(chown(&temporary).unwrap().success() && chown(&machine.store()).unwrap().success());
    let yesterday = machine.copy_of(env!("CARGO_BIN_EXE_yesterday"));
    let diff = |name: &str| {
        let path = directory.join(name);
        let options = ["--host", "moby", "--diff", path.to_str().unwrap()];
        let mut command = machine.command(&yesterday, &options);
        command.env("TMPDIR", &temporary);
        Ran::from(command.uid(65534).gid(65534).output().unwrap())
    };
    for name in ["", "device"] {
        let ran = diff(name);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{name}: {}", ran.err);
    }
    fs::remove_file(directory.join("device")).unwrap();
    make_node(&directory.join("device"), &["p"]);
    let ran = diff("");
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let today = directory.join("device").display().to_string();
    let said = format!("2004/0611{today} is the character device 1:3, {today} is a pipe\n");
    assert_eq!(ran.out, said);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn the_size_of_a_file_is_the_same_for_find_and_hist() {
    if !can_mount() {
        return;
    }
    let machine = machine();
    symlink("file", machine.home("directory/link")).unwrap();
    machine.dump("2004-06-12T03:00:00Z");
    let size = |ran: &Ran, of: &dyn Fn(&Value) -> Value| {
        of(&serde_json::from_str(ran.out.lines().next().unwrap()).unwrap())
    };
    for (name, expected) in
        [("directory", 0), ("file", 45), ("link", 4), ("device", 0), ("pipe", 0), ("socket", 0)]
    {
        let path = match name {
            "directory" => machine.home(name),
            name => machine.home("directory").join(name),
        };
        let found = machine.fossil(&["find", "--host", "moby", "--json", name]);
        assert_eq!(size(&found, &|line| line["size"].clone()), expected, "{name}");
        let shown = machine.hist(&["--json", path.to_str().unwrap()]);
        assert_eq!(size(&shown, &|line| line["version"]["size"].clone()), expected, "{name}");
    }
}
