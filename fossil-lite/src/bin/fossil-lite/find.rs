//! `fossil-lite find`: files by their names in all dumps of a host, deleted ones too.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fossil_lite::FileError;
use fossil_lite::dump::{Dump, DumpFile, Place, Tree};
use fossil_lite::json::{self, Complaints};
use fossil_lite::past::{HostPaths, Missing, kind_name};
use fossil_lite::program::{Failure, Source, system};
use globset::{GlobBuilder, GlobMatcher};
use serde_json::{Value, json};
use vac::shown::put_path;
use venti_proto::Score;

const EXAMPLES: &str = "\
EXAMPLES
  Where was that letter?

    $ fossil-lite find '*.tex'
    2004/1231/home/rob/letters/anna.tex

  Everything that ever was in a directory, of another host:

    $ fossil-lite find --host pequod '/home/*/*'
    ...
    2004/0611/home/rob/draft
    ...";

/// Find files in all dumps by their names
///
/// Prints every version of every file whose name matches, once, with the newest dump that has it.
/// A directory that is the same as in a later dump is not looked into again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// Name, with *, ? and [] as in the shell; with a slash in it, the path on the host
    #[arg(value_name = "PATTERN")]
    pattern: String,

    /// Print lines of JSON, as docs/dump-json.md says
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let glob = GlobBuilder::new(arguments.pattern.trim_start_matches('/'))
        .literal_separator(true)
        .build()
        .map_err(|error| Failure::Usage { detail: error.to_string() })?;
    let host = arguments.source.host()?;
    let tree = arguments.source.open(None)?;
    let dumps = tree.catalogue().dumps(&host)?;
    if dumps.is_empty() {
        return Err(Missing::Host { host }.into());
    }
    let mut search = Search {
        tree: &tree,
        complaints: Complaints { program: "fossil-lite", json: arguments.json },
        matcher: glob.compile_matcher(),
        whole_path: arguments.pattern.contains('/'),
        seen: HashSet::new(),
        shown: HashSet::new(),
        unreadable: 0,
    };
    for dump in dumps.iter().rev() {
        match tree.open_dump(&host, dump) {
            Ok(root) => search.look_into(dump, root)?,
            Err(error) => search.complain(dump, b"", &error),
        }
    }
    Ok(match (search.unreadable, search.shown.is_empty()) {
        (0, true) => 1,
        (0, false) => 0,
        _ => 3,
    })
}

struct Search<'a> {
    tree: &'a Tree,
    complaints: Complaints,
    matcher: GlobMatcher,
    whole_path: bool,
    /// Directories by content, under the path on the host where they were.
    seen: HashSet<(Vec<u8>, (Score, Score, u64))>,
    /// Versions by path on the host.
    shown: HashSet<(Vec<u8>, u64, u64)>,
    unreadable: u64,
}

impl Search<'_> {
    fn look_into(&mut self, dump: &Arc<Dump>, root: DumpFile) -> Result<(), Failure> {
        let paths = HostPaths::of(&root);
        let mut waiting = vec![root];
        while let Some(directory) = waiting.pop() {
            if !self.seen.insert((paths.outside(&directory.path()), directory.content_key())) {
                continue;
            }
            let mut children = Vec::new();
            let place = Place::File(directory.clone());
            let listed = self.tree.list(&place, 0, &mut |_, place, _| {
                children.extend(match place {
                    Place::File(file) => Some(file),
                    _ => None,
                });
                true
            });
            if let Err(error) = listed {
                self.complain(dump, &directory.path(), &error);
            }
            for child in children {
                self.show(dump, &child, &paths)?;
                if child.node().is_directory() {
                    waiting.push(child);
                }
            }
        }
        Ok(())
    }

    fn show(
        &mut self,
        dump: &Arc<Dump>,
        file: &DumpFile,
        paths: &HostPaths,
    ) -> Result<(), Failure> {
        let path = file.path();
        let on_host = paths.outside(&path);
        let looked_at = match self.whole_path {
            true => on_host.strip_prefix(b"/").unwrap_or(&on_host),
            false => file.node().name(),
        };
        if !self.matcher.is_match(std::ffi::OsStr::from_bytes(looked_at)) {
            return Ok(());
        }
        let id = file.id();
        // A directory changes with everything in it: its versions are of no interest here.
        let version = if file.node().is_directory() { 0 } else { id.version };
        if self.shown.insert((on_host, id.path, version)) {
            if self.complaints.json {
                return match in_json(dump, file, &path) {
                    Ok(line) => json::print(&line),
                    Err(error) => {
                        self.complain(dump, &path, &error);
                        Ok(())
                    }
                };
            }
            let mut out = std::io::stdout().lock();
            write!(out, "{}/", dump.name)
                .and_then(|()| out.write_all(&path))
                .and_then(|()| out.write_all(b"\n"))
                .map_err(system("standard output"))?;
        }
        Ok(())
    }

    fn complain(&mut self, dump: &Dump, path: &[u8], error: &FileError) {
        self.unreadable += 1;
        self.complaints.say(Some(dump.name), Some(path), &error.to_string());
    }
}

/// A version of a file, as a line of JSON.
fn in_json(dump: &Dump, file: &DumpFile, path: &[u8]) -> Result<Value, FileError> {
    let attributes = file.attributes()?;
    let mut line = json::message(
        "file",
        json!({
            "host": file.host().as_str(),
            "dump": dump.name.to_string(),
            "kind": kind_name(attributes.kind),
            "size": attributes.size,
            "path_id": json::id(attributes.id.path),
            "version_id": json::id(attributes.id.version),
        }),
    );
    put_path(&mut line, path);
    Ok(line)
}
