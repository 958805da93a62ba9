//! The log of roots through a real server and our client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use venti_proto::address::Address;
use venti_proto::client::{Client, ClientOptions};
use venti_proto::roots::{Completeness, MemoryRootLog, NewRoot, RootLog, RootLogError, RootQuery};
use venti_proto::{Score, Version};
use venti_server::limits::Limits;
use venti_server::server::HostsFile;

use crate::support::{PATIENCE, TestEngine, TestServer, config};

fn root(host: &str, number: u64) -> NewRoot {
    NewRoot {
        host: host.parse().unwrap(),
        archive: "-".parse().unwrap(),
        score: Score::of(&number.to_be_bytes()),
        bytes: number,
        files: 1,
        completeness: Completeness::Complete,
    }
}

fn server_with_roots() -> TestServer {
    let roots = Some(MemoryRootLog::new("Europe/Berlin", || 7));
    TestServer::start(
        Arc::new(TestEngine { roots, ..TestEngine::default() }),
        config(Limits::default()),
    )
}

fn client(server: &TestServer) -> Client {
    Client::connect(&server.addresses[0].parse().unwrap()).unwrap()
}

#[test]
fn roots_are_recorded_listed_and_watched() {
    let server = server_with_roots();
    let (client, other) = (client(&server), client(&server));
    for number in 0..200 {
        let record = client.record(&root(["a", "b"][number % 2], number as u64)).unwrap();
        assert_eq!((record.sequence, record.time), (number as u64, 7));
    }
    let mut seen = Vec::new();
    let query = RootQuery { host: Some("b".parse().unwrap()), ..RootQuery::default() };
    other
        .each(&query, &mut |record| {
            seen.push(record.sequence);
            true
        })
        .unwrap();
    assert!(seen.into_iter().eq((0..200).rev().filter(|n| n % 2 == 1)));
    assert_eq!(other.list(&query).unwrap().time_zone, "Europe/Berlin");

    assert_eq!(other.watch(100, PATIENCE), Ok(200));
    assert_eq!(other.watch(200, Duration::from_millis(10)), Ok(200));
    let begun = Instant::now();
    let watcher = std::thread::spawn(move || other.watch(200, PATIENCE));
    client.record(&root("c", 0)).unwrap();
    assert_eq!(watcher.join().unwrap(), Ok(201));
    assert!(begun.elapsed() < PATIENCE, "the watch ended with the record, not with the time");
}

#[test]
fn a_watch_holds_up_nothing_else_on_its_connection() {
    let server = server_with_roots();
    let client = Arc::new(client(&server));
    let watching = Arc::clone(&client);
    let watcher = std::thread::spawn(move || watching.watch(0, PATIENCE));
    client.ping().unwrap();
    client.record(&root("a", 1)).unwrap();
    assert_eq!(watcher.join().unwrap(), Ok(1));
}

#[test]
fn a_list_of_hosts_binds_names_to_where_connections_come_from() {
    let directory = tempfile::tempdir().unwrap();
    let (list, socket) = (directory.path().join("hosts"), directory.path().join("socket"));
    std::fs::write(&list, "www 127.0.0.1\nnas unix\n").unwrap();
    let mut config = config(Limits::default());
    config.listen.push(Address::Unix(socket.clone()));
    config.hosts = Some(HostsFile::new(&list).unwrap());
    let roots = Some(MemoryRootLog::new("UTC", || 7));
    let server = TestServer::start(Arc::new(TestEngine { roots, ..TestEngine::default() }), config);
    let tcp = client(&server);
    let unix = Client::connect(&Address::Unix(socket)).unwrap();
    let refused = |client: &Client, host: &str| match client.record(&root(host, 1)) {
        Err(RootLogError::NotAllowed { detail }) => detail,
        other => panic!("{host}: {other:?}"),
    };
    assert_eq!(tcp.record(&root("www", 1)).unwrap().sequence, 0);
    let text = "host nas: the server's list of hosts does not have it at 127.0.0.1";
    assert_eq!(refused(&tcp, "nas"), text);
    let text = "host www: the server's list of hosts does not have it on this socket";
    assert_eq!(refused(&unix, "www"), text);
    assert_eq!(unix.record(&root("nas", 1)).unwrap().sequence, 1);
    std::fs::remove_file(&list).unwrap();
    assert_eq!(refused(&tcp, "www"), "the server can not read its list of hosts");
    assert_eq!(tcp.list(&RootQuery::default()).unwrap().next, 2, "everybody may list");
}

#[test]
fn a_server_without_roots_and_an_old_peer_say_so() {
    let (server, _) = TestServer::with_limits(Limits::default());
    let unsupported = Err(RootLogError::Unsupported);
    assert_eq!(client(&server).record(&root("a", 1)), unsupported);
    let server = server_with_roots();
    let options = ClientOptions { versions: vec![Version::V04], ..ClientOptions::default() };
    let old = Client::connect_with(&server.addresses[0].parse().unwrap(), 1, &options).unwrap();
    assert_eq!(old.record(&root("a", 1)), unsupported);
    assert!(old.stats().unwrap_err().is_unknown_request());
}
