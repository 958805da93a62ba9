//! The log of a bisection: lines of JSON, one that says what it is about and one for each dump
//! (docs/dump-json.md).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use fossil_lite::json::message;
use fossil_lite::program::{Failure, system};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use venti_proto::roots::DumpName;

/// What came of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Good,
    Bad,
    Unknown,
}

/// What is known.
pub(crate) struct Log {
    file: File,
    known: BTreeMap<DumpName, Verdict>,
}

/// The end of a log, if that is a part of a line, as a power failure may leave it. The first line
/// is one only if that is what the log is about.
fn torn<'a>(text: &'a str, about: &str) -> &'a str {
    let (whole, last) = text.rsplit_once('\n').map_or(("", text), |(whole, last)| (whole, last));
    let is_torn = match whole {
        "" => last.len() < about.len() && about.starts_with(last),
        _ => serde_json::from_str::<Value>(last).is_err(),
    };
    if is_torn { last } else { "" }
}

/// A line that can not be read says nothing.
fn read(line: &str) -> Option<(DumpName, Verdict)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let dump = line["dump"].as_str()?.parse().ok()?;
    Some((dump, serde_json::from_value(line["verdict"].clone()).ok()?))
}

impl Log {
    /// Opens it, or makes a new one.
    ///
    /// # Errors
    /// If it can not be read or written, or is about something else.
    pub(crate) fn open(path: &Path, about: Value) -> Result<Log, Failure> {
        let shown = path.display().to_string();
        let about = message("bisection", about).to_string();
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(system(shown.clone()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(system(shown.clone()))?;
        let text = String::from_utf8_lossy(&bytes);
        let torn = torn(&text, &about);
        let mut lines = text[..text.len() - torn.len()].lines();
        let first = lines.next();
        let known = lines.filter_map(read).collect();
        match first {
            Some(found) if found != about => {
                let detail = format!("{shown} is about something else: {found}");
                return Err(Failure::Usage { detail });
            }
            _ => {}
        }
        if !torn.is_empty() {
            // Nothing but this line is behind the last whole one, whatever its bytes are.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64).map_err(system(shown.clone()))?;
        } else if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file).map_err(system(shown.clone()))?;
        }
        if first.is_none() {
            writeln!(file, "{about}").map_err(system(shown))?;
        }
        Ok(Log { file, known })
    }

    pub(crate) fn known(&self, dump: DumpName) -> Option<Verdict> {
        self.known.get(&dump).copied()
    }

    pub(crate) fn add(&mut self, dump: DumpName, verdict: Verdict) -> Result<(), Failure> {
        self.known.insert(dump, verdict);
        let fields = json!({"dump": dump.to_string(), "verdict": verdict});
        writeln!(self.file, "{}", message("verdict", fields))
            .map_err(system("the log of the bisection"))
    }
}
