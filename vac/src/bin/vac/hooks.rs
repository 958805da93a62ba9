//! Commands that are run before and after (`--pre`, `--post`).

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

/// Runs a command by the shell, with its output on standard error: standard output is for the
/// score.
fn shell(command: &OsStr, variables: &[(&str, String)]) -> anyhow::Result<ExitStatus> {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("can not run {}", command.display()))
}

/// Runs the command before: if it fails, so does everything.
pub(crate) fn before(command: Option<&OsStr>) -> anyhow::Result<()> {
    let Some(command) = command else { return Ok(()) };
    let status = shell(command, &[])?;
    if !status.success() {
        bail!("--pre {}: {status}; nothing was archived", command.display());
    }
    Ok(())
}

/// Runs the command afterwards, which is told how it went.
pub(crate) fn after(command: Option<&OsStr>, code: u8, score: Option<&str>) -> anyhow::Result<()> {
    let Some(command) = command else { return Ok(()) };
    let variables =
        [("VAC_EXIT", code.to_string()), ("VAC_SCORE", score.unwrap_or_default().to_owned())];
    let status = shell(command, &variables)?;
    if !status.success() {
        bail!("--post {}: {status}", command.display());
    }
    Ok(())
}
