//! Runs the program vac as a user does, into a store of its own.

#![expect(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod checkpoint;
mod honest;
mod snapshot;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use venti_proto::{BlockType, Score};

/// A place with a tree and a store.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("tree")).unwrap();
        std::fs::write(place.path("tree/file"), "content").unwrap();
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vac"));
        command.current_dir(self.0.path()).env_remove("venti").args(arguments);
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs vac with the store of this place.
    fn vac(&self, arguments: &[&str]) -> Output {
        self.command(&["-h", "./store"]).args(arguments).output().unwrap()
    }

    fn has_root(&self, score: &str) -> bool {
        let options = vac::store::OpenOptions { access: vac::store::Access::Read, connections: 1 };
        let name = self.path("store").to_str().unwrap().to_owned();
        let store = vac::store::open(Some(&name), options).unwrap();
        let score: Score = score.parse().unwrap();
        store.blocks.read_block(score, BlockType::ROOT).is_ok()
    }
}

/// The last line of standard output, which must be a score.
fn score(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("vac:") && last.len() == 44, "{last}\n{}", errors(output));
    last.to_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_score_is_all_that_is_printed() {
    let place = Place::new();
    let output = place.vac(&["tree"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let found = score(&output);
    assert_eq!(output.stdout.len(), 45);
    assert!(place.has_root(&found));
    assert_eq!(score(&place.vac(&["tree"])), found, "the same tree, the same score");
}

#[test]
fn the_store_comes_from_the_environment_too() {
    let place = Place::new();
    let output = place.command(&["tree"]).env("venti", "./store").output().unwrap();
    assert!(place.has_root(&score(&output)));
    let none = place.command(&["tree"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(errors(&none).contains("no store is named"), "{}", errors(&none));
    assert!(none.stdout.is_empty());
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let place = Place::new();
    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::write(place.path("other/file"), "no store").unwrap();
    let code = |arguments: &[&str]| {
        let output = place.command(arguments).output().unwrap();
        assert!(output.stdout.is_empty());
        output.status.code().unwrap()
    };
    assert_eq!(code(&["--no-such-option"]), 2);
    assert_eq!(code(&["-h", "./store"]), 2, "no files");
    assert_eq!(code(&["-h", "./store", "-b", "100", "tree"]), 2);
    assert_eq!(code(&["-h", "./store", "-e", "[", "tree"]), 2);
    assert_eq!(code(&["-h", "./store", "-d", "nowhere", "tree"]), 2);
    assert_eq!(code(&["-h", "./other", "tree"]), 10);
    assert_eq!(code(&["-h", "unix:/nowhere/at/all", "tree"]), 10);
    let refused = errors(&place.command(&["-h", "unix:/nowhere", "tree"]).output().unwrap());
    assert_eq!(refused.matches("No such file").count(), 1, "said once: {refused}");
    // A name without a slash is a host's: that there is such a directory is said.
    assert_eq!(code(&["-h", "other", "tree"]), 10);
    let host = errors(&place.command(&["-h", "other", "tree"]).output().unwrap());
    assert!(host.contains("-h ./other"), "{host}");
    assert_eq!(code(&["-h", "./store", "nothing"]), 1);
    let options = vac::store::OpenOptions { access: vac::store::Access::Write, connections: 1 };
    let name = place.path("store").to_str().unwrap().to_owned();
    let held = vac::store::open(Some(&name), options).unwrap();
    assert_eq!(code(&["-h", "./store", "tree"]), 11);
    let said = |name: &str| errors(&place.command(&["-h", name, "tree"]).output().unwrap());
    assert!(said("./store").contains("go through its server with -h"), "{}", said("./store"));
    drop(held);
}

#[test]
fn unreadable_files_make_the_status_3_and_are_named() {
    let place = Place::new();
    std::fs::write(place.path("tree/secret"), "x").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
    std::fs::set_permissions(place.path("tree/secret"), mode).unwrap();
    let mut command = place.command(&["-h", "./store", "tree"]);
    if rustix::process::geteuid().is_root() {
        // As root everything can be read: become somebody who may write here.
        use std::os::unix::fs::{PermissionsExt, chown};
        use std::os::unix::process::CommandExt;
        chown(place.path(""), Some(65534), Some(65534)).unwrap();
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(""), everybody).unwrap();
        command.uid(65534).gid(65534);
        let program = place.path("vac");
        if std::fs::copy(env!("CARGO_BIN_EXE_vac"), &program).is_err() {
            return;
        }
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(program);
        command.args(arguments).current_dir(place.0.path()).uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    assert!(errors(&output).contains("tree/secret: not archived: permission denied"));
    assert!(errors(&output).contains("not complete: 1 problem"));
    score(&output);
}

#[test]
fn score_files_are_replaced_whole() {
    let place = Place::new();
    let output = place.vac(&["-f", "a.vac", "tree"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(output.stdout.is_empty());
    let first = read(place.path("a.vac"));
    std::fs::write(place.path("tree/new"), "more").unwrap();
    place.vac(&["-q", "-d", "a.vac", "-f", "a.vac", "tree"]);
    assert_ne!(read(place.path("a.vac")), first);
    let failed = place.vac(&["-f", "a.vac", "nothing"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(place.has_root(read(place.path("a.vac")).trim()), "a failure leaves the file");
}

#[test]
fn a_dump_grows_by_a_day_and_survives_a_failure() {
    let place = Place::new();
    let first = score(&place.vac(&["-a", "dump.vac", "-q", "tree"]));
    assert_eq!(read(place.path("dump.vac")).trim(), first);
    let second = score(&place.vac(&["-a", "dump.vac", "-q", "tree"]));
    assert_ne!(first, second);
    assert_eq!(place.vac(&["-a", "dump.vac", "nothing"]).status.code(), Some(1));
    assert_eq!(read(place.path("dump.vac")).trim(), second);
    std::fs::write(place.path("dump.vac"), "damaged").unwrap();
    assert_eq!(place.vac(&["-a", "dump.vac", "tree"]).status.code(), Some(1));
    assert_eq!(read(place.path("dump.vac")), "damaged", "nothing is overwritten that is not ours");
}

#[test]
fn streams_are_archived_if_they_are_whole() {
    let place = Place::new();
    let good = place.vac(&["-i", "db.sql", "--command", "echo select", "tree"]);
    assert_eq!(good.status.code(), Some(0), "{}", errors(&good));
    let bad = place.vac(&["-i", "db.sql", "--command", "echo half; exit 9"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(bad.stdout.is_empty());
    assert!(errors(&bad).contains("exit status: 9"), "{}", errors(&bad));
    let mut piped = place.command(&["-h", "./store", "-i", "in"]);
    piped.stdin(std::fs::File::open(place.path("tree/file")).unwrap());
    score(&piped.output().unwrap());
    assert_eq!(place.vac(&["-i", "a/b"]).status.code(), Some(1));
}

#[test]
fn the_last_archive_is_remembered_and_never_needed() {
    let place = Place::new();
    let first = score(&place.vac(&["tree"]));
    let unchanged = |arguments: &[&str]| {
        let output = place.vac(&[arguments, &["-s", "tree"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        assert_eq!(score(&output), first);
        errors(&output).contains("0 files new, 0 changed, 1 unchanged")
    };
    assert!(unchanged(&[]));
    assert!(!unchanged(&["--no-cache"]));
    let remembered = std::fs::read_dir(place.path("cache/vac")).unwrap().next().unwrap().unwrap();
    std::fs::write(remembered.path(), "vac:0123456789012345678901234567890123456789\n").unwrap();
    assert!(!unchanged(&[]));
    assert!(unchanged(&[]));
    std::fs::write(remembered.path(), "nonsense").unwrap();
    assert!(!unchanged(&["--no-record"]));
    std::fs::write(remembered.path(), "nonsense").unwrap();
    assert!(unchanged(&[]), "the store's log of roots knows the last one, too");
    std::fs::remove_dir_all(place.path("store")).unwrap();
    assert!(!unchanged(&[]), "another store at the same place");
    assert!(place.has_root(&first));
}

#[test]
fn hooks_run_before_and_after() {
    let place = Place::new();
    let output = place.vac(&[
        "--pre",
        "echo hello; echo before > tree/marker",
        "--post",
        "echo $VAC_EXIT $VAC_SCORE > after",
        "tree",
    ]);
    assert_eq!(read(place.path("after")).trim(), format!("0 {}", score(&output)));
    assert_eq!(output.stdout.len(), 45, "what hooks print is not on standard output");
    assert!(place.path("tree/marker").exists());
    let refused = place.vac(&["--pre", "exit 1", "--post", "echo $VAC_EXIT > after", "tree"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    assert_eq!(read(place.path("after")).trim(), "1");
    let usage = place.vac(&["-b", "100", "--post", "echo post > after", "tree"]);
    assert_eq!(usage.status.code(), Some(2));
    assert_eq!(read(place.path("after")).trim(), "1", "nothing was begun, nothing is ended");
}

#[test]
fn lists_of_files_and_json() {
    let place = Place::new();
    std::fs::write(place.path("tree/two"), "2").unwrap();
    std::fs::write(place.path("list"), "tree/file\0tree/two\0").unwrap();
    let output = place.vac(&["--files-from0", "list", "--json", "-v", "-e", "tree/two"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = errors(&output);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = lines.iter().filter_map(|l| l["message_type"].as_str()).collect();
    assert_eq!(types.last(), Some(&"summary"), "{text}");
    assert!(types.contains(&"file"));
    assert!(lines.iter().any(|l| l["code"] == "excluded" && l["path"] == "tree/two"), "{text}");
    assert_eq!(lines.last().unwrap()["score"], score(&output).as_str());
    assert_eq!(lines.last().unwrap()["files_new"], 1);
}

#[test]
fn what_a_list_names_keeps_its_place() {
    let place = Place::new();
    for path in ["tree/a/Makefile", "tree/b/Makefile", "tree/b/other", "tree/c/d/deep"] {
        std::fs::create_dir_all(place.path(path).parent().unwrap()).unwrap();
        std::fs::write(place.path(path), path).unwrap();
    }
    let listed = |list: &str| {
        let mut command = place.command(&["-h", "./store", "--files-from", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), list.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let names = |output: &Output| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unvac"));
        command.arg("-h").arg(place.path("store")).args(["-t", &score(output)]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let expected = "tree/\ntree/a/\ntree/a/Makefile\ntree/b/\ntree/b/Makefile\ntree/c/\n\
        tree/c/d/\ntree/c/d/deep\n";
    let output = listed("tree/a/Makefile\n./tree/b/Makefile\ntree/c\n");
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(names(&output), expected);
    let output = listed("tree/a/Makefile\ntree/gone\ntree/b/Makefile\ntree/c/d\n");
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    assert!(errors(&output).contains("tree/gone"), "{}", errors(&output));
    assert_eq!(names(&output), expected);
    let absolute = place.path("tree/a/Makefile");
    let output = listed(&format!("{}\n", absolute.display()));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(names(&output).trim_end().ends_with(&absolute.to_str().unwrap()[1..]));
    let mut twice = place.command(&["-h", "./store", "--files-from", "-", "-i", "name"]);
    assert_eq!(twice.output().unwrap().status.code(), Some(2));
}

#[test]
fn an_argument_that_is_gone_is_named_and_the_others_are_archived() {
    let place = Place::new();
    let output = place.vac(&["tree", "gone"]);
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    assert!(errors(&output).contains("gone"), "{}", errors(&output));
    assert!(place.has_root(&score(&output)));
    let output = place.vac(&["gone"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
}

#[test]
fn the_store_is_not_archived_into_itself() {
    let place = Place::new();
    let output = place.vac(&["."]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("store: not entered: it is the store itself"));
}

#[test]
fn interrupting_leaves_no_score() {
    let place = Place::new();
    let mut child = place
        .command(&["-h", "./store", "-i", "endless", "--command", "cat /dev/zero"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Once the store is there, the program listens to signals.
    while !place.path("store").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_selftest_explains_itself() {
    let output = Place::new().command(&["selftest", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(help.contains("Usage: vac selftest") && help.contains("EXAMPLES"), "{help}");
}

#[test]
fn the_selftest_prints_a_table() {
    let place = Place::new();
    let output = place.command(&["selftest", "."]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.lines().any(|l| l.split_whitespace().eq(["symbolic", "link", "yes", "yes"])));
    assert!(table.lines().count() > 25);
    let nowhere = place.command(&["selftest", "nowhere"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn manual_and_completions_are_made_from_the_options() {
    let place = Place::new();
    for (what, expected) in [
        ("man", ".TH vac"),
        ("bash", "complete -F"),
        ("zsh", "#compdef vac"),
        ("fish", "complete -c vac"),
    ] {
        let output = place.command(&["--generate", what]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().replace("\\-", "-");
        assert!(text.contains(expected), "{what}");
        assert!(text.contains("block-size"), "{what}");
    }
}

#[test]
fn archives_are_recorded_under_the_name_of_the_host_and_found_there() {
    let place = Place::new();
    let first = score(&place.vac(&["--host", "moby", "tree"]));
    assert_eq!(score(&place.vac(&["--host", "moby", "-d", "latest", "-q", "tree"])), first);
    let none = place.vac(&["--host", "ahab", "-d", "latest", "tree"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(errors(&none).contains("no archive of ahab is recorded"), "{}", errors(&none));
    let bad = place.vac(&["--host", "a/b", "tree"]);
    assert_eq!(bad.status.code(), Some(2));
    let silent = place.vac(&["--host", "pequod", "--no-record", "tree"]);
    assert_eq!(silent.status.code(), Some(0));
    let unknown = place.vac(&["--host", "pequod", "-d", "latest", "tree"]);
    assert_eq!(unknown.status.code(), Some(1), "--no-record recorded nothing");
}

#[test]
fn an_archive_is_recorded_under_where_its_files_are() {
    let place = Place::new();
    let whole = std::fs::canonicalize(place.path("tree")).unwrap();
    let escaped = whole.to_str().unwrap()[1..].replace('/', "-");
    std::fs::write(place.path("list"), "tree\n").unwrap();
    std::fs::create_dir(place.path("tree/an-na")).unwrap();
    std::os::unix::fs::symlink("tree/an-na", place.path("link")).unwrap();
    let record = |directory: &str, arguments: &[&str]| {
        let store = place.path("store");
        let mut command = place.command(&["-h", store.to_str().unwrap(), "--host", "moby"]);
        let output = command.args(arguments).current_dir(place.path(directory)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let options = vac::store::OpenOptions { access: vac::store::Access::Read, connections: 1 };
        let opened = vac::store::open(store.to_str(), options).unwrap();
        let page = opened.roots.list(&venti_proto::roots::RootQuery::default()).unwrap();
        page.records[0].root.archive.to_string()
    };
    let whole = whole.to_str().unwrap();
    for (directory, path) in [("", whole), ("", "tree"), ("tree", "."), ("tree/an-na", "..")] {
        assert_eq!(record(directory, &[path]), escaped, "{path} in {directory}");
    }
    assert_eq!(record("", &["./tree//an-na/"]), format!(r"{escaped}-an\x2dna"));
    assert_eq!(record("", &["link/../file"]), format!("{escaped}-file"), "where the link leads");
    let above = escaped.strip_suffix("-tree").unwrap();
    assert_eq!(record("tree/an-na", &["..", "../../list"]), format!("{escaped}-,{above}-list"));
    assert_eq!(record("", &["--files-from", "list"]), "~list");
    assert_eq!(record("", &["-i", "db.sql"]), "~db.sql");
}
