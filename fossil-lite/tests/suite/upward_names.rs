//! Names that lead upwards: by the directories of today until they begin, by those of then after.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use venti_proto::roots::{ArchiveName, ArchiveSource};

use crate::machine::{Machine, Ran};

const YESTERDAY: &str = env!("CARGO_BIN_EXE_yesterday");
const HIST: &str = env!("CARGO_BIN_EXE_hist");

/// Runs a program in a directory.
fn run_in(machine: &Machine, directory: &Path, program: &str, arguments: &[&str]) -> Ran {
    let mut command = machine.command(program, &["--host", "moby"]);
    Ran::from(command.args(arguments).current_dir(directory).output().unwrap())
}

#[test]
fn the_working_directory_may_be_newer_than_the_dump() {
    let (machine, profile) = Machine::with_history();
    let new = machine.home("directory/made/later");
    fs::create_dir_all(&new).unwrap();
    let up = "../../../profile";
    let ran = run_in(&machine, &new, YESTERDAY, &["--cat", up]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "two\n"), "{}", ran.err);
    let ran = run_in(&machine, &new, YESTERDAY, &["--diff", up]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let whole = machine.hist(&["--mount", "/n", &profile]);
    for name in [up, "./../.././../profile", "../../../profile/"] {
        let ran = run_in(&machine, &new, HIST, &["--mount", "/n", name]);
        assert_eq!((ran.code, &ran.out), (0, &whole.out), "{}", ran.err);
    }
    let ran = run_in(&machine, &new, YESTERDAY, &["-c", "--discard", up]);
    assert_eq!((ran.code, fs::read(&profile).unwrap()), (0, b"two\n".to_vec()), "{}", ran.err);
    // Behind a name, `..` leads out of the directory of then, which is none.
    let ran = run_in(&machine, &machine.home(""), YESTERDAY, &["--cat", "made/../profile"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    for name in ["profile/../profile", "link/../profile"] {
        let ran = run_in(&machine, &machine.home(""), YESTERDAY, &["--cat", name]);
        let expected = if name.starts_with("link") { (0, "two\n") } else { (1, "") };
        assert_eq!((ran.code, ran.out.as_str()), expected, "{name}: {}", ran.err);
    }
}

#[test]
fn no_name_leads_to_the_top_of_an_archive_of_a_part() {
    let machine = Machine::new();
    let [part, sub] = ["part", "part/sub"].map(|name| machine.home(name));
    fs::create_dir_all(sub.join("below")).unwrap();
    fs::write(sub.join("file"), "x\n").unwrap();
    fs::write(part.join("file"), "not archived\n").unwrap();
    symlink("../file", sub.join("out")).unwrap();
    symlink("../sub/file", sub.join("around")).unwrap();
    let source = ArchiveSource::Path(sub.as_os_str().as_bytes()[1..].to_vec());
    let name = ArchiveName::of(&[source]);
    machine.archive("2004-06-11T03:00:00Z", "moby", &name, vec![sub.clone()]);
    for upwards in ["..", "../..", "../../../../../../../..", "below/../..", "out", "../file"] {
        let ran = run_in(&machine, &sub, YESTERDAY, &["--diff", upwards]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{upwards}: {}", ran.err);
        assert!(ran.err.contains("is not in the dump"), "{upwards}: {}", ran.err);
    }
    for upwards in ["..", "below/../.."] {
        let ran = run_in(&machine, &sub, HIST, &["--mount", "/n", upwards]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{upwards}: {}", ran.err);
    }
    // And in again, by names of then.
    let whole = format!("{}/../../part/sub/file", sub.display());
    for name in ["../sub/file", "below/../../sub/file", "below/../file", "around", &whole] {
        let ran = run_in(&machine, &sub, YESTERDAY, &["--cat", name]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "x\n"), "{name}: {}", ran.err);
        let ran = run_in(&machine, &sub, HIST, &["--mount", "/n", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
    }
}

#[test]
fn patterns_are_of_paths_on_the_host() {
    let machine = Machine::new();
    let part = machine.home("part");
    fs::create_dir_all(part.join("a")).unwrap();
    fs::write(part.join("a/gone"), "x\n").unwrap();
    let source = ArchiveSource::Path(part.as_os_str().as_bytes()[1..].to_vec());
    let name = ArchiveName::of(&[source]);
    machine.archive("2004-06-11T03:00:00Z", "moby", &name, vec![part.clone()]);
    fs::remove_file(part.join("a/gone")).unwrap();
    machine.dump("2004-06-12T03:00:00Z");
    let find = |pattern: &str| machine.fossil(&["find", "--host", "moby", pattern]);
    let ran = find(&format!("{}/*/gone", part.display()));
    assert_eq!((ran.code, ran.out.as_str()), (0, "2004/0611/part/a/gone\n"), "{}", ran.err);
    assert_eq!(find("/part/*/gone").code, 1, "the top of an archive is no top of the host");
    let ran = find(&format!("{}/a", part.display()));
    let expected = format!("2004/0612{}/a\n", part.display());
    assert_eq!((ran.code, ran.out), (0, expected), "one directory: {}", ran.err);
}
