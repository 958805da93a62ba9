//! Directories that the writer made, as the reader finds them: large metadata, and many names.

use vac::format::{DirectoryFacts, DirectoryWriter, Hole, Xattr};
use vac::reader::{Archive, Node};
use venti_proto::{BlockBatch, BlockStore, BlockType, Entry, Root, StreamKind};

use crate::builder::{Builder, Item};

/// An archive whose root directory the writer of the crate made with blocks of 512 bytes.
fn written(builder: &Builder, items: Vec<Item>) -> Node {
    let mut writer = DirectoryWriter::new(500, 512);
    let mut batch = BlockBatch::default();
    for item in items {
        writer.push(item.vac_dir, &item.content, item.meta.as_ref(), &mut batch).unwrap();
    }
    let streams = writer.finish(&mut batch).unwrap();
    builder.store.write(&batch.hash()).unwrap();
    let facts = DirectoryFacts { sorted: true, entries: streams.names };
    let root = builder.directory(b"/", vec![]).unix(|unix| unix.directory = Some(facts));
    let root = Item { content: streams.entries, meta: Some(streams.meta), ..root };
    let archive = Archive::open(builder.store.clone(), builder.archive(&root)).unwrap();
    archive.root().clone()
}

#[test]
fn metadata_too_large_for_a_block_comes_back_from_its_own_stream() {
    let builder = Builder::new();
    let xattr = |name: &[u8], size| Xattr { name: name.to_vec(), value: vec![7; size] };
    let holes: Vec<Hole> = (0..500).map(|n| Hole { offset: n * 8192, length: 4096 }).collect();
    let large = builder.file(b"large", b"1").unix(|unix| {
        unix.xattrs = vec![xattr(b"user.a", 65_536), xattr(b"user.b", 3)];
        unix.holes = Some(holes.clone());
    });
    // So long that everything but the numbers has to go.
    let long = builder.file(&[b'n'; 255], b"2").unix(|unix| {
        unix.xattrs = vec![xattr(b"user.c", 100)];
        unix.born = Some(unix.modified);
        unix.changed = Some(unix.modified);
    });
    let mut long = long;
    long.vac_dir.owner = vec![b'o'; 60];
    long.vac_dir.group = vec![b'g'; 30];
    let wanted = [&large, &long].map(|item| item.vac_dir.unix.clone().unwrap());
    let root = written(&builder, vec![large, long, builder.file(b"small", b"3")]);
    for (name, mut wanted) in [&b"large"[..], &[b'n'; 255]].into_iter().zip(wanted) {
        let node = root.lookup(name).unwrap().unwrap();
        let mut found = node.unix().unwrap().unwrap().into_owned();
        wanted.external = found.external.take();
        assert!(wanted.external.is_some());
        found.external = wanted.external;
        assert!(found == *wanted, "{}", String::from_utf8_lossy(name));
    }
    let children = root.all_children().unwrap();
    assert_eq!(children.len(), 3);
    let mut content = [0; 1];
    children[2].read_at(0, &mut content).unwrap();
    assert_eq!(&content, b"3");
}

#[test]
fn every_name_of_a_sorted_directory_is_found() {
    let builder = Builder::new();
    let file = builder.file(b"", b"x");
    let mut names: Vec<String> = (0..3000).map(|n| format!("{:x}", n * 7919 % 4096)).collect();
    names.sort_by(|a, b| vac::format::name_order(a.as_bytes(), b.as_bytes()));
    names.dedup();
    let root = written(&builder, names.iter().map(|name| file.named(name.as_bytes())).collect());
    assert!(root.meta().unwrap().size > 512 * 500, "many blocks");
    for name in &names {
        let found = root.lookup(name.as_bytes()).unwrap().unwrap();
        assert_eq!(found.name(), name.as_bytes());
    }
    for absent in ["", "fffff", "zzz", "1x", " "] {
        assert!(root.lookup(absent.as_bytes()).unwrap().is_none(), "{absent:?}");
    }
    let listed = root.all_children().unwrap();
    assert!(listed.iter().map(Node::name).eq(names.iter().map(String::as_bytes)));
}

#[test]
fn an_archive_of_fossil_has_one_level_more() {
    let builder = Builder::new();
    let root = builder.directory(b"/", vec![builder.file(b"x", b"1")]);
    let plain = builder.archive(&root);
    let read = |score, block_type| builder.store.read_block(score, block_type).unwrap();
    let block = Root::decode(&read(plain, BlockType::ROOT)).unwrap();
    let mut three = read(block.score, BlockType::DIRECTORY);
    three.resize(3 * Entry::SIZE, 0);
    let stream = builder.stream(StreamKind::Directory, [three.as_slice()], three.len() as u64);
    let one = builder.block(BlockType::DIRECTORY, &stream.encode().unwrap());
    let above = Root { score: one, ..block };
    let score = builder.block(BlockType::ROOT, &above.encode().unwrap());
    let archive = Archive::open(builder.store.clone(), score).unwrap();
    assert!(archive.root().lookup(b"x").unwrap().is_some());
}
