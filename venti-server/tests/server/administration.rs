//! The commands that look after stores, and copy from one to another.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use venti_proto::roots::{Completeness, NewRoot, RootLog as _};
use venti_proto::{Entry, Root, Score, StreamKind};

use crate::process::{Served, fails, ok, run, text, venti, write_tree};

#[test]
fn a_tree_is_copied_between_servers_and_stores() {
    let directory = tempfile::tempdir().unwrap();
    let source = Served::start(&directory.path().join("source"), &[]);
    let destination = Served::start(&directory.path().join("destination"), &[]);
    let [data, _, root] = write_tree(&source.client());
    let from = source.address.as_str();
    let score = format!("vac:{root}");
    let copied = ok(&["copy", "--json", from, &destination.address, &score], b"");
    let copied: Value = serde_json::from_str(&copied).unwrap();
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

/// A store with one tree that nobody has open, the tree's scores, and its one arena.
fn store_with_a_tree(directory: &Path) -> (PathBuf, [Score; 3], PathBuf) {
    let store = directory.join("store");
    let server = Served::start(&store, &[]);
    let scores = write_tree(&server.client());
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let arenas = fs::read_dir(store.join("arenas")).unwrap().map(|entry| entry.unwrap().path());
    let arena = arenas.filter(|path| path.extension().is_some_and(|e| e == "arena")).min().unwrap();
    (store, scores, arena)
}

#[test]
fn a_store_in_order_is_said_to_be_and_a_flipped_byte_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, arena) = store_with_a_tree(directory.path());
    assert!(ok(&["check", text(&store)], b"").contains("in order"));
    let all = ok(&["check", "--data", "--json", text(&store)], b"");
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["blocks"], 3);
    // The last byte of the data of the first block.
    let bytes = fs::read(&arena).unwrap();
    let place = bytes.windows(8).position(|window| window == b"the file").unwrap() + 7;
    fs::set_permissions(&arena, fs::Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new().write(true).open(&arena).unwrap();
    file.write_all_at(&[bytes[place] ^ 1], place as u64).unwrap();
    let found = run(&["check", "--data", text(&store)], b"");
    assert_eq!(found.status.code(), Some(3));
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(said.contains("DAMAGED: arena") && said.contains("NOT in order"), "{said}");
}

#[test]
fn an_archive_that_was_recorded_and_is_cut_off_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = Served::start(&store, &[]);
    let client = server.client();
    let [.., score] = write_tree(&client);
    let new = NewRoot {
        host: "moby".parse().unwrap(),
        archive: "-".parse().unwrap(),
        score,
        bytes: 8,
        files: 1,
        completeness: Completeness::Complete,
    };
    client.record(&new).unwrap();
    assert!(ok(&["check", text(&store)], b"").contains("in order"), "beside the server");
    drop(client);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert!(ok(&["check", text(&store)], b"").contains("in order"));
    // What is left is a store in which nothing was ever written.
    let arena = fs::read_dir(store.join("arenas")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&arena).unwrap();
    let found = run(&["check", text(&store)], b"");
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(said.contains("DAMAGED: ") && said.contains(&format!("vac:{score}")), "{said}");
}

#[test]
fn lost_scores_are_found_beside_a_server_and_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let (store, [_, tree, root], _) = store_with_a_tree(directory.path());
    let server = Served::start(&store, &[]);
    let newer = Root { name: b"second".to_vec(), previous: root, ..Root::vac(tree, 8192) };
    std::thread::sleep(std::time::Duration::from_millis(2));
    let newer = ok(&["write", "-h", &server.address, "-t", "root"], &newer.encode().unwrap());
    let newer = newer.trim_end();
    let found = ok(&["find-roots", text(&store)], b"");
    let lines: Vec<_> = found.lines().collect();
    assert!(lines[0].contains(&format!("vac:{newer}")), "the newest first: {found}");
    assert!(lines[0].contains("second") && lines[1].contains(&root.to_string()), "{found}");
    let first = ok(&["find-roots", "--json", "--limit", "1", text(&store)], b"");
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["score"], newer);
    assert_eq!(first["root"]["previous"], root.to_string());
    assert_eq!(first["root"]["name"], "second");
    let not_local = fails(2, &["find-roots", "-h", &server.address], b"");
    assert!(not_local.contains("give the directory of its store"), "{not_local}");
}

#[test]
fn arenas_and_what_is_in_them_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, [data, tree, root], _) = store_with_a_tree(directory.path());
    let arenas = ok(&["print", text(&store)], b"");
    assert_eq!(arenas.lines().count(), 1, "{arenas}");
    let arenas = ok(&["print", "--json", text(&store)], b"");
    let arenas: Value = serde_json::from_str(&arenas).unwrap();
    assert_eq!(arenas["blocks"], 3);
    let number = arenas["number"].to_string();
    let contents = ok(&["print", "--arena", &number, text(&store)], b"");
    let lines: Vec<_> = contents.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, (score, name)) in
        lines.iter().zip([(data, "data"), (tree, "directory"), (root, "root")])
    {
        assert!(line.contains(&format!("{score} {name}")), "{line}");
    }
    let records = ok(&["print", "--records", "--arena", &number, text(&store)], b"");
    assert!(records.contains("header") && records.contains("mark"), "{records}");
    let none = fails(1, &["print", "--arena", "4711", text(&store)], b"");
    assert!(none.contains("no arena 4711"), "{none}");
}

#[test]
fn a_store_without_its_index_has_everything_and_makes_it_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (store, [data, ..], _) = store_with_a_tree(directory.path());
    let _ = fs::remove_dir_all(store.join("index"));
    assert_eq!(ok(&["read", "-h", text(&store), &data.to_string()], b""), "the file");
    let rebuilt = ok(&["rebuild-index", text(&store)], b"");
    assert!(rebuilt.contains("3 blocks"), "{rebuilt}");
    assert!(ok(&["check", "--data", text(&store)], b"").contains("in order"));
    let server = Served::start(&store, &[]);
    assert_eq!(ok(&["read", "-h", &server.address, &data.to_string()], b""), "the file");
    let busy = fails(11, &["rebuild-index", text(&store)], b"");
    assert!(busy.contains("in use"), "{busy}");
}

#[test]
fn what_a_store_holds_is_told_to_people_and_to_scripts() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = store_with_a_tree(directory.path());
    let said = ok(&["stats", text(&store)], b"");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["blocks", "3"])), "{said}");
    let stats: Value = serde_json::from_str(&ok(&["stats", "--json", text(&store)], b"")).unwrap();
    assert_eq!(stats["blocks"], 3);
    let server = Served::start(&store, &[]);
    let said = ok(&["stats", "-h", &server.address], b"");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["blocks", "3"])), "{said}");
    let json = ok(&["stats", "--json", "-h", &server.address], b"");
    let served: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(served["block_bytes"], stats["block_bytes"]);
    assert_eq!(served["read_only"], Value::Null, "and what only it knows");
    let said: Value = serde_json::from_slice(&server.client().stats().unwrap()).unwrap();
    let (connections, roots) = (&said["server"]["connections"], &said["store"]["roots"]);
    assert_eq!((connections, roots), (&3.into(), &0.into()));
}

#[test]
fn roots_that_hosts_record_are_kept_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = Served::start(&store, &["--time-zone", "Europe/Berlin"]);
    let client = server.client();
    let nothing = fails(1, &["roots", "-h", &server.address], b"");
    assert_eq!(nothing, "venti: no archive is recorded\n");
    let mut scores = Vec::new();
    for (host, number) in [("www", 1), ("mail", 2), ("www", 3)] {
        let block = Root { name: vec![b'0' + number], ..Root::vac(Score::ZERO, 8192) };
        let block = block.encode().unwrap();
        let score = Score::of(&block);
        ok(&["write", "-h", &server.address, "-t", "root"], &block);
        scores.push(score);
        let root = NewRoot {
            host: host.parse().unwrap(),
            archive: "-".parse().unwrap(),
            score,
            bytes: 1500,
            files: 7,
            completeness: Completeness::Complete,
        };
        assert_eq!(client.record(&root).unwrap().sequence, u64::from(number) - 1);
    }
    let newest = format!(" www - vac:{} ", scores[2]);
    let listed = ok(&["roots", "-h", &server.address, "--host", "www", "--limit", "1"], b"");
    assert!(listed.contains(&newest) && listed.ends_with(" 7 files, 1.50 kB\n"), "{listed}");
    let nobody = fails(1, &["roots", "-h", &server.address, "--host", "ahab"], b"");
    assert_eq!(nobody, "venti: no archive of ahab is recorded\n");
    let all = ok(&["roots", "-h", &server.address, "--json"], b"");
    let hosts: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hosts: Vec<_> = hosts.iter().map(|root| root["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["www", "mail", "www"]);
    assert_eq!(client.list(&Default::default()).unwrap().time_zone, "Europe/Berlin");
    drop(client);
    server.signal(Signal::KILL);
    assert_eq!(server.wait(), None);
    // The log is lost, and is made again from the blocks.
    fs::remove_dir_all(store.join("roots")).unwrap();
    assert_eq!(ok(&["roots", "-h", text(&store)], b"").lines().count(), 3);
    let server = Served::start(&store, &["--time-zone", "Europe/Berlin"]);
    assert_eq!(ok(&["roots", "-h", &server.address, "--json"], b""), all);
    let unknown = fails(2, &["serve", text(&store), "--time-zone", "Mars/Olympus"], b"");
    assert!(unknown.contains("Mars/Olympus"), "{unknown}");
}

/// The zone that a server says, started so on a machine that is somewhere else, and what it logs.
fn zone_of(store: &Path, arguments: &[&str]) -> (String, String) {
    let log = store.with_extension("log");
    let mut command = venti(&["serve", text(store), "--listen", "127.0.0.1:0"]);
    command.args(arguments).env("TZ", "America/New_York");
    let server = Served::spawn(command.stderr(fs::File::create(&log).unwrap()));
    let zone = server.client().list(&Default::default()).unwrap().time_zone;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    (zone, fs::read_to_string(log).unwrap())
}

#[test]
fn days_are_cut_in_the_time_zone_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let berlin = &["--time-zone", "Europe/Berlin"];
    let (zone, said) = zone_of(&store, berlin);
    assert!(zone == "Europe/Berlin" && !said.contains("other names"), "{zone}: {said}");
    let (zone, said) = zone_of(&store, &[]);
    assert!(zone == "Europe/Berlin" && !said.contains("other names"), "{zone}: {said}");
    let (zone, said) = zone_of(&store, &["--time-zone", "Asia/Tokyo"]);
    assert!(zone == "Asia/Tokyo" && said.contains("dumps of old days have other names"), "{said}");
    assert_eq!(zone_of(&store, &[]).0, "Asia/Tokyo");
    assert_eq!(zone_of(&directory.path().join("other"), &[]).0, "America/New_York");
    fs::write(store.join("roots/zone"), "venti roots zone 1\nMars/Olympus\n").unwrap();
    let refused = fails(2, &["serve", text(&store)], b"");
    assert!(refused.contains("Mars/Olympus"), "{refused}");
}
