//! The archive as it is named on the command line.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, bail};
use venti_proto::Score;

/// Bytes that are read of a file that should hold a score.
const LONGEST: u64 = 4096;

/// Reads a score: itself, or a file that holds it.
pub(crate) fn parse(text: &str) -> anyhow::Result<Score> {
    let digits = text.strip_prefix("vac:").unwrap_or(text);
    if digits.len() == 2 * Score::SIZE
        && let Ok(score) = digits.parse()
    {
        return Ok(score);
    }
    if text.starts_with("vac:") {
        return text.parse().with_context(|| format!("{text} is not a score"));
    }
    let mut content = Vec::new();
    let file = File::open(text)
        .with_context(|| format!("{text} is no score, and can not be opened as a file"))?;
    file.take(LONGEST).read_to_end(&mut content).with_context(|| format!("can not read {text}"))?;
    let content = String::from_utf8_lossy(&content);
    let line = content.lines().next().unwrap_or_default().trim();
    if !line.starts_with("vac:") {
        bail!("{text} does not hold a score: found {line:?}, expected vac: and 40 digits");
    }
    line.parse().with_context(|| format!("{text} does not hold a score"))
}
