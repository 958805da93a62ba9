//! What to compare with after a run that was not finished: the archive of what it met, and for
//! the rest the one before it.
//!
//! The walk meets names in the order of the archive, so an unfinished archive ends at one place:
//! before it everything is in there, also what was taken over from the older archive; behind it
//! there is nothing. So the two are joined along one path: the directories of the last names of
//! the unfinished archive get the later names of the older one. Only these directories are
//! written anew. What comes of it serves as a hint, and as nothing else.

use std::sync::Arc;

use venti_proto::{BlockBatch, BlockStore, BlockType, Entry, Root, RootError, Score, StoreError};

use super::streams::directory_writer;
use super::top::push_top;
use crate::format::{DirectoryStreams, DirectoryWriter, FormatError, VacDir, name_order};
use crate::reader::{Archive, Child, Node, ReadError};

/// Bytes at which blocks are given to the store.
const BATCH_BYTES: usize = 1 << 20;

/// Why two archives were not joined. There is always the choice of comparing with one of them.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// One of them can not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What they have does not fit together, as when one of them is not sorted.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The root block can not be written.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The store did not take a block, or could not promise to keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A directory of which the unfinished archive has only a part.
struct Joint {
    unfinished: Node,
    older: Node,
    /// The last name in `unfinished`.
    last: Option<Vec<u8>>,
}

/// A directory that was written.
type Joined = (VacDir, DirectoryStreams);

/// Makes an archive of what `unfinished` has, and of what `older` has behind that. It is durable
/// when this returns.
///
/// # Errors
/// Any [`ResumeError`].
pub fn resume_from(
    store: &Arc<dyn BlockStore>,
    unfinished: Score,
    older: Score,
    block_size: u32,
) -> Result<Score, ResumeError> {
    let unfinished = Archive::open(Arc::clone(store), unfinished)?;
    let older = Archive::open(Arc::clone(store), older)?;
    let mut joints = path_to_the_end(unfinished.root(), older.root())?;
    let mut joiner = Joiner { store: &**store, block_size, batch: BlockBatch::default() };
    let mut joined: Option<Joined> = None;
    while let Some(joint) = joints.pop() {
        joined = Some(joiner.join(&joint, joined)?);
    }
    let Some((dir, streams)) = joined else { return Ok(unfinished.score()) };
    let top = push_top(&dir, &streams, block_size, &mut joiner.batch)?;
    let root = Root::vac(top, block_size).encode()?;
    joiner.batch.push(BlockType::ROOT, &root);
    joiner.flush()?;
    store.sync()?;
    Ok(Score::of(&root))
}

/// The directories that the unfinished archive may have in part, from the top down.
fn path_to_the_end(unfinished: &Node, older: &Node) -> Result<Vec<Joint>, ReadError> {
    let mut joints = Vec::new();
    let mut next = Some((unfinished.clone(), older.clone()));
    while let Some((unfinished, older)) = next.take() {
        let mut last = None;
        each_child(&unfinished, &mut |child| {
            last = Some(child);
            Ok::<(), ReadError>(())
        })?;
        if let Some(last) = last.as_ref().filter(|last| last.is_directory())
            && let Some(twin) = older.lookup(last.name())?.filter(Node::is_directory)
            && (twin.content(), twin.meta()) != (last.content(), last.meta())
        {
            next = Some((last.clone(), twin));
        }
        let last = last.map(|last| last.name().to_vec());
        joints.push(Joint { unfinished, older, last });
    }
    Ok(joints)
}

/// Hands out the children of a directory, which are read a batch at a time.
fn each_child<E: From<ReadError>>(
    directory: &Node,
    take: &mut dyn FnMut(Node) -> Result<(), E>,
) -> Result<(), E> {
    let mut scan = directory.children()?;
    let mut children: Vec<Child> = Vec::new();
    let mut more = true;
    while more {
        more = scan.next_batch(&mut children)?;
        for child in children.drain(..) {
            take(child.map_err(|bad| bad.error)?)?;
        }
    }
    Ok(())
}

/// Writes the joined directories.
struct Joiner<'a> {
    store: &'a dyn BlockStore,
    block_size: u32,
    batch: BlockBatch,
}

impl Joiner<'_> {
    /// Writes one directory. `below` stands for the last name of its unfinished part.
    fn join(&mut self, joint: &Joint, mut below: Option<Joined>) -> Result<Joined, ResumeError> {
        let mut writer = directory_writer(self.block_size);
        let last = joint.last.as_deref();
        each_child(&joint.unfinished, &mut |child| match below
            .take_if(|_| last == Some(child.name()))
        {
            Some((dir, streams)) => {
                self.push(&mut writer, dir, &streams.entries, Some(&streams.meta))
            }
            None => self.push(&mut writer, whole(&child)?, child.content(), child.meta()),
        })?;
        each_child(&joint.older, &mut |child| {
            if last.is_some_and(|last| name_order(child.name(), last).is_le()) {
                return Ok(());
            }
            self.push(&mut writer, whole(&child)?, child.content(), child.meta())
        })?;
        let streams = writer.finish(&mut self.batch)?;
        let mut dir = whole(&joint.unfinished)?;
        if let Some(facts) = dir.unix.as_mut().and_then(|unix| unix.directory.as_mut()) {
            facts.entries = streams.names;
        }
        Ok((dir, streams))
    }

    fn push(
        &mut self,
        writer: &mut DirectoryWriter,
        dir: VacDir,
        content: &Entry,
        meta: Option<&Entry>,
    ) -> Result<(), ResumeError> {
        writer.push(dir, content, meta, &mut self.batch)?;
        if self.batch.bytes() < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), ResumeError> {
        let hashed = std::mem::take(&mut self.batch).hash();
        self.store.write(&hashed)?;
        self.batch = hashed.recycle();
        Ok(())
    }
}

/// What the directory says of a node, with what is in a stream of its own.
fn whole(node: &Node) -> Result<VacDir, ReadError> {
    let mut dir = node.metadata().clone();
    dir.unix = node.unix()?.map(|unix| Box::new(unix.into_owned()));
    Ok(dir)
}
