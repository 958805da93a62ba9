//! Directories and dumps that can not be read as a whole: what is there is listed, and then it is
//! an error, on every side and as often as it is asked for.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fossil_lite::FileError;
use fossil_lite::dump::{Place, Tree};
use fossil_lite::p9::{Limits, Listener, serve};
use fossil_lite::p9_dump::DumpFor;
use ninep::sync::client::Client;
use vac::reader::Archive;
use vac::store::{Access, OpenOptions};
use venti_proto::hash_tree::LeafWalk;
use venti_proto::{BlockBatch, BlockRequest, BlockStore, MemoryStore, Score};

use crate::fuse_mount::{Mounted, can_mount, names};
use crate::machine::Machine;
use crate::world::World;

const FILES: usize = 600;

/// What ls prints, and how it ended.
fn list(directory: &Path) -> (usize, Option<i32>) {
    let mut read = 0;
    for entry in fs::read_dir(directory).unwrap() {
        match entry {
            Ok(_) => read += 1,
            Err(error) => return (read, error.raw_os_error()),
        }
    }
    (read, None)
}

fn many_files(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for number in 0..FILES {
        fs::write(directory.join(format!("file{number}")), "").unwrap();
    }
}

/// The blocks that have the names of the files in a directory.
fn name_blocks(store: &Arc<dyn BlockStore>, root: Score, directory: &Path) -> Vec<BlockRequest> {
    let mut at = Archive::open(Arc::clone(store), root).unwrap().root().clone();
    for name in directory {
        at = at.lookup(name.as_encoded_bytes()).unwrap().unwrap();
    }
    let meta = at.meta().unwrap();
    let mut leaves = Vec::new();
    let mut walk = LeafWalk::over(meta, 0..meta.size).unwrap();
    while !walk.is_done() {
        walk.next_leaves(&**store, 100, &mut leaves).unwrap();
    }
    let block_type = meta.kind.leaf_type();
    leaves.iter().map(|leaf| BlockRequest { score: leaf.score, block_type }).collect()
}

/// A world in which a block in the middle of a directory is missing, and what is in it.
fn world_with_a_hole() -> (World, BlockBatch) {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    many_files(&source.path().join("many"));
    let root = world.dump("moby", "2004-06-11T03:00:00Z", source.path()).root.score;
    let store = Arc::clone(&world.store) as _;
    let blocks = name_blocks(&store, root, Path::new("many"));
    assert!(blocks.len() > 2, "{} blocks", blocks.len());
    let lost = blocks[blocks.len() / 2];
    let mut batch = BlockBatch::default();
    batch.push(lost.block_type, &world.store.read_block(lost.score, lost.block_type).unwrap());
    assert!(world.store.forget(&lost));
    (world, batch)
}

#[test]
fn a_directory_that_misses_a_block_is_never_taken_for_whole() {
    if !can_mount() {
        return;
    }
    let (world, lost) = world_with_a_hole();
    let mounted = Mounted::new(world.tree(Some("moby")));
    let many = mounted.path().join("2004/0611/many");
    for _ in 0..3 {
        let (read, error) = list(&many);
        assert_eq!(error, Some(5), "EIO after {read} names");
        assert!((FILES / 2..FILES).contains(&read), "what can be read comes first: {read}");
    }
    world.store.write(&lost.hash()).unwrap();
    for _ in 0..3 {
        assert_eq!(list(&many), (FILES, None), "the kernel kept nothing of it");
    }
}

#[test]
fn over_9p_too() {
    let (world, lost) = world_with_a_hole();
    let tree = world.tree(Some("moby"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9p").to_str().unwrap().to_owned();
    let listener = Listener::bind(&path).unwrap();
    std::thread::spawn(move || {
        serve(&listener, Limits::default(), |peer| DumpFor::new(Arc::clone(&tree), peer, false));
    });
    let list = || {
        let client = Client::new_unix_with_explicit_path("", path.clone(), "").unwrap();
        client.read_dir("2004/0611/many").map_err(|error| error.to_string())
    };
    let error = list().unwrap_err();
    assert!(error.contains("i/o error"), "{error}");
    world.store.write(&lost.hash()).unwrap();
    assert_eq!(list().unwrap().len(), FILES);
}

/// Lists some entries at a time, as 9P and FUSE do.
fn list_in_pieces(tree: &Tree, place: &Place) -> (usize, Result<(), FileError>) {
    let (mut read, mut position) = (0, 0);
    loop {
        let mut taken = 0;
        let listed = tree.list(place, position, &mut |_, _, behind| {
            taken += 1;
            position = behind;
            taken < 7
        });
        read += taken;
        if taken == 0 {
            return (read, listed);
        }
    }
}

#[test]
fn whoever_lists_piece_by_piece_gets_to_know_of_the_hole() {
    let (world, _) = world_with_a_hole();
    let tree = world.tree(Some("moby"));
    let mut place = tree.root();
    for name in ["2004", "0611", "many"] {
        place = tree.lookup(&place, name.as_bytes()).unwrap();
    }
    let (read, listed) = list_in_pieces(&tree, &place);
    assert!((FILES / 2..FILES).contains(&read), "{read}");
    assert!(matches!(listed, Err(FileError::Io { .. })), "{listed:?}");
}

#[test]
fn find_says_what_it_could_not_look_into() {
    let machine = Machine::new();
    many_files(&machine.home("many"));
    let root = machine.dump("2004-06-11T03:00:00Z");
    let options = OpenOptions { access: Access::Read, connections: 1 };
    let store = vac::store::open(machine.store().to_str(), options).unwrap();
    let home = machine.home("many");
    let blocks = name_blocks(&store.blocks, root, home.strip_prefix("/").unwrap());
    let whole = machine.fossil(&["find", "--host", "moby", "file*"]);
    assert_eq!((whole.code, whole.out.lines().count()), (0, FILES), "{}", whole.err);
    damage(&machine.store().join("arenas/0000000001.arena"), blocks[blocks.len() / 2].score);
    let ran = machine.fossil(&["find", "--host", "moby", "file*"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("/home/many: i/o error"), "{}", ran.err);
}

/// Flips a byte of the block with this score.
fn damage(arena: &Path, score: Score) {
    /// The score is in it, and the block behind it.
    const HEADER: usize = 72;
    let mut bytes = fs::read(arena).unwrap();
    let at = bytes.windows(Score::SIZE).position(|window| window == score.as_bytes()).unwrap();
    bytes[at + HEADER] ^= 1;
    fs::write(arena, bytes).unwrap();
}

#[test]
fn the_names_of_dumps_need_no_block() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    world.dump("moby", "2004-06-12T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree_over(Arc::new(MemoryStore::new()), None));
    let moby = mounted.path().join("moby");
    for _ in 0..2 {
        assert_eq!(names(moby.join("2004")), ["0611", "0612"]);
        assert_eq!(fs::read_link(moby.join("latest")).unwrap(), Path::new("2004/0612"));
        let error = fs::metadata(moby.join("2004/0611")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "EIO: {error}");
    }
}
