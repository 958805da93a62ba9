//! What is made when only a part of an archive is restored.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vac::extractor::{ExtractError, Silent};
use vac::extractor::{ExtractOptions, Limits, Selection, Visitor, restore, visit};
use vac::reader::Node;
use vac::walk::Patterns;

use crate::round_trip::{Fixture, snapshot};

fn only(globs: &[&str]) -> Selection {
    let mut patterns = Patterns::default();
    globs.iter().for_each(|glob| patterns.exclude_glob(glob.as_ref()).unwrap());
    Selection::everything().only(patterns)
}

fn make(tree: &Path, files: &[&str]) {
    for file in files {
        let path = tree.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

/// Everything below a directory, by its path.
fn below(directory: &Path) -> BTreeSet<String> {
    snapshot(directory).into_keys().map(|path| path.to_string_lossy().into_owned()).collect()
}

fn restore_only(fixture: &Fixture, root: &Node, globs: &[&str], options: &ExtractOptions) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let summary = restore(root, &fixture.target(), &only(globs), options, &Silent, &stop).unwrap();
    assert_eq!(summary.exit_code(), 0, "{summary:?}");
}

#[test]
fn directories_are_made_for_what_is_in_them() {
    let fixture = Fixture::new();
    let files = ["a/b/c.rs", "a/b/c.txt", "a/empty.txt", "d/e/f/g.txt", "src/x.txt", "src/y/z.txt"];
    make(&fixture.tree(), &files);
    fs::create_dir(fixture.tree().join("src/nothing")).unwrap();
    fs::set_permissions(fixture.tree().join("a/b"), fs::Permissions::from_mode(0o750)).unwrap();
    let archive = fixture.archive();
    restore_only(&fixture, archive.root(), &["*.rs", "src"], &ExtractOptions::default());
    let tree = fixture.target().join("tree");
    let whole = snapshot(&fixture.tree());
    let found = snapshot(&tree);
    let expected =
        ["a", "a/b", "a/b/c.rs", "src", "src/nothing", "src/x.txt", "src/y", "src/y/z.txt"];
    assert_eq!(below(&tree), expected.map(str::to_owned).into());
    for (path, facts) in found {
        assert_eq!(Some(&facts), whole.get(&path), "{}", path.display());
    }
    restore_only(&fixture, archive.root(), &["*.none"], &ExtractOptions::default());
    assert_eq!(below(&tree).len(), expected.len());
}

/// Notes what it is told of.
#[derive(Default)]
struct Told(Vec<String>);

impl Visitor for Told {
    fn enter(&mut self, path: &[u8], _node: &Node) -> Result<(), ExtractError> {
        self.0.push(String::from_utf8_lossy(path).into_owned());
        Ok(())
    }

    fn leave(&mut self, path: &[u8], node: &Node, _whole: bool) -> Result<(), ExtractError> {
        self.0.push(format!("{} left {}", String::from_utf8_lossy(path), node.is_directory()));
        Ok(())
    }

    fn problem(&mut self, _path: &[u8], error: &ExtractError) {
        panic!("{error}");
    }
}

#[test]
fn listings_leave_out_the_same() {
    let fixture = Fixture::new();
    make(&fixture.tree(), &["a/b/c.rs", "a/x/y.txt", "d/e/f.txt", "g.rs"]);
    let archive = fixture.archive();
    let mut told = Told::default();
    visit(archive.root(), &only(&["*.rs"]), &Limits::default(), &mut told).unwrap();
    let expected = [
        "tree",
        "tree/a",
        "tree/a/b",
        "tree/a/b/c.rs",
        "tree/a/b left true",
        "tree/a left true",
        "tree/g.rs",
        "tree left true",
        " left true",
    ];
    assert_eq!(told.0, expected);
}

#[test]
fn what_is_not_selected_is_not_removed() {
    let fixture = Fixture::new();
    make(&fixture.tree(), &["a/b.rs", "a/c.txt", "only/d.txt"]);
    let archive = fixture.archive();
    make(&fixture.target(), &["tree/a/old.rs", "tree/a/mine.txt", "tree/only/old.rs"]);
    make(&fixture.target(), &["tree/only/mine.txt", "tree/other/old.txt"]);
    let options = ExtractOptions { delete: true, ..ExtractOptions::default() };
    restore_only(&fixture, archive.root(), &["*.rs"], &options);
    let expected = ["a", "a/b.rs", "a/mine.txt", "only", "only/mine.txt", "other", "other/old.txt"];
    assert_eq!(below(&fixture.target().join("tree")), expected.map(str::to_owned).into());
}
