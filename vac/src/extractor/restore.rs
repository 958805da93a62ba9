//! A restore from start to end: the walker on the calling thread, workers beside it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{Access, AtFlags, Mode, accessat, fstat, mkdir};
use rustix::io::Errno;

use super::open_directory::OpenDirectory;
use super::owners::OwnerMap;
use super::session::{Counts, Session};
use super::walker::{Crew, Job, Walker};
use super::{
    ExtractError, ExtractOptions, Observer, Selection, Summary, batch, large, medium, place,
};
use crate::reader::Node;

/// Restores what is selected below `root` into the directory `target`, which is made if it is
/// not there. `stop` ends the restore early: files under construction are then not completed.
///
/// # Errors
/// [`ExtractError::System`] if the target can not be opened. All else is told to the observer and
/// counted.
pub fn restore(
    root: &Node,
    target: &Path,
    selection: &Selection,
    options: &ExtractOptions,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Summary, ExtractError> {
    let path = CString::new(target.as_os_str().as_bytes())
        .map_err(|_| ExtractError::system("open the target")(Errno::INVAL))?;
    let mode = 0o777 & !options.cleared_umask.unwrap_or(0);
    match mkdir(path.as_c_str(), Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(ExtractError::system("make the target")(errno)),
    }
    let file = place::open_target(&path).map_err(ExtractError::system("open the target"))?;
    // What differs in nothing is not written to.
    if !options.differences {
        may_write(file.as_fd())?;
    }
    raise_descriptor_limit();
    let session = Session {
        options: options.clone(),
        observer,
        counts: Counts::default(),
        owners: OwnerMap::default(),
        stop,
        superuser: rustix::process::geteuid().is_root(),
        mount: place::mount_of(file.as_fd()),
    };
    run(&session, root, file, selection)?;
    Ok(session.summary())
}

fn run(
    session: &Session<'_>,
    root: &Node,
    file: std::os::fd::OwnedFd,
    selection: &Selection,
) -> Result<(), ExtractError> {
    let top_fd =
        file.try_clone().map_err(|_| ExtractError::system("open the target")(Errno::MFILE))?;
    let workers = session.options.workers.max(1);
    // Enough to keep every worker busy while the walker waits for the store.
    let (sender, receiver) = bounded(2 * workers);
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (receiver, tally) = (receiver.clone(), &tally);
            scope.spawn(move || work(session, tally, &receiver));
        }
        // The workers end when the sender is dropped.
        let team = Team { sender, tally: &tally };
        let node = session.options.root && selection.is_everything() && has_been_there(root);
        let top = OpenDirectory::top(session, file, root, node);
        let top = Arc::new(top);
        Walker::new(session, selection, &team).walk(root, top, top_fd.as_fd());
    });
    Ok(())
}

/// Whether anything can be made in the directory, now or once the mode of one's own directory and
/// its flags are lifted.
fn may_write(target: BorrowedFd<'_>) -> Result<(), ExtractError> {
    let refused = ExtractError::system("write to the target");
    match accessat(target, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::ROFS) => Err(refused(Errno::ROFS)),
        Err(Errno::ACCESS) => {
            let me = rustix::process::geteuid().as_raw();
            match fstat(target) {
                Ok(stat) if stat.st_uid == me => Ok(()),
                _ => Err(refused(Errno::ACCESS)),
            }
        }
        _ => Ok(()),
    }
}

/// Whether the root directory is one that was archived, and not made up to hold several.
pub(super) fn has_been_there(root: &Node) -> bool {
    root.metadata().unix.as_ref().is_some_and(|unix| unix.identity.is_some())
}

/// Jobs that were sent and are not done.
#[derive(Default)]
struct Tally {
    jobs: Mutex<usize>,
    idle: Condvar,
}

/// The workers, as the walker sees them.
struct Team<'s, 't> {
    sender: Sender<Job<'s>>,
    tally: &'t Tally,
}

impl<'s> Crew<'s> for Team<'s, '_> {
    fn send(&self, job: Job<'s>) {
        *self.tally.jobs.lock() += 1;
        if self.sender.send(job).is_err() {
            *self.tally.jobs.lock() -= 1;
        }
    }

    fn wait(&self) {
        let mut jobs = self.tally.jobs.lock();
        while *jobs > 0 {
            self.tally.idle.wait(&mut jobs);
        }
    }
}

/// Notes that a job is done, also when it ends by a panic: the walker must not wait for ever.
struct Done<'t>(&'t Tally);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut jobs = self.0.jobs.lock();
        *jobs -= 1;
        if *jobs == 0 {
            self.0.idle.notify_all();
        }
    }
}

fn work(session: &Session<'_>, tally: &Tally, jobs: &Receiver<Job<'_>>) {
    for job in jobs {
        let _done = Done(tally);
        match job {
            Job::Small(tasks) => batch::make_all(session, &tasks),
            Job::Medium(mut tasks) => medium::make_all(session, &mut tasks),
            Job::Large(task) => large::make(session, &task),
        }
    }
}

/// Lets the process have as many open files as it may: every directory in work is open.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With a lower limit a very wide tree may fail, file by file and with a clear error.
    let _ = setrlimit(Resource::Nofile, limit);
}
