//! The server is killed, at random moments and at each of its calls of the system: nothing that a
//! sync promised is lost, nothing wrong is returned, and it starts again by itself.
//!
//! `VENTI_KILLS` says how many kills of each kind are tried.

use tempfile::TempDir;

use crate::support::oracle::Oracle;
use crate::support::server::{Server, has_strace};

/// The calls by which the server changes files.
const CHANGING_CALLS: &str = "pwrite64,pwritev,pwritev2,write,fdatasync,fsync,ftruncate,rename,\
    renameat,renameat2,openat,unlink,unlinkat,mkdir,mkdirat,fchmod,fchmodat";

pub(crate) fn kills() -> u64 {
    std::env::var("VENTI_KILLS").map_or(50, |n| n.parse().expect("VENTI_KILLS is a number"))
}

/// Starts a server that nothing disturbs, and checks every promise.
fn verify(oracle: &mut Oracle, directory: &TempDir) -> usize {
    let mut server = Server::start(&directory.path().join("store"), &[]);
    let mut client = server.client();
    let promised = oracle.verify(&mut client);
    drop(client);
    assert!(server.terminate().success());
    promised
}

#[test]
fn killed_at_random() {
    let directory = TempDir::new().expect("a directory");
    let mut oracle = Oracle::new(20_040_611);
    for round in 0..kills() {
        let mut server = Server::start(&directory.path().join("store"), &[]);
        let mut client = server.client();
        let worked = if round % 3 == 0 {
            // In the middle of whatever it does: the connection breaks under the client.
            let pause = std::time::Duration::from_micros(oracle.below(60_000));
            let killer = std::thread::spawn(move || {
                std::thread::sleep(pause);
                server.kill();
            });
            let worked = oracle.work(&mut client, 200);
            killer.join().expect("the killer ends");
            worked.unwrap_or(Ok(()))
        } else {
            // Just after a sync that it acknowledged.
            let syncs = usize::try_from(1 + oracle.below(4)).expect("small");
            let worked = oracle.work(&mut client, syncs).expect("the server serves");
            server.kill();
            worked
        };
        assert_eq!(worked, Ok(()), "round {round}");
        if round % 10 == 9 {
            verify(&mut oracle, &directory);
        }
    }
    assert!(verify(&mut oracle, &directory) > 100);
}

#[test]
fn killed_at_the_nth_call() {
    if !has_strace() {
        return;
    }
    let mut killed = 0;
    let directory = TempDir::new().expect("a directory");
    let mut oracle = Oracle::new(19_901);
    for round in 0..kills() {
        // Early calls are those of opening and recovery, later ones those of work.
        let call = 1 + if round % 2 == 0 { round / 2 } else { oracle.below(120) };
        let inject = format!("inject={CHANGING_CALLS}:signal=KILL:when={call}");
        let mut server = Server::start_traced(&directory.path().join("store"), &[inject]);
        let ended = match server.connect() {
            Some(mut client) => oracle.work(&mut client, 12).is_err(),
            None => true,
        };
        killed += u64::from(ended);
        server.kill();
        verify(&mut oracle, &directory);
    }
    assert!(killed * 2 > kills(), "only {killed} of {} runs were killed", kills());
}
