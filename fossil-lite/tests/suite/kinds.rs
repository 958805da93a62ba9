//! What is no file and no directory: pipes, sockets and devices of then and of today.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::fuse_mount::can_mount;
use crate::machine::Machine;

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
    drop(UnixListener::bind(directory.join("socket")).unwrap());
    fs::write(directory.join("file"), "a file that is a pipe while file b is a pipe\n").unwrap();
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
    assert!(!ran.out.contains("fifo") && !ran.out.contains("special"), "{}", ran.out);
    for (name, kind, said) in [
        ("device", &["c", "1", "5"][..], "character special file"),
        ("pipe", &["c", "1", "3"], "fifo"),
    ] {
        fs::remove_file(directory.join(name)).unwrap();
        make_node(&directory.join(name), kind);
        let ran = diff();
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.out.contains(&format!("{name} is a {said} while")), "{}", ran.out);
    }
}
