//! Every phase against a small server with a store in memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use venti_benches::blocks::{BlockMaker, Content};
use venti_proto::message::Version;
use venti_proto::session::{Request, Responder, ServerHandshake};
use venti_proto::{BlockBatch, BlockStore, MemoryStore, Score};

use crate::workload::{Phase, Workload};

/// Serves any number of connections, a thread each, until the test ends.
fn serve(store: Arc<MemoryStore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let store = Arc::clone(&store);
            thread::spawn(move || converse(stream.expect("a connection"), &store));
        }
    });
    address
}

fn converse(mut stream: TcpStream, store: &MemoryStore) {
    let (mut received, mut output) = (Vec::new(), Vec::new());
    let mut handshake = ServerHandshake::new(&[Version::V04, Version::V02], &mut output);
    let mut session = None;
    loop {
        stream.write_all(&output).expect("sent");
        output.clear();
        let mut buffer = [0; 65_536];
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => received.extend_from_slice(&buffer[..length]),
            _ => return,
        }
        let mut input = received.as_slice();
        if session.is_none() {
            session = handshake.receive(&mut input, &mut output).expect("a hello");
        }
        if let Some(session) = &mut session {
            let responder = session.responder();
            while let Some(request) = session.next_request(&mut input, &mut output).expect("valid")
            {
                answer(store, &responder, &request, &mut output);
            }
        }
        let left = input.len();
        received.drain(..received.len() - left);
    }
}

fn answer(store: &MemoryStore, responder: &Responder, request: &Request<'_>, output: &mut Vec<u8>) {
    match *request {
        Request::Read { tag, block, count } => {
            store.read(&[block], &mut |_, found| match found {
                Ok(data) => responder.read(tag, count, data, output),
                Err(error) => responder.error(tag, &error, output),
            });
        }
        Request::Write { tag, block_type, data } => {
            let mut batch = BlockBatch::default();
            batch.push(block_type, data);
            let batch = batch.hash();
            store.write(&batch).expect("written");
            responder.write(tag, batch.scores()[0], output);
        }
        Request::Sync { tag } => responder.sync(tag, output),
        // Nobody here asks for anything else.
        _ => {}
    }
}

#[test]
fn every_phase_runs_with_one_and_several_clients() {
    let address = serve(Arc::default());
    let maker = BlockMaker::new(Content::Text, 8192, 9);
    for (clients, first) in [(1, 0), (3, 1000)] {
        let scores = vec![Score::ZERO; 700];
        let address = address.as_str();
        let mut load = Workload { address, window: 250, maker: &maker, first, scores, clients };
        for phase in Phase::ALL {
            load.run(phase).unwrap_or_else(|error| panic!("{}: {error:#}", phase.name()));
        }
        let mut last = Vec::new();
        maker.append(first + 699, &mut last);
        assert_eq!(load.scores[699], Score::of(&last));
    }
}

#[test]
fn a_block_that_is_not_there_ends_the_phase() {
    let address = serve(Arc::default());
    let maker = BlockMaker::new(Content::Random, 512, 9);
    let scores = vec![Score::of(b"nothing")];
    let (address, window, clients) = (address.as_str(), 4, 1);
    let mut load = Workload { address, window, maker: &maker, first: 0, scores, clients };
    for phase in [Phase::Probe, Phase::RandomRead] {
        let error = load.run(phase).expect_err("nothing is there").to_string();
        assert!(error.contains("no block"), "{error}");
    }
}
