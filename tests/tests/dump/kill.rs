//! The server, the mount and vac are killed while a host archives: every dump that is in the log
//! is whole, before and after, and everything can be started again.
//!
//! `VENTI_KILLS`, divided by ten, says how often each is killed.

use std::time::Duration;

use super::host::Host;
use crate::kill::kills;
use crate::support::can_mount;
use crate::support::oracle::Oracle;

/// Which of them is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Server,
    Mount,
    Client,
}

#[test]
fn whoever_is_killed_every_dump_is_whole() {
    if !can_mount() {
        return;
    }
    let mut host = Host::new();
    let mut random = Oracle::new(20_040_611);
    let mut server = host.start_server();
    host.change();
    assert!(host.archive().wait().expect("a child").success());
    assert_eq!(host.look_at_log(), 1);
    let mut mount = host.mount();
    let mut dumps = 1;
    for round in 0..kills().div_ceil(10) * 3 {
        let victim = [Victim::Server, Victim::Mount, Victim::Client]
            [usize::try_from(round % 3).expect("small")];
        host.change();
        let mut client = host.archive();
        std::thread::sleep(Duration::from_micros(random.below(150_000)));
        match victim {
            Victim::Server => {
                server.kill();
                // The host may be done by then; otherwise it must not say so.
                let status = client.wait().expect("a child");
                server = host.start_server();
                let found = host.look_at_log();
                assert!(found > dumps || !status.success(), "round {round}: a dump is lost");
            }
            Victim::Mount => {
                mount.kill();
                assert!(client.wait().expect("a child").success(), "round {round}");
                mount = host.mount();
                assert_eq!(host.look_at_log(), dumps + 1, "round {round}");
            }
            Victim::Client => {
                let _ = client.kill();
                client.wait().expect("a child");
            }
        }
        dumps = host.look_at_log();
        // The mount heals when its server is there again, and shows the newest dump.
        host.compare_mounted(0);
        host.compare_mounted(dumps - 1);
        // What was cut off is done by the next.
        assert!(host.archive().wait().expect("a child").success(), "round {round}");
        dumps = host.look_at_log();
    }
    host.compare_all();
    mount.terminate();
    let left = std::fs::read_dir(host.mount_point()).expect("a directory").count();
    assert_eq!(left, 0, "it is unmounted");
    assert!(server.terminate().success());
}
