//! Shows a tree until it is told to stop: on a directory, on sockets, or both.
//!
//! What the programs fossil-lite and vacfs have in common. Whatever was taken is given back in the
//! end: the mount point is free again and the sockets are gone, unless the process was killed; then
//! the next one that wants them clears them away.

pub mod background;
mod mount_point;

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use fuser::BackgroundSession;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::dump::Tree;
use crate::fuse::{Audience, mount};
use crate::p9::{Limits, ListenError, Listener, serve};
use crate::p9_dump::DumpFor;
use crate::program::{Failure, system};
pub(crate) use mount_point::unmount;

/// How long those who are in a mount keep it after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// Where a tree is to be seen.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// The directory to mount it on.
    pub mount: Option<PathBuf>,
    /// The addresses to serve it on, over 9P.
    pub listen: Vec<String>,
    /// Whether user names that are claimed over the network are believed.
    pub trust_names: bool,
}

/// Sockets that have names, which go when this goes.
struct Sockets(Vec<NamedSocket>);

struct NamedSocket {
    path: PathBuf,
    /// Which file it is, so that one that has taken its name stays.
    file: Option<(u64, u64)>,
}

impl NamedSocket {
    fn new(path: &Path) -> NamedSocket {
        // In the background the working directory is another.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        NamedSocket { file: which(&path), path }
    }
}

/// Device and number of the file that has this name.
fn which(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for NamedSocket { path, file } in &self.0 {
            if which(path) == *file {
                // Whoever removed it before did the work.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Shows a tree until SIGTERM, SIGINT or SIGHUP, or until somebody unmounts it.
///
/// # Errors
/// If a side is in use, or the system refuses it.
pub fn show(tree: &Arc<Tree>, sides: &Sides) -> Result<u8, Failure> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(system("can not take signals"))?;
    let sockets = listen(tree, sides)?;
    match &sides.mount {
        Some(at) => {
            // In the background the working directory is another.
            let at = std::path::absolute(at).map_err(system(at.display().to_string()))?;
            let session = mount_on(tree, &at)?;
            background::ready()?;
            wait_for_unmount(session, signals, &at)?;
        }
        None => {
            background::ready()?;
            // Nothing is lost with a connection to a file system that nobody writes to.
            signals.forever().next();
        }
    }
    drop(sockets);
    Ok(0)
}

fn listen(tree: &Arc<Tree>, sides: &Sides) -> Result<Sockets, Failure> {
    let mut sockets = Sockets(Vec::new());
    for address in &sides.listen {
        let listener = Listener::bind(address).map_err(|error| match error {
            ListenError::Address { .. } => Failure::Usage { detail: error.to_string() },
            ListenError::InUse { .. } | ListenError::NotASocket { .. } => {
                Failure::Busy { detail: error.to_string() }
            }
            ListenError::Io { source, .. } => Failure::System { action: address.clone(), source },
        })?;
        let shown = match (&listener, listener.tcp_address()) {
            (Listener::Unix(_, path), _) => {
                sockets.0.push(NamedSocket::new(path));
                path.display().to_string()
            }
            (Listener::Tcp(_), bound) => bound.map_or_else(String::new, |bound| bound.to_string()),
        };
        writeln!(io::stdout(), "listening on {shown}").map_err(system("standard output"))?;
        let (tree, trust) = (Arc::clone(tree), sides.trust_names);
        let accept = move || {
            serve(&listener, Limits::default(), |peer| {
                DumpFor::new(Arc::clone(&tree), peer, trust)
            });
        };
        thread("9p listener", accept)?;
    }
    Ok(sockets)
}

fn mount_on(tree: &Arc<Tree>, at: &Path) -> Result<BackgroundSession, Failure> {
    mount_point::free(at)?;
    let audience = match rustix::process::geteuid().is_root() {
        true => Audience::Everybody,
        false => Audience::Owner,
    };
    mount(Arc::clone(tree), at, audience)
        .map_err(system(format!("can not mount on {}", at.display())))
}

/// What ends a mount.
enum End {
    /// It is gone, or its process can not go on.
    Session(io::Result<()>),
    Signal,
}

/// Waits until the mount is gone, or until a signal has taken it away. Whoever is in there then
/// keeps it for some time; new visitors find it gone at once.
fn wait_for_unmount(
    session: BackgroundSession,
    mut signals: Signals,
    at: &Path,
) -> Result<(), Failure> {
    let (sender, ends) = channel();
    let (directory, device) = (at.to_owned(), mount_point::device(at));
    let by_signal = sender.clone();
    thread("signals", move || {
        if signals.forever().next().is_some() {
            // Somebody may have unmounted it, and something else may be there.
            if mount_point::device(&directory) == device {
                let _ = unmount(&directory);
            }
            let _ = by_signal.send(End::Signal);
        }
    })?;
    let guard = thread_of(session)?;
    thread("session", move || {
        let ended = guard.join().unwrap_or_else(|_| Err(io::Error::other("the session is gone")));
        let _ = sender.send(End::Session(ended));
    })?;
    let ended = match ends.recv() {
        Ok(End::Signal) => ends.recv_timeout(GRACE).unwrap_or(End::Session(Ok(()))),
        Ok(ended) => ended,
        Err(_) => End::Session(Ok(())),
    };
    match ended {
        End::Session(ended) => {
            ended.map_err(system(format!("the mount on {} failed", at.display())))
        }
        End::Signal => Ok(()),
    }
}

/// The thread of a session, without what unmounts in the end: by then whatever is mounted under
/// the same name is somebody else's, and the library would take it for this mount.
fn thread_of(mut session: BackgroundSession) -> Result<JoinHandle<io::Result<()>>, Failure> {
    let nothing = thread("nothing", || Ok(()))?;
    let guard = std::mem::replace(&mut session.guard, nothing);
    std::mem::forget(session);
    Ok(guard)
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(system("can not start a thread"))
}
