//! A history as lines of JSON: docs/dump-json.md.

use std::io::{self, Write};

use fossil_lite::json::{id, message};
use fossil_lite::past::Version;
use fossil_lite::program::{Failure, system};
use serde_json::{Value, json};
use vac::shown::{put_bytes, put_path};

use crate::shown::Shown;

/// How much of a difference is in one line, about.
const PART: usize = 1 << 20;

/// A version, as a line.
pub(crate) fn version(shown: &Shown<'_>, version: &Version) -> Value {
    let mut line = message(
        "version",
        json!({
            "host": shown.host.as_str(),
            "newest_dump": version.newest.name.to_string(),
            "oldest_dump": version.oldest.name.to_string(),
            "present": version.snapshot.is_some(),
        }),
    );
    put_path(&mut line, &version.path);
    put_bytes(&mut line, "name", &shown.name(version));
    for (field, path) in
        [("renamed_from", &version.renamed_from), ("renamed_to", &version.renamed_to)]
    {
        if let Some(path) = path {
            put_bytes(&mut line, field, path);
        }
    }
    if let Some(snapshot) = &version.snapshot {
        line["version"] = json!({
            "path_id": id(snapshot.path_id),
            "version_id": id(snapshot.version_id),
            "content_id": id(snapshot.content_id),
            "kind": snapshot.kind,
            "size": snapshot.size,
            "modified": snapshot.modified,
            "who": snapshot.who,
        });
    }
    line
}

/// What diff(1) writes, made into lines of JSON: a long one into several, each cut at the end of
/// a line of it if that can be.
pub(crate) struct DiffLines {
    /// All fields but the text.
    about: Value,
    text: Vec<u8>,
}

impl DiffLines {
    pub(crate) fn new(older: &Version, newer: &Version) -> DiffLines {
        let (older, newer) = (older.newest.name.to_string(), newer.newest.name.to_string());
        let about = message("diff", json!({"older_dump": older, "newer_dump": newer}));
        DiffLines { about, text: Vec::new() }
    }

    /// Writes what is left.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let length = self.text.len();
        self.part(length, false).map_err(system("standard output"))
    }

    /// Writes so many bytes of the text.
    fn part(&mut self, length: usize, more: bool) -> io::Result<()> {
        let rest = self.text.split_off(length);
        let text = std::mem::replace(&mut self.text, rest);
        put_part(&mut self.about, &text, more);
        writeln!(io::stdout(), "{}", self.about)
    }
}

fn put_part(line: &mut Value, text: &[u8], more: bool) {
    if let Some(fields) = line.as_object_mut() {
        fields.remove("text_base64");
    }
    line["more"] = more.into();
    put_bytes(line, "text", text);
}

impl Write for DiffLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        while self.text.len() > PART {
            let line_end = self.text[..PART].iter().rposition(|byte| *byte == b'\n');
            self.part(line_end.map_or(PART, |at| at + 1), true)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
