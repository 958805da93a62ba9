//! Each call by which the server changes files fails, once and for ever, in each way that the
//! system knows: no sync is acknowledged that did not happen.
//!
//! After the fault the server is killed and started again: what it acknowledged must be there.
//! `VENTI_FAULTS` says how many places of each kind are tried; 0 stands for all there are.

use tempfile::TempDir;

use crate::support::oracle::Oracle;
use crate::support::server::{Server, has_strace};

/// What is done to a call.
const FAULTS: [&str; 5] = ["error=EIO", "error=ENOSPC", "error=EINTR", "error=EROFS", "retval=0"];

/// The calls that are made to fail, with the faults that make sense for each.
const CALLS: [(&str, &[&str]); 4] = [
    ("pwrite64", &FAULTS),
    ("fdatasync", &["error=EIO", "error=ENOSPC", "error=EINTR"]),
    ("fsync", &["error=EIO", "error=EINTR"]),
    ("rename,renameat,renameat2,ftruncate,mkdirat,fchmod", &["error=EIO", "error=ENOSPC"]),
];

fn places() -> u64 {
    std::env::var("VENTI_FAULTS").map_or(3, |n| n.parse().expect("VENTI_FAULTS is a number"))
}

/// Runs the server with one fault injected, then checks its promises without. Returns whether
/// the fault was noticed by anybody.
fn try_fault(inject: &str, seed: u64) -> bool {
    let directory = TempDir::new().expect("a directory");
    let store = directory.path().join("store");
    let mut oracle = Oracle::new(seed);
    let mut server = Server::start_traced(&store, &[format!("inject={inject}")]);
    let noticed = match server.connect() {
        Some(mut client) => !matches!(oracle.work(&mut client, 40), Ok(Ok(()))),
        None => true,
    };
    server.kill();
    println!("after {inject}");
    let mut server = Server::start(&store, &[]);
    let mut client = server.client();
    oracle.verify(&mut client);
    noticed
}

#[test]
fn no_false_acknowledgement() {
    if !has_strace() {
        return;
    }
    let mut noticed = 0;
    for (calls, faults) in CALLS {
        for fault in faults {
            for how_long in ["", "+"] {
                for place in 1.. {
                    let inject = format!("{calls}:{fault}:when={place}{how_long}");
                    let hit = try_fault(&inject, place);
                    noticed += u64::from(hit);
                    let exhausted = !hit && place > 60;
                    if place == places() || exhausted {
                        break;
                    }
                }
            }
        }
    }
    assert!(noticed > 0, "no fault had any effect");
}
