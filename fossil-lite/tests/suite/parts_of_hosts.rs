//! Archives of parts of a host, and the names under which the files in them are found.

use std::fs;
use std::io::pipe;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fossil_lite::past::DumpNames;
use venti_proto::roots::{ArchiveName, ArchiveSource};

use crate::fuse_mount::can_mount;
use crate::machine::Machine;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The name that vac gives an archive of these paths.
fn named(paths: &[&Path]) -> ArchiveName {
    let source = |path: &&Path| ArchiveSource::Path(path.as_os_str().as_bytes()[1..].to_vec());
    ArchiveName::of(&paths.iter().map(source).collect::<Vec<_>>())
}

/// A home that is archived by its path, then as the content of it, and then parts of it.
fn machine() -> (Machine, PathBuf) {
    let machine = Machine::new();
    let home = machine.place.path().join("home");
    for directory in ["directory", "other"] {
        fs::create_dir(home.join(directory)).unwrap();
        fs::write(home.join(directory).join("inside"), format!("{directory} 1\n")).unwrap();
    }
    fs::write(home.join("profile"), "one\n").unwrap();
    symlink(home.join("directory"), home.join("absolute")).unwrap();
    symlink("/etc/passwd", home.join("outside")).unwrap();
    machine.archive("2004-06-11T03:00:00Z", "moby", &named(&[&home]), vec![home.clone()]);
    fs::write(home.join("profile"), "twice\n").unwrap();
    let content = home.join("directory/..");
    machine.archive("2004-06-12T03:00:00Z", "moby", &named(&[&home]), vec![content]);
    let parts = ["directory", "other"].map(|name| home.join(name));
    for part in &parts {
        fs::write(part.join("inside"), "changed\n").unwrap();
    }
    let name = named(&[&parts[0], &parts[1]]);
    machine.archive("2004-06-13T03:00:00Z", "moby", &name, parts.to_vec());
    (machine, home)
}

#[test]
fn a_file_is_found_in_whatever_archive_leads_to_it() {
    let (machine, home) = machine();
    let [profile, inside, absolute] =
        ["profile", "other/inside", "absolute/inside"].map(|name| home.join(name));
    for (day, path, expected) in [
        ("20040611", &profile, "one\n"),
        ("20040612", &profile, "twice\n"),
        ("20040613", &profile, "twice\n"),
        ("20040611", &inside, "other 1\n"),
        ("20040612", &inside, "other 1\n"),
        ("20040613", &inside, "changed\n"),
        // The link of then, to the directory of then.
        ("20040611", &absolute, "directory 1\n"),
        ("20040612", &absolute, "directory 1\n"),
    ] {
        let ran = machine.yesterday(&["--cat", "-d", day, text(path)]);
        assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{day} {}", ran.err);
    }
    // What a link leads to outside of what was archived is no file of the archive.
    let ran = machine.yesterday(&["--cat", text(&home.join("outside"))]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    let ran = machine.yesterday(&["--cat", "/profile"]);
    assert_eq!(ran.code, 1, "the top of an archive is no top of the host: {}", ran.err);
    // The names of problems and of copies are those of the host.
    fs::remove_file(&profile).unwrap();
    let ran = machine.yesterday(&["-c", text(&profile)]);
    assert_eq!(
        (ran.code, fs::read(&profile).unwrap().as_slice()),
        (0, &b"twice\n"[..]),
        "{}",
        ran.err
    );
}

#[test]
fn a_history_goes_through_all_archives_and_prints_names_of_then() {
    let (machine, home) = machine();
    let history = |path: &Path| {
        let ran = machine.hist(&["--mount", "/n", text(path)]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let name = |line: &str| line[line.find("/n/").unwrap()..].to_owned();
        let first = ran.out.lines().map(name).collect::<Vec<_>>();
        assert_eq!(machine.hist(&["--mount", "/n", text(path)]).out, ran.out, "from the cache");
        first
    };
    let expected = ["/n/2004/0612/profile 6 root", "/n/2004/0611/home/profile 4 root"];
    assert_eq!(history(&home.join("profile")), expected);
    let expected = ["/n/2004/0613/other/inside 8 root", "/n/2004/0612/other/inside 8 root"];
    assert_eq!(history(&home.join("other/inside")), expected);
    // Not the name that leads through a link to the file of today.
    let expected = ["/n/2004/0612/directory/inside 12 root"];
    assert_eq!(history(&home.join("absolute/inside")), expected);
    let ran = machine.hist(&["-d", "--mount", "/n", text(&home.join("profile"))]);
    let labels = "--- /n/2004/0611/home/profile\n+++ /n/2004/0612/profile\n";
    assert!(ran.code == 0 && ran.out.contains(labels), "{}{}", ran.out, ran.err);
}

#[test]
fn a_file_that_was_renamed_has_the_names_of_the_host() {
    let machine = Machine::new();
    let home = machine.place.path().join("home");
    let [draft, notes] = ["draft", "notes"].map(|name| home.join(name));
    fs::write(&draft, "text\n").unwrap();
    let dump = |time| machine.archive(time, "moby", &named(&[&home]), vec![home.clone()]);
    dump("2004-06-11T03:00:00Z");
    fs::rename(&draft, &notes).unwrap();
    dump("2004-06-12T03:00:00Z");
    let ran = machine.hist(&["--mount", "/n", text(&notes)]);
    let expected = format!("/n/2004/0612/home/notes 5 root renamed from {}\n", text(&draft));
    assert!(ran.out.contains(&expected), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("/n/2004/0611/home/draft 5 root"), "{}", ran.out);
    let ran = machine.hist(&["--mount", "/n", text(&draft)]);
    assert!(ran.out.contains("renamed to /n/2004/0612/home/notes\n"), "{}", ran.out);
}

#[test]
fn relative_names_may_lead_upwards() {
    let (machine, profile) = Machine::with_history();
    let directory = machine.home("directory");
    for (program, options) in [
        (env!("CARGO_BIN_EXE_hist"), &["--mount", "/n"][..]),
        (env!("CARGO_BIN_EXE_yesterday"), &["--cat"]),
    ] {
        let run = |name: &str| {
            let mut command = machine.command(program, &[]);
            command.current_dir(&directory).args(["--host", "moby"]).args(options).arg(name);
            crate::machine::Ran::from(command.output().unwrap())
        };
        let (upwards, whole) = (run("../profile"), run(&profile));
        assert_eq!((upwards.code, upwards.out), (0, whole.out), "{}", upwards.err);
        assert_eq!(run("../nothing").code, 1);
    }
}

#[test]
fn the_nearest_dump_is_nearest_in_time() {
    let machine = Machine::new();
    let file = machine.home("file");
    let dump = |day: &str| machine.dump(&format!("2004-06-{day}T03:00:00Z"));
    fs::write(&file, "x").unwrap();
    dump("01");
    fs::remove_file(&file).unwrap();
    ["02", "03", "04", "05"].iter().for_each(|day| {
        dump(day);
    });
    fs::write(&file, "x").unwrap();
    dump("20");
    let ran = machine.yesterday(&["--cat", "-d", "20040605", text(&file)]);
    let expected = format!("{} is not in the dump 2004/0605; it is in 2004/0601\n", text(&file));
    assert!(ran.code == 1 && ran.err.ends_with(&expected), "{}", ran.err);
    let ran = machine.yesterday(&["--cat", "-d", "20040603", text(&file)]);
    assert!(ran.err.ends_with("it is in 2004/0601\n"), "{}", ran.err);
}

#[test]
fn a_version_that_differs_in_metadata_says_so() {
    let machine = Machine::new();
    let file = machine.home("file");
    fs::write(&file, "same\n").unwrap();
    machine.dump("2004-06-11T03:00:00Z");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    machine.dump("2004-06-12T03:00:00Z");
    fs::write(&file, "other\n").unwrap();
    machine.dump("2004-06-13T03:00:00Z");
    let mut command = machine.command(env!("CARGO_BIN_EXE_hist"), &[]);
    command.env("DUMP", "/elsewhere").args(["--host", "moby"]).arg(&file);
    let ran = crate::machine::Ran::from(command.output().unwrap());
    let ends: Vec<&str> =
        ran.out.lines().map(|line| line.split("/file ").nth(1).unwrap()).collect();
    assert_eq!(ends, ["6 root", "5 root metadata", "5 root"], "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.contains(" /elsewhere/2004/")), "{}", ran.out);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (machine, profile) = Machine::with_history();
    for (program, options) in
        [(env!("CARGO_BIN_EXE_hist"), &[][..]), (env!("CARGO_BIN_EXE_yesterday"), &["--cat"])]
    {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = machine.command(program, &[]);
        command.args(["--host", "moby"]).args(options).arg(&profile).stdout(writer);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(141));
        assert!(!String::from_utf8(output.stderr).unwrap().contains("Broken pipe"));
    }
}

#[test]
fn a_mount_of_one_host_has_no_files_of_another() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let root: ArchiveName = "-".parse().unwrap();
    machine.archive("2004-12-31T03:00:00Z", "pequod", &root, vec![machine.home("directory")]);
    let dump = machine.place.path().join("the dump");
    fs::create_dir(&dump).unwrap();
    let at = text(&dump);
    assert_eq!(machine.fossil(&["mount", "--host", "moby", at]).code, 0);
    let ours = machine.yesterday(&["--mount", at, &profile]);
    let options = ["--host", "pequod", "--mount", at, "/directory/inside"];
    let theirs = machine.run(env!("CARGO_BIN_EXE_yesterday"), &options);
    let history = machine.run(env!("CARGO_BIN_EXE_hist"), &options);
    assert!(Command::new("umount").arg(at).status().unwrap().success());
    assert_eq!((ours.code, ours.out), (0, format!("{at}/2004/1231{profile}\n")), "{}", ours.err);
    assert_eq!((theirs.code, theirs.out.as_str()), (1, ""));
    assert!(theirs.err.contains(&format!("{at}/pequod/2004/1231 is not there")), "{}", theirs.err);
    let expected = format!("{at}/pequod/2004/1231/directory/inside");
    assert!(history.out.contains(&expected), "{}{}", history.out, history.err);
}

#[test]
fn a_dump_that_was_recorded_just_now_is_waited_for() {
    let (machine, _) = Machine::with_history();
    let world = crate::world::World::new();
    world.record("moby", venti_proto::Score::ZERO);
    let tree = world.tree(None);
    tree.catalogue().refresh().unwrap();
    let host = "moby".parse().unwrap();
    let dump = tree.catalogue().latest(&host).unwrap().unwrap();
    let mount = machine.place.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let names = DumpNames::new(&mount, &host);
    assert!(!names.has(&dump), "nothing is mounted");
    symlink("1969/1231", mount.join("latest")).unwrap();
    let appears = names.of_dump(&dump);
    let later = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::create_dir_all(appears).unwrap();
    });
    assert!(names.has(&dump));
    later.join().unwrap();
}
