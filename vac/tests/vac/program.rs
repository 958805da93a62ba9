//! The program unvac as a person runs it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::round_trip::snapshot;

/// A store in a directory with an archive of a small tree.
struct Desk {
    place: tempfile::TempDir,
    score: String,
}

impl Desk {
    /// Restores an archive as an ordinary user: how that ended, and what it said.
    fn unvac_as_nobody(&self, archive: &str) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_unvac"))
            .args(["-h", "./store", "-C", "out", archive])
            .current_dir(self.place.path())
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    }

    fn new() -> Desk {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("d")).unwrap();
        fs::write(tree.join("hello"), "hello\n").unwrap();
        fs::write(tree.join("d/large"), vec![b'x'; 100_000]).unwrap();
        std::os::unix::fs::symlink("hello", tree.join("link")).unwrap();
        fs::hard_link(tree.join("hello"), tree.join("d/hello too")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_vac"))
            .args(["-h", "./store", "tree"])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let score = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        fs::write(place.path().join("tree.vac"), format!("{score}\n")).unwrap();
        Desk { place, score }
    }

    fn unvac(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_unvac"))
            .args(["-h", "./store"])
            .args(arguments)
            .current_dir(self.place.path())
            .env_remove("venti")
            .output()
            .unwrap()
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.place.path().join(below)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_same_trees(a: &Path, b: &Path) {
    assert_eq!(snapshot(a), snapshot(b));
}

#[test]
fn an_archive_is_restored_listed_and_printed() {
    let desk = Desk::new();
    let restored = desk.unvac(&["-C", "out", "tree.vac"]);
    assert_eq!((restored.status.code(), text(&restored.stderr)), (Some(0), String::new()));
    assert_same_trees(&desk.path("tree"), &desk.path("out/tree"));
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().mode();
    assert_eq!(mode("out"), mode("tree"), "the target is made as any directory is");
    let listed = desk.unvac(&["-t", &desk.score]);
    let names = "tree/\ntree/d/\ntree/d/hello too\ntree/d/large\ntree/hello\ntree/link\n";
    assert_eq!(text(&listed.stdout), names);
    let long = text(&desk.unvac(&["-tv", &desk.score, "tree/d/large"]).stdout);
    assert!(long.lines().last().unwrap().starts_with("-rw-r--r-- "), "{long}");
    assert!(long.contains(" 100000 "), "{long}");
    let printed = desk.unvac(&["-c", "tree.vac", "tree/hello"]);
    assert_eq!(text(&printed.stdout), "hello\n");
    let named = desk.unvac(&["-Tv", "-C", "out2", "tree.vac", "tree/d/large"]);
    assert_eq!(text(&named.stderr), "tree/\ntree/d/\ntree/d/large\n");
}

#[test]
fn differences_are_verified_shown_and_undone() {
    let desk = Desk::new();
    assert_eq!(desk.unvac(&["-C", "out", "tree.vac"]).status.code(), Some(0));
    let verify = || desk.unvac(&["--verify", "-C", "out", "tree.vac"]);
    assert_eq!(verify().status.code(), Some(0));
    fs::write(desk.path("out/tree/d/large"), "small").unwrap();
    fs::remove_file(desk.path("out/tree/link")).unwrap();
    fs::write(desk.path("out/tree/new"), "new").unwrap();
    let found = verify();
    assert_eq!(found.status.code(), Some(3));
    for line in ["content tree/d/large", "missing tree/link", "extra tree/new"] {
        assert!(text(&found.stderr).lines().any(|l| l == line), "{}", text(&found.stderr));
    }
    let dry = desk.unvac(&["-n", "-d", "--delete", "-C", "out", "tree.vac"]);
    assert_eq!(dry.status.code(), Some(0));
    for line in ["change tree/d/large", "make tree/link", "remove tree/new"] {
        assert!(text(&dry.stderr).lines().any(|l| l == line), "{}", text(&dry.stderr));
    }
    assert_eq!(verify().status.code(), Some(3), "a dry run changes nothing");
    let undone = desk.unvac(&["-d", "--delete", "-C", "out", "tree.vac"]);
    assert_eq!(undone.status.code(), Some(0));
    assert_same_trees(&desk.path("tree"), &desk.path("out/tree"));
}

#[test]
fn a_dry_run_makes_no_target() {
    let desk = Desk::new();
    let dry = desk.unvac(&["-n", "-C", "new", "tree.vac"]);
    let expected = "make tree\nmake tree/d\nmake tree/d/hello too\nmake tree/d/large\n\
                    make tree/hello\nmake tree/link\n";
    assert_eq!((dry.status.code(), text(&dry.stderr).as_str()), (Some(0), expected));
    assert!(!desk.path("new").exists());
    for target in ["nowhere/new", "tree/hello/new"] {
        let dry = desk.unvac(&["-n", "-C", target, "tree.vac"]);
        assert_eq!(dry.status.code(), Some(1), "{}", text(&dry.stderr));
        let real = desk.unvac(&["-C", target, "tree.vac"]);
        assert_eq!(real.status.code(), Some(1), "{}", text(&real.stderr));
    }
}

#[test]
fn a_target_that_may_not_be_written_to_is_refused() {
    let desk = Desk::new();
    fs::create_dir(desk.path("out")).unwrap();
    let script = "mount -t tmpfs -o ro none out && exec \"$@\"";
    let unvac = ["--mount", "--", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_unvac")];
    let run = |arguments: &[&str]| {
        Command::new("unshare")
            .args([&unvac[..], arguments, &["-h", "./store", "tree.vac"]].concat())
            .current_dir(desk.place.path())
            .output()
            .unwrap()
    };
    if run(&["-t"]).status.code() != Some(0) {
        println!("skipped: only the superuser can mount a file system");
        return;
    }
    for target in ["out", "out/new"] {
        let refused = run(&["-C", target]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(12), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    // As somebody who may enter it.
    for path in ["store", "tree.vac"] {
        let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(desk.path(path)).status();
        assert!(opened.unwrap().success());
    }
    fs::set_permissions(desk.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = desk.unvac_as_nobody("tree.vac");
    assert_eq!(code, Some(12), "{said}");
    assert!(said.contains("out: write to the target: Permission denied"), "{said}");
}

#[test]
fn a_tar_stream_has_everything() {
    let desk = Desk::new();
    let long = desk.path("tree/d").join("n".repeat(150));
    fs::write(&long, "long").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vac"))
        .args(["-h", "./store", "tree"])
        .current_dir(desk.place.path())
        .output()
        .unwrap();
    let score = text(&output.stdout).trim().to_owned();
    let tar = desk.unvac(&["--tar", &score]);
    assert_eq!(tar.status.code(), Some(0));
    fs::write(desk.path("tree.tar"), tar.stdout).unwrap();
    fs::create_dir(desk.path("out")).unwrap();
    let unpacked = Command::new("tar")
        .args(["-xpf", "../tree.tar"])
        .current_dir(desk.path("out"))
        .output()
        .unwrap();
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    assert_same_trees(&desk.path("tree"), &desk.path("out/tree"));
    let inode = |name: &str| fs::metadata(desk.path("out/tree").join(name)).unwrap().ino();
    assert_eq!(inode("hello"), inode("d/hello too"));
}

#[test]
fn what_goes_wrong_has_its_words_and_exit_code() {
    let desk = Desk::new();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["-c", "tree.vac", "tree/link"], 3, "tree/link: not printed: a symbolic link, which has"),
        (&["tree.vac", "tree/nothing"], 3, "tree/nothing: the archive does not have"),
        (&["nowhere.vac"], 2, "nowhere.vac is no score, and can not be read as a file"),
        (&["tree/hello"], 2, "tree/hello does not hold a score: found \"hello\""),
        (&["vac:0000000000000000000000000000000000000000"], 1, "no block with score 0000"),
        (&["-c", "-d", "tree.vac"], 2, "cannot be used with"),
        (&["-C", "tree/hello", "tree.vac"], 1, "tree/hello: open the target"),
        (&["--max-depth", "0", "-C", "o", "tree.vac"], 1, "the limit is 0 (--max-depth"),
    ];
    for (arguments, code, words) in cases {
        let output = desk.unvac(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let store = vac::store::open(
        desk.path("store").to_str(),
        vac::store::OpenOptions { access: vac::store::Access::Write, connections: 1 },
    )
    .unwrap();
    let mut batch = venti_proto::BlockBatch::default();
    batch.push(venti_proto::BlockType::DATA, b"no root");
    let batch = batch.hash();
    store.blocks.write(&batch).unwrap();
    store.close().unwrap();
    let no_root = desk.unvac(&[&format!("vac:{}", batch.scores()[0])]);
    let said = text(&no_root.stderr);
    assert_eq!(no_root.status.code(), Some(1), "{said}");
    assert!(said.contains("is not the root of an archive: it is stored as data"), "{said}");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_unvac"))
        .args(["-h", "./no-store", &desk.score])
        .current_dir(desk.place.path())
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(10), "{}", text(&nowhere.stderr));
}

#[test]
fn others_than_the_superuser_get_what_they_may() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only the superuser can become somebody else");
        return;
    }
    let desk = Desk::new();
    let tree = desk.path("tree");
    std::os::unix::fs::chown(tree.join("hello"), Some(1), Some(1)).unwrap();
    fs::set_permissions(tree.join("hello"), fs::Permissions::from_mode(0o4755)).unwrap();
    let pipe = rustix::fs::Mode::from_raw_mode(0o600);
    let null = rustix::fs::makedev(1, 3);
    let character = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("null"), character, pipe, null).unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_vac"))
        .args(["-h", "./store", "-f", "other.vac", "tree"])
        .current_dir(desk.place.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let opened = Command::new("chmod")
        .args(["-R", "a+rwX", "."])
        .current_dir(desk.place.path())
        .status()
        .unwrap();
    assert!(opened.success());
    fs::set_permissions(desk.place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (code, said) = desk.unvac_as_nobody("other.vac");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("tree/null: make it"), "{said}");
    assert!(said.contains("files belong to you and not to their owners"), "{said}");
    let hello = fs::metadata(desk.path("out/tree/hello")).unwrap();
    assert_eq!((hello.uid(), hello.mode() & 0o7777), (65_534, 0o755), "never set-uid as another");
    assert_eq!(fs::read(desk.path("out/tree/hello")).unwrap(), b"hello\n");
}

#[test]
fn a_full_disk_leaves_no_short_file() {
    let desk = Desk::new();
    let full = desk.path("full");
    fs::create_dir(&full).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "none"])
        .arg(&full)
        .stderr(std::process::Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("skipped: only the superuser can mount a small file system");
        return;
    }
    let output = desk.unvac(&["-C", "full", "tree.vac"]);
    let large_is_there = full.join("tree/d/large").exists();
    let hello = fs::read(full.join("tree/hello"));
    assert!(Command::new("umount").arg(&full).status().unwrap().success());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("tree/d/large: "), "{said}");
    assert!(!large_is_there);
    assert_eq!(hello.unwrap(), b"hello\n", "smaller files are restored");
}

#[test]
fn an_interrupted_restore_is_completed_by_another_one() {
    let desk = Desk::new();
    for number in 0..3000 {
        fs::write(desk.path("tree/d").join(format!("f{number}")), format!("{number}")).unwrap();
    }
    let made = Command::new(env!("CARGO_BIN_EXE_vac"))
        .args(["-h", "./store", "-f", "many.vac", "tree"])
        .current_dir(desk.place.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_unvac"))
        .args(["-h", "./store", "-C", "out", "many.vac"])
        .current_dir(desk.place.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() && !desk.path("out/tree/d").exists() {
        std::thread::yield_now();
    }
    let process = rustix::process::Pid::from_child(&child);
    // It may have ended already: then there is nothing to interrupt.
    let sent = rustix::process::kill_process(process, rustix::process::Signal::INT);
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(0) || sent.is_err(), "{code:?}");
    let completed = desk.unvac(&["-d", "--delete", "-C", "out", "many.vac"]);
    assert_eq!(completed.status.code(), Some(0), "{}", text(&completed.stderr));
    assert_same_trees(&desk.path("tree"), &desk.path("out/tree"));
}

#[test]
fn json_lines_parse_and_end_with_a_summary() {
    let desk = Desk::new();
    let output = desk.unvac(&["--json", "-v", "-C", "out", "tree.vac"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!(summary["message_type"], "summary");
    assert_eq!((&summary["files"], &summary["directories"]), (&4.into(), &2.into()));
    assert_eq!(lines.len(), 7);
}

#[test]
fn man_page_and_completions_are_generated() {
    let desk = Desk::new();
    for (what, expected) in [("man", ".TH unvac"), ("bash", "_unvac()"), ("zsh", "#compdef unvac")]
    {
        let output = desk.unvac(&["--generate", what]);
        assert!(text(&output.stdout).contains(expected), "{what}");
    }
}
