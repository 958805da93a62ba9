//! Files that hold the score of an archive: `vac:`, 40 hexadecimal digits, a newline.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use venti_proto::{ParseScoreError, Score};

/// Bytes that are read of a score file at the most.
const LONGEST: u64 = 4096;

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
pub enum ScoreFileError {
    /// It begins as a score and is none.
    #[error("{name} is not a score: expected vac: and 40 hexadecimal digits: {source}")]
    NotAScore {
        /// What was given.
        name: String,
        /// What is wrong with it.
        source: ParseScoreError,
    },
    /// It is no score, so it should be a file.
    #[error("{name} is no score, and can not be read as a file: {source}")]
    Unreadable {
        /// What was given.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{name} does not hold a score: found {found:?}, expected vac: and 40 digits")]
    Content {
        /// The file.
        name: String,
        /// Its first line.
        found: String,
    },
    /// The file can not be written.
    #[error("can not write {name}: {source}")]
    Unwritable {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads a score as it is written on a command line: itself, with or without `vac:`, or a file
/// that holds it.
///
/// # Errors
/// Any [`ScoreFileError`] but `Unwritable`.
pub fn parse(text: &str) -> Result<Score, ScoreFileError> {
    let digits = text.strip_prefix("vac:").unwrap_or(text);
    match digits.parse() {
        Ok(score) => Ok(score),
        Err(source) if text.starts_with("vac:") => {
            Err(ScoreFileError::NotAScore { name: text.to_owned(), source })
        }
        Err(_) => read(Path::new(text)),
    }
}

/// Reads the score from a file.
///
/// # Errors
/// [`ScoreFileError::Unreadable`], [`ScoreFileError::Content`].
pub fn read(path: &Path) -> Result<Score, ScoreFileError> {
    let name = || path.display().to_string();
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut content))
        .map_err(|source| ScoreFileError::Unreadable { name: name(), source })?;
    let text = String::from_utf8_lossy(&content);
    let line = text.lines().next().unwrap_or_default().trim();
    let score = line.strip_prefix("vac:").and_then(|digits| digits.parse().ok());
    score.ok_or_else(|| ScoreFileError::Content { name: name(), found: line.to_owned() })
}

/// Writes the score so that at any moment the file holds either the old score or the new one: by
/// a temporary file, synced and renamed, in a directory that is synced, too. A symbolic link is
/// followed; permissions and owner stay, as far as that is allowed.
///
/// # Errors
/// [`ScoreFileError::Unwritable`].
pub fn write(path: &Path, score: Score) -> Result<(), ScoreFileError> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let special = std::fs::metadata(&target).is_ok_and(|found| !found.is_file());
    let line = format!("vac:{score}\n");
    let written = if special {
        // A pipe or a terminal can only be written to.
        std::fs::write(&target, line)
    } else {
        replace(&target, line.as_bytes())
    };
    let name = || target.display().to_string();
    written.map_err(|source| ScoreFileError::Unwritable { name: name(), source })
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
