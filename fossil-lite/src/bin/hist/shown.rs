//! A history as it is printed.

use std::io::Write;
use std::sync::Arc;

use fossil_lite::FileError;
use fossil_lite::dump::{Dump, Tree};
use fossil_lite::past::{
    DumpNames, History, Side, SideVersion, Version, inside, resolve, show_difference,
};
use fossil_lite::program::{Failure, system};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use vac::extractor::ExtractError;
use venti_proto::roots::HostName;

use crate::Arguments;

/// What is said of every file.
pub(crate) struct Shown<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) tree: &'a Tree,
    pub(crate) host: &'a HostName,
    pub(crate) names: DumpNames,
}

impl Shown<'_> {
    /// Prints all of it, and returns whether all differences could be shown.
    pub(crate) fn print(&self, history: &History) -> Result<bool, Failure> {
        let versions = &history.versions;
        let mut complete = true;
        for (position, version) in versions.iter().enumerate() {
            let line = match self.arguments.json {
                true => self.json(version),
                false => self.line(versions, position),
            };
            std::io::stdout().write_all(&line).map_err(system("standard output"))?;
            let older = versions[position + 1..].iter().find(|older| older.snapshot.is_some());
            if let (true, Some(older), true) =
                (self.arguments.diff, older, version.snapshot.is_some())
            {
                complete &= self.diff(older, version)?;
            }
        }
        Ok(complete)
    }

    /// The name of a version in the mounted dump.
    fn name(&self, version: &Version) -> Vec<u8> {
        self.names.name(&version.newest, &version.place)
    }

    /// Where a dump has a path of the host.
    fn place(&self, dump: &Arc<Dump>, path: &[u8]) -> Vec<u8> {
        let root = self.tree.open_dump(self.host, dump);
        root.ok().and_then(|root| inside(&root, path)).unwrap_or_else(|| path.to_vec())
    }

    /// The version at `position`, and what it was before and became then.
    fn line(&self, versions: &[Version], position: usize) -> Vec<u8> {
        let version = &versions[position];
        let before = versions.get(position + 1);
        let Some(snapshot) = &version.snapshot else {
            let renamed_to = before.and_then(|before| before.renamed_to.as_ref());
            let became = if renamed_to.is_some() { "renamed to " } else { "deleted before " };
            let place = match renamed_to {
                Some(path) => self.place(&version.oldest, path),
                None => version.place.clone(),
            };
            let name = self.names.name(&version.oldest, &place);
            return [became.as_bytes(), &name, b"\n"].concat();
        };
        let zone = if self.arguments.utc { TimeZone::UTC } else { TimeZone::system() };
        let time = Timestamp::from_second(snapshot.modified).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(zone).strftime("%b %e %H:%M:%S %Z %Y ").to_string();
        let name = self.name(version);
        let mut rest = format!(" {} {}", snapshot.size, snapshot.who);
        if snapshot.kind != "file" {
            rest += &format!(" {}", snapshot.kind);
        }
        match before.and_then(|before| before.snapshot.as_ref()) {
            Some(before) if before.kind != snapshot.kind => {
                rest += &format!(" was a {}", before.kind);
            }
            Some(before) if before.path_id != snapshot.path_id => rest += " another file",
            Some(before)
                if before.content_id == snapshot.content_id && version.renamed_from.is_none() =>
            {
                rest += " metadata";
            }
            _ => {}
        }
        let mut line = [time.as_bytes(), &name, rest.as_bytes()].concat();
        if let Some(path) = &version.renamed_from {
            line.extend([b" renamed from ", &path[..]].concat());
        }
        // If nothing has the name then, or the file goes on under the other one, the line before
        // this one says it.
        let newer = position.checked_sub(1).and_then(|at| versions[at].path_id());
        let replaced = newer.is_some_and(|newer| newer != snapshot.path_id);
        if let Some(path) = version.renamed_to.as_ref().filter(|_| replaced) {
            line.extend([b" then renamed to ", &path[..]].concat());
        }
        line.push(b'\n');
        line
    }

    fn json(&self, version: &Version) -> Vec<u8> {
        let mut line = serde_json::json!({
            "path": String::from_utf8_lossy(&version.path),
            "host": self.host.as_str(),
            "newest_dump": version.newest.name.to_string(),
            "oldest_dump": version.oldest.name.to_string(),
            "present": version.snapshot.is_some(),
        });
        if let Some(object) = line.as_object_mut() {
            for (key, path) in
                [("renamed_from", &version.renamed_from), ("renamed_to", &version.renamed_to)]
            {
                let path = path.as_deref().map(String::from_utf8_lossy);
                object.extend(path.map(|path| (key.to_owned(), path.into())));
            }
            let snapshot = version.snapshot.as_ref();
            object.extend(snapshot.map(|found| ("version".to_owned(), serde_json::json!(found))));
        }
        format!("{line}\n").into_bytes()
    }

    /// Shows how two versions differ. Returns whether that could be found out.
    fn diff(&self, older: &Version, newer: &Version) -> Result<bool, Failure> {
        let side = |version: &Version| -> Result<Side, FileError> {
            let root = self.tree.open_dump(self.host, &version.newest)?;
            let file = resolve(self.tree, &root, &version.path, false)?;
            let label = self.name(version);
            Ok(Side { label, version: SideVersion::Then(file) })
        };
        let tell = |path: &[u8], error: &ExtractError| {
            eprintln!("hist: {}: {error}", String::from_utf8_lossy(path));
        };
        let sides = side(older).and_then(|older| Ok((older, side(newer)?)));
        let shown = match sides {
            Ok((older, newer)) => show_difference(&older, &newer, &tell),
            Err(error) => Err(error.into()),
        };
        match shown {
            Ok(_) => Ok(true),
            Err(error @ Failure::File(FileError::Unreachable { .. })) => Err(error),
            Err(error) => {
                let name = self.name(newer);
                eprintln!("hist: {}: {error}", String::from_utf8_lossy(&name));
                Ok(false)
            }
        }
    }
}
