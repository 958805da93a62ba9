//! What is archived and restored is what there was: everything that Unix knows of files.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use rustix::fs::{
    CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, llistxattr, lsetxattr, makedev, mknodat,
    utimensat,
};
use vac::archiver::{self, Options, Problem, Progress, Source, archive};
use vac::extractor::{
    Difference, ExtractError, ExtractOptions, Observer, Selection, Summary, restore, verify,
};
use vac::reader::Archive;
use vac::walk::Patterns;
use venti_proto::{BlockRequest, BlockType, MemoryStore};

/// Hears problems of both sides.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl archiver::Observer for Heard {
    fn problem(&self, problem: &Problem) {
        let path = String::from_utf8_lossy(&problem.path);
        self.0.lock().push(format!("{path}: {}", problem.kind));
    }
}

impl Observer for Heard {
    fn problem(&self, path: &[u8], error: &ExtractError) {
        self.0.lock().push(format!("{}: {error}", String::from_utf8_lossy(path)));
    }
}

/// An archive in memory of one directory, and a place for restoring it.
pub(crate) struct Fixture {
    pub(crate) place: tempfile::TempDir,
    pub(crate) store: Arc<MemoryStore>,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("tree")).unwrap();
        Fixture { place, store: Arc::new(MemoryStore::new()) }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.place.path().join("tree")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.place.path().join("target")
    }

    /// Archives the tree; nothing may be missing.
    pub(crate) fn archive(&self) -> Archive {
        self.archive_of(&self.tree())
    }

    /// Archives anything.
    pub(crate) fn archive_of(&self, path: &Path) -> Archive {
        let heard = Arc::new(Heard::default());
        let sources = vec![Source::Path(path.to_owned())];
        let (options, progress) = (Options::default(), Arc::new(Progress::default()));
        let observer: Arc<dyn archiver::Observer> = heard.clone();
        let made = archive(&*self.store, sources, &options, &progress, observer).unwrap();
        assert_eq!(heard.0.lock().as_slice(), [""; 0]);
        Archive::open(self.store.clone(), made.root).unwrap()
    }

    pub(crate) fn restore(&self, archive: &Archive, options: &ExtractOptions) -> Summary {
        let (summary, problems) = self.try_restore(archive, options);
        assert_eq!(problems, [""; 0]);
        summary
    }

    pub(crate) fn try_restore(
        &self,
        archive: &Archive,
        options: &ExtractOptions,
    ) -> (Summary, Vec<String>) {
        let everything = Selection::everything();
        self.try_restore_of(archive, options, &everything)
    }

    pub(crate) fn try_restore_of(
        &self,
        archive: &Archive,
        options: &ExtractOptions,
        selection: &Selection,
    ) -> (Summary, Vec<String>) {
        let (heard, stop) = (Heard::default(), AtomicBool::new(false));
        let target = self.target();
        let summary = restore(archive.root(), &target, selection, options, &heard, &stop).unwrap();
        (summary, heard.0.into_inner())
    }
}

/// Everything that a restore must bring back, by path.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    add_to_snapshot(directory, directory, &mut found);
    found
}

fn add_to_snapshot(top: &Path, directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        let content = match stat.file_type() {
            kind if kind.is_file() => format!("{:?}", fs::read(&path).unwrap()),
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            _ => String::new(),
        };
        let links = if stat.is_dir() { 0 } else { stat.nlink() };
        let device = stat.rdev();
        let text = format!(
            "{:o} {} {} {links} {device} {} {} {:?} {content}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.mtime(),
            stat.mtime_nsec(),
            xattrs(&path)
        );
        found.insert(path.strip_prefix(top).unwrap().to_owned(), text);
        if stat.is_dir() {
            add_to_snapshot(top, &path, found);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0; 65_536];
    let length = llistxattr(path, &mut list).unwrap_or(0);
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<_> = names
        .map(|name| {
            let name = CString::new(name).unwrap();
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(path, name.as_c_str(), &mut value).unwrap();
            (name.to_string_lossy().into_owned(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// Whether the file system takes an extended attribute.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// One of everything that this process may make.
fn make_one_of_everything(tree: &Path) {
    fs::write(tree.join("empty"), b"").unwrap();
    fs::write(tree.join("small"), b"small").unwrap();
    fs::write(tree.join("block"), vec![b'b'; 8192]).unwrap();
    fs::write(tree.join("large"), (0..300_000u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>())
        .unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"middle", 32 << 20).unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"not \xff UTF-8\n")), b"x").unwrap();
    fs::write(tree.join("n".repeat(255)), b"long name").unwrap();
    symlink("small", tree.join("link")).unwrap();
    symlink("t".repeat(4000), tree.join("long link")).unwrap();
    fs::create_dir_all(tree.join("d/e/f")).unwrap();
    fs::write(tree.join("d/first"), b"two names").unwrap();
    fs::hard_link(tree.join("d/first"), tree.join("d/e/second")).unwrap();
    fs::hard_link(tree.join("d/first"), tree.join("another")).unwrap();
    let pipe = Mode::from_raw_mode(0o600);
    mknodat(CWD, tree.join("pipe"), FileType::Fifo, pipe, 0).unwrap();
    mknodat(CWD, tree.join("socket"), FileType::Socket, pipe, 0).unwrap();
    if rustix::process::geteuid().is_root() {
        mknodat(CWD, tree.join("null"), FileType::CharacterDevice, pipe, makedev(1, 3)).unwrap();
        let wide = makedev(260, 1 << 12);
        mknodat(CWD, tree.join("disk"), FileType::BlockDevice, pipe, wide).unwrap();
        std::os::unix::fs::lchown(tree.join("small"), Some(1234), Some(70_000)).unwrap();
        std::os::unix::fs::lchown(tree.join("link"), Some(4321), Some(1)).unwrap();
    }
    if !set_xattr(&tree.join("small"), "user.comment", b"\0any\xff") {
        println!("not tested: this file system has no extended attributes");
    }
    set_xattr(&tree.join("d"), "user.of-directory", &[7; 3000]);
    for (name, mode) in [("small", 0o4711), ("block", 0), ("d", 0o3770), ("d/e/f", 0o500)] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (number, name) in ["empty", "link", "pipe", "large", "d/e/f", "d/e", "d"].iter().enumerate()
    {
        let seconds = 1_000_000_000 * i64::try_from(number).unwrap() - 5;
        set_time(&tree.join(name), seconds, 123_456_789);
    }
    set_time(tree, 7, 8);
}

#[test]
fn one_of_everything_comes_back() {
    let fixture = Fixture::new();
    make_one_of_everything(&fixture.tree());
    let before = snapshot(fixture.place.path());
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let after = snapshot(&fixture.target());
    for (path, text) in &before {
        assert_eq!(after.get(path), Some(text), "{}", path.display());
    }
    assert_eq!(before.len(), after.len());
    let inode = |name: &str| fs::metadata(fixture.target().join(name)).unwrap().ino();
    assert_eq!(inode("tree/d/first"), inode("tree/d/e/second"));
    assert_eq!(inode("tree/d/first"), inode("tree/another"));
    let blocks = fs::metadata(fixture.target().join("tree/sparse")).unwrap().blocks();
    assert!(blocks < 1000, "{blocks} sectors of a sparse file");
}

#[test]
fn paths_longer_than_the_system_takes_come_back() {
    let fixture = Fixture::new();
    let name = "n".repeat(200);
    let mut at = rustix::fs::open(
        fixture.tree(),
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    for _ in 0..40 {
        rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        at = rustix::fs::openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&at, "deep", flags, Mode::RUSR).unwrap();
    File::from(file).write_all(b"down here").unwrap();
    rustix::fs::linkat(&at, "deep", &at, "deep too", rustix::fs::AtFlags::empty()).unwrap();
    let archive = fixture.archive();
    let summary = fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!((summary.files, summary.directories), (2, 41));
    let found = compare(&archive, &fixture.target());
    assert_eq!(found, [""; 0]);
}

fn compare(archive: &Archive, target: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut tell = |path: &[u8], difference: Difference| {
        found.push(format!("{} {}", difference.name(), String::from_utf8_lossy(path)));
    };
    let mut problem = |_: &[u8], error: &ExtractError| problems.push(error.to_string());
    let (options, everything) = (ExtractOptions::default(), Selection::everything());
    verify(
        archive.root(),
        target,
        &everything,
        &options,
        &AtomicBool::new(false),
        &mut tell,
        &mut problem,
    )
    .unwrap();
    found.extend(problems);
    found
}

#[test]
fn differences_are_written_and_nothing_else() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    make_one_of_everything(&tree);
    let archive = fixture.archive();
    let options = ExtractOptions { differences: true, delete: true, ..ExtractOptions::default() };
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(compare(&archive, &fixture.target()), [""; 0]);
    let restored = fixture.target().join("tree");
    let untouched = fs::metadata(restored.join("large")).unwrap();
    fs::write(restored.join("small"), b"SMALL").unwrap();
    fs::remove_file(restored.join("link")).unwrap();
    symlink("elsewhere", restored.join("link")).unwrap();
    fs::create_dir_all(restored.join("extra/below")).unwrap();
    fs::write(restored.join("extra/below/file"), b"x").unwrap();
    fs::write(restored.join("d/e/extra"), b"x").unwrap();
    fs::remove_file(restored.join("d/first")).unwrap();
    set_time(&restored.join("empty"), 1, 1);
    let differences = compare(&archive, &fixture.target());
    for line in ["content tree/small", "content tree/link", "extra tree/extra", "time tree/empty"] {
        assert!(differences.iter().any(|found| found == line), "{line}: {differences:?}");
    }
    let summary = fixture.restore(&archive, &options);
    assert_eq!(summary.removed, 2);
    assert_eq!(compare(&archive, &fixture.target()), [""; 0]);
    let now = fs::metadata(restored.join("large")).unwrap();
    let identity = |stat: &fs::Metadata| (stat.ino(), stat.ctime(), stat.ctime_nsec());
    assert_eq!(identity(&untouched), identity(&now), "an unchanged file is not touched");
    assert!(!restored.join("extra").exists());
}

/// A directory may hand down its group to what is made in it, and files that are there may belong
/// to somebody else.
#[test]
fn owners_are_put_right_wherever_they_were() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only the superuser gives files away");
        return;
    }
    let fixture = Fixture::new();
    fs::create_dir(fixture.tree().join("d")).unwrap();
    fs::write(fixture.tree().join("d/file"), b"x").unwrap();
    fs::write(fixture.tree().join("d/new"), b"y").unwrap();
    let archive = fixture.archive();
    let top = fixture.target().join("tree");
    fs::create_dir_all(top.join("d")).unwrap();
    fs::write(top.join("d/file"), b"x").unwrap();
    std::os::unix::fs::chown(top.join("d/file"), Some(7), Some(7)).unwrap();
    for directory in [fixture.target(), top.clone(), top.join("d")] {
        std::os::unix::fs::chown(&directory, Some(0), Some(77)).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o2777)).unwrap();
    }
    let options = ExtractOptions { differences: true, ..ExtractOptions::default() };
    fixture.restore(&archive, &options);
    assert_eq!(snapshot(&fixture.tree()), snapshot(&top));
}

/// The ACL of a directory is handed down to what is made in it, but not to what is restored.
#[test]
fn no_acl_of_the_target_is_handed_down() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.tree().join("d")).unwrap();
    fs::write(fixture.tree().join("d/file"), b"x").unwrap();
    let archive = fixture.archive();
    fs::create_dir(fixture.target()).unwrap();
    // Version 2, then tag, permissions and number of each entry: owner, user 1234, group, mask,
    // others.
    let entries: [(u8, u8, u16); 5] =
        [(1, 7, 0xffff), (2, 7, 1234), (4, 5, 0xffff), (16, 7, 0xffff), (32, 5, 0xffff)];
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, number) in entries {
        let [high, low] = number.to_be_bytes();
        let filler = if number == 0xffff { 0xff } else { 0 };
        acl.extend([tag, 0, permissions, 0, low, high, filler, filler]);
    }
    if !set_xattr(&fixture.target(), "system.posix_acl_default", &acl) {
        println!("skipped: this file system has no ACLs");
        return;
    }
    fs::write(fixture.target().join("probe"), b"").unwrap();
    assert!(!xattrs(&fixture.target().join("probe")).is_empty(), "it is handed down");
    fixture.restore(&archive, &ExtractOptions::default());
    assert_eq!(snapshot(&fixture.tree()), snapshot(&fixture.target().join("tree")));
}

#[test]
fn what_is_in_the_way_is_replaced_if_the_rest_may_be_removed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.tree().join("directory")).unwrap();
    fs::write(fixture.tree().join("directory/file"), b"x").unwrap();
    fs::write(fixture.tree().join("file"), b"x").unwrap();
    symlink("file", fixture.tree().join("link")).unwrap();
    let archive = fixture.archive();
    let top = fixture.target().join("tree");
    for kind in ["file", "link"] {
        fs::create_dir_all(top.join(kind).join("below")).unwrap();
        fs::write(top.join(kind).join("below/file"), b"old").unwrap();
    }
    symlink("/", top.join("directory")).unwrap();
    let (summary, problems) = fixture.try_restore(&archive, &ExtractOptions::default());
    assert_eq!((summary.exit_code(), problems.len()), (3, 3), "{problems:?}");
    let options = ExtractOptions { delete: true, ..ExtractOptions::default() };
    fixture.restore(&archive, &options);
    assert_eq!(snapshot(&fixture.tree()), snapshot(&top));
}

#[test]
fn unchanged_blocks_of_a_large_file_are_not_read_again() {
    let fixture = Fixture::new();
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_be_bytes).collect();
    fs::write(fixture.tree().join("large"), &content).unwrap();
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree/large");
    let file = File::options().write(true).open(&restored).unwrap();
    file.write_all_at(b"changed", 100_000).unwrap();
    // Only the pointer blocks and the changed block are there now.
    let changed = 100_000 / 8192;
    for (number, block) in content.chunks(8192).enumerate() {
        if number != changed {
            let score = venti_proto::Score::of(block);
            fixture.store.forget(&BlockRequest { score, block_type: BlockType::DATA });
        }
    }
    let options = ExtractOptions { differences: true, ..ExtractOptions::default() };
    fixture.restore(&archive, &options);
    assert!(fs::read(&restored).unwrap() == content);
}

#[test]
fn what_a_pattern_excludes_is_not_restored_and_not_removed() {
    let fixture = Fixture::new();
    fs::write(fixture.tree().join("a.keep"), b"new").unwrap();
    fs::write(fixture.tree().join("b"), b"b").unwrap();
    let archive = fixture.archive();
    fs::create_dir_all(fixture.target().join("tree")).unwrap();
    fs::write(fixture.target().join("tree/a.keep"), b"old").unwrap();
    fs::write(fixture.target().join("tree/other"), b"old").unwrap();
    let mut patterns = Patterns::default();
    patterns.exclude_glob("*.keep".as_ref()).unwrap();
    let selection = Selection::new([], patterns);
    let options = ExtractOptions { delete: true, ..ExtractOptions::default() };
    let (_, problems) = fixture.try_restore_of(&archive, &options, &selection);
    assert_eq!(problems, [""; 0]);
    assert_eq!(fs::read(fixture.target().join("tree/a.keep")).unwrap(), b"old");
    assert!(fixture.target().join("tree/b").exists());
    assert!(!fixture.target().join("tree/other").exists());
}

#[test]
fn only_what_was_asked_for_is_restored() {
    let fixture = Fixture::new();
    make_one_of_everything(&fixture.tree());
    let archive = fixture.archive();
    let paths: [&[u8]; 3] = [b"tree/d/e", b"tree/small", b"tree/nothing"];
    let selection = Selection::new(paths, Patterns::default());
    let options = ExtractOptions::default();
    let (summary, problems) = fixture.try_restore_of(&archive, &options, &selection);
    assert_eq!(problems, ["tree/nothing: the archive does not have a file of this name"]);
    assert_eq!(summary.exit_code(), 3);
    let found: Vec<_> = snapshot(&fixture.target()).into_keys().collect();
    let expected = ["tree", "tree/d", "tree/d/e", "tree/d/e/f", "tree/d/e/second", "tree/small"];
    assert_eq!(found, expected.map(PathBuf::from));
}

/// Every block of the archive is lost in turn: each time the loss is named, and every file that is
/// there is whole.
#[test]
fn a_lost_block_never_makes_a_short_file() {
    let fixture = Fixture::new();
    let tree = fixture.tree();
    for number in 0..20u8 {
        let directory = tree.join(format!("d{}", number % 3));
        fs::create_dir_all(&directory).unwrap();
        let content = vec![number + 1; 1000 * usize::from(number)];
        fs::write(directory.join(format!("f{number}")), content).unwrap();
    }
    let large = (0..60_000u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    fs::write(tree.join("large"), large).unwrap();
    let archive = fixture.archive();
    let whole = {
        fixture.restore(&archive, &ExtractOptions::default());
        contents(&fixture.target())
    };
    let blocks = blocks_of(&archive);
    assert!(blocks.len() > 40, "{} blocks", blocks.len());
    for request in blocks {
        let lost = fixture.store.read_and_forget(&request);
        fs::remove_dir_all(fixture.target()).unwrap();
        let (summary, problems) = fixture.try_restore(&archive, &ExtractOptions::default());
        assert_eq!(summary.exit_code(), 3, "{request:?}");
        assert!(problems.iter().all(|p| p.contains(&request.score.to_string())), "{problems:?}");
        for (path, content) in contents(&fixture.target()) {
            assert!(whole[&path] == content, "{} after {request:?}", path.display());
        }
        fixture.store.put_back(&request, &lost);
    }
}

trait Forgetful {
    fn read_and_forget(&self, request: &BlockRequest) -> Vec<u8>;
    fn put_back(&self, request: &BlockRequest, block: &[u8]);
}

impl Forgetful for MemoryStore {
    fn read_and_forget(&self, request: &BlockRequest) -> Vec<u8> {
        use venti_proto::BlockStore;
        let block = self.read_block(request.score, request.block_type).unwrap();
        assert!(self.forget(request));
        block
    }

    fn put_back(&self, request: &BlockRequest, block: &[u8]) {
        use venti_proto::{BlockBatch, BlockStore};
        let mut batch = BlockBatch::default();
        batch.push(request.block_type, block);
        self.write(&batch.hash()).unwrap();
    }
}

/// Content of every regular file.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = snapshot(directory).into_keys().map(|path| (directory.join(&path), path));
    files
        .filter(|(whole, _)| whole.is_file())
        .map(|(w, path)| (path, fs::read(w).unwrap()))
        .collect()
}

/// Every block below the root directory that is not empty.
fn blocks_of(archive: &Archive) -> Vec<BlockRequest> {
    use venti_proto::{Entry, Score};
    let mut found = Vec::new();
    let mut entries = vec![*archive.root().content(), *archive.root().meta().unwrap()];
    let store = archive.root().store();
    let mut seen = std::collections::HashSet::new();
    while let Some(entry) = entries.pop() {
        let mut blocks = vec![(entry.score, entry.top_type().unwrap())];
        while let Some((score, block_type)) = blocks.pop() {
            let request = BlockRequest { score, block_type };
            if score == Score::ZERO || !seen.insert(request) {
                continue;
            }
            found.push(request);
            let block = store.read_block(score, block_type).unwrap();
            if let Some(level) = block_type.pointer_level() {
                let below = level.checked_sub(1);
                let below =
                    below.map_or(entry.kind.leaf_type(), |l| BlockType::pointer(l).unwrap());
                blocks.extend(
                    block
                        .chunks_exact(20)
                        .map(|bytes| (Score::from_bytes(bytes.try_into().unwrap()), below)),
                );
            } else if block_type == BlockType::DIRECTORY {
                let mut block = block;
                block.resize(block.len().next_multiple_of(Entry::SIZE), 0);
                let below = block.chunks_exact(Entry::SIZE);
                entries.extend(below.filter_map(|bytes| Entry::decode(bytes).unwrap()));
            }
        }
    }
    found
}
