//! vacfs, and what stays when it or fossil-lite goes: told to, unmounted, or killed.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ninep::sync::client::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::fuse_mount::can_mount;
use crate::machine::{Machine, Ran};

const VACFS: &str = env!("CARGO_BIN_EXE_vacfs");
const FOSSIL: &str = env!("CARGO_BIN_EXE_fossil-lite");

/// Nothing here takes so long, unless it never happens.
const LONGEST: Duration = Duration::from_secs(30);

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let limit = Instant::now() + LONGEST;
    while !happened() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process of this program that has `argument` on its command line.
fn process_with(program: &str, argument: &Path) -> Option<Pid> {
    let name = fs::canonicalize(program).unwrap();
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.unwrap().path();
        let executable = fs::read_link(entry.join("exe")).ok()?;
        let line = fs::read(entry.join("cmdline")).ok()?;
        let argument = argument.to_str().unwrap().as_bytes();
        let wanted = executable == name && line.split(|byte| *byte == 0).any(|a| a == argument);
        let number = entry.file_name()?.to_str()?.parse().ok()?;
        wanted.then(|| Pid::from_raw(number)).flatten()
    })
}

fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

fn is_mounted(at: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}

fn directory(machine: &Machine, name: &str) -> PathBuf {
    let at = machine.place.path().join(name);
    fs::create_dir(&at).unwrap();
    at
}

/// An archive of the home directory, and the path of that directory in it.
fn archived(machine: &Machine) -> (String, PathBuf) {
    fs::write(machine.home("profile"), "one\n").unwrap();
    let score = machine.dump("2004-06-11T03:00:00Z");
    let inside = machine.home("profile").strip_prefix("/").unwrap().to_owned();
    (format!("vac:{score}"), inside)
}

fn vacfs(machine: &Machine, arguments: &[&str]) -> Ran {
    machine.run(VACFS, arguments)
}

#[test]
fn vacfs_mounts_one_archive_and_leaves_when_told() {
    if !can_mount() {
        return;
    }
    let machine = Machine::new();
    let (archive, inside) = archived(&machine);
    let file = machine.place.path().join("home.vac");
    fs::write(&file, format!("{archive}\n")).unwrap();
    let at = directory(&machine, "mnt");
    for name in [archive.as_str(), &archive[4..], file.to_str().unwrap()] {
        let ran = vacfs(&machine, &["-m", at.to_str().unwrap(), name]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name}");
        assert_eq!(fs::read(at.join(&inside)).unwrap(), b"one\n");
        let first = inside.iter().next().unwrap();
        let names: Vec<_> = fs::read_dir(&at).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [first]);
        assert!(fs::write(at.join("new"), b"").is_err(), "nothing can be changed");
        let busy = vacfs(&machine, &["-m", at.to_str().unwrap(), name]);
        assert_eq!(busy.code, 11, "{}", busy.err);
        let pid = process_with(VACFS, &at).unwrap();
        kill(pid, Signal::TERM);
        wait_until("it unmounts", || !is_mounted(&at));
        wait_until("it ends", || process_with(VACFS, &at).is_none());
    }
    assert!(fs::read_dir(&at).unwrap().next().is_none());
}

#[test]
fn vacfs_serves_one_archive_and_takes_its_socket_away() {
    let machine = Machine::new();
    let (archive, inside) = archived(&machine);
    let socket = machine.place.path().join("9p");
    let path = socket.to_str().unwrap();
    let ran = vacfs(&machine, &["-s", path, &archive]);
    let expected = format!("listening on {path}\n");
    assert_eq!((ran.code, ran.out, ran.err.as_str()), (0, expected, ""));
    let client = Client::new_unix_with_explicit_path("", path, "").unwrap();
    assert_eq!(client.read_str(inside.to_str().unwrap()).unwrap(), "one\n");
    let up = format!("../{}/../..", inside.iter().next().unwrap().to_str().unwrap());
    assert_eq!(client.stat(up).unwrap().name, "/", "nothing is above the archive");
    assert_eq!(vacfs(&machine, &["-s", path, &archive]).code, 11, "in use");
    kill(process_with(VACFS, &socket).unwrap(), Signal::TERM);
    wait_until("the socket goes", || !socket.exists());
}

#[test]
fn vacfs_says_what_is_wrong() {
    let machine = Machine::new();
    let (archive, _) = archived(&machine);
    let at = directory(&machine, "mnt");
    let at = at.to_str().unwrap();
    let file = machine.place.path().join("file");
    fs::write(&file, "nothing\n").unwrap();
    let absent = format!("vac:{}", "1".repeat(40));
    for (arguments, code, said) in [
        (&["-m", at, "vac:12"][..], 2, "vac:12 is not a score: expected vac: and 40"),
        (&["-m", at, file.to_str().unwrap()], 2, "does not hold a score: found \"nothing\""),
        (&["-m", at, "/no/such/file"], 1, "is no score, and can not be read as a file"),
        (&["-m", at, &absent], 1, "1111111111"),
        (&["-m", "/no/such/place", &archive], 1, "/no/such/place: No such file"),
        (&["-m", file.to_str().unwrap(), &archive], 2, "is not a directory"),
        (&["-h", "/nowhere/at/all", "-m", at, &archive], 10, "/nowhere/at/all"),
        (&["-s", "nowhere", &archive], 2, "\"nowhere\" is no address"),
        (&[&archive], 2, "--mount"),
    ] {
        let ran = vacfs(&machine, arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn serve_goes_into_the_background_and_leaves_when_told() {
    let (machine, _) = Machine::with_history();
    let socket = machine.place.path().join("9p");
    let path = socket.to_str().unwrap();
    for signal in [Signal::TERM, Signal::KILL] {
        // After kill -9 its socket is still there, and is replaced.
        let ran = machine.fossil(&["serve", "--background", "--listen", path]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(ran.out, format!("listening on {path}\n"));
        let client = Client::new_unix_with_explicit_path("", path, "").unwrap();
        let names = client.read_dir("moby").unwrap();
        assert_eq!(names.len(), 2);
        kill(process_with(FOSSIL, &socket).unwrap(), signal);
        wait_until("nobody listens", || UnixStream::connect(&socket).is_err());
        wait_until("it ends", || process_with(FOSSIL, &socket).is_none());
        assert_eq!(socket.exists(), signal == Signal::KILL);
    }
    let ran = machine.fossil(&["serve", "-b", "--listen", path]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    kill(process_with(FOSSIL, &socket).unwrap(), Signal::TERM);
    wait_until("the socket goes", || !socket.exists());
    // What took its name meanwhile is somebody else's.
    let ran = machine.fossil(&["serve", "-b", "--listen", path]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    kill(process_with(FOSSIL, &socket).unwrap(), Signal::TERM);
    wait_until("it ends", || process_with(FOSSIL, &socket).is_none());
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
    let ran = machine.fossil(&["serve", "--listen", path]);
    assert_eq!(ran.code, 11, "{}", ran.err);
    let ran = machine.fossil(&["serve", "--background", "--listen", "nowhere"]);
    assert_eq!(ran.code, 2, "whoever waited gets to know: {}", ran.err);
}

/// A program that has a file of the mount open and waits.
fn reader(file: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "exec 3<\"$0\"; echo open; exec sleep 1000"])
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for_line(child: &mut Child) {
    use std::io::Read;
    let mut line = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
}

#[test]
fn a_killed_client_and_a_killed_mount_leave_nothing_that_is_in_the_way() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let at = directory(&machine, "dump");
    let path = at.to_str().unwrap();
    let arguments = ["mount", "--host", "moby", path];
    assert_eq!(machine.fossil(&arguments).code, 0);
    let name = at.join("2004/0611").join(profile.strip_prefix('/').unwrap());

    let mut client = reader(&name);
    wait_for_line(&mut client);
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(fs::read(&name).unwrap(), b"one\n", "the mount goes on");

    // Killed with somebody inside: it is dead to them, and to whoever comes.
    let mut client = reader(&name);
    wait_for_line(&mut client);
    kill(process_with(FOSSIL, &at).unwrap(), Signal::KILL);
    wait_until("it is dead", || fs::read_dir(&at).is_err());
    assert!(is_mounted(&at));
    let ran = machine.fossil(&arguments);
    let expected = format!("{path}: replacing a dead mount, whose process was killed\n");
    assert_eq!((ran.code, ran.err), (0, expected));
    assert_eq!(fs::read(&name).unwrap(), b"one\n");

    // Told to go with somebody inside: it is gone for all others at once.
    let mut other = reader(&name);
    wait_for_line(&mut other);
    kill(process_with(FOSSIL, &at).unwrap(), Signal::TERM);
    wait_until("it unmounts", || !is_mounted(&at));
    wait_until("it ends, whoever is in there", || process_with(FOSSIL, &at).is_none());
    for mut child in [client, other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_until("it ends", || process_with(FOSSIL, &at).is_none());
    assert!(fs::read_dir(&at).unwrap().next().is_none());
}

/// What was mounted there since, by somebody else, is not the old process's to take away.
#[test]
fn a_mount_that_was_taken_away_leaves_what_is_mounted_there_next() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let at = directory(&machine, "dump");
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).arg(&at).status().unwrap();
        assert!(status.success(), "{program}");
    };
    for by_signal in [false, true] {
        let ran = machine.fossil(&["mount", "--host", "moby", at.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let old = process_with(FOSSIL, &at).unwrap();
        let mut visitor = reader(&at.join("2004/0611").join(profile.trim_start_matches('/')));
        wait_for_line(&mut visitor);
        run("umount", &["-l"]);
        run("mount", &["-t", "tmpfs", "next"]);
        fs::write(at.join("precious"), "x").unwrap();
        if by_signal {
            kill(old, Signal::TERM);
            wait_until("it ends", || process_with(FOSSIL, &at).is_none());
        }
        visitor.kill().unwrap();
        visitor.wait().unwrap();
        wait_until("it ends", || process_with(FOSSIL, &at).is_none());
        assert_eq!(fs::read(at.join("precious")).ok(), Some(b"x".to_vec()), "{by_signal}");
        run("umount", &[]);
    }
}

/// The kernel remembers what it heard of a mount a moment ago.
#[test]
fn a_mount_that_is_killed_at_work_is_replaced_at_once() {
    if !can_mount() {
        return;
    }
    let (machine, _) = Machine::with_history();
    let at = directory(&machine, "dump");
    let arguments = ["mount", "--host", "moby", at.to_str().unwrap()];
    assert_eq!(machine.fossil(&arguments).code, 0);
    assert!(fs::read_dir(&at).unwrap().count() > 0);
    assert!(fs::metadata(&at).unwrap().is_dir());
    kill(process_with(FOSSIL, &at).unwrap(), Signal::KILL);
    wait_until("it ends", || process_with(FOSSIL, &at).is_none());
    let ran = machine.fossil(&arguments);
    assert!(ran.code == 0 && ran.err.contains("replacing a dead mount"), "{}", ran.err);
    kill(process_with(FOSSIL, &at).unwrap(), Signal::TERM);
    wait_until("it unmounts", || !is_mounted(&at));
}

/// What the process waits for in the kernel, as far as that tells.
fn waits_in(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default()
}

/// Whoever is waiting for an answer when the process of the mount is killed hears something else
/// than those who come later.
#[test]
fn a_mount_that_is_killed_while_another_asks_for_it_is_replaced() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let at = directory(&machine, "dump");
    let arguments = ["mount", "--foreground", "--host", "moby", at.to_str().unwrap()];
    let mut first = machine.command(FOSSIL, &arguments).spawn().unwrap();
    wait_until("it is mounted", || is_mounted(&at) && at.join("latest").exists());
    kill(Pid::from_child(&first), Signal::STOP);
    let mut second = machine.command(FOSSIL, &arguments);
    let mut second = second.stderr(Stdio::piped()).spawn().unwrap();
    let id = Pid::from_child(&second);
    let tells = waits_in(Pid::from_child(&first)) != "0";
    wait_until("it asks", || !tells || waits_in(id).contains("request_wait_answer"));
    first.kill().unwrap();
    first.wait().unwrap();
    let name = at.join("2004/0611").join(profile.strip_prefix('/').unwrap());
    let mut ended = None;
    wait_until("the second mounts it", || {
        ended = second.try_wait().unwrap();
        ended.is_some() || fs::read(&name).is_ok()
    });
    assert_eq!(ended, None, "{:?}", second.wait_with_output());
    kill(id, Signal::TERM);
    assert!(second.wait().unwrap().success());
}

/// Mounts the dump of moby; whoever uses it unmounts it again.
struct Mount(PathBuf);

impl Mount {
    fn new(machine: &Machine, store: &str) -> Mount {
        let at = directory(machine, "dump");
        let output = Command::new(FOSSIL)
            .args(["mount", "-h", store, "--host", "moby"])
            .arg(&at)
            .current_dir(machine.place.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Mount(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_store_that_is_named_from_where_it_is_mounted_stays_that_store() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let mount = Mount::new(&machine, "./store");
    let name = mount.0.join("2004/0611").join(profile.strip_prefix('/').unwrap());
    assert_eq!(fs::read(&name).unwrap(), b"one\n");
}

#[test]
fn a_mount_of_a_store_in_a_directory_shows_what_is_archived_into_it_later() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let mount = Mount::new(&machine, machine.store().to_str().unwrap());
    let path = profile.strip_prefix('/').unwrap();
    let latest = mount.0.join("latest").join(path);
    assert_eq!(fs::read(&latest).unwrap(), b"two\n");
    machine.dump("2005-06-11T03:00:00Z");
    wait_until("the new dump appears", || mount.0.join("2005/0611").exists());
    wait_until("latest follows", || fs::read(&latest).is_ok_and(|data| data == b"three\n"));
    assert_eq!(fs::read(mount.0.join("2004/0611").join(path)).unwrap(), b"one\n");
}

#[test]
fn a_host_without_dumps_is_not_shown_as_an_empty_directory() {
    let (machine, _) = Machine::with_history();
    let at = directory(&machine, "dump");
    let socket = machine.place.path().join("9p");
    for arguments in [
        &["mount", "--host", "ahab", at.to_str().unwrap()][..],
        &["serve", "--host", "ahab", "--background", "--listen", socket.to_str().unwrap()],
    ] {
        let ran = machine.fossil(arguments);
        let expected = "fossil-lite: there is no dump of ahab\n";
        assert_eq!((ran.code, ran.err.as_str()), (1, expected), "{arguments:?}");
    }
    assert!(!is_mounted(&at) && !socket.exists());
}
