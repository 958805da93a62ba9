//! The program `venti` as a process: run to its end, or serving.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use venti_proto::client::Client;
use venti_proto::{BlockBatch, BlockStore, BlockType, Entry, Root, Score, StreamKind, Version};

use crate::support::{PATIENCE, Peer};

pub(crate) const HELLO: &str = "46bc3b9a3f81c11d49eff12f52b561d1de748d5b";

pub(crate) fn venti(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venti"));
    command.args(arguments).env_remove("venti").env("VENTI_LOG", "warn");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
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
pub(crate) fn ok(arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must end with `code`, and returns what it said.
pub(crate) fn fails(code: i32, arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors
}

/// A running `venti serve`, killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    pub(crate) fn start(store: &Path, arguments: &[&str]) -> Served {
        Served::spawn(venti(&["serve", text(store), "--listen", "127.0.0.1:0"]).args(arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
        Served { child, address }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address.parse().unwrap()).unwrap()
    }

    pub(crate) fn connect(&self) -> Peer<TcpStream> {
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

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a root that leads to a directory with one file of one block.
pub(crate) fn write_tree(store: &dyn BlockStore) -> [Score; 3] {
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
