//! What is left out, and that it is named.

use vac::archiver::ProblemKind;
use vac::walk::Attributes;

use crate::support::{Bench, paths, read_tree};

#[test]
fn patterns_leave_out_names_and_what_is_below() {
    let mut bench = Bench::new();
    for path in ["keep", "a/lose.o", "a/keep.c", "cache/deep/file"] {
        bench.write(path, path);
    }
    let patterns = &mut bench.options.exclusions.patterns;
    patterns.exclude_glob("*.o".as_ref()).unwrap();
    patterns.exclude_glob("/cache".as_ref()).unwrap();
    let (outcome, problems) = bench.try_archive();
    let outcome = outcome.unwrap();
    assert!(!outcome.incomplete);
    assert!(problems.iter().all(|p| p.kind == ProblemKind::Excluded));
    assert_eq!(outcome.counts.left_out, 2);
    let tree = bench.tree_of(outcome.root);
    assert_eq!(paths(&tree), ["", "/a", "/a/keep.c", "/keep"]);
}

#[test]
fn caches_marks_and_sizes() {
    let mut bench = Bench::new();
    bench.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    bench.write("cache/file", "x");
    bench.write("not-cache/CACHEDIR.TAG", "something else");
    bench.write("marked/.nobackup", "");
    bench.write("marked/file", "x");
    bench.write("large", vec![1; 2000]);
    let exclusions = &mut bench.options.exclusions;
    exclusions.caches = true;
    exclusions.if_present = vec![b".nobackup".to_vec()];
    exclusions.larger_than = Some(1999);
    let (outcome, problems) = bench.try_archive();
    let codes: Vec<_> = problems.iter().map(vac::archiver::Problem::code).collect();
    assert_eq!(codes, ["marked", "larger-than", "marked"]);
    let tree = bench.tree_of(outcome.unwrap().root);
    let expected = ["", "/cache", "/marked", "/not-cache", "/not-cache/CACHEDIR.TAG"];
    assert_eq!(paths(&tree), expected);
}

#[test]
fn the_store_itself_is_left_out() {
    let mut bench = Bench::new();
    bench.write("store/arenas/1", "endless");
    bench.write("file", "x");
    let store = std::fs::File::open(bench.path("store")).unwrap();
    let identity = Attributes::of_open(&store).unwrap().identity;
    bench.options.exclusions.directories.push(identity);
    let (outcome, problems) = bench.try_archive();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kind, ProblemKind::OwnStore);
    assert_eq!(paths(&bench.tree_of(outcome.unwrap().root)), ["", "/file", "/store"]);
}

#[test]
fn several_arguments_stand_side_by_side() {
    let bench = Bench::new();
    bench.write("a/one", "1");
    bench.write("b/two", "2");
    bench.write("three", "3");
    let (outcome, problems) =
        bench.try_archive_of(&[&bench.path("three"), &bench.path("b"), &bench.path("a/../a/.")]);
    assert_eq!(problems, []);
    let tree = read_tree(&*bench.store, outcome.unwrap().root);
    assert_eq!(paths(&tree), ["", "/a", "/a/one", "/b", "/b/two", "/three"]);
    let (clash, _) = bench.try_archive_of(&[&bench.path("a"), &bench.path("b/../a")]);
    assert!(clash.unwrap_err().to_string().contains("both be called \"a\""));
    let (nothing, _) = bench.try_archive_of(&[&bench.path("nothing")]);
    assert!(nothing.is_err());
}

#[test]
fn a_directory_without_a_name_gives_its_own_attributes_to_the_top() {
    let bench = Bench::new();
    bench.write("file", "x");
    let (outcome, _) = bench.try_archive_of(&[&bench.path(".").join("../tree/..").join("tree/..")]);
    let tree = read_tree(&*bench.store, outcome.unwrap().root);
    assert_eq!(paths(&tree), ["", "/tree", "/tree/file"]);
    assert!(tree[""].dir.unix.as_ref().unwrap().identity.is_some());
}
