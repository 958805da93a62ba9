//! Runs that are killed: the next one reads what is missing, and nothing else.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use vac::extractor::{ExtractError, Limits, Selection, Visitor, visit};
use vac::reader::{Archive, Node};
use venti_proto::Score;

use super::{Place, errors, read, score};

/// Bytes in each file of the tree.
const SIZE: u64 = 100_000;

/// Adds up the sizes of the files that are met.
#[derive(Default)]
struct Sizes(u64);

impl Visitor for Sizes {
    fn enter(&mut self, _path: &[u8], node: &Node) -> Result<(), ExtractError> {
        self.0 += if node.is_directory() { 0 } else { node.size() };
        Ok(())
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        assert_eq!(error.to_string(), "", "{}", String::from_utf8_lossy(path));
    }
}

impl Place {
    /// Writes files of which no two have the same content.
    fn fill(&self, directory: &str, files: u64, salt: u64) {
        std::fs::create_dir_all(self.path("tree").join(directory)).unwrap();
        for number in 0..files {
            let line = format!("{directory} {number} {salt} ");
            let content = line.repeat(usize::try_from(SIZE).unwrap() / line.len() + 1);
            let path = self.path("tree").join(directory).join(format!("{number:03}"));
            std::fs::write(path, &content.as_bytes()[..usize::try_from(SIZE).unwrap()]).unwrap();
        }
    }

    /// Archives the tree slowly, and kills that after some checkpoints.
    fn kill_after(&self, checkpoints: usize) {
        let slowly = ["--json", "--checkpoint", "256k", "--limit-upload", "6m", "tree"];
        let mut command = self.command(&["-h", "./store"]);
        let mut child =
            command.args(slowly).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let met = lines
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .filter(|line| line["message_type"] == "checkpoint")
            .take(checkpoints)
            .count();
        assert_eq!(met, checkpoints, "it was done before it could be killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Bytes of content in the archive that the killed run left.
    fn unfinished(&self) -> u64 {
        let file = std::fs::read_dir(self.path("cache/vac")).unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            path.extension().is_some_and(|ending| ending == "unfinished").then_some(path)
        });
        let root: Score = read(file.unwrap()).trim().parse().unwrap();
        let options = vac::store::OpenOptions { access: vac::store::Access::Read, connections: 1 };
        let name = self.path("store").to_str().unwrap().to_owned();
        let store = vac::store::open(Some(&name), options).unwrap();
        let archive = Archive::open(store.blocks, root).unwrap();
        let mut sizes = Sizes::default();
        visit(archive.root(), &Selection::everything(), &Limits::default(), &mut sizes).unwrap();
        sizes.0
    }

    /// Archives the tree and returns the summary.
    fn summary(&self) -> Value {
        let output = self.vac(&["--json", "tree"]);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let lines = errors(&output);
        let last = lines.lines().last().unwrap();
        let summary: Value = serde_json::from_str(last).unwrap();
        assert_eq!(summary["message_type"], "summary");
        assert_eq!(summary["score"], score(&self.vac(&["--no-cache", "tree"])), "the same archive");
        summary
    }
}

#[test]
fn a_killed_run_is_gone_on_with() {
    let place = Place::new();
    std::fs::remove_file(place.path("tree/file")).unwrap();
    place.fill("a", 100, 0);
    place.fill("b/c", 100, 0);
    place.kill_after(1);
    let there = place.unfinished();
    assert!(there >= 256 * 1024, "{there} bytes before the first checkpoint");
    let summary = place.summary();
    assert_eq!(summary["bytes_unchanged"], there);
    assert_eq!(summary["bytes_read"], 200 * SIZE - there);
}

#[test]
fn what_the_night_before_had_counts_behind_the_place_of_the_kill() {
    let place = Place::new();
    place.fill("changing", 200, 0);
    place.fill("later", 5, 0);
    place.fill("changing/too", 5, 0);
    place.summary();
    place.fill("changing", 200, 1);
    place.kill_after(1);
    let first = place.unfinished();
    // Killed again, at once: nothing of the first time is lost.
    place.kill_after(1);
    let second = place.unfinished();
    assert!(second > first, "{second} {first}");
    let summary = place.summary();
    let unchanged = second + 10 * SIZE + 7;
    assert_eq!(summary["bytes_unchanged"], unchanged);
    assert_eq!(summary["bytes_read"], 210 * SIZE + 7 - unchanged);
}

#[test]
fn a_checkpoint_is_only_a_hint() {
    let place = Place::new();
    place.fill("a", 100, 0);
    place.kill_after(1);
    let memory = std::fs::read_dir(place.path("cache/vac")).unwrap().next().unwrap();
    for wrong in ["rubbish", "vac:0123456789012345678901234567890123456789\n", ""] {
        std::fs::write(memory.as_ref().unwrap().path(), wrong).unwrap();
        let summary = place.summary();
        assert_eq!(summary["bytes_read"], 100 * SIZE + 7, "{wrong:?}");
        std::fs::remove_dir_all(place.path("cache")).unwrap();
        std::fs::create_dir_all(place.path("cache/vac")).unwrap();
        std::fs::remove_dir_all(place.path("store")).unwrap();
    }
}
