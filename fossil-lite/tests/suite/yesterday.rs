//! Every way to say a day and to want a file, as a person types it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use fossil_lite::date::When;
use fossil_lite::past::find;
use jiff::civil::date;
use jiff::{ToSpan, Zoned};

use crate::fuse_mount::can_mount;
use crate::machine::Machine;
use crate::world::World;

const YESTERDAY: &str = env!("CARGO_BIN_EXE_yesterday");

/// The present version is of today, the others are named after the day of their dump.
fn with_recent_days() -> (Machine, String, Zoned) {
    let machine = Machine::new();
    let noon = Zoned::now().in_tz("Europe/Berlin").unwrap().with().hour(12).build().unwrap();
    for days in [400, 40, 14, 2, 1] {
        let then = noon.checked_sub(days.days()).unwrap();
        fs::write(machine.home("file"), then.strftime("%Y/%m%d\n").to_string()).unwrap();
        machine.dump(&then.timestamp().to_string());
    }
    fs::write(machine.home("file"), "today\n").unwrap();
    let file = machine.home("file").to_str().unwrap().to_owned();
    (machine, file, noon)
}

#[test]
fn every_way_to_say_a_day() {
    let (machine, file, noon) = with_recent_days();
    let cat = |when: &[&str]| machine.yesterday(&[when, &["--cat", &file]].concat());
    for days in [1, 2, 14] {
        let day = noon.checked_sub(days.days()).unwrap();
        let expected = day.strftime("%Y/%m%d\n").to_string();
        let in_words = format!("{days} days ago");
        let forms =
            ["%Y/%m%d", "%m%d", "%Y%m%d", "%Y-%m-%d", "%Y-%m-%d 23:59", "%Y-%m-%dT13:00:01"];
        let spelled = forms.map(|form| day.strftime(form).to_string());
        for form in spelled.iter().chain([&in_words]) {
            let ran = cat(&["-d", form]);
            assert_eq!((ran.code, &ran.out), (0, &expected), "{form}: {}", ran.err);
        }
        let number = days.to_string();
        assert_eq!(cat(&["-n", &number]).out, expected);
        assert_eq!(cat(&[&format!("-{}", day.strftime("%m%d"))]).out, expected);
        for form in ["-%Y%m%d", "-%Y/%m%d", "-%Y-%m-%d", "-%Y-%m-%d 23:59"] {
            let date = day.strftime(form).to_string();
            let ran = cat(&[&date]);
            assert_eq!((ran.code, &ran.out), (0, &expected), "{date}: {}", ran.err);
        }
        let before = day.strftime("%Y-%m-%d 11:59").to_string();
        assert_ne!(cat(&["-d", &before]).out, expected, "before the dump was made");
    }
    let named =
        |days: i64| noon.checked_sub(days.days()).unwrap().strftime("%Y/%m%d\n").to_string();
    assert_eq!(cat(&[]).out, named(1), "the last version before today");
    assert_eq!(cat(&["-d", "yesterday"]).out, named(1));
    assert_eq!(cat(&["-d", "2 weeks ago"]).out, named(14));
    assert_eq!(cat(&["-d", "a month ago"]).out, named(40));
    assert_eq!(cat(&["-d", "last year"]).out, named(400));
    let weekday = noon.checked_sub(2.days()).unwrap().strftime("%A").to_string();
    assert_eq!(cat(&["-d", &weekday]).out, named(2));
    let day_of_month = noon.checked_sub(1.days()).unwrap().strftime("%-d").to_string();
    assert_eq!(cat(&["-d", &day_of_month]).out, named(1));
    assert_eq!(cat(&["-d", "yesterday", "-n", "1"]).code, 2, "one or the other");
}

/// The original looks into the year of today only, and finds nothing on its first day.
#[test]
fn on_new_years_day_yesterday_is_in_another_year() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "x").unwrap();
    world.dump("moby", "2003-06-11T03:00:00Z", source.path());
    world.dump("moby", "2004-12-31T03:00:00Z", source.path());
    world.dump("moby", "2005-01-01T03:00:00Z", source.path());
    let tree = world.tree(None);
    let host = "moby".parse().unwrap();
    let now = date(2005, 1, 1).at(12, 0, 0, 0).in_tz("Europe/Berlin").unwrap();
    let found = |when: &When| {
        let found = find(&tree, &host, when, b"/file", true).unwrap();
        found.map(|found| found.dump.name.to_string()).map_err(|missing| missing.to_string())
    };
    assert_eq!(found(&When::Before(now.date())).as_deref(), Ok("2004/1231"));
    for text in ["yesterday", "1231", "31", "1 day ago"] {
        assert_eq!(found(&When::parse(text, &now).unwrap()).as_deref(), Ok("2004/1231"), "{text}");
    }
    assert_eq!(found(&When::days_ago(1, &now).unwrap()).as_deref(), Ok("2004/1231"));
    assert_eq!(found(&When::parse("1230", &now).unwrap()).as_deref(), Ok("2003/0611"));
}

#[test]
fn names_are_resolved_as_they_were_then() {
    let machine = Machine::new();
    for (directory, content) in [("first", "one"), ("second", "two")] {
        fs::create_dir(machine.home(directory)).unwrap();
        fs::write(machine.home(directory).join("file"), content).unwrap();
    }
    symlink("first", machine.home("way")).unwrap();
    symlink(machine.home("first/file"), machine.home("link")).unwrap();
    machine.dump("2004-06-11T03:00:00Z");
    fs::remove_file(machine.home("way")).unwrap();
    symlink("second", machine.home("way")).unwrap();
    fs::remove_file(machine.home("link")).unwrap();
    machine.dump("2004-06-12T03:00:00Z");
    // Relative names, from a directory that is called by its name.
    for (day, expected) in [("20040611", "one"), ("20040612", "two")] {
        let mut command = machine.command(YESTERDAY, &["--host", "moby", "-d", day]);
        command.args(["--cat", "way/file"]).current_dir(machine.home(""));
        assert_eq!(command.output().unwrap().stdout, expected.as_bytes(), "{day}");
    }
    let link = machine.home("link");
    let ran = machine.yesterday(&["-d", "20040611", "--cat", link.to_str().unwrap()]);
    assert_eq!(ran.out, "one", "{}", ran.err);
    // What is copied back is the link.
    assert_eq!(machine.yesterday(&["-d", "20040611", "-c", link.to_str().unwrap()]).code, 0);
    assert_eq!(fs::read_link(&link).unwrap(), machine.home("first/file"));
}

#[test]
fn what_diff_shows_says_which_dump_it_is_of() {
    let (machine, profile) = Machine::with_history();
    let home = machine.home("");
    let home = home.to_str().unwrap().trim_end_matches('/');
    let below = home.trim_start_matches('/');
    let ran = machine.yesterday(&["--diff", "-d", "2004/0611", home]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    for part in [
        format!("--- 2004/0611/{below}/profile\t"),
        format!("+++ {home}/profile\t"),
        format!("Only in 2004/0611/{below}: gone\n"),
        format!("Only in {home}: new\n"),
    ] {
        assert!(ran.out.contains(&part), "{part} in {}", ran.out);
    }
    let ran = machine.yesterday(&["--diff", "-d", "2004/0611", &profile]);
    assert!(
        ran.out.starts_with(&format!("--- 2004/0611{profile}\n+++ {profile}\n")),
        "{}",
        ran.out
    );
    let directory = machine.home("directory");
    let directory = directory.to_str().unwrap();
    let ran = machine.yesterday(&["--diff", directory]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    fs::write(machine.home("directory/inside"), "changed\n").unwrap();
    machine.dump("2005-01-01T03:00:00Z");
    let ran = machine.hist(&["-d", directory]);
    let inside = format!("{}/inside", directory.trim_start_matches('/'));
    assert!(ran.out.contains(&format!("--- 2004/1231/{inside}\t")), "{}", ran.out);
    assert!(ran.out.contains(&format!("+++ 2005/0101/{inside}\t")), "{}", ran.out);
}

#[test]
fn several_files_are_bound_and_nothing_else_is_changed() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let (directory, new) = (machine.home("directory"), machine.home("new"));
    fs::write(directory.join("inside"), "today\n").unwrap();
    let files = [directory.to_str().unwrap(), &profile];
    let script = "cat \"$@\"; echo written >>\"$3\"";
    let mut command = vec!["-b", "-d", "2004/0611", files[0], files[1], "--", "sh", "-c", script];
    let inside = directory.join("inside");
    command.extend(["sh", inside.to_str().unwrap(), &profile, new.to_str().unwrap()]);
    let ran = machine.yesterday(&command);
    assert_eq!((ran.code, ran.out.as_str()), (0, "inside\none\nnew\n"), "{}", ran.err);
    assert_eq!(fs::read(&inside).unwrap(), b"today\n", "for nobody else");
    assert_eq!(fs::read(&new).unwrap(), b"new\nwritten\n", "what is not bound is today's");
    // What is bound can not be changed, and the status is that of the command.
    let ran = machine.yesterday(&["-b", &profile, "--", "sh", "-c", "echo x >\"$0\"", &profile]);
    assert_ne!(ran.code, 0);
    assert_eq!(fs::read(&profile).unwrap(), b"three\n");
    for (end, status) in [("exit 42", 42), ("kill -9 $$", 137)] {
        let ran = machine.yesterday(&["-b", &profile, "--", "sh", "-c", end]);
        assert_eq!(ran.code, status, "{end}: {}", ran.err);
    }
    // Without a command, a shell.
    let shell = machine.place.path().join("shell");
    fs::write(&shell, format!("#!/bin/sh\ncat {profile}\n")).unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = machine.command(YESTERDAY, &["--host", "moby", "-b", "-20040611", &profile]);
    let output = command.env("SHELL", &shell).output().unwrap();
    assert_eq!(output.stdout, b"one\n", "{}", String::from_utf8_lossy(&output.stderr));
    // If one of the files was not there then, nothing is run.
    let ran = machine.yesterday(&[
        "-b",
        "-20040611",
        &profile,
        new.to_str().unwrap(),
        "--",
        "echo",
        "ran",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    // If they can not be bound, it is not the command that failed.
    fs::remove_file(&profile).unwrap();
    let ran = machine.yesterday(&["-b", "-20040611", &profile, "--", "true"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is not there today"), "{}", ran.err);
}

/// Whoever may make name spaces and mount for themselves needs not be root.
#[test]
fn one_process_in_the_past_of_a_user() {
    let there =
        |command: &str, argument: &str| Command::new(command).arg(argument).output().is_ok();
    if !can_mount() || !there("fusermount3", "-V") || !there("setpriv", "-V") {
        eprintln!("skipped: needs root to become a user, fusermount3 and setpriv");
        return;
    }
    let (machine, _) = Machine::with_history();
    let (inside, profile) = (machine.home("directory/inside"), machine.home("profile"));
    fs::write(&inside, "today\n").unwrap();
    // As it is where users may mount: a device that they may open.
    let device = machine.place.path().join("fuse");
    let as_user = "mknod -m 666 \"$0\" c 10 229 && mount --bind \"$0\" /dev/fuse && \
        exec setpriv --reuid daemon --regid daemon --clear-groups \"$@\"";
    let run = |program: &str, arguments: &[&str]| {
        let _ = fs::remove_file(&device);
        let mut command = machine.command("unshare", &["--mount", "sh", "-c", as_user]);
        command.arg(&device).arg(program).args(arguments);
        command.env("TMPDIR", machine.place.path()).output().unwrap()
    };
    if !run("unshare", &["--map-root-user", "--mount", "true"]).status.success() {
        eprintln!("skipped: users may not make name spaces here");
        return;
    }
    let owned =
        Command::new("chown").args(["-R", "daemon:daemon"]).arg(machine.place.path()).status();
    assert!(owned.unwrap().success());
    // What they may read, that is: the archived permissions count.
    for (file, expected, code) in [(&inside, "inside\ndaemon\n", 0), (&profile, "daemon\n", 1)] {
        let script = "cat \"$0\"; code=$?; id -nu; exit $code";
        let file = file.to_str().unwrap();
        let options = ["--host", "moby", "-b", "-20040611", file, "--", "sh", "-c", script, file];
        let output = run(YESTERDAY, &options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
    }
    assert_eq!(fs::read(&inside).unwrap(), b"today\n", "for nobody else");
}

#[test]
fn the_first_of_several_dumps_of_a_day_can_be_named() {
    let machine = Machine::new();
    let (old, new) = (machine.home("old"), machine.home("new"));
    fs::write(&old, "one\n").unwrap();
    machine.dump("2004-06-11T03:00:00Z");
    fs::rename(&old, &new).unwrap();
    machine.dump("2004-06-11T04:00:00Z");
    let [old, new] = [old, new].map(|path| path.to_str().unwrap().to_owned());
    for date in ["2004/0611", "2004/0611.1"] {
        let ran = machine.yesterday(&["-d", date, "--cat", &old]);
        let said = format!("{old} is not in the dump 2004/0611.1; it is in 2004/0611.0\n");
        assert!(ran.code == 1 && ran.err.ends_with(&said), "{date}: {}", ran.err);
    }
    let ran = machine.yesterday(&["-d", "2004/0611.0", "--cat", &old]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\n"), "{}", ran.err);
    let ran = machine.yesterday(&["-d", "2004/0611.0", "--cat", &new]);
    let said = format!("{new} is not in the dump 2004/0611; it is in 2004/0611.1\n");
    assert!(ran.code == 1 && ran.err.ends_with(&said), "{}", ran.err);
    let ran = machine.hist(&["-s", "2004/0611.0", &old]);
    assert!(ran.code == 0 && ran.out.contains("/2004/0611/"), "{}{}", ran.out, ran.err);
}
