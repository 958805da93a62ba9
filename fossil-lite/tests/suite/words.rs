//! What is said when something is not as it should be: the truth, and what can be done.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use venti_proto::roots::{ArchiveName, ArchiveSource};
use venti_proto::{BlockBatch, BlockStore, BlockType, Root, Score};

use crate::fuse_mount::can_mount;
use crate::machine::Machine;

const DAY: &str = "2004-06-11T03:00:00Z";

#[test]
fn dates_without_dumps_are_named() {
    let (machine, profile) = Machine::with_history();
    let first = "there is no dump of moby on or before 2001/0101: the first is 2004/0611";
    let last = "there is no dump of moby since 2005/0101: the last is 2004/1231";
    let none = "in no dump of that time of moby";
    for (options, code, said) in [
        (&["-s", "2001/0101"][..], 1, first),
        (&["-s", "2001/0101", "--since", "2000/0101"], 1, first),
        (&["--since", "2005/0101"], 1, last),
        (&["-s", "2004/0801", "--since", "2004/0701"], 1, none),
        (&["-s", "2004/0611", "--since", "2004/1231"], 2, "--since is the older date"),
        (&["-s", "2004/0611.1", "--since", "2004/0611.2"], 2, "--since is the older date"),
        (&["--since", "2004/1231", "-s", "2004/1231"], 0, ""),
    ] {
        let ran = machine.hist(&[options, &[&profile]].concat());
        assert_eq!(ran.code, code, "{options:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{options:?}: {}", ran.err);
        assert_eq!(ran.out.lines().count(), usize::from(code == 0), "{options:?} {}", ran.out);
    }
    machine.dump("2004-12-31T04:00:00Z");
    let ran = machine.hist(&["--since", "2004/1231.1", "-s", "2004/1231.1", &profile]);
    assert!(ran.code == 0 && ran.out.contains("/2004/1231.1/"), "{}{}", ran.out, ran.err);
}

#[test]
fn help_says_which_hosts_are_shown() {
    let machine = Machine::new();
    for command in ["mount", "serve", "status"] {
        let ran = machine.fossil(&[command, "--help"]);
        assert!(ran.out.contains("Only this host [default: all]"), "{command}: {}", ran.out);
    }
    for command in ["find", "bisect"] {
        let ran = machine.fossil(&[command, "--help"]);
        assert!(ran.out.contains("[default: this machine's]"), "{command}: {}", ran.out);
    }
    let ran = machine.fossil(&["status", "--max-age", "20y"]);
    assert!(ran.code == 2 && ran.err.contains("no fixed length"), "{}", ran.err);
    assert!(!ran.err.contains("jiff"), "{}", ran.err);
}

#[test]
fn status_says_by_how_much_a_dump_has_grown() {
    let (machine, _) = Machine::with_history();
    let ran = machine.fossil(&["status"]);
    let (age, rest) = ran.out.split_once(" days old  ").unwrap();
    assert!(age.starts_with("moby  2004/1231  "), "{age}");
    let expected = "100 bytes, 10 files (+0 bytes, +0 files since 2004/0611)  complete  OVERDUE\n";
    assert_eq!(rest, expected);
}

/// Blocks that no other file has, so that they can be damaged.
fn noise() -> Vec<u8> {
    (0..600_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_be_bytes()[3]).collect()
}

#[test]
fn a_file_of_a_directory_that_can_not_be_had_is_named_as_on_the_host() {
    let machine = Machine::new();
    let parts = ["one", "two"].map(|name| machine.home(name));
    for part in &parts {
        fs::create_dir_all(part.join("sub")).unwrap();
        fs::write(part.join("sub/file"), part.to_str().unwrap()).unwrap();
    }
    fs::write(parts[0].join("sub/damaged"), noise()).unwrap();
    let source =
        |path: &std::path::PathBuf| ArchiveSource::Path(path.as_os_str().as_bytes()[1..].to_vec());
    let name = ArchiveName::of(&[source(&parts[0]), source(&parts[1])]);
    machine.archive(DAY, "moby", &name, parts.to_vec());
    machine.damage(&noise()[..32]);
    for directory in [parts[0].clone(), parts[0].join("sub")] {
        let ran = machine.yesterday(&["-c", "--discard", directory.to_str().unwrap()]);
        let expected = format!("yesterday: {}/sub/damaged: ", parts[0].display());
        assert!(ran.code == 1 && ran.err.contains(&expected), "{}", ran.err);
    }
}

#[test]
fn a_file_of_a_directory_that_is_gone_needs_the_directory() {
    let (machine, _) = Machine::with_history();
    let inside = machine.home("directory/inside");
    fs::remove_dir_all(machine.home("directory")).unwrap();
    let ran = machine.yesterday(&["-c", inside.to_str().unwrap()]);
    let gone = machine.home("directory").display().to_string();
    let expected = format!("the directory {gone} is not there: copy that back, or make it\n");
    assert!(ran.code == 1 && ran.err.ends_with(&expected), "{}", ran.err);
}

#[test]
fn where_no_mount_can_be_kept_apart_the_cause_is_named() {
    if !can_mount() {
        return;
    }
    let (machine, profile) = Machine::with_history();
    let root = machine.place.path().join("root");
    fs::create_dir(&root).unwrap();
    let script = "root=$1; shift; for name in usr lib lib64 bin sbin etc tmp proc dev; do \
        if test -e /$name; then mkdir $root/$name && mount --rbind /$name $root/$name; fi; done; \
        exec chroot $root \"$@\"";
    let yesterday = machine.copy_of(env!("CARGO_BIN_EXE_yesterday"));
    let shell = ["--mount", "sh", "-c", script, "sh", root.to_str().unwrap(), &yesterday];
    let options = ["--host", "moby", "-b", &profile, "--", "true"];
    let ran = machine.run("unshare", &[&shell[..], &options].concat());
    assert!(ran.code == 1 && ran.err.contains("/ is no mount point here"), "{}", ran.err);
}

#[test]
fn that_a_file_is_in_no_dump_is_said_of_dumps_that_were_read() {
    let machine = Machine::new();
    fs::write(machine.home("file"), "").unwrap();
    let path = machine.home("file").to_str().unwrap().to_owned();
    machine.record(DAY, |store| {
        let mut batch = BlockBatch::default();
        let root = Root::vac(Score::of(b"never written"), 8192).encode().unwrap();
        batch.push(BlockType::ROOT, &root);
        let batch = batch.hash();
        store.write(&batch).unwrap();
        batch.scores()[0]
    });
    let ran = machine.hist(&[&path]);
    assert_eq!((ran.code, ran.err.lines().count()), (3, 1), "{}", ran.err);
    assert!(ran.err.starts_with("hist: 2004/0611: "), "{}", ran.err);
    machine.dump("2004-06-12T03:00:00Z");
    let ran = machine.hist(&[&path]);
    assert_eq!((ran.code, ran.out.lines().count()), (3, 1), "{}", ran.err);
    let ran = machine.hist(&["/no/such/file"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let said = "hist: /no/such/file: in no dump of moby that could be read\n";
    assert!(ran.err.ends_with(said), "{}", ran.err);
    let ran = machine.hist(&["-s", "2004/0612", "--since", "2004/0612", "/no/such/file"]);
    let said = "hist: /no/such/file: in no dump of that time of moby\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, said));
}
