//! The archive as it is named on the command line.

use std::fs::File;
use std::io::Read;

use fossil_lite::program::{Failure, system};
use venti_proto::Score;

/// Bytes that are read of a file that should hold a score.
const LONGEST: u64 = 4096;

/// The score of an archive: itself, with or without `vac:`, or a file whose first line is one.
///
/// # Errors
/// If it is neither.
pub(crate) fn score(name: &str) -> Result<Score, Failure> {
    let digits = name.strip_prefix("vac:").unwrap_or(name);
    if let Ok(score) = digits.parse() {
        return Ok(score);
    }
    if name.starts_with("vac:") {
        let detail = format!("{name} is not a score: expected vac: and 40 hexadecimal digits");
        return Err(Failure::Usage { detail });
    }
    let unreadable = format!("{name} is no score, and can not be read as a file");
    let file = File::open(name).map_err(system(unreadable.clone()))?;
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content).map_err(system(unreadable))?;
    let content = String::from_utf8_lossy(&content);
    let line = content.lines().next().unwrap_or_default().trim();
    let found = line.strip_prefix("vac:").and_then(|digits| digits.parse().ok());
    found.ok_or_else(|| Failure::Usage {
        detail: format!("{name} holds no score: found {line:?}, expected vac: and 40 digits"),
    })
}
