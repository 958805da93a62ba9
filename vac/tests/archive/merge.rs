//! Archives that are merged into others (`-m`).

use vac::archiver::ProblemKind;

use crate::support::{Bench, paths};

#[test]
fn archives_take_the_place_of_their_files() {
    let mut bench = Bench::new();
    bench.write("one/a", "a of one");
    bench.write("two/deep/b", "b of two");
    let archive = |name: &str| {
        let (outcome, problems) =
            bench.try_archive_of(&[&bench.path(name).join("../").join(name).join(".")]);
        assert_eq!(problems, []);
        outcome.unwrap().root
    };
    let (one, two) = (archive("one"), archive("two"));
    std::fs::remove_dir_all(bench.path("one")).unwrap();
    std::fs::remove_dir_all(bench.path("two")).unwrap();
    bench.write("x/first.vac", format!("vac:{one}\n"));
    bench.write("x/second.vac", format!("vac:{two}\n"));
    bench.write("x/middle", "between them");
    bench.write("x/no.vac", "just a file");
    bench.write("x/lost.vac", "vac:0123456789012345678901234567890123456789\n");
    bench.options.merge = true;
    let tree = bench.archived();
    let expected = [
        "",
        "/x",
        "/x/lost.vac",
        "/x/middle",
        "/x/no.vac",
        "/x/one",
        "/x/one/a",
        "/x/two",
        "/x/two/deep",
        "/x/two/deep/b",
    ];
    assert_eq!(paths(&tree), expected);
    assert_eq!(tree["/x/two/deep/b"].content, b"b of two");
    let offsets = ["/x/one", "/x/two"].map(|path| tree[path].dir.qid_space.unwrap().offset);
    assert_ne!(offsets[0], offsets[1]);
}

#[test]
fn a_name_that_is_taken_is_reported() {
    let mut bench = Bench::new();
    bench.write("same", "in the archive");
    let (outcome, _) = bench.try_archive_of(&[&bench.path("same")]);
    let root = outcome.unwrap().root;
    bench.write("same", "beside it");
    bench.write("a.vac", format!("vac:{root}\n"));
    bench.options.merge = true;
    let (outcome, problems) = bench.try_archive();
    let outcome = outcome.unwrap();
    assert!(outcome.incomplete);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kind, ProblemKind::MergeClash);
    assert_eq!(bench.tree_of(outcome.root)["/same"].content, b"beside it");
}
