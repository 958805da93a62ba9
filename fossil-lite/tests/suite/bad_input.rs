//! What is wrong, in clear words and exit codes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

use crate::fuse_mount::can_mount;
use crate::machine::{Machine, Ran};

/// Each program that needs a dump of moby; `file` is a file of today.
fn everything<'a>(file: &'a str, date: &'a str) -> [(&'static str, Vec<&'a str>); 4] {
    let rest = [file, "--", "true"];
    let bisect = ["bisect", "--good", date, "--bad", "2004/1231", "--log", "/dev/null"];
    [
        ("yesterday", vec!["--cat", "-d", date, file]),
        ("hist", vec!["-s", date, file]),
        ("hist", vec!["--since", date, file]),
        ("fossil-lite", [&bisect[..], &rest[..]].concat()),
    ]
}

fn run(machine: &Machine, program: &str, arguments: &[&str]) -> Ran {
    let path = match program {
        "yesterday" => env!("CARGO_BIN_EXE_yesterday"),
        "hist" => env!("CARGO_BIN_EXE_hist"),
        _ => env!("CARGO_BIN_EXE_fossil-lite"),
    };
    machine.run(path, arguments)
}

/// The arguments with this host, behind the command where there is one.
fn of_host<'a>(host: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let at = usize::from(arguments.first() == Some(&"bisect"));
    [&arguments[..at], &["--host", host], &arguments[at..]].concat()
}

#[test]
fn a_date_that_is_none() {
    let (machine, profile) = Machine::with_history();
    for (date, said) in [
        ("soon", "\"soon\" is not a date: try 2004/0611"),
        ("2004/0230", "there is no such day or time as \"2004/0230\""),
        ("2004-06-11 25:00", "there is no such day or time as"),
    ] {
        for (program, arguments) in everything(&profile, date) {
            let ran = run(&machine, program, &of_host("moby", &arguments));
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{program} {arguments:?}");
            assert!(ran.err.contains(said), "{program} {arguments:?}: {}", ran.err);
        }
    }
}

#[test]
fn a_date_before_the_first_dump() {
    let (machine, profile) = Machine::with_history();
    let early = "there is no dump of moby on or before 2004/0610: the first is 2004/0611";
    let ran = machine.yesterday(&["--cat", "-d", "2004/0610", &profile]);
    assert_eq!((ran.code, ran.err), (1, format!("yesterday: {early}\n")));
    let ran = machine.hist(&["-s", "2004/0610", &profile]);
    assert_eq!((ran.code, ran.err), (1, format!("hist: {early}\n")));
    let [.., (_, bisect)] = everything(&profile, "2004/0610");
    let ran = machine.fossil(&of_host("moby", &bisect));
    assert_eq!((ran.code, ran.err), (1, format!("fossil-lite: {early}\n")));
}

#[test]
fn a_host_that_is_not_in_the_log() {
    let (machine, profile) = Machine::with_history();
    let more = [("fossil-lite", vec!["find", "x"]), ("fossil-lite", vec!["status"])];
    for (program, arguments) in everything(&profile, "2004/1231").into_iter().chain(more) {
        let at = usize::from(program == "fossil-lite");
        let arguments = [&arguments[..at], &["--host", "ahab"], &arguments[at..]].concat();
        let ran = run(&machine, program, &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{program} {arguments:?}");
        assert_eq!(ran.err, format!("{program}: there is no dump of ahab\n"));
    }
}

#[test]
fn a_store_that_nothing_was_archived_to() {
    let machine = Machine::new();
    machine.make_store();
    let ran = machine.fossil(&["status"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "fossil-lite: no host was ever dumped\n"));
    let ran = machine.yesterday(&["--cat", "/etc/passwd"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "yesterday: there is no dump of moby\n"));
    if can_mount() {
        // Dumps may come.
        let at = machine.place.path().join("mount");
        fs::create_dir(&at).unwrap();
        let ran = machine.fossil(&["mount", at.to_str().unwrap()]);
        let said = "fossil-lite: no host was ever dumped: nothing is there until one is\n";
        assert_eq!((ran.code, ran.err.as_str()), (0, said));
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
        let unmounted = std::process::Command::new("umount").arg(&at).status();
        assert!(unmounted.unwrap().success());
    }
}

/// A server of the original: it knows version 04, and no message of ours.
fn answer_as_the_original(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"venti-04:02-original\n")?;
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
    }
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut message)?;
        let (kind, tag) = (message[0], message[1]);
        let answer = match kind {
            4 => [&[5, tag, 0, 9][..], b"anonymous", &[0, 0]].concat(),
            _ => [&[1, tag, 0, 15][..], b"unknown request"].concat(),
        };
        stream.write_all(&u32::try_from(answer.len()).unwrap_or(0).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

#[test]
fn a_server_that_keeps_no_roots() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| answer_as_the_original(stream));
        }
    });
    let machine = Machine::new();
    let mount = machine.home("").to_str().unwrap().to_owned();
    let more = [
        ("fossil-lite", vec!["find", "x"]),
        ("fossil-lite", vec!["status"]),
        ("fossil-lite", vec!["mount", mount.as_str()]),
        ("fossil-lite", vec!["serve", "--listen", "127.0.0.1:0"]),
    ];
    for (program, arguments) in everything("/etc/passwd", "2004/1231").into_iter().chain(more) {
        let at = usize::from(program == "fossil-lite");
        let arguments = [&arguments[..at], &["-h", &address], &arguments[at..]].concat();
        let ran = run(&machine, program, &arguments);
        let expected = format!("{program}: the server keeps no roots, and so has no dump\n");
        assert_eq!((ran.code, ran.err), (1, expected), "{arguments:?}");
    }
}

#[test]
fn a_dump_whose_blocks_are_missing_hides_no_other() {
    let (machine, profile) = Machine::with_history();
    machine.record("2005-01-01T03:00:00Z", |store| {
        let mut batch = BlockBatch::default();
        let root = Root::vac(Score::of(b"never written"), 8192).encode().unwrap();
        batch.push(BlockType::ROOT, &root);
        let batch = batch.hash();
        store.write(&batch).unwrap();
        batch.scores()[0]
    });
    machine.dump("2005-01-02T03:00:00Z");
    let ran = machine.hist(&["--mount", "/n/dump", &profile]);
    assert_eq!((ran.code, ran.out.lines().count()), (3, 3), "{}", ran.err);
    assert!(ran.err.starts_with("hist: 2005/0101: i/o error: "), "{}", ran.err);
    let ran = machine.fossil(&["find", "--host", "moby", "profile"]);
    assert_eq!((ran.code, ran.out.lines().count()), (3, 3), "{}", ran.err);
    assert!(ran.err.starts_with("fossil-lite: 2005/0101/: i/o error: "), "{}", ran.err);
    for (date, code, expected) in
        [("20050102", 0, "three\n"), ("20050101", 1, ""), ("20041231", 0, "two\n")]
    {
        let ran = machine.yesterday(&["-d", date, "--cat", &profile]);
        assert_eq!((ran.code, ran.out.as_str()), (code, expected), "{date}: {}", ran.err);
    }
}
