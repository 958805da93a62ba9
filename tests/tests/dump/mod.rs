//! The dump with the real programs: a server, a host that archives to it, and the mount.

mod host;
mod json;
mod kill;
mod readers;

use std::path::Path;

/// Whether anything can be mounted here.
fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("skipped: needs root and /dev/fuse");
    }
    can
}
