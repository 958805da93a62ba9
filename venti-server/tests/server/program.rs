//! The program `venti`, as its users start it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;

use rustix::process::Signal;
use venti_proto::client::Client;
use venti_proto::{BlockBatch, BlockRequest, BlockStore, BlockType, Score, conformance};

use crate::process::{HELLO, Served, fails, ok, text};
use crate::support::PATIENCE;

#[test]
fn a_block_is_written_and_read_through_a_server_and_in_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = Served::start(&store, &[]);
    let mode = std::fs::metadata(&store).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "a store is for its owner");
    let address = server.address.as_str();
    assert_eq!(ok(&["write", "-h", address], b"hello venti\n"), format!("{HELLO}\n"));
    assert_eq!(ok(&["read", "-h", address, HELLO], b""), "hello venti\n");
    assert_eq!(ok(&["read", "-h", address, HELLO, "0"], b""), "hello venti\n");
    assert_eq!(ok(&["read", "-h", address, "-t", "data", HELLO], b""), "hello venti\n");
    assert!(ok(&["ping", "-h", address], b"").contains("answers"));
    ok(&["sync", "-h", address], b"");
    // Beside the running server, and after it.
    assert_eq!(ok(&["read", "-h", text(&store), HELLO], b""), "hello venti\n");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert_eq!(ok(&["read", "-h", text(&store), HELLO], b""), "hello venti\n");
    let zeros = ok(&["write", "-h", text(&store), "-z", "-t", "directory"], b"dir\0\0\0");
    assert_eq!(zeros, format!("{}\n", Score::of(b"dir")));
}

#[test]
fn what_can_not_be_done_is_said_in_words_and_in_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = Served::start(&store, &[]);
    let address = server.address.as_str();
    ok(&["write", "-h", address, "-t", "root"], b"hello venti\n");

    let nowhere = fails(2, &["ping"], b"");
    assert!(nowhere.contains("$venti"), "{nowhere}");
    let bad_score = fails(2, &["read", "-h", address, "46bc"], b"");
    assert!(bad_score.contains("40 hexadecimal digits"), "{bad_score}");
    let bad_type = fails(2, &["read", "-h", address, HELLO, "blob"], b"");
    assert!(bad_type.contains("pointer0"), "{bad_type}");
    let wrong_type = fails(1, &["read", "-h", address, HELLO, "data"], b"");
    assert!(wrong_type.contains("is not stored as data, but as root"), "{wrong_type}");
    let absent = "0123456789012345678901234567890123456789";
    let no_block = fails(1, &["read", "-h", address, absent], b"");
    assert!(no_block.contains("under no type"), "{no_block}");
    let too_large = fails(1, &["write", "-h", address], &[1; 57345]);
    assert!(too_large.contains("57344"), "{too_large}");
    let no_server = fails(10, &["ping", "-h", "127.0.0.1:1"], b"");
    assert!(no_server.contains("127.0.0.1:1"), "{no_server}");
    let json = fails(10, &["ping", "--json", "-h", "127.0.0.1:1"], b"");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["message_type"], &json["code"]), (&"exit_error".into(), &10.into()));
    let no_store = fails(10, &["read", "-h", "/nonexistent/store", HELLO], b"");
    assert!(no_store.contains("nothing is there") && no_store.contains("venti serve"));
    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("file"), "no store").unwrap();
    let not_a_store = fails(10, &["read", "-h", text(&other), HELLO], b"");
    assert!(not_a_store.contains("no store"), "{not_a_store}");
    let foreign = fails(10, &["serve", text(&other), "--listen", "127.0.0.1:0"], b"");
    assert!(foreign.contains("has other files in it, such as file"), "{foreign}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1, "nothing was made there");
    let a_file = other.join("file");
    let no_directory = fails(10, &["serve", text(&a_file), "--listen", "127.0.0.1:0"], b"");
    assert!(no_directory.contains("is not a directory"), "{no_directory}");
    let not_local = fails(2, &["print", "-h", address], b"");
    assert!(not_local.contains("give the directory of its store"), "{not_local}");
    let not_local = fails(10, &["check", address], b"");
    assert!(not_local.contains("a server can not be named here"), "{not_local}");
    let busy = fails(11, &["write", "-h", text(&store)], b"block");
    assert!(busy.contains("in use") && busy.contains("-h"), "{busy}");
    let busy = fails(11, &["serve", text(&store), "--listen", "127.0.0.1:0"], b"");
    assert!(busy.contains("in use"), "{busy}");
    let new = directory.path().join("new");
    let taken = fails(11, &["serve", text(&new), "--listen", address], b"");
    assert!(taken.contains("listens there already"), "{taken}");
    let small = fails(2, &["serve", text(&new), "--memory", "1m"], b"");
    assert!(small.contains("at least 32m"), "{small}");
    fails(2, &["serve", text(&store), "--hello-timeout", "0s"], b"");
    // All the while the server served.
    server.client().ping().unwrap();
}

/// Greets as the original does, answers hello, and any other request with an error.
fn original_server(listener: &TcpListener) {
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"venti-04:02-libventi\n").unwrap();
    while {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        byte != *b"\n"
    } {}
    for _ in 0..2 {
        let mut length = [0; 4];
        peer.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        peer.read_exact(&mut frame).unwrap();
        let answer: &[u8] = match frame[0] {
            4 => b"\x05?\0\x09anonymous\0\0",
            _ => b"\x01?\0\x0funknown request",
        };
        let mut answer = answer.to_vec();
        answer[1] = frame[1];
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        peer.write_all(&[&length[..], &answer].concat()).unwrap();
    }
}

#[test]
fn a_server_that_does_not_know_ping_is_there_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || original_server(&listener));
    assert!(ok(&["ping", "-h", &address], b"").contains("answers"));
    server.join().unwrap();
}

#[test]
fn every_acknowledged_sync_survives_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let server = Served::start(&store, &[]);
        let (acknowledged, first) = std::sync::mpsc::channel();
        let client = server.client();
        let writer = thread::spawn(move || {
            let mut synced = Vec::new();
            for round in 0..100_000_u32 {
                let mut batch = BlockBatch::default();
                for block in 0..50_u32 {
                    batch.push(BlockType::DATA, format!("{round} {block}").repeat(20).as_bytes());
                }
                let batch = batch.hash();
                if client.write(&batch).and_then(|()| client.sync()).is_err() {
                    break;
                }
                synced.extend_from_slice(batch.scores());
                let _ = acknowledged.send(());
            }
            synced
        });
        for _ in 0..3 {
            first.recv_timeout(PATIENCE).unwrap();
        }
        server.signal(signal);
        let code = server.wait();
        assert_eq!(code, if signal == Signal::KILL { None } else { Some(0) });
        let synced = writer.join().unwrap();
        assert!(synced.len() >= 150);
        // It opens again, and has all that it promised.
        let server = Served::start(&store, &[]);
        let client = server.client();
        let requests: Vec<_> = synced
            .iter()
            .map(|score| BlockRequest { score: *score, block_type: BlockType::DATA })
            .collect();
        let mut read = 0;
        client.read(&requests, &mut |position, block| {
            block.unwrap_or_else(|error| panic!("{}: {error}", synced[position]));
            read += 1;
        });
        assert_eq!(read, synced.len());
    }
}

#[test]
fn a_store_behind_the_server_behaves_as_every_store() {
    let directory = tempfile::tempdir().unwrap();
    let server = Served::start(&directory.path().join("store"), &["--memory", "64m"]);
    conformance::check(&server.client(), 1).unwrap();
    let many = Client::connect_many(&server.address.parse().unwrap(), 4).unwrap();
    conformance::check(&many, 2).unwrap();
}

#[test]
fn a_second_signal_ends_a_server_that_still_waits_for_a_client() {
    let directory = tempfile::tempdir().unwrap();
    let server = Served::start(&directory.path().join("store"), &["--drain-timeout", "1h"]);
    let block = vec![1; 57344];
    let mut peer = server.connect();
    peer.write(1, &block);
    peer.receive();
    for tag in 0..=255 {
        peer.read(tag, Score::of(&block), 57344);
    }
    // Its replies are not taken, so the server can not finish what was asked.
    server.signal(Signal::TERM);
    let mut listening = true;
    while listening {
        listening = TcpStream::connect(&server.address).is_ok();
    }
    server.signal(Signal::TERM);
    assert!(server.wait().is_some());
}

#[test]
fn a_server_without_file_descriptors_goes_on_when_there_are_some_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = Served::spawn(
        Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_venti"))
            .args(["serve", text(&store), "--listen", "127.0.0.1:0"])
            .env("VENTI_LOG", "error"),
    );
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    // Some of them are greeted, and not all: the server has run out.
    let greeted = crowd.iter().filter(|stream| {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        let mut stream = *stream;
        stream.read_exact(&mut [0; 6]).is_ok()
    });
    let greeted = greeted.count();
    assert!(greeted > 10 && greeted < 100, "{greeted}");
    drop(crowd);
    server.connect().ping();
}

#[test]
fn a_read_only_server_serves_beside_a_writer_and_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let writer = Served::start(&store, &[]);
    ok(&["write", "-h", &writer.address], b"hello venti\n");
    let reader = Served::start(&store, &["--read-only"]);
    assert_eq!(ok(&["read", "-h", &reader.address, HELLO], b""), "hello venti\n");
    let refused = fails(1, &["write", "-h", &reader.address], b"new");
    assert!(refused.contains("takes no writes"), "{refused}");
    // What the writer gets later is seen, too.
    let later = ok(&["write", "-h", &writer.address], b"later");
    assert_eq!(ok(&["read", "-h", &reader.address, later.trim_end()], b""), "later");
}

#[test]
fn man_page_and_completions_are_made_from_the_definitions() {
    let page = ok(&["--generate", "man"], b"");
    for part in
        [".TH venti 8", "VENTI SERVE", "max\\-connections", "VENTI REBUILD-INDEX", "EXAMPLES"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let completions = ok(&["--generate", shell], b"");
        assert!(completions.contains("rebuild-index"), "{shell}");
    }
    fails(2, &[], b"");
    fails(2, &["frobnicate"], b"");
}
