//! The log of a bisection: lines of JSON, one that says what it is about and one for each dump
//! (docs/dump-json.md).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
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

/// A line that can not be read, as the last one may be after a power failure, says nothing.
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
        let mut lines = BufReader::new(&file).lines();
        let first = lines.next().transpose().map_err(system(shown.clone()))?;
        let mut known = BTreeMap::new();
        for line in lines {
            known.extend(read(&line.map_err(system(shown.clone()))?));
        }
        match first {
            Some(found) if found != about => {
                let detail = format!("{shown} is about something else: {found}");
                return Err(Failure::Usage { detail });
            }
            Some(_) => {}
            None => writeln!(file, "{about}").map_err(system(shown))?,
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
