//! What is stored is what was there.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use vac::format::{FileKind, Mode};
use venti_proto::Score;

use crate::support::{Bench, noise, paths};

#[test]
fn files_of_every_size_come_back() {
    for block_size in [512, 8192, 57_344] {
        let mut bench = Bench::new();
        bench.options.block_size = block_size;
        let block = block_size as usize;
        let piece = 1 << 20;
        let sizes = [
            0,
            1,
            block - 1,
            block,
            block + 1,
            3 * block,
            500 * 1000,
            piece - 1,
            piece,
            piece + 1,
            piece + block,
            3 * piece + 17,
        ];
        for (seed, size) in sizes.iter().enumerate() {
            bench.write(&format!("size/{size}"), noise(*size, seed as u64 + 1));
        }
        let tree = bench.archived();
        assert_eq!(tree.len(), sizes.len() + 2);
        for (seed, size) in sizes.iter().enumerate() {
            let found = &tree[&format!("/size/{size}")];
            assert_eq!(found.entry.size, *size as u64);
            assert!(found.content == noise(*size, seed as u64 + 1), "{size} at {block_size}");
        }
    }
}

#[test]
fn zeros_and_holes_take_no_blocks() {
    let bench = Bench::new();
    bench.write("zeros", vec![0; 100_000]);
    let sparse = std::fs::File::create(bench.path("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.write_all_at(b"island", 1 << 39).unwrap();
    let outcome = bench.archive();
    assert!(outcome.counts.bytes_sent < 100_000, "{:?}", outcome.counts);
    let root = outcome.root;
    let found = read_entries(&bench, root);
    assert_eq!(found["/zeros"].score, Score::ZERO);
    assert_eq!(found["/sparse"].size, 1 << 40);
    let mut island = [0; 8];
    let sparse = &found["/sparse"];
    venti_proto::hash_tree::read_range(&*bench.store, sparse, (1 << 39) - 1, &mut island).unwrap();
    assert_eq!(&island, b"\0island\0");
}

/// Entries by path, without reading a terabyte.
fn read_entries(
    bench: &Bench,
    root: Score,
) -> std::collections::BTreeMap<&'static str, venti_proto::Entry> {
    use vac::format::MetaBlock;
    use venti_proto::{BlockStore, BlockType, Entry, Root, zero_extend};
    let read = |score, block_type| bench.store.read_block(score, block_type).unwrap();
    let root = Root::decode(&read(root, BlockType::ROOT)).unwrap();
    let entry = |block: &[u8], number: u32| {
        let at = number as usize * Entry::SIZE;
        Entry::decode(&block[at..at + Entry::SIZE]).unwrap().unwrap()
    };
    let top = read(entry(&read(root.score, BlockType::DIRECTORY), 0).score, BlockType::DIRECTORY);
    let (entries, meta) = (entry(&top, 0), entry(&top, 1));
    let entries = read(entries.score, BlockType::DIRECTORY);
    let mut meta = read(meta.score, BlockType::DATA);
    zero_extend(BlockType::DATA, &mut meta, 8192);
    let meta = MetaBlock::parse(&meta).unwrap();
    ["/zeros", "/sparse"]
        .into_iter()
        .map(|name| {
            let dir = meta.find(&name.as_bytes()[1..]).unwrap().unwrap();
            (name, entry(&entries, dir.entry))
        })
        .collect()
}

#[test]
fn names_of_all_sorts_are_kept_in_order() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let long = "n".repeat(255);
    let names: Vec<&[u8]> = vec![
        b"a",
        b"ab",
        b"abc",
        b"b",
        b" ",
        b"new\nline",
        b"\xff\xfe not utf-8",
        long.as_bytes(),
        "\u{fc}ml\u{e4}ut".as_bytes(),
        b"...",
        b".hidden",
    ];
    for name in &names {
        std::fs::write(bench.path("").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let tree = bench.archived();
    for name in &names {
        let found = &tree[&format!("/{}", String::from_utf8_lossy(name))];
        assert_eq!(&found.content, name);
        assert_eq!(&found.dir.name, name);
    }
    assert_eq!(tree.len(), names.len() + 1);
}

#[test]
fn attributes_are_kept_exactly() {
    let bench = Bench::new();
    let path = bench.write("file", "x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o6751)).unwrap();
    let stamp = std::time::UNIX_EPOCH - std::time::Duration::new(3, 999_999_999);
    std::fs::File::open(&path).unwrap().set_modified(stamp).unwrap();
    std::fs::set_permissions(bench.path(""), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let tree = bench.archived();
    let found = &tree["/file"];
    let unix = found.dir.unix.as_ref().unwrap();
    assert_eq!(unix.mode, 0o106_751);
    assert_eq!(found.dir.mode, Mode(0o751) | Mode::SET_UID | Mode::SET_GID);
    assert_eq!((unix.modified.seconds, unix.modified.nanoseconds), (-4, 1));
    let there = std::fs::metadata(&path).unwrap();
    assert_eq!((unix.uid, unix.gid), (there.uid(), there.gid()));
    assert_eq!(unix.identity.unwrap().inode, there.ino());
    let changed = unix.changed.unwrap();
    assert_eq!(
        (changed.seconds, i64::from(changed.nanoseconds)),
        (there.ctime(), there.ctime_nsec())
    );
    assert_eq!(unix.accessed, None);
    let top = tree[""].dir.unix.as_ref().unwrap();
    assert_eq!(top.mode, 0o041_777);
    assert!(top.directory.unwrap().sorted);
    assert_eq!(top.directory.unwrap().entries, 1);
}

#[test]
fn what_is_no_file_is_kept_as_what_it_is() {
    let bench = Bench::new();
    let target = "t".repeat(4000);
    symlink(&target, bench.path("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    let tree = bench.archived();
    assert_eq!(tree["/link"].dir.kind(), FileKind::Symlink);
    assert!(tree["/link"].content == target.as_bytes(), "the whole target");
    assert_eq!(tree["/pipe"].dir.kind(), FileKind::Fifo);
    assert_eq!(tree["/socket"].dir.kind(), FileKind::Socket);
}

#[test]
fn hard_links_share_content_and_group() {
    let bench = Bench::new();
    let first = bench.write("a/first", noise(2_000_000, 5));
    std::fs::create_dir(bench.path("b")).unwrap();
    std::fs::hard_link(&first, bench.path("b/second")).unwrap();
    std::fs::hard_link(&first, bench.path("third")).unwrap();
    let outcome = bench.archive();
    assert_eq!(outcome.counts.bytes_read, 2_000_000, "read once");
    let tree = bench.tree_of(outcome.root);
    let link = |path: &str| tree[path].dir.unix.as_ref().unwrap().link;
    assert_eq!(link("/a/first").unwrap().count, 3);
    assert_eq!(link("/a/first"), link("/b/second"));
    assert_eq!(link("/a/first"), link("/third"));
    assert!(tree["/b/second"].content == noise(2_000_000, 5));
}

#[test]
fn extended_attributes_are_kept_however_large() {
    let bench = Bench::new();
    let path = bench.write("file", "x");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty())
    };
    if let Err(errno) = set("user.small", b"value") {
        println!("skipped: no extended attributes here ({errno})");
        return;
    }
    let large = noise(3000, 9);
    let has_large = set("user.large", &large).is_ok();
    let tree = bench.archived();
    let unix = tree["/file"].dir.unix.clone().unwrap();
    let find = |name: &[u8]| unix.xattrs.iter().find(|x| x.name == name).map(|x| x.value.clone());
    assert_eq!(find(b"user.small"), Some(b"value".to_vec()));
    assert_eq!(find(b"user.large"), has_large.then_some(large));
}

#[test]
fn the_same_tree_gives_the_same_score() {
    let bench = Bench::new();
    for number in 0..700 {
        bench.write(&format!("d{}/f{number}", number % 13), noise(number * 7, number as u64));
    }
    assert_eq!(bench.archive().root, bench.archive().root);
}

#[test]
fn a_directory_deeper_than_a_path_can_say_is_walked() {
    let bench = Bench::new();
    let mut directory = std::fs::File::open(bench.path("")).unwrap();
    let name = "d".repeat(200);
    let depth = 300;
    for _ in 0..depth {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        mkdirat(&directory, &*name, Mode::from_raw_mode(0o755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        directory = openat(&directory, &*name, flags, Mode::empty()).unwrap().into();
    }
    rustix::fs::symlinkat("end", &directory, "link").unwrap();
    let tree = bench.archived();
    assert_eq!(tree.len(), depth + 2);
    let deepest = paths(&tree).into_iter().max_by_key(|path| path.len()).unwrap().to_owned();
    assert_eq!(tree[&deepest].content, b"end");
    remove_deep(&bench);
}

/// `remove_dir_all` manages depth, but not within the limit of open files on every system.
fn remove_deep(bench: &Bench) {
    let status = std::process::Command::new("rm").arg("-rf").arg(bench.path("")).status();
    assert!(status.unwrap().success());
}

#[test]
fn many_files_in_one_directory_make_large_streams() {
    let bench = Bench::new();
    for number in 0..5000 {
        bench.write(&format!("file-{number:05}"), number.to_string());
    }
    let tree = bench.archived();
    assert_eq!(tree.len(), 5001);
    assert!((0..5000).all(|n| tree[&format!("/file-{n:05}")].content == n.to_string().as_bytes()));
    assert!(tree[""].entry.depth > 0);
}
