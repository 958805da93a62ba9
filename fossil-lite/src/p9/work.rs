//! What a session wants done on the file system, and the doing.

use super::{Qid, Stat};
use crate::FileError;

/// A file system as a session sees it. A node is a place in it together with whoever looks:
/// the session checks fids, tags, names and modes, the file system checks permissions.
pub trait FileSystem: Send + Sync {
    /// A file for a user. Cheap to clone, and good for as long as it is held.
    type Node: Clone + Send;

    /// The root that `user` gets for the name `tree`. Nothing was checked: the file system
    /// decides whether it believes the name.
    ///
    /// # Errors
    /// If there is no such tree, or not for this user.
    fn attach(&self, user: &str, tree: &str) -> Result<(Self::Node, Qid), FileError>;

    /// The child `name` of a directory; `..` is the parent, and the root's parent the root.
    /// The name is not empty, not `.`, and has no `/` and no NUL in it.
    ///
    /// # Errors
    /// If there is none, or the user may not search the directory.
    fn walk(&self, from: &Self::Node, name: &str) -> Result<(Self::Node, Qid), FileError>;

    /// Permission to read, or to execute if `execute`. Wishes to write never come here.
    ///
    /// # Errors
    /// If the user may not.
    fn open(&self, node: &Self::Node, execute: bool) -> Result<Opened, FileError>;

    /// Up to `count` bytes of an open file; none at its end or behind.
    ///
    /// # Errors
    /// If they can not be read: never fewer bytes instead.
    fn read(&self, node: &Self::Node, offset: u64, count: u32) -> Result<Vec<u8>, FileError>;

    /// Entries of an open directory from `position` on (0, or one that `take` got), until `take`
    /// says no: it gets an entry, and the position behind it.
    ///
    /// # Errors
    /// If the directory can not be read.
    fn list(
        &self,
        node: &Self::Node,
        position: u64,
        take: &mut dyn FnMut(Stat, u64) -> bool,
    ) -> Result<(), FileError>;

    /// What is known of the file.
    ///
    /// # Errors
    /// If it can not be read.
    fn stat(&self, node: &Self::Node) -> Result<Stat, FileError>;
}

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it is.
    pub qid: Qid,
    /// Bytes that a read best asks for, 0 to let the client choose.
    pub iounit: u32,
}

/// Something to do on the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work<N> {
    /// [`FileSystem::attach`]
    Attach {
        /// Who says to come.
        user: String,
        /// Which tree.
        tree: String,
    },
    /// [`FileSystem::walk`], name by name.
    Walk {
        /// Where to start.
        from: N,
        /// The names, at most 16.
        names: Vec<String>,
    },
    /// [`FileSystem::open`]
    Open {
        /// The file.
        node: N,
        /// Execute permission is wanted.
        execute: bool,
    },
    /// [`FileSystem::read`]
    Read {
        /// The file.
        node: N,
        /// Where.
        offset: u64,
        /// Bytes at most.
        count: u32,
    },
    /// [`FileSystem::list`], as many whole entries as fit.
    List {
        /// The directory.
        node: N,
        /// Where the last one stopped.
        position: u64,
        /// Bytes at most.
        count: u32,
    },
    /// [`FileSystem::stat`]
    Stat {
        /// The file.
        node: N,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done<N> {
    /// The root.
    Attached(N, Qid),
    /// As far as it went: the last place, and a qid for each name. Never empty-handed unless no
    /// name was given.
    Walked(N, Vec<Qid>),
    /// The file may be read.
    Opened(Opened),
    /// Bytes of the file.
    Read(Vec<u8>),
    /// Entries, and where the next read goes on.
    Listed(Vec<u8>, u64),
    /// The entry.
    Stat(Box<Stat>),
}

/// Does the work.
///
/// # Errors
/// Those of the file system.
pub fn perform<F: FileSystem>(fs: &F, work: Work<F::Node>) -> Result<Done<F::Node>, FileError> {
    match work {
        Work::Attach { user, tree } => {
            let (node, qid) = fs.attach(&user, &tree)?;
            Ok(Done::Attached(node, qid))
        }
        Work::Walk { from, names } => walk(fs, from, &names),
        Work::Open { node, execute } => fs.open(&node, execute).map(Done::Opened),
        Work::Read { node, offset, count } => fs.read(&node, offset, count).map(Done::Read),
        Work::List { node, position, count } => list(fs, &node, position, count),
        Work::Stat { node } => fs.stat(&node).map(|stat| Done::Stat(Box::new(stat))),
    }
}

/// Only the first name's failure is an error; later ones end the walk early (walk(9p)).
fn walk<F: FileSystem>(
    fs: &F,
    from: F::Node,
    names: &[String],
) -> Result<Done<F::Node>, FileError> {
    let mut place = from;
    let mut qids = Vec::with_capacity(names.len());
    for name in names {
        match fs.walk(&place, name) {
            Ok((node, qid)) => {
                place = node;
                qids.push(qid);
            }
            Err(error) if qids.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(Done::Walked(place, qids))
}

fn list<F: FileSystem>(
    fs: &F,
    node: &F::Node,
    position: u64,
    count: u32,
) -> Result<Done<F::Node>, FileError> {
    let mut data = Vec::new();
    let mut next = position;
    let mut too_small = false;
    let listed = fs.list(node, position, &mut |stat, behind| {
        let before = data.len();
        stat.encode_stat(&mut data);
        if data.len() > count as usize {
            data.truncate(before);
            too_small = before == 0;
            return false;
        }
        next = behind;
        true
    });
    // What was read is told first; whoever asks for more gets the error.
    if data.is_empty() {
        listed?;
    }
    if too_small {
        // An empty answer would say that the directory ends here.
        return Err(FileError::Io { detail: "the next entry does not fit in this read".into() });
    }
    Ok(Done::Listed(data, next))
}
