//! What the target itself becomes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output};

/// A place with a tree that is archived as the present directory.
struct Whole(tempfile::TempDir);

impl Whole {
    fn new() -> Whole {
        let whole = Whole(tempfile::tempdir().unwrap());
        fs::create_dir_all(whole.0.path().join("tree/a")).unwrap();
        fs::write(whole.0.path().join("tree/a/file"), "content").unwrap();
        let tree = whole.0.path().join("tree");
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o751)).unwrap();
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(&tree).unwrap().set_times(times).unwrap();
        let archived = whole.run(env!("CARGO_BIN_EXE_vac"), "tree", &["-f", "../x.vac", "."]);
        assert!(archived.status.success(), "{archived:?}");
        whole
    }

    fn run(&self, program: &str, place: &str, arguments: &[&str]) -> Output {
        let place = self.0.path().join(place);
        fs::create_dir_all(&place).unwrap();
        Command::new(program)
            .args(["-h", "../store"])
            .args(arguments)
            .current_dir(place)
            .env("XDG_CACHE_HOME", self.0.path().join("cache"))
            .output()
            .unwrap()
    }

    fn unvac(&self, place: &str, arguments: &[&str]) -> Option<i32> {
        self.run(env!("CARGO_BIN_EXE_unvac"), place, arguments).status.code()
    }

    fn is_as_archived(&self, place: &str) -> bool {
        let facts = |place: &str| {
            let found = fs::metadata(self.0.path().join(place)).unwrap();
            (found.mode(), found.mtime(), found.mtime_nsec())
        };
        facts(place) == facts("tree")
    }
}

#[test]
fn the_target_becomes_what_was_archived_if_it_is_named_and_all_of_it_is_restored() {
    let whole = Whole::new();
    assert_eq!(whole.unvac("out", &["-C", "../new", "../x.vac"]), Some(0));
    assert!(whole.is_as_archived("new"));
    assert_eq!(whole.unvac("out", &["--verify", "-C", "../new", "../x.vac"]), Some(0));
    assert_eq!(whole.unvac("there", &["-C", ".", "../x.vac"]), Some(0));
    assert!(whole.is_as_archived("there"), "also if it was there before");
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(whole.0.path().join("there"), mode).unwrap();
    assert_eq!(whole.unvac("there", &["--verify", "-C", ".", "../x.vac"]), Some(3));
    assert_eq!(whole.unvac("there", &["--verify", "../x.vac"]), Some(0), "it was not named");
}

#[test]
fn the_target_stays_as_it_is_in_all_other_cases() {
    let whole = Whole::new();
    assert_eq!(whole.unvac("here", &["../x.vac"]), Some(0));
    assert_eq!(whole.unvac("one", &["-C", ".", "../x.vac", "a"]), Some(0));
    assert_eq!(whole.unvac("some", &["-C", ".", "--include", "a", "../x.vac"]), Some(0));
    assert_eq!(whole.unvac("less", &["-C", ".", "--exclude", "x", "../x.vac"]), Some(0));
    for place in ["here", "one", "some", "less"] {
        assert!(!whole.is_as_archived(place), "{place}");
        assert!(whole.0.path().join(place).join("a/file").exists(), "{place}");
    }
    // The directory above the arguments is no part of what was archived.
    let archived = whole.run(env!("CARGO_BIN_EXE_vac"), "tree", &["-f", "../y.vac", "../tree"]);
    assert!(archived.status.success(), "{archived:?}");
    assert_eq!(whole.unvac("above", &["-C", ".", "../y.vac"]), Some(0));
    assert_eq!(
        fs::metadata(whole.0.path().join("above")).unwrap().mode() & 0o777,
        0o755 & !umask()
    );
    assert!(whole.is_as_archived("above/tree"));
}

/// Bits that new files do not get.
fn umask() -> u32 {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("new")).unwrap();
    !fs::metadata(place.path().join("new")).unwrap().mode() & 0o777
}
