//! Archives of the original as older archives: compared with, added to, merged.

use vac::archiver::{DumpDay, OldArchive, Options, Trust};
use vac::walk::Moment;
use venti_proto::Score;

use crate::golden_data::{golden, store_of, untar};
use crate::support::{Bench, assert_same, paths, read_tree};

/// The score that a file of the golden data holds.
fn score_in(name: &str) -> Score {
    let path = golden().unwrap().join("vac").join(name);
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// A bench with the golden blocks, and the tree that was archived.
fn bench() -> Option<Bench> {
    let golden = golden()?.join("vac");
    let mut bench = Bench::new();
    bench.store = store_of(&golden.join("blocks.gz"));
    untar(&golden.join("basic.tar.gz"), &bench.path(""));
    Some(bench)
}

#[test]
fn files_of_the_original_s_archive_are_not_read_again() {
    let Some(mut bench) = bench() else { return };
    let (plain, _) = bench.try_archive_of(&[&bench.path("basic")]);
    let plain = plain.unwrap();
    bench.compare_with(score_in("basic.8k.vac"));
    let (compared, problems) = bench.try_archive_of(&[&bench.path("basic")]);
    let compared = compared.unwrap();
    assert_eq!(problems, []);
    assert!(compared.counts.files_unchanged > 300, "{:?}", compared.counts);
    assert!(compared.counts.bytes_read < plain.counts.bytes_read / 10);
    let [plain, compared] = [plain, compared].map(|o| read_tree(&*bench.store, o.root));
    assert_same(&compared, &plain);
    // An archive with other block sizes can not be taken from: the result would differ.
    bench.compare_with(score_in("basic.512.vac"));
    let (other, _) = bench.try_archive_of(&[&bench.path("basic")]);
    assert_eq!(other.unwrap().counts.files_unchanged, 0);
}

#[test]
fn a_day_is_added_to_the_original_s_dump() {
    let Some(mut bench) = bench() else { return };
    // The last day of the golden dump lacks a block: the day before is the newest whole one.
    let roots = golden().unwrap().join("vac/roots.tsv");
    let roots = std::fs::read_to_string(roots).unwrap();
    let labels: Vec<&str> = roots.lines().filter(|line| line.contains("dump")).collect();
    let before = labels[labels.len() - 2].split('\t').next_back().unwrap();
    let root: Score = before.trim().parse().unwrap();
    let earlier = read_tree(&*bench.store, root);
    let modified = Moment { seconds: 1_200_000_000, nanoseconds: 0 };
    bench.options = Options {
        old: Some(OldArchive { root, trust: Trust::Attributes }),
        dump: Some(DumpDay { year: 2004, month: 6, day: 12, modified }),
        ..Options::default()
    };
    let (added, problems) = bench.try_archive_of(&[&bench.path("basic")]);
    assert_eq!(problems, []);
    let added = read_tree(&*bench.store, added.unwrap().root);
    for (path, found) in earlier.iter().filter(|(path, _)| path.matches('/').count() > 2) {
        assert!(&added[path] == found, "{path}");
    }
    let days = |tree: &crate::support::Tree| -> Vec<String> {
        let is_day = |path: &&str| path.matches('/').count() == 2;
        paths(tree).into_iter().filter(is_day).map(str::to_owned).collect()
    };
    let mut expected = days(&earlier);
    let number = expected.iter().filter(|path| path.starts_with("/2004/0612")).count();
    expected.push(format!("/2004/0612.{number}"));
    expected.sort();
    assert_eq!(days(&added), expected);
}

#[test]
fn an_archive_of_the_original_is_merged() {
    let Some(mut bench) = bench() else { return };
    bench.write("x/old.vac", format!("vac:{}\n", score_in("basic.8k.vac")));
    bench.options.merge = true;
    let (merged, problems) = bench.try_archive_of(&[&bench.path("x")]);
    assert_eq!(problems, []);
    let merged = read_tree(&*bench.store, merged.unwrap().root);
    let original = read_tree(&*bench.store, score_in("basic.8k.vac"));
    for (path, found) in original.iter().filter(|(path, _)| path.matches('/').count() > 1) {
        assert!(&merged[&format!("/x{path}")] == found, "{path}");
    }
    let offset = merged["/x/basic"].dir.qid_space.unwrap().offset;
    assert!(offset >= 1 << 62);
}
