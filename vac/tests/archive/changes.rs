//! Archiving again: what is taken from the older archive, and what must not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use vac::archiver::{
    ArchiveError, Change, Observer, OldArchive, Problem, Progress, Source, Trust, archive,
};
use venti_proto::{BlockRequest, BlockStore, BlockType, Score};

use crate::support::{Bench, assert_same, noise};

fn bench_with_files() -> Bench {
    let bench = Bench::new();
    for number in 0..200_usize {
        bench.write(&format!("d{}/f{number}", number % 7), noise(number * 50, number as u64));
    }
    bench.write("large", noise(3_000_000, 77));
    bench
}

#[test]
fn nothing_changed_is_the_same_archive_and_reads_nothing() {
    let mut bench = bench_with_files();
    let first = bench.archive();
    let blocks = bench.store.len();
    bench.compare_with(first.root);
    let again = bench.archive();
    assert_eq!(again.root, first.root);
    assert_eq!(again.counts.files_unchanged, 201);
    assert_eq!((again.counts.bytes_read, again.counts.bytes_sent), (0, 0));
    assert_eq!(bench.store.len(), blocks);
}

#[test]
fn what_changed_is_read_and_the_rest_is_not() {
    let mut bench = bench_with_files();
    let first = bench.archive();
    bench.compare_with(first.root);
    bench.write("d3/f3", "changed");
    bench.write("d3/new", "new");
    std::fs::remove_file(bench.path("d4/f4")).unwrap();
    std::fs::rename(bench.path("d5"), bench.path("e5")).unwrap();
    let again = bench.archive();
    assert_eq!(again.counts.files_changed, 1);
    let moved = (0..200).filter(|n| n % 7 == 5).count() as u64;
    assert_eq!(again.counts.files_new, 1 + moved);
    let tree = bench.tree_of(again.root);
    bench.options.old = None;
    assert_same(&tree, &bench.archived());
    assert_eq!(tree["/d3/f3"].content, b"changed");
    assert!(!tree.contains_key("/d4/f4"));
}

#[test]
fn content_changed_back_in_time_is_noticed() {
    let mut bench = Bench::new();
    let path = bench.write("file", "one");
    let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set = || std::fs::File::open(&path).unwrap().set_modified(stamp).unwrap();
    set();
    let first = bench.archive();
    bench.compare_with(first.root);
    std::fs::write(&path, "two").unwrap();
    set();
    let tree = bench.archived();
    assert_eq!(tree["/file"].content, b"two", "size and time are equal, the change time is not");
}

#[test]
fn without_trust_every_file_is_read_and_nothing_is_stored_twice() {
    let mut bench = bench_with_files();
    let first = bench.archive();
    let blocks = bench.store.len();
    bench.compare_with(first.root);
    if let Some(old) = &mut bench.options.old {
        old.trust = Trust::Nothing;
    }
    let again = bench.archive();
    assert_eq!(again.root, first.root);
    assert!(again.counts.bytes_read > 3_000_000);
    assert_eq!((again.counts.files_unchanged, again.counts.files_changed), (201, 0));
    assert_eq!(bench.store.len(), blocks);
}

#[test]
fn a_damaged_older_archive_costs_time_and_nothing_else() {
    let mut bench = bench_with_files();
    let first = bench.archive();
    let tree = bench.tree_of(first.root);
    let lost = &tree["/d2"].entry;
    bench.compare_with(first.root);
    let request = BlockRequest { score: lost.score, block_type: lost.top_type().unwrap() };
    assert!(bench.store.forget(&request));
    let (outcome, problems) = bench.try_archive();
    let outcome = outcome.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].code(), "old-damaged");
    assert!(!outcome.incomplete);
    assert_same(&bench.tree_of(outcome.root), &tree);
}

#[test]
fn large_directories_are_merged_as_streams() {
    let mut bench = Bench::new();
    for number in 0..3000 {
        bench.write(&format!("{number}"), number.to_string());
    }
    let first = bench.archive();
    bench.compare_with(first.root);
    for number in (0..3000).step_by(500) {
        bench.write(&format!("{number}"), "changed");
        std::fs::remove_file(bench.path(&format!("{}", number + 1))).unwrap();
        bench.write(&format!("{number}x"), "new");
    }
    let again = bench.archive();
    assert_eq!(again.counts.files_changed, 6);
    assert_eq!(again.counts.files_new, 6);
    assert_eq!(again.counts.files_unchanged, 2988);
    let tree = bench.tree_of(again.root);
    bench.options.old = None;
    assert_same(&tree, &bench.archived());
}

#[test]
fn a_file_that_became_a_directory_and_back_is_new() {
    let mut bench = Bench::new();
    bench.write("x", "file");
    bench.write("y/z", "in a directory");
    let first = bench.archive();
    bench.compare_with(first.root);
    std::fs::remove_file(bench.path("x")).unwrap();
    std::fs::remove_dir_all(bench.path("y")).unwrap();
    bench.write("x/inside", "now a directory");
    bench.write("y", "now a file");
    let tree = bench.archived();
    assert_eq!(tree["/x/inside"].content, b"now a directory");
    assert_eq!(tree["/y"].content, b"now a file");
}

#[test]
fn a_hint_changes_nothing_but_time() {
    let mut bench = bench_with_files();
    let first = bench.archive();
    let hint = |root| Some(OldArchive { root, trust: Trust::Hint });
    bench.options.old = hint(first.root);
    let again = bench.archive();
    assert_eq!((again.root, again.counts.bytes_read), (first.root, 0));
    bench.write("d3/f3", "changed");
    let with = bench.archive();
    assert_eq!(with.counts.files_changed, 1);
    bench.options.old = None;
    assert_eq!(bench.archive().root, with.root, "the older archive leaves no trace");
    bench.options.old = hint(Score::of(b"nothing that is stored"));
    assert_eq!(bench.archive().root, with.root);
}

#[test]
fn a_store_that_lost_blocks_gets_them_again() {
    let mut bench = bench_with_files();
    // Small blocks make a high tree of the large file.
    bench.options.block_size = 512;
    let first = bench.archive();
    let tree = bench.tree_of(first.root);
    let large = tree["/large"].entry;
    assert_eq!(large.depth, 3);
    let top = |path: &str| {
        let entry = tree[path].entry;
        BlockRequest { score: entry.score, block_type: entry.top_type().unwrap() }
    };
    let pointers = |above: &BlockRequest, level| {
        let block = bench.store.read_block(above.score, above.block_type).unwrap();
        let score = Score::from_bytes(*block.as_chunks().0.last().unwrap());
        BlockRequest { score, block_type: BlockType::pointer(level).unwrap() }
    };
    let middle = pointers(&top("/large"), 1);
    let lowest = pointers(&middle, 0);
    for lost in [top("/large"), top("/d3/f101"), middle, lowest] {
        for trust in [Trust::Hint, Trust::Attributes] {
            assert!(bench.store.forget(&lost));
            bench.options.old = Some(OldArchive { root: first.root, trust });
            let (again, problems) = bench.try_archive();
            let again = again.unwrap();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(again.root, first.root);
            assert!(again.counts.bytes_read > 3_000_000, "everything was read again");
            assert_same(&bench.tree_of(again.root), &tree);
        }
    }
}

#[test]
fn what_was_appended_is_never_skipped() {
    let mut bench = Bench::new();
    let mut content = noise(20_000, 4);
    let path = bench.write("log", &content);
    let first = bench.archive();
    bench.compare_with(first.root);
    let more = noise(9_000, 5);
    content.extend_from_slice(&more);
    let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut log, &more).unwrap();
    let tree = bench.archived();
    assert!(tree["/log"].content == content);
}

/// Asks the archiver to stop when it has met some files.
struct StopAfter {
    progress: Arc<Progress>,
    left: AtomicU64,
}

impl Observer for StopAfter {
    fn problem(&self, _: &Problem) {}

    fn file(&self, _: &[u8], _: Change) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.progress.stop();
        }
    }
}

#[test]
fn an_interrupted_run_is_gone_on_from() {
    for after in [1, 1000] {
        let mut bench = Bench::new();
        for number in 0..3000 {
            bench.write(&format!("d{}/f{number:04}", number / 100), noise(2000, number));
        }
        bench.write("d00/large", noise(5_000_000, 1));
        let progress = Arc::new(Progress::default());
        let observer = StopAfter { progress: Arc::clone(&progress), left: AtomicU64::new(after) };
        let sources = vec![Source::Path(bench.path(""))];
        let stopped =
            archive(&*bench.store, sources, &bench.options, &progress, Arc::new(observer));
        let Err(ArchiveError::Stopped { resume }) = stopped else {
            assert!(stopped.is_err(), "{stopped:?}");
            continue;
        };
        bench.options.old = Some(OldArchive { root: resume, trust: Trust::Hint });
        let whole = bench.archive();
        assert!(whole.counts.files_unchanged + 1 >= after, "{:?}", whole.counts);
        assert_eq!(whole.counts.files(), 3001);
        bench.options.old = None;
        assert_eq!(bench.archive().root, whole.root);
    }
}

#[test]
fn what_the_store_has_under_another_name_is_not_sent() {
    let mut bench = Bench::new();
    bench.options.probe = true;
    for number in 0..30 {
        bench.write(&format!("a/{number:02}"), noise(300_000, number));
    }
    let first = bench.archive();
    assert!(first.counts.bytes_sent > 9_000_000);
    std::fs::rename(bench.path("a"), bench.path("b")).unwrap();
    let again = bench.archive();
    assert_eq!(again.counts.bytes_read, 9_000_000);
    assert!(again.counts.bytes_sent < 100_000, "{:?}", again.counts);
}

/// Removes a file as soon as the walk has met it.
struct Remove(std::path::PathBuf);

impl Observer for Remove {
    fn problem(&self, _: &Problem) {}

    fn file(&self, path: &[u8], _: Change) {
        if path == self.0.as_os_str().as_encoded_bytes() {
            std::fs::remove_file(&self.0).unwrap();
        }
    }
}

#[test]
fn another_name_is_read_when_the_first_one_has_gone() {
    for size in [10, 3_000_000] {
        let bench = Bench::new();
        let first = bench.write("a", noise(size, 1));
        for name in ["b", "sub/c"] {
            bench.write("sub/x", "");
            std::fs::hard_link(&first, bench.path(name)).unwrap();
        }
        let sources = vec![Source::Path(bench.path(""))];
        let observer = Arc::new(Remove(first));
        let outcome =
            archive(&*bench.store, sources, &bench.options, &Arc::default(), observer).unwrap();
        assert!(outcome.incomplete, "a is gone");
        let tree = bench.tree_of(outcome.root);
        assert!(!tree.contains_key("/a"));
        for name in ["/b", "/sub/c"] {
            assert!(tree[name].content == noise(size, 1), "{name}");
        }
    }
}

#[test]
fn an_entry_that_is_kept_is_as_if_it_were_made_anew() {
    let mut bench = bench_with_files();
    std::fs::hard_link(bench.path("large"), bench.path("d0/large")).unwrap();
    std::os::unix::fs::symlink("large", bench.path("link")).unwrap();
    let plain = bench.archive();
    // With access times every entry is another one, though no file changed.
    bench.options.access_times = true;
    let anew = bench.archive();
    bench.compare_with(plain.root);
    let described_again = bench.archive();
    assert_eq!(described_again.counts.files_unchanged, plain.counts.files());
    assert_same(&bench.tree_of(described_again.root), &bench.tree_of(anew.root));
    bench.compare_with(described_again.root);
    assert_eq!(bench.archive().root, described_again.root);
}
