//! Clients that others wrote, and hostile ones, on real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use fossil_lite::p9::{Limits, Listener, Peer, serve};
use ninep::sync::client::Client;

use crate::little_tree::LittleTree;

fn serve_tcp(limits: Limits) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.tcp_address().unwrap();
    std::thread::spawn(move || serve(&listener, limits, |_| LittleTree));
    address
}

#[test]
fn the_crate_ninep_reads_files_and_directories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9p").to_str().unwrap().to_owned();
    let listener = Listener::bind(&path).unwrap();
    std::thread::spawn(move || {
        serve(&listener, Limits::default(), |peer| {
            assert_eq!(peer, Peer::Local { uid: rustix::process::geteuid().as_raw() });
            LittleTree
        });
    });
    let client =
        Client::new_unix_with_explicit_path("rob".to_owned(), path, String::new()).unwrap();
    assert_eq!(client.read_str("hello").unwrap(), "hello, world");
    let mut names: Vec<String> =
        client.read_dir("numbers").unwrap().into_iter().map(|stat| stat.name).collect();
    names.sort_by_key(|name| name.parse::<u32>().unwrap());
    assert_eq!(names, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(client.read_str("secret").unwrap_err().to_string().contains("permission denied"));
    assert!(client.read_str("nothing").unwrap_err().to_string().contains("file does not exist"));
}

#[test]
fn only_a_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("file"), "precious").unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    std::fs::create_dir(at("directory")).unwrap();
    drop(Listener::bind(at("socket").to_str().unwrap()).unwrap());
    for (name, target) in [("link", "socket"), ("dangling", "nowhere"), ("to file", "file")] {
        std::os::unix::fs::symlink(target, at(name)).unwrap();
    }
    for name in ["file", "pipe", "directory", "link", "dangling", "to file"] {
        let before = std::fs::symlink_metadata(at(name)).unwrap().ino();
        let path = at(name).to_str().unwrap().to_owned();
        let refused = Listener::bind(&path).map(drop).map_err(|error| error.to_string());
        let now = std::fs::symlink_metadata(at(name)).map(|found| found.ino()).ok();
        assert_eq!(now, Some(before), "{name}");
        let expected =
            format!("can not listen on {path}: a file that is no socket is there; remove it first");
        assert_eq!(refused, Err(expected));
    }
    assert_eq!(std::fs::read(at("file")).unwrap(), b"precious");
    assert!(!at("nowhere").exists());
}

#[test]
fn a_socket_that_a_dead_server_left_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9p").to_str().unwrap().to_owned();
    drop(Listener::bind(&path).unwrap());
    let live = Listener::bind(&path).unwrap();
    let error = Listener::bind(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{path} is in use"));
    drop(live);
}

#[test]
fn addresses() {
    for good in ["127.0.0.1:0", "tcp!127.0.0.1!0", "tcp!*!0", "[::1]:0"] {
        assert!(Listener::bind(good).unwrap().tcp_address().is_some(), "{good}");
    }
    for bad in ["nowhere", "tcp!127.0.0.1!ftp"] {
        let error = Listener::bind(bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{bad:?} is no address")), "{error}");
    }
}

fn end_of(stream: &mut TcpStream) -> usize {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut rest);
    rest.len()
}

#[test]
fn a_frame_of_impossible_size_ends_that_connection_only() {
    let address = serve_tcp(Limits::default());
    for size in [[0, 0, 0, 0], [6, 0, 0, 0], [0xff; 4]] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&size).unwrap();
        assert_eq!(end_of(&mut stream), 0);
    }
    // A type that is none gets an error, and the conversation goes on.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[7, 0, 0, 0, 99, 1, 0]).unwrap();
    stream.write_all(&[7, 0, 0, 0, 99, 2, 0]).unwrap();
    let mut replies = [0; 2 * (7 + 2 + 24)];
    stream.read_exact(&mut replies).unwrap();
    assert!(String::from_utf8_lossy(&replies).contains("99 is not a message type"));
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let limits = Limits { hello_time: Duration::from_millis(50), ..Limits::default() };
    let mut stream = TcpStream::connect(serve_tcp(limits)).unwrap();
    assert_eq!(end_of(&mut stream), 0);
}

#[test]
fn one_connection_too_many_is_closed_and_the_others_live() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let address = serve_tcp(limits);
    let version = "Tversion tag 65535 msize 8192 version '9P2000'";
    let version = version.parse::<fossil_lite::p9::Tagged>().unwrap().encode();
    let mut first = TcpStream::connect(address).unwrap();
    first.write_all(&version).unwrap();
    let mut reply = [0; 19];
    first.read_exact(&mut reply).unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    assert_eq!(end_of(&mut second), 0);
    first.write_all(&version).unwrap();
    first.read_exact(&mut reply).unwrap();
}

/// Runs a script with the Python package `python-9p`'s client, where that is installed.
#[test]
fn pythons_client_reads_files_and_directories() {
    let known = Command::new("python3").args(["-c", "import py9p.native"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no Python package python-9p");
        return;
    }
    let address = serve_tcp(Limits::default());
    let script = "
import sys, py9p
from py9p.native import decode_dir
with py9p.Client.connect_tcp('127.0.0.1', int(sys.argv[1]), timeout=20) as client:
    client.negotiate()
    client.attach(0, uname='rob')
    client.walk(0, 1, ['hello'])
    client.open(1)
    assert client.read(1) == b'hello, world'
    client.walk(0, 2, ['numbers'])
    client.open(2)
    names, offset = [], 0
    while data := client.read(2, offset=offset):
        offset += len(data)
        while data:
            size = 2 + int.from_bytes(data[:2], 'little')
            names.append(decode_dir(data[:size]).name)
            data = data[size:]
    assert names == [str(n) for n in range(100)], names
    client.walk(0, 3, ['secret'])
    try:
        client.open(3)
    except py9p.RemoteError as error:
        assert 'permission denied' in str(error)
    else:
        raise AssertionError('the secret was opened')
";
    let output =
        Command::new("python3").args(["-c", script, &address.port().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_that_reads_no_replies_holds_up_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9p").to_str().unwrap().to_owned();
    let listener = Listener::bind(&path).unwrap();
    let limits = Limits { write_time: Duration::from_millis(200), ..Limits::default() };
    std::thread::spawn(move || serve(&listener, limits, |_| LittleTree));
    let mut deaf = UnixStream::connect(&path).unwrap();
    deaf.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let version = "Tversion tag 65535 msize 8192 version '9P2000'";
    let version = version.parse::<fossil_lite::p9::Tagged>().unwrap().encode();
    // Until the server gives the connection up.
    while deaf.write_all(&version).is_ok() {}
    let client =
        Client::new_unix_with_explicit_path("rob".to_owned(), path, String::new()).unwrap();
    assert_eq!(client.read_str("hello").unwrap(), "hello, world");
}
