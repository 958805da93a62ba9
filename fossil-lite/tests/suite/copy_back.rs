//! Getting files back with yesterday, and comparing them: all of it, or nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fuse_mount::can_mount;
use crate::machine::Machine;

const DAY: &str = "2004-06-11T03:00:00Z";

/// Bytes that no compression shortens, so that they are found in the store as they are.
fn noise(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..600).map(|_| step(&mut state)).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether something is in the directory that no user has made.
fn has_rubbish(directory: &Path) -> bool {
    let mut entries = fs::read_dir(directory).unwrap();
    entries.any(|entry| entry.unwrap().file_name().as_encoded_bytes().starts_with(b".yesterday"))
}

#[test]
fn what_can_not_be_restored_whole_leaves_the_present_version() {
    let machine = Machine::new();
    let directory = machine.home("directory");
    fs::create_dir_all(directory.join("sub")).unwrap();
    fs::write(directory.join("whole"), noise(1)).unwrap();
    fs::write(directory.join("damaged"), noise(2)).unwrap();
    fs::write(directory.join("sub/unmistakable-name-of-a-file"), noise(3)).unwrap();
    machine.dump(DAY);
    fs::write(directory.join("damaged"), "of today").unwrap();
    let today = || {
        assert_eq!(fs::read(directory.join("damaged")).unwrap(), b"of today");
        assert!(directory.join("sub/unmistakable-name-of-a-file").exists());
        assert!(!machine.home("directory.before-yesterday").exists());
        assert!(!has_rubbish(&machine.home("")));
    };
    machine.damage(&noise(2)[..32]);
    for option in ["-c", "-C"] {
        let ran = machine.yesterday(&[option, "--discard", text(&directory)]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(
            ran.err.contains(&format!("yesterday: {}/damaged: ", text(&directory))),
            "{}",
            ran.err
        );
        assert!(!ran.err.contains("as in"), "{}", ran.err);
        today();
    }
    // Nothing is compared either, and other files still are.
    let ran = machine.yesterday(&["--diff", text(&directory)]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    let whole = directory.join("whole");
    let ran = machine.yesterday(&["--diff", text(&directory), text(&whole)]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    // A directory of which no name can be read.
    machine.damage(b"unmistakable-name");
    let sub = directory.join("sub");
    let ran = machine.yesterday(&["-c", "--discard", text(&sub)]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains(text(&sub)), "{}", ran.err);
    today();
}

#[test]
fn everything_that_a_file_had_comes_back() {
    let machine = Machine::new();
    let file = machine.home("file");
    fs::write(&file, "then").unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(&file, Some(2001), Some(3001)).unwrap();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&file, "user.mood", b"fine", flags).unwrap();
    let then = fs::metadata(&file).unwrap();
    machine.dump(DAY);
    // Another mode, or another time, is a difference, too.
    let changes: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(&file, "now").unwrap(),
        &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap(),
        &|| rustix::fs::setxattr(&file, "user.mood", b"bad", flags).unwrap(),
    ];
    for change in changes {
        change();
        let ran = machine.yesterday(&["-C", "--discard", text(&file)]);
        assert_eq!((ran.code, ran.err), (0, format!("{}: as in 2004/0611\n", text(&file))));
        let now = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"then");
        assert_eq!(
            (now.mode(), now.uid(), now.gid(), now.mtime(), now.mtime_nsec()),
            (then.mode(), then.uid(), then.gid(), then.mtime(), then.mtime_nsec())
        );
        let mut mood = [0; 8];
        let length = rustix::fs::getxattr(&file, "user.mood", &mut mood[..]).unwrap();
        assert_eq!(&mood[..length], b"fine");
    }
    let inode = fs::metadata(&file).unwrap().ino();
    let ran = machine.yesterday(&["-C", "--discard", text(&file)]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
}

#[test]
fn directories_and_links_that_are_as_they_were_stay() {
    let machine = Machine::new();
    let directory = machine.home("directory");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("inside"), "then").unwrap();
    symlink("directory", machine.home("link")).unwrap();
    machine.dump(DAY);
    for name in ["directory", "link"] {
        let path = machine.home(name);
        let inode = fs::symlink_metadata(&path).unwrap().ino();
        let ran = machine.yesterday(&["-C", text(&path)]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
    }
    fs::write(directory.join("inside"), "now").unwrap();
    fs::remove_file(machine.home("link")).unwrap();
    symlink("nowhere", machine.home("link")).unwrap();
    for name in ["directory", "link"] {
        // Names that end in a slash are of the same files.
        let slash = format!("{}/", text(&machine.home(name)));
        let ran = machine.yesterday(&["-C", &slash]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    assert_eq!(fs::read(directory.join("inside")).unwrap(), b"then");
    assert_eq!(fs::read_link(machine.home("link")).unwrap(), Path::new("directory"));
    assert_eq!(fs::read(machine.home("directory.before-yesterday/inside")).unwrap(), b"now");
    let kept = machine.home("link.before-yesterday");
    assert_eq!(fs::read_link(kept).unwrap(), Path::new("nowhere"));
    assert!(!has_rubbish(&machine.home("")));
}

#[test]
fn one_kind_takes_the_place_of_another() {
    let machine = Machine::new();
    let [file, directory] = ["file", "directory"].map(|name| machine.home(name));
    fs::write(&file, "then").unwrap();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("inside"), "then").unwrap();
    machine.dump(DAY);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("of today"), "").unwrap();
    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, "now").unwrap();
    let ran = machine.yesterday(&["-c", "--discard", text(&file), text(&directory)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(&file).unwrap(), b"then");
    assert_eq!(fs::read(directory.join("inside")).unwrap(), b"then");
    assert!(!has_rubbish(&machine.home("")));
}

/// There is no moment at which nothing has the name.
#[test]
fn a_file_is_always_there_while_it_is_copied_back() {
    if !can_mount() {
        return;
    }
    let machine = Machine::new();
    let file = machine.home("file");
    fs::write(&file, "then").unwrap();
    machine.dump(DAY);
    let trace = machine.place.path().join("trace");
    for (options, expected) in [(&["-c"][..], "now"), (&["-c", "--discard"], "")] {
        fs::write(&file, "now").unwrap();
        let program = env!("CARGO_BIN_EXE_yesterday");
        let calls = "trace=/rename,/unlink,/sync";
        let strace = ["-f", "-o", text(&trace), "-e", calls, program, "--host", "moby"];
        let ran = machine.run("strace", &[&strace[..], options, &[text(&file)]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let trace = fs::read_to_string(&trace).unwrap();
        let removes = |line: &&str| {
            let gives = line.contains("rename") && !line.contains("RENAME_EXCHANGE");
            let name = format!("\"{}\"", text(&file));
            (line.contains("unlink") && line.contains(&name))
                || (gives && line.split(", ").nth(1).is_some_and(|from| from == name))
        };
        assert_eq!(trace.lines().find(removes), None);
        let at = |what: &str| trace.lines().position(|line| line.contains(what));
        assert!(at("syncfs").unwrap() < at("RENAME_EXCHANGE").unwrap(), "{trace}");
        let kept = machine.home("file.before-yesterday");
        assert_eq!(fs::read_to_string(&kept).unwrap_or_default(), expected);
        let _ = fs::remove_file(&kept);
    }
}

/// What differs in kind, and what would be waited for, is told and not given to diff.
#[test]
fn kinds_are_compared_before_contents() {
    let machine = Machine::new();
    let path = |name: &str| machine.home(name);
    let pipe = |name: &str| {
        assert!(Command::new("mkfifo").arg(path(name)).status().unwrap().success());
    };
    fs::write(path("file"), "then\n").unwrap();
    fs::write(path("was file"), "then\n").unwrap();
    fs::create_dir(path("was directory")).unwrap();
    pipe("pipe");
    machine.dump(DAY);
    fs::remove_file(path("file")).unwrap();
    fs::remove_file(path("was file")).unwrap();
    fs::create_dir(path("was file")).unwrap();
    fs::remove_dir(path("was directory")).unwrap();
    symlink("nowhere", path("was directory")).unwrap();
    assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo());
    let home = text(&path("")).to_owned();
    for (name, code, expected) in [
        ("pipe", 0, String::new()),
        ("file", 1, format!("2004/0611{home}file is a file, {home}file is not there\n")),
        (
            "was file",
            1,
            format!("2004/0611{home}was file is a file, {home}was file is a directory\n"),
        ),
        (
            "was directory",
            1,
            format!(
                "2004/0611{home}was directory is a directory, \
                 {home}was directory is a link to nowhere\n"
            ),
        ),
    ] {
        let ran = machine.yesterday(&["--diff", text(&path(name))]);
        assert_eq!((ran.code, ran.out), (code, expected), "{}", ran.err);
    }
    // A whole directory says which dump it took.
    fs::create_dir(path("d")).unwrap();
    fs::write(path("d/gone"), "then\n").unwrap();
    machine.dump("2004-06-12T03:00:00Z");
    fs::remove_file(path("d/gone")).unwrap();
    let ran = machine.yesterday(&["--diff", text(&path("d"))]);
    assert_eq!(
        (ran.code, ran.out),
        (1, format!("Only in 2004/0612{home}d: gone\n")),
        "{}",
        ran.err
    );
}

#[test]
fn hist_shows_every_difference_of_what_was_a_link_a_pipe_and_a_directory() {
    let machine = Machine::new();
    let path = machine.home("changing");
    let remove = || {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
    };
    let makers: [&dyn Fn(); 6] = [
        &|| fs::write(&path, "one\n").unwrap(),
        &|| symlink("nowhere", &path).unwrap(),
        &|| symlink("elsewhere", &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
        &|| fs::write(&path, "two\n").unwrap(),
    ];
    for (day, make) in makers.iter().enumerate() {
        remove();
        make();
        machine.dump(&format!("2004-06-1{day}T03:00:00Z"));
    }
    let ran = machine.hist(&["-d", "--mount", "/n", text(&path)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let differences: Vec<String> = ran
        .out
        .lines()
        .filter(|line| line.contains(", /n/"))
        .map(|line| line.replace(text(&path), ""))
        .collect();
    assert_eq!(
        differences,
        [
            "/n/2004/0614 is a pipe, /n/2004/0615 is a file",
            "/n/2004/0613 is a directory, /n/2004/0614 is a pipe",
            "/n/2004/0612 is a link to elsewhere, /n/2004/0613 is a directory",
            "/n/2004/0611 is a link to nowhere, /n/2004/0612 is a link to elsewhere",
            "/n/2004/0610 is a file, /n/2004/0611 is a link to nowhere",
        ],
        "{}",
        ran.out
    );
}

/// Sets flags of a file; false, and said so, where that can not be.
fn chattr(flags: &str, path: &Path) -> bool {
    let done = Command::new("chattr").arg(flags).arg(path).output();
    let done = done.is_ok_and(|output| output.status.success());
    if !done {
        eprintln!("not run: chattr {flags} {}", path.display());
    }
    done
}

fn flags_of(path: &Path) -> String {
    let output = Command::new("lsattr").arg("-d").arg(path).output().unwrap();
    let flags = String::from_utf8(output.stdout).unwrap();
    flags.split(' ').next().unwrap().chars().filter(|flag| "ia".contains(*flag)).collect()
}

/// As unvac does it: whoever may lift the flag has it lifted for the moment.
#[test]
fn files_that_can_not_be_changed_are_replaced_too() {
    let machine = Machine::new();
    let (file, home) = (machine.home("file"), machine.home(""));
    let kept = machine.home("file.before-yesterday");
    fs::write(&file, "then").unwrap();
    machine.dump(DAY);
    for (place, flag) in [(&file, "i"), (&file, "a"), (&home, "i"), (&home, "a")] {
        for discard in [true, false] {
            fs::write(&file, "now").unwrap();
            if !chattr(&format!("+{flag}"), place) {
                return;
            }
            let arguments = ["-c", text(&file), "--discard"];
            let ran = machine.yesterday(&arguments[..if discard { 3 } else { 2 }]);
            let left = flags_of(place);
            let old = if kept.exists() { flags_of(&kept) } else { String::new() };
            for path in [&home, &file, &kept] {
                let _ = Command::new("chattr").arg("-ia").arg(path).output();
            }
            assert_eq!(ran.code, 0, "{flag} {discard}: {}", ran.err);
            assert_eq!(fs::read(&file).unwrap(), b"then");
            assert_eq!(left, if place == &home { flag } else { "" }, "{flag} {discard}");
            assert_eq!(old, if !discard && place == &file { flag } else { "" });
            assert_eq!(fs::remove_file(&kept).is_ok(), !discard);
            assert!(!has_rubbish(&home));
        }
    }
}

#[test]
fn files_that_could_not_be_changed_then_can_not_now() {
    let machine = Machine::new();
    let directory = machine.home("directory");
    let file = directory.join("file");
    fs::create_dir(&directory).unwrap();
    fs::write(&file, "then").unwrap();
    if !chattr("+i", &file) {
        return;
    }
    machine.dump(DAY);
    for path in [&file, &directory] {
        assert!(chattr("-i", &file));
        fs::write(&file, "now").unwrap();
        assert!(chattr("+i", &file));
        let ran = machine.yesterday(&["-c", "--discard", text(path)]);
        let flags = flags_of(&file);
        let _ = Command::new("chattr").arg("-i").arg(&file).output();
        assert_eq!((ran.code, flags.as_str()), (0, "i"), "{}", ran.err);
        assert_eq!(fs::read(&file).unwrap(), b"then");
        assert!(!has_rubbish(&directory) && !has_rubbish(&machine.home("")));
        assert!(chattr("+i", &file));
    }
    assert!(chattr("-i", &file));
}

#[test]
fn who_may_not_change_a_file_is_told_why() {
    if !can_mount() {
        return;
    }
    let machine = Machine::new();
    let (file, home) = (machine.home("file"), machine.home(""));
    fs::write(&file, "then").unwrap();
    chown(&file, Some(4001), Some(4001)).unwrap();
    machine.dump(DAY);
    fs::write(&file, "now").unwrap();
    as_user(&machine, 4001, &[text(&file)]);
    for place in [&file, &home] {
        if !chattr("+i", place) {
            return;
        }
        let user = "4001";
        let program = machine.copy_of(env!("CARGO_BIN_EXE_yesterday"));
        let ids = ["--reuid", user, "--regid", user, "--clear-groups", &program, "--host", "moby"];
        let ran = machine.run("setpriv", &[&ids[..], &["-c", text(&file)]].concat());
        let flags = flags_of(place);
        assert!(chattr("-i", place));
        assert_eq!((ran.code, flags.as_str()), (12, "i"), "{}", ran.err);
        assert!(ran.err.contains("is immutable or append-only"), "{}", ran.err);
        assert_eq!(fs::read(&file).unwrap(), b"now");
        assert!(!has_rubbish(&home) && !machine.home("file.before-yesterday").exists());
    }
}

/// Runs yesterday as somebody who is not root, and to whom home and store belong.
fn as_user(machine: &Machine, user: u32, arguments: &[&str]) -> crate::machine::Ran {
    let place = machine.place.path().to_str().unwrap();
    for part in ["home", "store"].map(|part| format!("{place}/{part}")) {
        let owner = format!("{user}:{user}");
        assert!(Command::new("chown").args(["-Rh", &owner, &part]).status().unwrap().success());
    }
    let [user, program] = [user.to_string(), machine.copy_of(env!("CARGO_BIN_EXE_yesterday"))];
    let ids = ["--reuid", &user, "--regid", &user, "--clear-groups", &program, "--host", "moby"];
    machine.run("setpriv", &[&ids[..], arguments].concat())
}

#[test]
fn an_owner_that_can_not_come_back_is_said() {
    if !can_mount() {
        return;
    }
    let machine = Machine::new();
    let file = machine.home("file");
    fs::write(&file, "then").unwrap();
    chown(&file, Some(2001), Some(3001)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::write(machine.home("own"), "then").unwrap();
    chown(machine.home("own"), Some(4001), Some(4001)).unwrap();
    machine.dump(DAY);
    let ran = as_user(&machine, 4001, &["-c", text(&file)]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("1 files belong to you and not to their owners"), "{}", ran.err);
    assert_eq!(fs::read(&file).unwrap(), b"then");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755, "it runs as nobody else");
    fs::write(machine.home("own"), "now").unwrap();
    let ran = as_user(&machine, 4001, &["-c", text(&machine.home("own"))]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn one_file_that_fails_keeps_no_other_from_being_got() {
    let machine = Machine::new();
    let [first, second, third] = ["first", "second", "third"].map(|name| machine.home(name));
    fs::write(&first, "1").unwrap();
    fs::create_dir(&second).unwrap();
    fs::write(&third, "3").unwrap();
    machine.dump(DAY);
    let gone: PathBuf = machine.home("gone");
    let files = [&first, &second, &gone, &third].map(|path| text(path));
    let ran = machine.yesterday(&[&["--cat"], &files[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (1, "13"), "{}", ran.err);
    let [first, second, gone, third] = files;
    let expected = format!(
        "{first}: as in 2004/0611\nyesterday: {second}: is a directory\n\
         yesterday: {gone} is not in the dump 2004/0611 nor in any other\n{third}: as in 2004/0611\n"
    );
    assert_eq!(ran.err, expected);
    let ran = machine.yesterday(&["--cat", first, "--", "ls"]);
    assert_eq!(ran.code, 2, "a command is for -b: {}", ran.err);
}
