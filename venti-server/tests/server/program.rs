//! The program `venti`, as its users start it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use venti_proto::client::Client;
use venti_proto::{
    BlockBatch, BlockRequest, BlockStore, BlockType, Entry, Root, Score, StreamKind, Version,
};

use crate::support::{PATIENCE, Peer};

const HELLO: &str = "46bc3b9a3f81c11d49eff12f52b561d1de748d5b";

fn venti(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venti"));
    command.args(arguments).env_remove("venti").env("VENTI_LOG", "warn");
    command
}

/// Runs the program to its end.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = venti(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want its input may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Runs the program, which must succeed, and returns what it printed.
fn ok(arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must end with `code`, and returns what it said.
fn fails(code: i32, arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors
}

/// A running `venti serve`, killed when dropped.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(store: &Path, arguments: &[&str]) -> Served {
        Served::spawn(venti(&["serve", text(store), "--listen", "127.0.0.1:0"]).args(arguments))
    }

    fn spawn(command: &mut Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
        Served { child, address }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn client(&self) -> Client {
        Client::connect(&self.address.parse().unwrap()).unwrap()
    }

    fn connect(&self) -> Peer<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer::hello(stream, Version::V04)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

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
    let busy = fails(11, &["write", "-h", text(&store)], b"block");
    assert!(busy.contains("in use") && busy.contains("-h"), "{busy}");
    let busy = fails(11, &["serve", text(&store), "--listen", "127.0.0.1:0"], b"");
    assert!(busy.contains("in use"), "{busy}");
    let taken = fails(11, &["serve", text(&other.join("new")), "--listen", address], b"");
    assert!(taken.contains("listens there already"), "{taken}");
    let small = fails(2, &["serve", text(&other.join("new")), "--memory", "1m"], b"");
    assert!(small.contains("at least 32m"), "{small}");
    fails(2, &["serve", text(&store), "--hello-timeout", "0s"], b"");
    // All the while the server served.
    server.client().ping().unwrap();
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

/// Writes a root that leads to a directory with one file of one block.
fn write_tree(store: &dyn BlockStore) -> [Score; 3] {
    let write = |block_type, data: &[u8]| {
        let mut batch = BlockBatch::default();
        batch.push(block_type, data);
        let batch = batch.hash();
        store.write(&batch).unwrap();
        batch.scores()[0]
    };
    let data = write(BlockType::DATA, b"the file");
    let file = Entry { score: data, size: 8, ..Entry::empty(StreamKind::Data, 8192, 8192) };
    let directory = write(BlockType::DIRECTORY, &file.encode().unwrap());
    let root = write(BlockType::ROOT, &Root::vac(directory, 8192).encode().unwrap());
    store.sync().unwrap();
    [data, directory, root]
}

#[test]
fn a_tree_is_copied_between_servers_and_stores() {
    let directory = tempfile::tempdir().unwrap();
    let source = Served::start(&directory.path().join("source"), &[]);
    let destination = Served::start(&directory.path().join("destination"), &[]);
    let [data, _, root] = write_tree(&source.client());
    let from = source.address.as_str();
    let score = format!("vac:{root}");
    let copied = ok(&["copy", "--json", from, &destination.address, &score], b"");
    let copied: serde_json::Value = serde_json::from_str(&copied).unwrap();
    assert_eq!(copied["copied"]["written"], 3);
    assert_eq!(copied["score"], root.to_string());
    assert_eq!(ok(&["read", "-h", &destination.address, &data.to_string()], b""), "the file");
    // Again, and fast: nothing to do.
    let again = run(&["copy", "-f", "-v", from, &destination.address, &score], b"");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("1 skipped, 0 written"), "{said}");
    // From a store that a server has open, into one that nobody has.
    let fresh = directory.path().join("fresh");
    let made = Served::start(&fresh, &[]);
    made.signal(Signal::TERM);
    assert_eq!(made.wait(), Some(0));
    let store = directory.path().join("source");
    ok(&["copy", "-m", text(&store), text(&fresh), &score], b"");
    assert_eq!(ok(&["read", "-h", text(&fresh), &data.to_string()], b""), "the file");
}

#[test]
fn a_tree_with_a_hole_is_copied_only_if_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let source = Served::start(&directory.path().join("source"), &[]);
    let destination = Served::start(&directory.path().join("destination"), &[]);
    let (from, to) = (source.address.as_str(), destination.address.as_str());
    let missing = Score::of(b"nobody has this");
    let file = Entry { score: missing, size: 8, ..Entry::empty(StreamKind::Data, 8192, 8192) };
    let block = ok(&["write", "-h", from, "-t", "directory"], &file.encode().unwrap());
    let directory: Score = block.trim_end().parse().unwrap();
    let root = Root::vac(directory, 8192).encode().unwrap();
    let root = ok(&["write", "-h", from, "-t", "root"], &root);
    let score = format!("vac:{}", root.trim_end());
    let named = fails(1, &["copy", from, to, &score], b"");
    assert!(named.contains(&missing.to_string()), "{named}");
    fails(3, &["copy", "-i", from, to, &score], b"");
    let rewritten = run(&["copy", "-r", from, to, &score], b"");
    assert_eq!(rewritten.status.code(), Some(3));
    let said = String::from_utf8(rewritten.stdout).unwrap();
    assert!(said.starts_with("vac:") && said.ends_with(" (2 pointers rewritten)\n"), "{said}");
    let new_root = said.split(' ').next().unwrap();
    ok(&["copy", to, from, new_root], b"");
    fails(2, &["copy", "-i", "-r", from, to, &score], b"");
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
