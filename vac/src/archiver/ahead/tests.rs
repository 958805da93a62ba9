//! What walkers may touch, in which order they work, and how much they hold.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use super::super::Problem;
use super::super::options::Exclusions;
use super::super::progress::Progress;
use super::super::run::{Observer, Shared};
use super::super::select::Selection;
use super::todo::{Job, Todo};
use super::*;
use crate::walk::{Attributes, Directory};

struct Deaf;

impl Observer for Deaf {
    fn problem(&self, problem: &Problem) {
        panic!("walkers do not report: {problem:?}");
    }
}

fn shared() -> Shared {
    Shared::new(&Arc::new(Progress::default()), Arc::new(Deaf), false)
}

fn open(path: &Path) -> Opened {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let directory = Directory::open_path(&path).unwrap();
    let attributes = Attributes::of_open(&directory).unwrap();
    Opened { directory, attributes }
}

fn listed(path: &Path, number: u64) -> Box<Listed> {
    let exclusions = Exclusions::default();
    let called = Called { number, path: Vec::new(), below: 0 };
    open(path).list(called, usize::MAX, &Selection::new(&exclusions), &mut Vec::new())
}

fn make(place: &Path, directories: &[&str]) {
    directories.iter().for_each(|name| fs::create_dir_all(place.join(name)).unwrap());
}

#[test]
fn a_directory_that_was_swapped_is_not_listed() {
    let place = tempfile::tempdir().unwrap();
    make(place.path(), &["gone", "link", "other", "same", "target/secret"]);
    let run = listed(place.path(), 0).first.unwrap();
    let exclusions = Exclusions::default();
    let selection = Selection::new(&exclusions);
    for name in ["gone", "link", "other"] {
        fs::rename(place.path().join(name), place.path().join(format!("was {name}"))).unwrap();
    }
    symlink("target", place.path().join("link")).unwrap();
    make(place.path(), &["other/secret"]);
    let list = |position| run.list_child(position, 1, 10, &selection, &mut Vec::new());
    let name = |position| run.listing.names.get(position).unwrap();
    assert_eq!((name(0), name(1), name(2), name(3)), (c"gone", c"link", c"other", c"same"));
    assert!(matches!(list(0), Some(Err(Errno::NOENT))));
    assert!(matches!(list(1), Some(Err(Errno::LOOP | Errno::NOTDIR))), "a link is not followed");
    assert!(list(2).is_none(), "another directory is left to the walk");
    assert!(matches!(list(3), Some(Ok(_))));
}

#[test]
fn another_file_system_is_left_to_the_walk() {
    let place = tempfile::tempdir().unwrap();
    make(place.path(), &["a", "b"]);
    let names = Arc::clone(&listed(place.path(), 0).listing.names);
    let called = || Called { number: 0, path: Vec::new(), below: 0 };
    let exclusions = Exclusions::default();
    let selection = Selection::new(&exclusions);
    let next_in = |opened: Opened| {
        let listing = Arc::new(Listing::new(called(), opened, Arc::clone(&names)));
        let run = Arc::new(Run::look_up(&listing, 0, &selection));
        let mut todo = Todo::default();
        todo.push(&run);
        todo.take().map(|job| job.place().position)
    };
    assert_eq!(next_in(open(place.path())), Some(0));
    // As if the directories in it were mounted there.
    let mut opened = open(place.path());
    opened.attributes.identity.device.minor += 1;
    assert_eq!(next_in(opened), None);
}

#[test]
fn work_is_begun_in_the_order_of_the_walk_whoever_is_done_first() {
    let place = tempfile::tempdir().unwrap();
    make(place.path(), &["a/1", "a/2", "b/1", "b/2", "c"]);
    let top = listed(place.path(), 0);
    let mut todo = Todo::default();
    todo.push(top.first.as_ref().unwrap());
    let take = |todo: &mut Todo| match todo.take() {
        Some(Job::Directory { run, position }) => {
            let name = run.listing.names.get(position).map(CStr::to_owned).unwrap();
            let place = Job::Directory { run, position }.place();
            (place, name)
        }
        _ => panic!("a directory"),
    };
    let (first, second) = (take(&mut todo), take(&mut todo));
    let (a, b) = (listed(&place.path().join("a"), 1), listed(&place.path().join("b"), 2));
    todo.finish(second.0, b.first.as_ref());
    assert_eq!(
        take(&mut todo),
        (Place { listing: 2, part: Part::Directory, position: 0 }, c"1".into())
    );
    todo.finish(first.0, a.first.as_ref());
    assert_eq!(
        take(&mut todo),
        (Place { listing: 1, part: Part::Directory, position: 0 }, c"1".into())
    );
    // The walk sees to this one itself.
    todo.pass(Place { listing: 1, part: Part::Directory, position: 1 });
    assert_eq!(
        take(&mut todo),
        (Place { listing: 2, part: Part::Directory, position: 1 }, c"2".into())
    );
    // What the walk has left is no work any more.
    drop(top);
    assert!(todo.take().is_none());
}

/// Meets everything below a directory as the walk does, and returns how much there was.
fn meet_all(ahead: &Ahead<'_>, top: Box<Listed>) -> (usize, usize) {
    let (mut directories, mut names) = (0, 0);
    let mut stack = vec![(top, None::<Arc<Run>>, 0)];
    while let Some((listed, run, position)) = stack.last_mut() {
        let listing = &listed.listing;
        if *position == listing.names.len() {
            stack.pop();
            directories += 1;
            continue;
        }
        let run = match run {
            Some(run) if run.looked(*position).is_some() => run,
            _ if *position == 0 => run.insert(listed.first.clone().unwrap()),
            _ => run.insert(ahead.run(listing, *position)),
        };
        let (here, looked) = (*position, run.looked(*position).unwrap());
        *position += 1;
        names += 1;
        if !matches!(looked, Looked::Found(found) if found.kind == crate::walk::FileKind::Directory)
        {
            continue;
        }
        let child = ahead.directory(run, here).map(Result::unwrap).unwrap_or_else(|| {
            let name = listing.names.get(here).unwrap();
            let opened = Opened::open(&listing.directory, name).unwrap();
            ahead.list(opened, b"", 0, &mut Vec::new())
        });
        stack.push((child, None, 0));
        let state = ahead.state.lock();
        assert!(
            state.directories < ahead.most_directories + ahead.walkers,
            "{}",
            state.directories
        );
        assert!(state.names <= NAMES_AHEAD + ahead.walkers * NAMES_AHEAD, "{}", state.names);
        assert!(state.found.len() <= state.names + state.directories + ahead.walkers);
    }
    (directories, names)
}

#[test]
fn what_is_held_is_bounded_however_many_directories_there_are() {
    // In memory if possible: disks take long for a hundred thousand directories.
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for above in 0..100 {
        let above = place.path().join(above.to_string());
        fs::create_dir(&above).unwrap();
        (0..1000).for_each(|n| fs::create_dir(above.join(format!("{n:04}"))).unwrap());
    }
    let (exclusions, shared) = (Exclusions::default(), shared());
    let selection = Selection::new(&exclusions);
    for walkers in [0, 1, 4] {
        let ahead = Ahead::new(&selection, &shared, walkers);
        let met = std::thread::scope(|scope| {
            let _walking = ahead.start(scope);
            let top = ahead.list(open(place.path()), b"", 0, &mut Vec::new());
            meet_all(&ahead, top)
        });
        assert_eq!(met, (100_101, 100_100), "{walkers} walkers");
        let state = ahead.state.lock();
        assert_eq!((state.names, state.directories, state.found.len()), (0, 0, 0));
    }
}
