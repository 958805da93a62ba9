//! Two hundred read the mount while the host archives.

use std::fs;

use super::host::{FILES, Host};
use crate::support::can_mount;

/// Readers at once.
const READERS: usize = 200;

#[test]
fn two_hundred_read_the_mount_while_the_host_archives() {
    if !can_mount() {
        return;
    }
    let mut host = Host::new();
    let server = host.start_server();
    host.change();
    assert!(host.archive().wait().expect("a child").success());
    assert_eq!(host.look_at_log(), 1);
    let mount = host.mount();
    let year = fs::read_dir(host.mount_point())
        .expect("the dump")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| !path.ends_with("latest"))
        .expect("a year");
    let root = fs::read_dir(year).expect("a year").next().expect("a day").expect("a day").path();
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let root = &root;
            scope.spawn(move || {
                for step in 0..10 {
                    let file = (reader + step) % FILES;
                    let read = fs::read(root.join(Host::name(file))).expect("readable");
                    assert!(read == Host::content(file, 1), "file{file}");
                }
                assert_eq!(fs::read_dir(root.join("below")).expect("a list").count(), FILES / 2);
            });
        }
        for dumps in 2..5 {
            host.change();
            assert!(host.archive().wait().expect("a child").success());
            assert_eq!(host.look_at_log(), dumps);
        }
    });
    host.compare_all();
    mount.terminate();
    assert!(server.terminate().success());
}
