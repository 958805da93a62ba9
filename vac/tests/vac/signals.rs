//! SIGINT, SIGTERM and SIGHUP end unvac, whatever it does.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Names of this length fill pipes and buffers soon.
const NAME: usize = 240;
const FILES: usize = 8000;
/// More than any pipe and buffer takes.
const LARGE: usize = 40 << 20;

fn unvac(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unvac"));
    command.args(arguments).current_dir(place).env_remove("venti").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends a signal, and waits until the process has taken it.
fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
    let status = format!("/proc/{}/status", child.id());
    while fs::read_to_string(&status).unwrap().lines().any(|line| {
        line.split_once("Pnd:\t").is_some_and(|(_, pending)| pending.contains(|c| c != '0'))
    }) {
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_ends_whatever_is_written_to_a_pipe() {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    for directory in [&tree.join("names"), &place.path().join("empty")] {
        fs::create_dir_all(directory).unwrap();
    }
    for number in 0..FILES {
        fs::write(tree.join("names").join(format!("{number:0NAME$}")), "").unwrap();
    }
    fs::write(tree.join("large"), vec![b'x'; LARGE]).unwrap();
    let mut vac = Command::new(env!("CARGO_BIN_EXE_vac"));
    vac.args(["-q", "-h", "./store", "-f", "tree.vac", "tree"]).current_dir(place.path());
    let made = vac.env("XDG_CACHE_HOME", place.path().join("cache")).status();
    assert!(made.unwrap().success());
    let store = ["-h", "./store", "tree.vac"];
    for (options, most) in [
        (&["--tar"][..], LARGE),
        (&["-c"], LARGE),
        (&["-t"], FILES * NAME),
        (&["--verify", "-C", "empty"], FILES * NAME),
        (&["-n", "-C", "empty"], FILES * NAME),
        (&["-n", "-C", "new"], FILES * NAME),
    ] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let mut child = unvac(place.path(), &[&store[..], options].concat()).spawn().unwrap();
            let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            // It writes, and can not go on until it is read.
            let to_error = matches!(options[0], "--verify" | "-n");
            let first: &mut dyn Read = if to_error { &mut err } else { &mut out };
            first.read_exact(&mut [0]).unwrap();
            send(&child, signal);
            let (mut written, mut said) = (Vec::new(), String::new());
            // What fills one pipe waits there, and does not end the other.
            if to_error {
                err.read_to_string(&mut said).unwrap();
            }
            out.read_to_end(&mut written).unwrap();
            err.read_to_string(&mut said).unwrap();
            let status = child.wait().unwrap();
            let end = said.lines().last().unwrap_or_default();
            assert_eq!((status.code(), end), (Some(130), "unvac: interrupted"), "{options:?}");
            assert!(written.len().max(said.len()) < most, "{options:?}: all was written");
        }
    }
}

/// The first signal is for what can end by itself.
#[test]
fn a_second_signal_ends_what_waits_for_a_server() {
    let place = tempfile::tempdir().unwrap();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let score = format!("vac:{}", "1".repeat(40));
        let mut child = unvac(place.path(), &["-h", &address, "-t", &score]).spawn().unwrap();
        // It says nothing, and takes what is said.
        let connection = server.accept().unwrap();
        send(&child, signal);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(connection);
    }
}
