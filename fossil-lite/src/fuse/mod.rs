//! The dump as a FUSE file system: a thin side of [`crate::dump`].
//!
//! The kernel enforces permissions (`default_permissions`, ACLs), and is told that nothing in a
//! dump ever changes, so that it asks once. A version of a file has one inode number in every dump
//! that has it, so its pages are kept once. Directories have one a dump: the kernel allows no
//! directory two places.

mod attributes;
mod file_system;
mod inodes;
mod walks;

use std::path::Path;
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use venti_proto::roots::HostName;

use crate::dump::Tree;
use file_system::DumpFileSystem;

/// Who may see a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, each with their own permissions: only root can offer that.
    Everybody,
    /// Only the user who mounts it.
    Owner,
}

/// Mounts the dump; it is unmounted when the session is dropped or told so.
///
/// # Errors
/// What the system says: the directory is not there, in use, or not allowed.
pub fn mount(tree: Arc<Tree>, at: &Path, audience: Audience) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(source(&tree)),
        MountOption::Subtype("fossil-lite".to_owned()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    config.acl = match audience {
        Audience::Everybody => SessionACL::All,
        Audience::Owner => SessionACL::Owner,
    };
    // Most of a request's time is spent waiting for the server.
    config.n_threads = Some(8);
    config.clone_fd = true;
    let file_system = DumpFileSystem::new(tree);
    let notifier = file_system.notifier();
    let session = fuser::spawn_mount(file_system, at, &config)?;
    let _ = notifier.set(session.notifier());
    Ok(session)
}

/// What the table of mounts says is mounted.
const SOURCE: &str = "venti";

fn source(tree: &Tree) -> String {
    match tree.only_host() {
        Some(host) => format!("{SOURCE}:{host}"),
        None => SOURCE.to_owned(),
    }
}

/// The host that alone is shown, of what the table of mounts says is mounted.
#[must_use]
pub fn host_of_source(source: &[u8]) -> Option<HostName> {
    let source = std::str::from_utf8(source).ok()?;
    source.strip_prefix(SOURCE)?.strip_prefix(':')?.parse().ok()
}
