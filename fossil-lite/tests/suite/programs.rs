//! The programs, run as a person runs them, on a store in a directory.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::fuse_mount::can_mount;
use crate::machine::Machine;
use venti_proto::roots::Completeness;

#[test]
fn yesterday_prints_compares_and_copies_back() {
    let (machine, profile) = Machine::with_history();
    for (date, expected) in [("2004/0611", "one\n"), ("20041230", "one\n"), ("2004-12-31", "two\n")]
    {
        let ran = machine.yesterday(&["-d", date, "--cat", &profile]);
        assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{date}: {}", ran.err);
    }
    assert_eq!(machine.yesterday(&["-20040611", "--cat", &profile]).out, "one\n");
    assert_eq!(machine.yesterday(&["--cat", &profile]).out, "two\n", "before today");
    assert_eq!(machine.yesterday(&["-n", "1", "--cat", &profile]).out, "two\n");
    // A link on the way, as it was then.
    let inside = machine.home("link/inside");
    assert_eq!(machine.yesterday(&["--cat", inside.to_str().unwrap()]).out, "inside\n");

    let ran = machine.yesterday(&["--diff", &profile]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("-two\n+three\n"), "{}", ran.out);
    let home = machine.home("");
    let ran = machine.yesterday(&["--diff", "-d", "20040611", home.to_str().unwrap()]);
    assert!(ran.out.contains("-one\n+three\n") && ran.out.contains("Only in"), "{}", ran.out);

    // The present version is kept, once; the metadata of then comes back.
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = machine.yesterday(&["-c", "-d", "2004/0611", &profile]);
    assert_eq!(
        (ran.code, fs::read(&profile).unwrap().as_slice()),
        (0, &b"one\n"[..]),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("as in 2004/0611"), "{}", ran.err);
    assert_eq!(fs::metadata(&profile).unwrap().mode() & 0o777, 0o640);
    let kept = format!("{profile}.before-yesterday");
    assert_eq!(fs::read(&kept).unwrap(), b"three\n");
    let ran = machine.yesterday(&["-c", &profile]);
    assert_eq!((ran.code, fs::read(&kept).unwrap().as_slice()), (11, &b"three\n"[..]));
    let inode = fs::metadata(&profile).unwrap().ino();
    assert_eq!(machine.yesterday(&["-C", "-d", "2004/0611", &profile]).code, 0);
    assert_eq!(fs::metadata(&profile).unwrap().ino(), inode, "it did not differ");
    assert_eq!(machine.yesterday(&["-C", "--discard", &profile]).code, 0);
    assert_eq!(fs::read(&profile).unwrap(), b"two\n");
    // A directory comes back whole.
    let directory = machine.home("directory");
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(machine.yesterday(&["-c", directory.to_str().unwrap()]).code, 0);
    assert_eq!(fs::read(directory.join("inside")).unwrap(), b"inside\n");
}

#[test]
fn yesterday_says_what_is_wrong() {
    let (machine, profile) = Machine::with_history();
    let gone = machine.home("gone").to_str().unwrap().to_owned();
    let ran = machine.yesterday(&["--cat", &gone]);
    assert_eq!(ran.code, 1);
    let expected = format!("yesterday: {gone} is not in the dump 2004/1231; it is in 2004/0611\n");
    assert_eq!(ran.err, expected);
    let ran = machine.yesterday(&["--cat", "-d", "2004/0610", &profile]);
    assert_eq!(ran.code, 1);
    let expected = "there is no dump of moby on or before 2004/0610: the first is 2004/0611";
    assert!(ran.err.contains(expected), "{}", ran.err);
    let ran = machine.yesterday(&["--cat", "-d", "soon", &profile]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("\"soon\" is not a date: try"), "{}", ran.err);
    let ran = machine.yesterday(&["--host", "ahab", "--cat", &profile]);
    assert_ne!(ran.code, 0);
    let ran = machine.run(env!("CARGO_BIN_EXE_yesterday"), &["--host", "ahab", "--cat", &profile]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "yesterday: there is no dump of ahab\n"));
    let ran = machine.yesterday(&["--mount", "/nowhere", &profile]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is the dump mounted?"), "{}", ran.err);
    let ran = machine.yesterday(&["-h", "/nowhere/at/all", "--cat", &profile]);
    assert_eq!(ran.code, 10, "{}", ran.err);
}

#[test]
fn hist_shows_every_version_and_what_became_of_the_file() {
    let (machine, profile) = Machine::with_history();
    // It changes and changes back: all three are shown.
    machine.dump("2005-01-01T03:00:00Z");
    fs::write(&profile, "two\n").unwrap();
    machine.dump("2005-01-02T03:00:00Z");
    machine.dump("2005-01-03T03:00:00Z");
    fs::remove_file(&profile).unwrap();
    machine.dump("2005-01-04T03:00:00Z");
    let ran = machine.hist(&["--mount", "/n/dump", &profile]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let names: Vec<&str> = ran.out.lines().map(|l| l.split("/n/dump/").nth(1).unwrap()).collect();
    let days: Vec<&str> = names.iter().map(|name| &name[..9]).collect();
    assert_eq!(
        days,
        ["2005/0104", "2005/0103", "2005/0101", "2004/1231", "2004/0611"],
        "{}",
        ran.out
    );
    assert!(ran.out.starts_with("deleted before "), "{}", ran.out);
    assert!(names[1].contains(" 4 ") && names[2].contains(" 6 "), "{}", ran.out);
    // From the cache, the same.
    assert_eq!(machine.hist(&["--mount", "/n/dump", &profile]).out, ran.out);
    let diff = machine.hist(&["-d", &profile]);
    assert!(
        diff.out.contains("-one\n+two\n") && diff.out.contains("-three\n+two\n"),
        "{}",
        diff.out
    );
    let json = machine.hist(&["--json", "-s", "2004/1231", &profile]);
    let first: serde_json::Value = serde_json::from_str(json.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["newest_dump"], "2004/1231");
    assert_eq!(first["version"]["size"], 4);
    let since = machine.hist(&["--since", "2005/0102", "-s", "2005/0103", &profile]);
    assert_eq!(since.out.lines().count(), 1, "{}", since.out);
    let ran = machine.hist(&["/no/such/file"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err, "hist: /no/such/file: in no dump of moby\n");
}

#[test]
fn find_and_status() {
    let (machine, _) = Machine::with_history();
    let ran = machine.fossil(&["find", "--host", "moby", "gon?"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("2004/0611/") && ran.out.ends_with("/home/gone\n"), "{}", ran.out);
    let ran = machine.fossil(&["find", "--host", "moby", "profile"]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    assert_eq!(machine.fossil(&["find", "--host", "moby", "never"]).code, 1);
    let ran = machine.fossil(&["status"]);
    assert_eq!(ran.code, 1, "overdue");
    assert!(ran.out.starts_with("moby  2004/1231  ") && ran.out.contains("OVERDUE"), "{}", ran.out);
    let ran = machine.fossil(&["status", "--max-age", "9999999h", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["host"], &line["overdue"]), (&"moby".into(), &false.into()));
    assert_eq!(line["message_type"], "status");
    assert_eq!(line["before"]["dump"], "2004/0611");
    assert_eq!(machine.fossil(&["status", "--host", "ahab"]).code, 1);
}

#[test]
fn mount_goes_to_the_background_is_busy_then_and_leaves_when_told() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let dump = machine.place.path().join("dump");
    fs::create_dir(&dump).unwrap();
    let at = dump.to_str().unwrap();
    let ran = machine.fossil(&["mount", "--host", "moby", at]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = machine.yesterday(&["--mount", at, "-d", "2004/0611", &profile]);
    assert_eq!(
        (ran.code, ran.out.clone()),
        (0, format!("{at}/2004/0611{profile}\n")),
        "{}",
        ran.err
    );
    assert_eq!(fs::read(ran.out.trim()).unwrap(), b"one\n");
    let ran = machine.fossil(&["mount", "--host", "moby", at]);
    assert_eq!(ran.code, 11);
    assert!(ran.err.contains("something is mounted on"), "{}", ran.err);
    assert!(Command::new("umount").arg(at).status().unwrap().success());
    assert!(fs::read_dir(&dump).unwrap().next().is_none());
    assert_eq!(machine.fossil(&["mount", Path::new("/nowhere").to_str().unwrap()]).code, 1);
}

#[test]
fn one_process_in_the_past() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let ran = machine.yesterday(&["-b", "-d", "2004/0611", &profile, "--", "cat", &profile]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\n"), "{}", ran.err);
    assert_eq!(fs::read(&profile).unwrap(), b"three\n", "for nobody else");
    let ran = machine.yesterday(&["-b", "-d", "2004/0611", &profile, "--", "sh", "-c", "exit 7"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
}

#[test]
fn every_program_has_a_man_page_and_completions() {
    let machine = Machine::new();
    let programs = [
        env!("CARGO_BIN_EXE_fossil-lite"),
        env!("CARGO_BIN_EXE_yesterday"),
        env!("CARGO_BIN_EXE_hist"),
        env!("CARGO_BIN_EXE_vacfs"),
    ];
    for program in programs {
        let name = Path::new(program).file_name().unwrap().to_str().unwrap();
        let page = machine.run(program, &["--generate", "man"]);
        assert!(page.code == 0 && page.out.contains(".TH"), "{name}: {}", page.err);
        for shell in ["bash", "zsh", "fish"] {
            let completions = machine.run(program, &["--generate", shell]);
            assert!(completions.code == 0 && completions.out.contains(name), "{name} {shell}");
        }
    }
}

#[test]
fn bisect_finds_the_first_bad_dump_and_goes_on_where_it_was() {
    if !can_mount() {
        return;
    }
    let machine = Machine::new();
    let library = machine.home("library");
    for day in 1..=9 {
        let content = if day < 6 { format!("good {day}") } else { format!("bad {day}") };
        fs::write(&library, content).unwrap();
        machine.dump(&format!("2004-06-0{day}T03:00:00Z"));
    }
    let library = library.to_str().unwrap();
    let log = machine.place.path().join("log");
    let arguments = ["bisect", "--host", "moby", "--good", "20040601", "--bad", "20040609"];
    let rest = ["--log", log.to_str().unwrap(), library, "--", "grep", "-q", "good", library];
    let ran = machine.fossil(&[&arguments[..], &rest[..]].concat());
    let found = "2004/0606 is the first bad dump, 2004/0605 the last good one\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, found), "{}", ran.err);
    let lines = fs::read_to_string(&log).unwrap();
    assert!((4..=7).contains(&lines.lines().count()), "{lines}");
    let again = machine.fossil(&[&arguments[..], &rest[..]].concat());
    assert_eq!((again.code, again.out.as_str(), again.err.as_str()), (0, found, ""));
    let swapped = ["bisect", "--host", "moby", "--good", "20040609", "--bad", "20040601"];
    assert_eq!(machine.fossil(&[&swapped[..], &rest[..]].concat()).code, 2);
}

#[test]
fn a_dump_has_one_name_wherever_it_is_asked_for() {
    let (machine, _) = Machine::with_history();
    // Just before midnight in Greenwich, after it in Berlin.
    machine.dump("2005-06-11T23:30:00Z");
    for zone in ["Europe/Berlin", "America/New_York", "UTC"] {
        let output = Command::new(env!("CARGO_BIN_EXE_fossil-lite"))
            .args(["status", "--json", "-h"])
            .arg(machine.store())
            .env("TZ", zone)
            .output()
            .unwrap();
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["dump"], "2005/0612", "{zone}");
    }
}

#[test]
fn status_looks_at_every_archive_and_expects_what_it_is_told_to() {
    let (machine, _) = Machine::with_history();
    let complete = Completeness::Complete;
    machine.dump_as(("moby", "usr-local", Completeness::Incomplete), "2005-01-01T03:00:00Z");
    machine.dump_as(("moby", "-", complete), "2005-01-02T03:00:00Z");
    machine.dump_as(("pequod", "-", complete), "2005-01-02T04:00:00Z");
    let status = |arguments: &[&str]| {
        let ran = machine.fossil(&[&["status", "--max-age", "3000w"], arguments].concat());
        let marks = ["OVERDUE", "incomplete", "complete"];
        let mark = |line: &str| marks.iter().find(|mark| line.ends_with(**mark)).copied();
        let line = |line: &str| {
            let name = line.split("  ").next().unwrap_or_default();
            format!("{name} {}", mark(line).unwrap_or_default())
        };
        (ran.code, ran.out.lines().map(line).collect::<Vec<_>>().join(", "))
    };
    let all = |moby: &str, local: &str, pequod: &str| {
        format!("moby {moby}, moby/usr-local {local}, pequod {pequod}")
    };
    assert_eq!(status(&[]), (3, all("complete", "incomplete", "complete")));
    let late = (1, all("OVERDUE", "OVERDUE", "complete"));
    assert_eq!(status(&["--expect", "moby=2d"]), late);
    let late = (1, all("complete", "OVERDUE", "complete"));
    assert_eq!(status(&["--expect", "moby/usr-local=2d"]), late);
    let late = (1, all("OVERDUE", "incomplete", "complete"));
    assert_eq!(status(&["--expect", "moby/usr-local=never", "--expect", "moby=2d"]), late);
    assert_eq!(status(&["--host", "pequod", "--expect", "moby=2d"]), (0, "pequod complete".into()));
    let nobody = (1, "ahab OVERDUE".to_owned());
    assert_eq!(status(&["--host", "ahab", "--expect", "ahab=2d"]), nobody);
    let none = (1, "pequod complete, pequod/etc OVERDUE".to_owned());
    assert_eq!(status(&["--host", "pequod", "--expect", "pequod/etc=3000w"]), none);
    let usage = machine.fossil(&["status", "--expect", "moby"]);
    assert_eq!(usage.code, 2);
}
