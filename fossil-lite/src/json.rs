//! What the programs say to other programs: lines of JSON, whose schema is in docs/dump-json.md.
//!
//! What was asked for is on standard output, what went wrong on standard error.

use std::io::Write;

use serde_json::{Value, json};
use vac::shown::put_path;
use venti_proto::roots::JSON_SCHEMA;

use crate::program::{Failure, system};
use venti_proto::roots::DumpName;

/// A message of this type, with these fields.
#[must_use]
pub fn message(message_type: &str, mut fields: Value) -> Value {
    fields["message_type"] = message_type.into();
    fields["schema"] = JSON_SCHEMA.into();
    fields
}

/// Numbers that use 64 bits are text: many readers of JSON know no integers past 53.
#[must_use]
pub fn id(number: u64) -> Value {
    number.to_string().into()
}

/// Writes a line to standard output.
///
/// # Errors
/// If that can not be written.
pub fn print(line: &Value) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(system("standard output"))
}

/// Says of a program that goes on what went wrong, on standard error: as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Complaints {
    /// Which program.
    pub program: &'static str,
    /// Whether JSON is wanted.
    pub json: bool,
}

impl Complaints {
    /// Something is wrong with a dump, with a path, or with a path in a dump.
    pub fn say(&self, dump: Option<DumpName>, path: Option<&[u8]>, detail: &str) {
        if self.json {
            let mut line = message("problem", json!({"message": detail}));
            if let Some(dump) = dump {
                line["dump"] = dump.to_string().into();
            }
            if let Some(path) = path {
                put_path(&mut line, path);
            }
            eprintln!("{line}");
            return;
        }
        let path = path.map(String::from_utf8_lossy);
        match (dump, path) {
            (Some(dump), Some(path)) => eprintln!("{}: {dump}/{path}: {detail}", self.program),
            (Some(dump), None) => eprintln!("{}: {dump}: {detail}", self.program),
            (None, Some(path)) => eprintln!("{}: {path}: {detail}", self.program),
            (None, None) => eprintln!("{}: {detail}", self.program),
        }
    }
}
