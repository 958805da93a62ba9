//! What hist says of a file that has had other names, and what it costs.

use std::fs;
use std::sync::Arc;

use fossil_lite::past::{Asked, followed_history};

use crate::counting::Counting;
use crate::machine::Machine;
use crate::world::World;

/// A line of hist from the name of the dump on: what is before it depends on the clock.
fn tails(out: &str) -> Vec<String> {
    let tail = |line: &str| {
        let before = line.split("/n/dump/").next().unwrap();
        let word = if before.ends_with("to ") || before.ends_with("before ") { before } else { "" };
        format!("{word}{}", &line[before.len() + "/n/dump/".len()..])
    };
    out.lines().map(tail).collect()
}

/// The lines of hist, with the directory that everything is in left out.
fn hist(machine: &Machine, name: &str) -> Vec<String> {
    let path = machine.home(name);
    let ran = machine.hist(&["--mount", "/n/dump", path.to_str().unwrap()]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    // What was found is kept, and says the same.
    assert_eq!(machine.hist(&["--mount", "/n/dump", path.to_str().unwrap()]).out, ran.out);
    let (home, user) = (machine.home(""), uzers::get_current_username().unwrap());
    let out = ran.out.replace(home.to_str().unwrap(), "");
    tails(&out.replace(&format!(" {}", user.to_str().unwrap()), ""))
}

#[test]
fn a_file_is_followed_through_its_names() {
    let machine = Machine::new();
    let home = |name: &str| machine.home(name);
    for directory in ["a", "b", "unchanged"] {
        fs::create_dir(home(directory)).unwrap();
    }
    fs::write(home("unchanged/file"), "x").unwrap();
    fs::write(home("a/notes"), "one").unwrap();
    machine.dump("2004-06-01T12:00:00Z");
    fs::rename(home("a/notes"), home("a/notes.txt")).unwrap();
    machine.dump("2004-06-02T12:00:00Z");
    machine.dump("2004-06-03T12:00:00Z");
    // It moves, and changes at the same time.
    fs::rename(home("a/notes.txt"), home("b/notes")).unwrap();
    fs::write(home("b/notes"), "three").unwrap();
    machine.dump("2004-06-04T12:00:00Z");
    // The directory that it is in gets another name.
    fs::rename(home("b"), home("c")).unwrap();
    machine.dump("2004-06-05T12:00:00Z");
    fs::remove_file(home("c/notes")).unwrap();
    machine.dump("2004-06-06T12:00:00Z");
    fs::write(home("c/notes"), "again").unwrap();
    machine.dump("2004-06-07T12:00:00Z");
    assert_eq!(
        hist(&machine, "c/notes"),
        [
            "2004/0607c/notes 5",
            "deleted before 2004/0606c/notes",
            "2004/0605c/notes 5 renamed from b/notes",
            "2004/0604b/notes 5 renamed from a/notes.txt",
            "2004/0603a/notes.txt 3 renamed from a/notes",
            "2004/0601a/notes 3",
        ]
    );
    assert_eq!(
        hist(&machine, "a/notes"),
        ["renamed to 2004/0602a/notes.txt", "2004/0601a/notes 3"]
    );
    assert_eq!(
        hist(&machine, "b"),
        ["renamed to 2004/0605c", "2004/0604b 0 directory", "2004/0603b 0 directory"]
    );
    let path = home("c/notes");
    let json = machine.hist(&["--json", path.to_str().unwrap()]).out;
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |name: &str| serde_json::Value::from(home(name).to_str().unwrap());
    assert_eq!(lines[3]["path"], at("b/notes"));
    assert_eq!(lines[3]["renamed_from"], at("a/notes.txt"));
    assert_eq!(lines[3]["renamed_to"], serde_json::Value::Null);
    let diff = machine.hist(&["-d", path.to_str().unwrap()]).out;
    assert!(diff.contains("-one\n") && diff.contains("+three\n"), "{diff}");
}

#[test]
fn a_name_that_passes_from_file_to_file() {
    let machine = Machine::new();
    let home = |name: &str| machine.home(name);
    fs::write(home("log"), "1").unwrap();
    fs::write(home("conf"), "old").unwrap();
    fs::write(home("conf.new"), "newer").unwrap();
    fs::write(home("there"), "and back").unwrap();
    fs::write(home("became"), "a file").unwrap();
    machine.dump("2004-06-01T12:00:00Z");
    // A log is turned, a configuration replaced, a link added, and a file makes way.
    fs::rename(home("log"), home("log.1")).unwrap();
    fs::write(home("log"), "22").unwrap();
    fs::rename(home("conf.new"), home("conf")).unwrap();
    fs::rename(home("there"), home("elsewhere")).unwrap();
    fs::remove_file(home("became")).unwrap();
    fs::create_dir(home("became")).unwrap();
    fs::hard_link(home("log.1"), home("link")).unwrap();
    machine.dump("2004-06-02T12:00:00Z");
    fs::rename(home("elsewhere"), home("there")).unwrap();
    fs::hard_link(home("link"), home("second link")).unwrap();
    machine.dump("2004-06-03T12:00:00Z");
    assert_eq!(
        hist(&machine, "log"),
        ["2004/0603log 2 another file", "2004/0601log 1 then renamed to link"]
    );
    assert_eq!(
        hist(&machine, "conf"),
        ["2004/0603conf 5 another file renamed from conf.new", "2004/0601conf 3"]
    );
    assert_eq!(hist(&machine, "conf.new"), ["renamed to 2004/0602conf", "2004/0601conf.new 5"]);
    assert_eq!(
        hist(&machine, "there"),
        [
            "2004/0603there 8 renamed from elsewhere",
            "2004/0602elsewhere 8 renamed from there",
            "2004/0601there 8",
        ]
    );
    assert_eq!(
        hist(&machine, "became"),
        ["2004/0603became 0 directory was a file", "2004/0601became 6"]
    );
    // Another name of a file that keeps its own is no renaming.
    assert_eq!(hist(&machine, "second link"), ["2004/0603second link 1"]);
}

/// A file that moves, in a dump of 400 directories of which two change.
#[test]
fn a_renamed_file_is_looked_for_only_where_something_changed() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    for number in 0..20 {
        for below in 0..20 {
            fs::create_dir_all(at(&format!("{number}/{below}"))).unwrap();
            fs::write(at(&format!("{number}/{below}/file")), format!("{number} {below}")).unwrap();
        }
    }
    world.dump("moby", "2004-06-01T12:00:00Z", source.path());
    fs::rename(at("3/4/file"), at("17/18/moved")).unwrap();
    world.dump("moby", "2004-06-02T12:00:00Z", source.path());
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    tree.catalogue().refresh().unwrap();
    let host = "moby".parse().unwrap();
    let dumps = tree.catalogue().dumps(&host).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let asked = Asked { tree: &tree, host: &host, cache: Some(kept.path()) };
    let found = followed_history(&asked, &dumps, b"/17/18/moved").unwrap();
    let paths: Vec<&[u8]> = found.versions.iter().map(|version| &version.path[..]).collect();
    assert_eq!(paths, [&b"/17/18/moved"[..], b"/3/4/file"]);
    assert_eq!(found.versions[0].renamed_from.as_deref(), Some(&b"/3/4/file"[..]));
    // Each directory that is read costs two round trips, its entries and its metadata.
    let calls = counting.calls();
    assert!(calls < 120, "{calls} round trips for a file moved among 400 directories");
    // Asked again, a new process needs no block.
    let tree = world.tree_over(Arc::clone(&counting) as _, None);
    let again = followed_history(&Asked { tree: &tree, ..asked }, &dumps, b"/17/18/moved").unwrap();
    assert_eq!(again.versions.len(), 2);
    let more = counting.calls() - calls;
    assert!(more <= 6, "{more} round trips");
}
