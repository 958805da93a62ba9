//! Commands that run in the past, with real namespaces: for root and for an ordinary user, and
//! ended by signals. Needs root and `/dev/fuse`: skipped, and said so, elsewhere.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fuse_mount::can_mount;
use crate::machine::{Machine, Ran};

/// Nothing here takes so long, unless it never happens.
const LONGEST: Duration = Duration::from_secs(30);

/// Nobody has files, but a name, which fusermount wants.
const USER: u32 = 65_534;

/// A directory of today, `library`, and how it was on three days: `good 1`, `good 2`, `bad 3`.
fn machine() -> (Machine, PathBuf) {
    let machine = Machine::new();
    let library = machine.home("library");
    fs::create_dir(&library).unwrap();
    for (day, content) in [(1, "good 1\n"), (2, "good 2\n"), (3, "bad 3\n")] {
        fs::write(library.join("libc"), content).unwrap();
        machine.dump(&format!("2004-06-0{day}T03:00:00Z"));
    }
    fs::write(library.join("libc"), "today\n").unwrap();
    fs::create_dir(temporary(&machine)).unwrap();
    (machine, library)
}

/// Where programs keep their temporary files, so that what they leave is seen.
fn temporary(machine: &Machine) -> PathBuf {
    machine.place.path().join("tmp")
}

fn yesterday(machine: &Machine) -> Command {
    let mut command = machine.command(env!("CARGO_BIN_EXE_yesterday"), &[]);
    command.env("TMPDIR", temporary(machine)).args(["--host", "moby"]);
    command
}

fn bisect(machine: &Machine) -> Command {
    let mut command = machine.command(env!("CARGO_BIN_EXE_fossil-lite"), &[]);
    let dates = ["--good", "20040601", "--bad", "20040603"];
    command.env("TMPDIR", temporary(machine)).current_dir(machine.place.path());
    command.args(["bisect", "--host", "moby"]).args(dates);
    command
}

fn ran(command: &mut Command) -> Ran {
    Ran::from(command.output().unwrap())
}

/// What is left of the past in the directory for temporary files and in the table of mounts.
fn left(machine: &Machine) -> Vec<String> {
    let files = fs::read_dir(temporary(machine)).unwrap();
    let files = files.map(|entry| entry.unwrap().path().display().to_string());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = machine.place.path().to_str().unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(place)).map(str::to_owned);
    files.chain(mounts).collect()
}

fn nothing_is_left(machine: &Machine) {
    assert_eq!(left(machine), Vec::<String>::new());
}

#[test]
fn names_lead_to_the_past_from_wherever_the_command_is() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let libc = library.join("libc");
    let script = format!("cat libc; cat {}; cd ..; cat library/libc", libc.display());
    // The working directory itself, and one above it.
    for file in [".", ".."] {
        let mut command = yesterday(&machine);
        command.current_dir(&library).args(["-b", "-d", "20040602", file, "--", "sh", "-c"]);
        let ran = ran(command.arg(&script));
        assert_eq!((ran.code, ran.out.as_str()), (0, "good 2\ngood 2\ngood 2\n"), "{}", ran.err);
    }
    // One below another, whichever is named first.
    for files in [["libc", "."], [".", "libc"]] {
        let mut command = yesterday(&machine);
        command.current_dir(&library).args(["-b", "-d", "20040601"]).args(files);
        let ran = ran(command.args(["--", "cat", "libc"]));
        assert_eq!((ran.code, ran.out.as_str()), (0, "good 1\n"), "{}", ran.err);
    }
    // Without a command, a shell.
    let mut command = yesterday(&machine);
    command.env("SHELL", "/usr/bin/env").env("MOOD", "fine").args(["-b", "-d", "20040601"]);
    let ran = ran(command.arg(&libc));
    assert!(ran.code == 0 && ran.out.contains("MOOD=fine\n"), "{}", ran.err);
    assert!(!ran.out.contains("FOSSIL_LITE"), "{}", ran.out);
    nothing_is_left(&machine);
}

#[test]
fn what_can_not_be_bound_or_run_is_said() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let [libc, home] = [library.join("libc"), machine.home("")];
    let (shown, today) = (libc.display(), home.display());
    let run = |command: &str| {
        let mut yesterday = yesterday(&machine);
        ran(yesterday.args(["-b", "-d", "20040601"]).arg(&libc).args(["--", command]))
    };
    let missing = run("/no/such/program");
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("can not run /no/such/program: No such file"), "{}", missing.err);
    fs::remove_file(&libc).unwrap();
    let gone = run("true");
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains(&format!("{shown} is not there today")), "{}", gone.err);
    fs::create_dir(&libc).unwrap();
    let other = run("true");
    assert_eq!(other.code, 1);
    let expected = format!("{shown} is a directory today, and was none then");
    assert!(other.err.contains(&expected), "{}", other.err);
    let bisect = ran(bisect(&machine).arg(&libc).args(["--", "true"]));
    assert_eq!(bisect.code, 1, "{}", bisect.err);
    assert!(bisect.err.contains(&expected) && !bisect.err.contains("Unknown"), "{}", bisect.err);
    // It can be had all the same.
    let mut above = yesterday(&machine);
    above.args(["-b", "-d", "20040601"]).arg(&home).args(["--", "cat"]).arg(&libc);
    let above = ran(&mut above);
    assert_eq!((above.code, above.out.as_str()), (0, "good 1\n"), "{} {today}", above.err);
    nothing_is_left(&machine);
}

/// As root, but with a `/dev/fuse` that everybody may open, as it is on any machine with users.
fn command_of_user(machine: &Machine, program: &str, arguments: &[&str]) -> Command {
    for name in ["home", "store", "tmp"] {
        let path = machine.place.path().join(name);
        assert!(
            Command::new("chown")
                .args(["-Rh", "65534:65534"])
                .arg(path)
                .status()
                .unwrap()
                .success()
        );
    }
    let script = "mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse; rm -f fuse; \
        exec setpriv --reuid 65534 --regid 65534 --clear-groups -- \"$@\"";
    let mut command = machine.command("unshare", &[]);
    command.env("TMPDIR", temporary(machine)).current_dir(machine.place.path());
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(machine.copy_of(program)).args(arguments);
    command
}

fn as_user(machine: &Machine, program: &str, arguments: &[&str]) -> Ran {
    ran(&mut command_of_user(machine, program, arguments))
}

#[test]
fn an_ordinary_user_may_go_to_the_past_too() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    // What only root may read stays so.
    let secret = library.join("secret");
    fs::write(&secret, "secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    machine.dump("2004-06-04T03:00:00Z");
    chown(&secret, Some(USER), Some(USER)).unwrap();
    let libc = library.join("libc");
    let (libc, library) = (libc.to_str().unwrap(), library.to_str().unwrap());
    let yesterday = env!("CARGO_BIN_EXE_yesterday");
    let script = "cat \"$0\"; id -u; id -g; touch new && stat -c %u new; \
        grep CapEff /proc/self/status; exit 7";
    chown(machine.place.path(), Some(USER), Some(USER)).unwrap();
    let arguments =
        ["--host", "moby", "-b", "-d", "20040602", libc, "--", "sh", "-c", script, libc];
    let ran = as_user(&machine, yesterday, &arguments);
    let expected = "good 2\n65534\n65534\n65534\nCapEff:\t0000000000000000\n";
    assert_eq!((ran.code, ran.out.as_str()), (7, expected), "{}", ran.err);
    let script = "cd \"$0\"; cat secret; cat libc";
    let arguments = ["--host", "moby", "-b", "-d", "20040604", library, "--"];
    let ran =
        as_user(&machine, yesterday, &[&arguments[..], &["sh", "-c", script, library]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, "today\n"), "{}", ran.err);
    assert!(ran.err.contains("secret: Permission denied"), "{}", ran.err);
    let arguments =
        ["bisect", "--host", "moby", "--good", "20040601", "--bad", "20040603", libc, "--"];
    let test = ["grep", "-q", "good", libc];
    let ran =
        as_user(&machine, env!("CARGO_BIN_EXE_fossil-lite"), &[&arguments[..], &test].concat());
    let found = "2004/0603 is the first bad dump, 2004/0602 the last good one\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, found), "{}", ran.err);
    nothing_is_left(&machine);
}

/// Starts a command that says `ready` when it is.
fn start(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_reaches_the_command_and_the_past_stays_until_it_has_ended() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let libc = library.join("libc");
    let cases = [
        // It tidies up, in the past, and ends as it likes.
        (
            "trap 'cat \"$0\"; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
            Signal::TERM,
            143,
            "good 2\n",
        ),
        (
            "trap 'cat \"$0\"; exit 5' INT; echo ready; while :; do sleep 0.05; done",
            Signal::INT,
            5,
            "good 2\n",
        ),
        ("echo ready; exec sleep 1000", Signal::TERM, 143, ""),
        ("echo ready; exec sleep 1000", Signal::INT, 130, ""),
        ("echo ready; exec sleep 1000", Signal::HUP, 129, ""),
    ];
    for (script, signal, code, expected) in cases {
        let mut command = yesterday(&machine);
        command.args(["-b", "-d", "20040602"]).arg(&libc).args(["--", "sh", "-c", script]);
        let (mut child, mut out) = start(command.arg(&libc));
        send(&child, signal);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), rest.as_str()), (Some(code), expected), "{script} {signal:?}");
        nothing_is_left(&machine);
    }
}

/// Kills it while its command runs, and then the command, which says which process it is.
fn kill_in_the_middle(machine: &Machine, command: &mut Command) {
    let (mut child, mut out) = start(command);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let command = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let limit = Instant::now() + LONGEST;
    while !left(machine).is_empty() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Before the command ends, which has the past in a namespace of its own.
    let left = left(machine);
    kill_process(command, Signal::KILL).unwrap();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn kill_9_leaves_no_mount_and_no_directory() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let libc = library.join("libc");
    let libc = libc.to_str().unwrap();
    let script = "echo ready; echo $$; exec sleep 1000 > /dev/null";
    let arguments = ["-b", "-d", "20040602", libc, "--", "sh", "-c", script];
    kill_in_the_middle(&machine, yesterday(&machine).args(arguments));
    let mut bisect = bisect(&machine);
    kill_in_the_middle(&machine, bisect.args([libc, "--", "sh", "-c", script]));
    chown(machine.place.path(), Some(USER), Some(USER)).unwrap();
    let arguments = [&["--host", "moby"], &arguments[..]].concat();
    let program = env!("CARGO_BIN_EXE_yesterday");
    kill_in_the_middle(&machine, &mut command_of_user(&machine, program, &arguments));
}

#[test]
fn a_bisection_that_is_interrupted_takes_no_verdict() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let libc = library.join("libc");
    let log = machine.place.path().join("fossil-lite-bisect.log");
    let verdicts = || fs::read_to_string(&log).unwrap().lines().count() - 1;
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = bisect(&machine);
        command.arg(&libc).args(["--", "sh", "-c", "echo ready; exec sleep 1000"]);
        let (mut child, _out) = start(&mut command);
        send(&child, signal);
        let status = child.wait().unwrap();
        assert_eq!((status.code(), verdicts()), (Some(128 + signal.as_raw()), 0));
        nothing_is_left(&machine);
    }
    // Somebody kills the command itself, or the shell says so of its own.
    for script in ["kill -KILL $$", "exit 143"] {
        fs::remove_file(&log).unwrap();
        let ran = ran(bisect(&machine).arg(&libc).args(["--", "sh", "-c", script]));
        assert!(ran.code > 128 && verdicts() == 0, "{} {}", ran.code, ran.err);
    }
    // A crash is what bisections are for; 125 says nothing.
    fs::remove_file(&log).unwrap();
    let script = "case $(cat \"$0\") in *1) ;; *2) exit 125;; *) kill -SEGV $$;; esac";
    let ran = ran(bisect(&machine).arg(&libc).args(["--", "sh", "-c", script]).arg(&libc));
    let found = "the first bad dump is after 2004/0601, and 2004/0603 at the latest\n";
    assert_eq!((ran.code, ran.out.as_str()), (3, found), "{}", ran.err);
}

#[test]
fn the_log_of_a_bisection_is_of_no_use_for_another() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let log = machine.place.path().join("log");
    let run = |directory: &Path, host: &str, store: &Path| {
        let mut command = machine.command(env!("CARGO_BIN_EXE_fossil-lite"), &[]);
        command.current_dir(directory).env("venti", store).arg("bisect");
        command.args(["--host", host, "--good", "20040601", "--bad", "20040603", "--log"]);
        ran(command.arg(&log).args(["libc", "--", "grep", "-q", "good", "libc"]))
    };
    let first = run(&library, "moby", &machine.store());
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(run(&library, "moby", &machine.store()).err, "", "all of it was known");
    let link = machine.place.path().join("other");
    std::os::unix::fs::symlink(machine.store(), &link).unwrap();
    for (directory, host, store) in
        [(machine.home(""), "moby", machine.store()), (library, "moby", link)]
    {
        let other = run(&directory, host, &store);
        assert_eq!(other.code, 2, "{}", other.err);
        assert!(other.err.contains("is about something else"), "{}", other.err);
    }
}

/// As a power failure may leave it.
#[test]
fn a_line_of_the_log_that_is_not_whole_spoils_no_other() {
    if !can_mount() {
        return;
    }
    let (machine, library) = machine();
    let libc = library.join("libc");
    let log = machine.place.path().join("fossil-lite-bisect.log");
    let run = || ran(bisect(&machine).arg(&libc).args(["--", "grep", "-q", "good"]).arg(&libc));
    let first = run();
    assert_eq!(first.code, 0, "{}", first.err);
    let whole = fs::read_to_string(&log).unwrap();
    for cut in [1, 2, 10, whole.lines().last().unwrap().len(), whole.len() - 10] {
        fs::write(&log, &whole[..whole.len() - cut]).unwrap();
        let again = run();
        assert_eq!((again.code, &again.out), (0, &first.out), "{cut}: {}", again.err);
        assert_eq!(fs::read_to_string(&log).unwrap(), whole, "{cut}");
    }
    // What is no such log is not changed.
    fs::write(&log, "precious").unwrap();
    assert_eq!(run().code, 2);
    assert_eq!(fs::read(&log).unwrap(), b"precious");
}
