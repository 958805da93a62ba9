//! Compares a restored tree with the one that was archived: names, types, contents, modes,
//! modification times, targets of symbolic links, and which names are one file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// How many entries differ, and in what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Differences {
    /// Missing, there although it should not be, or of another type.
    pub(crate) entries: u64,
    /// Files with other bytes.
    pub(crate) contents: u64,
    /// Symbolic links with another target.
    pub(crate) links: u64,
    /// Other mode bits, setuid, setgid and sticky among them.
    pub(crate) modes: u64,
    /// Modification time of a file or directory not the same to the nanosecond.
    pub(crate) times: u64,
    /// Names that were one file (hard links) and are not any more, or the other way round.
    pub(crate) hard_links: u64,
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.entries, "entries"),
            (self.contents, "contents"),
            (self.links, "links"),
            (self.modes, "modes"),
            (self.times, "times"),
            (self.hard_links, "hard links"),
        ];
        let some: Vec<_> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        f.write_str(if some.is_empty() { "none" } else { "" })?;
        f.write_str(&some.join(", "))
    }
}

/// Compares the directories `left` and `right` with everything below them.
pub(crate) fn compare(left: &Path, right: &Path) -> Result<Differences> {
    let mut comparison = Comparison::default();
    comparison.directories(left, right)?;
    Ok(comparison.found)
}

#[derive(Default)]
struct Comparison {
    found: Differences,
    /// Inode on the left of every file with several names, and its partner on the right.
    partners: HashMap<u64, u64>,
}

impl Comparison {
    fn directories(&mut self, left: &Path, right: &Path) -> Result<()> {
        let (mut names, others) = (names(left)?, names(right)?);
        self.found.entries +=
            others.iter().filter(|n| names.binary_search(n).is_err()).count() as u64;
        names.dedup();
        for name in names {
            if others.binary_search(&name).is_err() {
                self.found.entries += 1;
                continue;
            }
            self.entries(&left.join(&name), &right.join(&name))
                .with_context(|| format!("comparing {}", left.join(&name).display()))?;
        }
        Ok(())
    }

    fn entries(&mut self, left: &Path, right: &Path) -> Result<()> {
        let (l, r) = (fs::symlink_metadata(left)?, fs::symlink_metadata(right)?);
        if l.file_type() != r.file_type() {
            self.found.entries += 1;
            return Ok(());
        }
        if l.is_symlink() {
            self.found.links += u64::from(fs::read_link(left)? != fs::read_link(right)?);
            return Ok(());
        }
        self.found.modes += u64::from(l.mode() != r.mode());
        let time = |m: &Metadata| (m.mtime(), m.mtime_nsec());
        self.found.times += u64::from(time(&l) != time(&r));
        if l.is_dir() {
            return self.directories(left, right);
        }
        if l.nlink() > 1 || r.nlink() > 1 {
            let partner = *self.partners.entry(l.ino()).or_insert(r.ino());
            self.found.hard_links += u64::from(partner != r.ino());
        }
        if l.is_file() {
            self.found.contents += u64::from(l.len() != r.len() || !same_bytes(left, right)?);
        }
        Ok(())
    }
}

fn names(directory: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("reading directory {}", directory.display()))?;
    let mut names = entries.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn same_bytes(left: &Path, right: &Path) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    let (mut a, mut b) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let length = left.read(&mut a)?;
        if length == 0 {
            return Ok(right.read(&mut b)? == 0);
        }
        match right.read_exact(&mut b[..length]) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        if a[..length] != b[..length] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn small_tree(root: &Path) {
        fs::create_dir_all(root.join("d")).expect("a directory");
        fs::write(root.join("d/a"), "content").expect("a file");
        fs::hard_link(root.join("d/a"), root.join("d/b")).expect("a hard link");
        symlink("d/a", root.join("l")).expect("a symbolic link");
    }

    #[test]
    fn every_kind_of_difference_is_counted() {
        let work = tempfile::tempdir().expect("a directory");
        let (left, right) = (work.path().join("left"), work.path().join("right"));
        small_tree(&left);
        let copy = || {
            let _old = fs::remove_dir_all(&right);
            let copied = Command::new("cp").arg("-a").args([&left, &right]).status();
            assert!(copied.expect("cp runs").success());
        };
        let differences = || compare(&left, &right).expect("compared").to_string();
        copy();
        assert_eq!(differences(), "none");
        fs::remove_file(right.join("d/b")).expect("removed");
        assert!(differences().starts_with("1 entries"));
        copy();
        fs::remove_file(right.join("l")).expect("removed");
        symlink("other", right.join("l")).expect("a symbolic link");
        fs::set_permissions(right.join("d"), PermissionsExt::from_mode(0o700)).expect("a mode");
        assert_eq!(differences(), "1 links, 1 modes");
        copy();
        fs::copy(right.join("d/a"), right.join("d/c")).expect("copied");
        fs::rename(right.join("d/c"), right.join("d/b")).expect("renamed");
        assert!(differences().contains("1 hard links"), "{}", differences());
        copy();
        fs::write(right.join("d/a"), "CONTENT").expect("written");
        assert!(differences().contains("2 contents"), "{}", differences());
    }
}
