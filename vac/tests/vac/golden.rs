//! Archives that the original's vac made read as the trees that it was given.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use vac::extractor::{ExtractOptions, Selection, restore};
use vac::format::FileKind;
use vac::reader::{Archive, Node, Piece, ReadError};
use venti_proto::hash_tree::HashTreeWriter;
use venti_proto::{BlockBatch, BlockType, Entry, Score, zero_truncated_len};

use crate::round_trip::Heard;
use crate::support::{golden, store_of, untar};

/// What of a file the original keeps on Unix.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    kind: FileKind,
    permissions: u32,
    modified: i64,
    /// Of a symbolic link the first 8 bytes of its target, and zeros for the rest.
    content: Vec<u8>,
}

type Tree = BTreeMap<Vec<u8>, Kept>;

/// The one block that the golden data lack: the names in 2005/0102/basic/a/b/c of the last dump.
const MISSING: &str = "30579eb02e38c350d33029bd2c0148f4a72b4e00";

fn tree_of_archive(node: &Node, path: &[u8], tree: &mut Tree) {
    let children = node.all_children().unwrap_or_else(|error| {
        assert!(error.to_string().contains(MISSING), "{error}");
        tree.insert(b"incomplete".to_vec(), tree_entry(node, Vec::new()));
        Vec::new()
    });
    for child in children {
        let name = child.metadata().checked_name().unwrap();
        let path = [path, b"/", name].concat();
        let mut content = Vec::new();
        if child.is_directory() {
            tree_of_archive(&child, &path, tree);
        } else {
            let mut take = |piece: Piece<'_>| {
                match piece {
                    Piece::Data(bytes) => content.extend_from_slice(bytes),
                    Piece::Zeros(count) => {
                        content.resize(content.len() + usize::try_from(count).unwrap(), 0);
                    }
                }
                Ok::<(), ReadError>(())
            };
            child.read_in_order(&mut take).unwrap();
            assert_eq!(content.len() as u64, child.size());
            assert_same_tree(&content, child.content());
        }
        let looked_up = node.lookup(name).unwrap().unwrap();
        assert_eq!(looked_up.metadata(), child.metadata());
        tree.insert(path, tree_entry(&child, content));
    }
    let other = node.lookup(b"no such name");
    assert!(other.map_or_else(|e| e.to_string().contains(MISSING), |found| found.is_none()));
}

/// Our tree of this content has the scores that the original's has.
fn assert_same_tree(content: &[u8], entry: &Entry) {
    let mut batch = BlockBatch::default();
    let mut writer = HashTreeWriter::new(entry.kind, entry.pointer_size, entry.data_size);
    for leaf in content.chunks(entry.data_size as usize) {
        let leaf = &leaf[..zero_truncated_len(BlockType::DATA, leaf)];
        writer.push(Score::of(leaf), &mut batch).unwrap();
    }
    let ours = writer.finish(content.len() as u64, &mut batch).unwrap();
    assert_eq!((ours.depth, ours.score), (entry.depth, entry.score));
}

fn tree_entry(node: &Node, content: Vec<u8>) -> Kept {
    let permissions = node.metadata().permissions() & 0o777;
    let modified = node.metadata().modified().seconds;
    Kept { kind: node.kind(), permissions, modified, content }
}

fn tree_of_files(directory: &Path, path: &[u8], tree: &mut Tree) {
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        let path = [path, b"/", file.file_name().as_bytes()].concat();
        let metadata = fs::symlink_metadata(file.path()).unwrap();
        let mut kind = FileKind::from_unix(metadata.mode()).unwrap();
        let content = match kind {
            FileKind::Symlink => {
                let target = fs::read_link(file.path()).unwrap();
                let target = target.as_os_str().as_bytes();
                let mut content = target[..target.len().min(8)].to_vec();
                content.resize(target.len(), 0);
                content
            }
            FileKind::Regular => fs::read(file.path()).unwrap(),
            _ => Vec::new(),
        };
        if metadata.is_dir() {
            tree_of_files(&file.path(), &path, tree);
        } else if metadata.file_type().is_socket() {
            kind = FileKind::Regular;
        }
        let (permissions, modified) = (metadata.mode() & 0o777, metadata.mtime());
        tree.insert(path, Kept { kind, permissions, modified, content });
    }
}

/// Compares, and names what differs instead of printing megabytes.
fn assert_same(label: &str, archive: &mut Tree, files: &Tree) {
    let incomplete = archive.remove(&b"incomplete"[..]).is_some();
    assert_eq!(incomplete, label == "dump.3 2005/0102", "{label}: every block but one is there");
    let lost = |path: &[u8]| incomplete && path.starts_with(b"/basic/a/b/c/");
    for (path, kept) in files.iter().filter(|(path, _)| !lost(path)) {
        let name = String::from_utf8_lossy(path);
        let found = archive.get(path).unwrap_or_else(|| panic!("{label}: no {name}"));
        let heads = [found, kept].map(|kept| (kept.kind, kept.permissions, kept.modified));
        // Links have no permissions and no times of their own in the archive.
        if kept.kind != FileKind::Symlink {
            assert_eq!(heads[0], heads[1], "{label}: {name}");
        }
        assert!(found.content == kept.content, "{label}: content of {name}");
    }
    let kept = files.keys().filter(|path| !lost(path)).count();
    assert_eq!(archive.len(), kept, "{label}: names");
}

#[test]
fn the_extractor_restores_archives_of_the_original() {
    let Some(golden) = golden() else { return };
    let place = tempfile::tempdir().unwrap();
    untar(&golden.join("vac/basic.tar.gz"), &place.path().join("expected"));
    let store = store_of(&golden.join("vac/blocks.gz"));
    for label in ["basic.8k", "basic.1k", "basic.512"] {
        let score = fs::read_to_string(golden.join("vac").join(format!("{label}.vac"))).unwrap();
        let archive = Archive::open(store.clone(), score.trim().parse().unwrap()).unwrap();
        let (heard, stop) = (Heard::default(), AtomicBool::new(false));
        let (target, everything) = (place.path().join(label), Selection::everything());
        let options = ExtractOptions::default();
        let restored = restore(archive.root(), &target, &everything, &options, &heard, &stop);
        // The one link with a target of more than 8 bytes was cut, and that is said.
        let problems = heard.0.into_inner();
        assert_eq!(
            problems,
            ["basic/link: the archive does not have the whole target of the link"]
        );
        assert_eq!(restored.unwrap().exit_code(), 3);
        let [mut found, mut expected] = [Tree::new(), Tree::new()];
        tree_of_files(&target, b"", &mut found);
        tree_of_files(&place.path().join("expected"), b"", &mut expected);
        expected.remove(&b"/basic/link"[..]);
        assert_same(label, &mut found, &expected);
    }
}

/// The test that is always run: metadata and small files of an archive of the original, whose
/// larger blocks are left out.
#[test]
fn a_small_copy_of_a_golden_archive_lists_as_it_did() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let store = store_of(&testdata.join("basic.8k.small.gz"));
    let score = fs::read_to_string(testdata.join("basic.8k.vac")).unwrap();
    let archive = Archive::open(store, score.trim().parse().unwrap()).unwrap();
    let mut listing = String::new();
    let mut directories = vec![(String::new(), archive.root().clone())];
    while let Some((path, directory)) = directories.pop() {
        for child in directory.all_children().unwrap() {
            let name = String::from_utf8_lossy(child.metadata().checked_name().unwrap());
            let path = format!("{path}/{name}");
            let (metadata, content) = (child.metadata(), child.content());
            listing += &format!(
                "{path} {:o} {} {} {} {}\n",
                metadata.mode.0, metadata.modified, content.size, content.depth, content.score
            );
            if child.is_directory() {
                directories.push((path, child));
            }
        }
    }
    let mut lines: Vec<_> = listing.lines().collect();
    lines.sort_unstable();
    let expected = fs::read_to_string(testdata.join("basic.8k.listing")).unwrap();
    assert!(lines.join("\n") + "\n" == expected, "{listing}");
    let deep = archive.root().walk(b"basic/a/b/c/d/deep.txt").unwrap().unwrap();
    let mut content = [0; 16];
    let length = deep.read_at(0, &mut content).unwrap();
    assert_eq!(length as u64, deep.size());
}

#[test]
fn archives_of_the_original_give_the_tree_back() {
    let Some(golden) = golden() else { return };
    let directory = tempfile::tempdir().unwrap();
    let trees = ["basic", "basic-day2"].map(|name| {
        let into = directory.path().join(name);
        untar(&golden.join("vac").join(name).with_extension("tar.gz"), &into);
        let mut tree = Tree::new();
        tree_of_files(&into, b"", &mut tree);
        tree
    });
    let store = store_of(&golden.join("vac/blocks.gz"));
    let roots = fs::read_to_string(golden.join("vac/roots.tsv")).unwrap();
    for line in roots.lines() {
        let (label, score) = line.split_once('\t').unwrap();
        let archive = Archive::open(store.clone(), score.parse::<Score>().unwrap()).unwrap();
        let days: &[(&str, usize)] = match label {
            "dump.0" => &[("2004/0611", 0)],
            "dump.1" => &[("2004/0611", 0), ("2004/0612", 1)],
            "dump.2" => &[("2004/0611", 0), ("2004/0612.1", 1)],
            "dump.3" => &[("2004/0611", 0), ("2004/0612", 1), ("2005/0102", 1)],
            _ => &[("", 0)],
        };
        for (path, which) in days {
            let top = archive.root().walk(path.as_bytes()).unwrap().unwrap();
            let mut tree = Tree::new();
            tree_of_archive(&top, b"", &mut tree);
            assert_same(&format!("{label} {path}"), &mut tree, &trees[*which]);
        }
    }
}
