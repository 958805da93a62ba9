//! A reader of archives that is only for these tests: it checks as it goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use vac::archiver::{
    ArchiveError, Observer, OldArchive, Options, Outcome, Problem, Progress, Source, Trust, archive,
};
use vac::format::{MetaBlock, VacDir, name_order};
use venti_proto::hash_tree::{depth_of, directory_position, read_range};
use venti_proto::{BlockStore, BlockType, Entry, MemoryStore, Root, Score, StreamKind};

/// What was found at one path of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) dir: VacDir,
    pub(crate) entry: Entry,
    /// Content of anything but a directory.
    pub(crate) content: Vec<u8>,
}

/// Everything in an archive, by path.
pub(crate) type Tree = BTreeMap<String, Found>;

fn read_all(store: &dyn BlockStore, entry: &Entry) -> Vec<u8> {
    let needed = depth_of(entry.size, entry.pointer_size, entry.data_size);
    assert_eq!(Some(entry.depth), needed, "a tree of the depth that its size needs");
    let mut content = vec![0; usize::try_from(entry.size).unwrap()];
    let read = read_range(store, entry, 0, &mut content).unwrap();
    assert_eq!(read, content.len());
    content
}

/// Reads a whole archive into memory.
pub(crate) fn read_tree(store: &dyn BlockStore, root: Score) -> Tree {
    let root = Root::decode(&store.read_block(root, BlockType::ROOT).unwrap()).unwrap();
    assert_eq!(root.kind, b"vac");
    let mut block = store.read_block(root.score, BlockType::DIRECTORY).unwrap();
    // A score may end in zeros, which are not stored.
    assert!(block.len() <= 3 * Entry::SIZE);
    block.resize(3 * Entry::SIZE, 0);
    let entries: Vec<Entry> =
        block.chunks(Entry::SIZE).map(|bytes| Entry::decode(bytes).unwrap().unwrap()).collect();
    let above = read_all(store, &entries[2]);
    let top = MetaBlock::parse(&above).unwrap();
    assert_eq!(top.len(), 1);
    let mut tree = Tree::new();
    let top_dir = top.entry(0).unwrap();
    assert_eq!(top_dir.name, b"/");
    read_directory(store, [&entries[0], &entries[1]], is_sorted(&top_dir), "", &mut tree);
    tree.insert(String::new(), Found { dir: top_dir, entry: entries[0], content: Vec::new() });
    tree
}

/// Whether the archive says that the names in a directory are sorted throughout: ours do.
fn is_sorted(dir: &VacDir) -> bool {
    dir.unix.as_ref().and_then(|unix| unix.directory).is_some_and(|facts| facts.sorted)
}

fn read_directory(
    store: &dyn BlockStore,
    [entries, meta]: [&Entry; 2],
    sorted: bool,
    path: &str,
    tree: &mut Tree,
) {
    assert_eq!((entries.kind, meta.kind), (StreamKind::Directory, StreamKind::Data));
    let entry_bytes = read_all(store, entries);
    let meta_bytes = read_all(store, meta);
    let entry_at = |number: u32| {
        let (leaf, at) = directory_position(number, entries.data_size);
        let start = usize::try_from(leaf * u64::from(entries.data_size)).unwrap() + at;
        Entry::decode(&entry_bytes[start..start + Entry::SIZE]).unwrap().unwrap()
    };
    let mut previous: Option<Vec<u8>> = None;
    for block in meta_bytes.chunks(usize::try_from(meta.data_size).unwrap()) {
        let block = MetaBlock::parse(block).unwrap();
        for number in 0..block.len() {
            let dir = block.entry(number).unwrap();
            let name = dir.checked_name().unwrap().to_vec();
            let follows = previous.as_ref().is_none_or(|p| name_order(p, &name).is_lt());
            assert!(follows || !sorted, "{path} is not sorted");
            previous = Some(name.clone());
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            let entry = entry_at(dir.entry);
            let mut content = Vec::new();
            if entry.kind == StreamKind::Directory {
                let streams = [&entry, &entry_at(dir.meta_entry)];
                read_directory(store, streams, is_sorted(&dir), &path, tree);
            } else {
                content = read_all(store, &entry);
            }
            tree.insert(path, Found { dir, entry, content });
        }
    }
}

/// Remembers what it heard.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Problem>>);

impl Observer for Heard {
    fn problem(&self, problem: &Problem) {
        self.0.lock().push(problem.clone());
    }
}

/// A place with a tree to be archived, and a store in memory.
pub(crate) struct Bench {
    place: tempfile::TempDir,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("tree")).unwrap();
        Bench { place, store: Arc::new(MemoryStore::new()), options: Options::default() }
    }

    /// The path of the tree, or of something in it.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.place.path().join("tree").join(below)
    }

    /// Writes a file, and the directories that it needs.
    pub(crate) fn write(&self, below: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn try_archive(&self) -> (Result<Outcome, ArchiveError>, Vec<Problem>) {
        self.try_archive_of(&[&self.path("")])
    }

    pub(crate) fn try_archive_of(
        &self,
        paths: &[&Path],
    ) -> (Result<Outcome, ArchiveError>, Vec<Problem>) {
        let heard = Arc::new(Heard::default());
        let sources = paths.iter().map(|path| Source::Path(path.to_path_buf())).collect();
        let progress = Arc::new(Progress::default());
        let observer: Arc<dyn Observer> = heard.clone();
        let outcome = archive(&*self.store, sources, &self.options, &progress, observer);
        let mut problems = std::mem::take(&mut *heard.0.lock());
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        (outcome, problems)
    }

    /// Archives the tree, which must come out complete.
    pub(crate) fn archive(&self) -> Outcome {
        let (outcome, problems) = self.try_archive();
        let outcome = outcome.unwrap();
        assert_eq!(problems, []);
        assert!(!outcome.incomplete);
        outcome
    }

    /// Archives the tree and reads the archive; paths start behind `/tree`.
    pub(crate) fn archived(&self) -> Tree {
        let outcome = self.archive();
        self.tree_of(outcome.root)
    }

    /// Reads an archive; paths start behind `/tree`.
    pub(crate) fn tree_of(&self, root: Score) -> Tree {
        read_tree(&*self.store, root)
            .into_iter()
            .filter_map(|(path, found)| Some((path.strip_prefix("/tree")?.to_owned(), found)))
            .collect()
    }

    /// Compares with this archive from now on, as `-d -q` does.
    pub(crate) fn compare_with(&mut self, root: Score) {
        self.options.old = Some(OldArchive { root, trust: Trust::Attributes });
    }
}

/// Asserts that two trees are equal, and says where they are not.
pub(crate) fn assert_same(found: &Tree, expected: &Tree) {
    assert_eq!(paths(found), paths(expected));
    for (path, found) in found {
        let expected = &expected[path];
        assert_eq!((&found.dir, &found.entry), (&expected.dir, &expected.entry), "{path}");
        assert!(found.content == expected.content, "{path}");
    }
}

/// The paths of a tree.
pub(crate) fn paths(tree: &Tree) -> Vec<&str> {
    tree.keys().map(String::as_str).collect()
}

/// Bytes that do not compress and do not repeat.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Whether this runs as root: then nothing is unreadable.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
