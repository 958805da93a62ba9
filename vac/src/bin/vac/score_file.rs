//! Files that hold the score of an archive: `vac:`, 40 hexadecimal digits, a newline.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use venti_proto::Score;

/// Bytes that are read of a score file at the most.
const LONGEST: u64 = 4096;

/// Reads a score as it is written on a command line: itself, or a file that holds it.
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
    read(Path::new(text))
}

/// Reads the score from a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Score> {
    let shown = path.display();
    let mut content = Vec::new();
    let file = File::open(path).with_context(|| format!("can not open {shown}"))?;
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut content)
        .with_context(|| format!("can not read {shown}"))?;
    let text = String::from_utf8_lossy(&content);
    let line = text.lines().next().unwrap_or_default().trim();
    if !line.starts_with("vac:") {
        bail!("{shown} does not hold a score: found {line:?}, expected vac: and 40 digits");
    }
    line.parse().with_context(|| format!("{shown} does not hold a score"))
}

/// Writes the score so that at any moment the file holds either the old score or the new one: by
/// a temporary file, synced and renamed, in a directory that is synced, too. A symbolic link is
/// followed; permissions and owner stay, as far as that is allowed.
pub(crate) fn write(path: &Path, score: Score) -> anyhow::Result<()> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let special = std::fs::metadata(&target).is_ok_and(|found| !found.is_file());
    let line = format!("vac:{score}\n");
    if special {
        // A pipe or a terminal can only be written to.
        return std::fs::write(&target, line)
            .with_context(|| format!("can not write {}", target.display()));
    }
    replace(&target, line.as_bytes()).with_context(|| format!("can not write {}", target.display()))
}

fn replace(target: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = directory.join(name);
    let written = write_temporary(&temporary, target, content)
        .and_then(|()| std::fs::rename(&temporary, target));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(&directory)?.sync_all()
}

fn write_temporary(temporary: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(temporary)?;
    if let Ok(old) = std::fs::metadata(target) {
        file.set_permissions(std::fs::Permissions::from_mode(old.permissions().mode()))?;
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_and_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.vac");
        let score = Score::of(b"x");
        write(&path, score).unwrap();
        assert_eq!(read(&path).unwrap(), score);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, Score::of(b"y")).unwrap();
        assert_eq!(parse(path.to_str().unwrap()).unwrap(), Score::of(b"y"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left over");
        assert_eq!(parse(&format!("vac:{score}")).unwrap(), score);
        assert_eq!(parse(&score.to_string()).unwrap(), score);
    }

    #[test]
    fn what_is_no_score_says_so() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.vac");
        std::fs::write(&path, "hello\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("found \"hello\""), "{error}");
        assert!(parse("vac:12").is_err());
        assert!(parse("nowhere").is_err());
    }
}
