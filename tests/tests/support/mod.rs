//! What the system tests share.

pub(crate) mod dated_store;
pub(crate) mod oracle;
pub(crate) mod programs;
pub(crate) mod raw_client;
pub(crate) mod server;

use std::path::Path;

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Whether anything can be mounted here.
pub(crate) fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("skipped: needs root and /dev/fuse");
    }
    can
}
