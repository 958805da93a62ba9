//! A history as it is printed, for people.

use std::io::Write;
use std::sync::Arc;

use fossil_lite::FileError;
use fossil_lite::dump::{Dump, Tree};
use fossil_lite::json::{self, Complaints};
use fossil_lite::past::{
    DumpNames, History, Side, SideVersion, Version, inside, resolve, show_difference,
};
use fossil_lite::program::{Failure, system};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use vac::extractor::ExtractError;
use venti_proto::roots::HostName;

use crate::Arguments;
use crate::in_json::{self, DiffLines};

/// What is said of every file.
pub(crate) struct Shown<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) tree: &'a Tree,
    pub(crate) host: &'a HostName,
    pub(crate) names: DumpNames,
    pub(crate) complaints: Complaints,
}

impl Shown<'_> {
    /// Prints all of it, and returns whether all differences could be shown.
    pub(crate) fn print(&self, history: &History) -> Result<bool, Failure> {
        let versions = &history.versions;
        let mut complete = true;
        for (position, version) in versions.iter().enumerate() {
            match self.arguments.json {
                true => json::print(&in_json::version(self, version))?,
                false => std::io::stdout()
                    .write_all(&self.line(versions, position))
                    .map_err(system("standard output"))?,
            }
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
    pub(crate) fn name(&self, version: &Version) -> Vec<u8> {
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

    /// Shows how two versions differ. Returns whether that could be found out.
    fn diff(&self, older: &Version, newer: &Version) -> Result<bool, Failure> {
        let side = |version: &Version| -> Result<Side, FileError> {
            let root = self.tree.open_dump(self.host, &version.newest)?;
            let file = resolve(self.tree, &root, &version.path, false)?;
            let label = self.name(version);
            Ok(Side { label, version: SideVersion::Then(file) })
        };
        let tell = |path: &[u8], error: &ExtractError| {
            self.complaints.say(None, Some(path), &error.to_string());
        };
        let sides = side(older).and_then(|older| Ok((older, side(newer)?)));
        let shown = match sides {
            Ok((then, now)) => match self.arguments.json {
                false => show_difference(&then, &now, &tell, &mut std::io::stdout()),
                true => {
                    let mut lines = DiffLines::new(older, newer);
                    show_difference(&then, &now, &tell, &mut lines)
                        .and_then(|differs| lines.end().map(|()| differs))
                }
            },
            Err(error) => Err(error.into()),
        };
        match shown {
            Ok(_) => Ok(true),
            Err(error @ Failure::File(FileError::Unreachable { .. })) => Err(error),
            Err(error) => {
                self.complaints.say(None, Some(&self.name(newer)), &error.to_string());
                Ok(false)
            }
        }
    }
}
