//! The trees that are archived: made once, then used by every run; and the change of 1 %.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use venti_benches::random::Random;
use venti_benches::remove::remove;

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A copy of /usr/share, /usr/bin and /usr/include: about 1 GB and 50,000 files.
    Mixed,
    /// 200,000 files of 100 bytes in one directory.
    Small,
    /// 2,000,000 files of 100 bytes in one directory (have `--work` on a tmpfs).
    Huge,
}

impl Kind {
    /// Its name in the working directory.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Mixed => "mixed",
            Kind::Small => "small",
            Kind::Huge => "huge",
        }
    }
}

/// Makes the tree below `work` unless it is there, and reads it once so that it is warm.
pub(crate) fn make(kind: Kind, work: &Path) -> Result<()> {
    let tree = work.join(kind.name());
    if !tree.exists() {
        // Made beside and renamed: a tree that is there is whole.
        let unfinished = work.join(format!("{}.unfinished", kind.name()));
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        match kind {
            Kind::Mixed => copy_system(&unfinished)?,
            Kind::Small => make_files(&unfinished, 200_000)?,
            Kind::Huge => make_files(&unfinished, 2_000_000)?,
        }
        fs::rename(&unfinished, &tree)?;
    }
    for file in files(&tree)? {
        io::copy(&mut File::open(&file)?, &mut io::sink())
            .with_context(|| format!("reading {}", file.display()))?;
    }
    Ok(())
}

fn copy_system(target: &Path) -> Result<()> {
    for part in ["/usr/share", "/usr/bin", "/usr/include"] {
        let status = Command::new("cp").arg("-a").arg(part).arg(target).status()?;
        ensure!(status.success(), "cp -a {part}: {status}");
    }
    Ok(())
}

fn make_files(target: &Path, count: u64) -> Result<()> {
    let mut random = Random::new(count);
    let mut content = [0; 100];
    for number in 0..count {
        random.fill(&mut content);
        fs::write(target.join(format!("file-{number:07}")), content)?;
    }
    Ok(())
}

/// Every regular file below `directory`, sorted by name.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)
            .with_context(|| format!("reading directory {}", directory.display()))?
        {
            let entry = entry?;
            let file_type = entry.file_type()?;
            if file_type.is_dir() {
                open.push(entry.path());
            } else if file_type.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Changes every hundredth file of the tree: other files in every `round`.
pub(crate) fn change_one_percent(tree: &Path, round: usize) -> Result<usize> {
    let files = files(tree)?;
    let chosen = files.iter().skip(round % 100).step_by(100);
    let mut changed = 0;
    for file in chosen {
        let mut file = OpenOptions::new()
            .append(true)
            .open(file)
            .with_context(|| format!("changing {}", file.display()))?;
        writeln!(file, "changed in round {round}")?;
        changed += 1;
    }
    Ok(changed)
}

/// Bytes that everything below `directory` takes on its disk.
pub(crate) fn allocated(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    fs::read_dir(directory).map_or(0, |entries| entries.flatten().map(of_entry).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_in_a_hundred_is_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        make_files(directory.path(), 250).expect("files");
        let before = allocated(directory.path());
        assert_eq!(change_one_percent(directory.path(), 1).expect("changed"), 3);
        let longer = files(directory.path())
            .expect("files")
            .into_iter()
            .filter(|file| fs::metadata(file).expect("a file").len() > 100);
        assert_eq!(longer.count(), 3);
        assert!(before >= 250 * 100);
    }
}
