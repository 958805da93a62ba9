//! The server's log of roots: where the last archive is found, and the new one is recorded.
//!
//! A server without such a log gets a plain archive, as of old.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use vac::archiver::Outcome;
use vac::store::OpenedStore;
use venti_proto::Score;
use venti_proto::roots::{
    ArchiveName, ArchiveSource, Completeness, HostName, NewRoot, RootLogError, RootQuery,
};

use crate::arguments::Arguments;
use crate::report::Reporter;
use crate::run::{FAILED, Failure, NOT_ALLOWED, usage};

/// Under which names an archive is recorded, if it is.
pub(crate) struct Recording {
    host: HostName,
    archive: ArchiveName,
    /// Not with `--no-record`, and not where `-a` keeps days of its own.
    wanted: bool,
}

impl Recording {
    pub(crate) fn new(arguments: &Arguments) -> Result<Recording, Failure> {
        let host = match &arguments.host {
            Some(host) => host.clone(),
            None => this_host().map_err(usage)?,
        };
        let mut sources = Vec::new();
        for path in &arguments.files {
            sources.push(source_of(path).map_err(usage)?);
        }
        let lists = arguments.files_from.iter().chain(&arguments.files_from0);
        let streams = lists.map(|list| list.as_os_str()).chain(arguments.stdin.as_deref());
        sources.extend(streams.map(|name| ArchiveSource::Other(name.as_bytes().to_vec())));
        let archive = ArchiveName::of(&sources);
        let wanted = !arguments.no_record && arguments.archive.is_none();
        Ok(Recording { host, archive, wanted })
    }

    /// The newest archive of the same files; nothing if the server does not say.
    pub(crate) fn last(&self, store: &OpenedStore) -> Option<NewRoot> {
        if !self.wanted {
            return None;
        }
        self.find(store, |archive| *archive == self.archive).ok().flatten()
    }

    /// The newest archive of the same files, or else of this host.
    pub(crate) fn newest_of_host(&self, store: &OpenedStore) -> Result<Score, Failure> {
        let same = self.find(store, |archive| *archive == self.archive);
        let found = match same.context("can not find the latest archive")? {
            None => self.find(store, |_| true).context("can not find the latest archive")?,
            found => found,
        };
        found.map(|root| root.score).ok_or_else(|| Failure {
            code: FAILED,
            error: anyhow::anyhow!("no archive of {} is recorded", self.host),
        })
    }

    fn find(
        &self,
        store: &OpenedStore,
        fits: impl Fn(&ArchiveName) -> bool,
    ) -> Result<Option<NewRoot>, RootLogError> {
        let query = RootQuery { host: Some(self.host.clone()), ..RootQuery::default() };
        let mut found = None;
        store.roots.each(&query, &mut |record| {
            if fits(&record.root.archive) {
                found = Some(record.root);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Tells the server of the archive that was made.
    pub(crate) fn record(
        &self,
        store: &OpenedStore,
        outcome: &Outcome,
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        if !self.wanted {
            return Ok(());
        }
        let counts = &outcome.counts;
        let root = NewRoot {
            host: self.host.clone(),
            archive: self.archive.clone(),
            score: outcome.root,
            bytes: counts.bytes_read + counts.bytes_unchanged,
            files: counts.files() + counts.directories,
            completeness: match outcome.incomplete {
                true => Completeness::Incomplete,
                false => Completeness::Complete,
            },
        };
        match store.roots.record(&root) {
            Ok(_) => Ok(()),
            Err(RootLogError::Unsupported) => {
                reporter.note("the server keeps no roots: keep the score");
                Ok(())
            }
            // The archive is whole and durable, but nobody will find it by its name.
            Err(error) => {
                let code = match error {
                    RootLogError::NotAllowed { .. } => NOT_ALLOWED,
                    _ => FAILED,
                };
                let error = anyhow::anyhow!(
                    "the archive vac:{} is stored but not recorded as {}: {error}",
                    outcome.root,
                    self.host
                );
                Err(Failure { code, error })
            }
        }
    }
}

/// What an argument stands for: where it is on this machine, and whether it has a name of its own
/// in the archive.
fn source_of(path: &Path) -> anyhow::Result<ArchiveSource> {
    let here = std::env::current_dir().context("the working directory")?;
    let named = matches!(path.components().next_back(), Some(Component::Normal(_)));
    let parts: Vec<Component<'_>> = path.components().collect();
    // Where `..` leads is for the system to say: the part before it may be a link.
    let above = parts.iter().rposition(|part| *part == Component::ParentDir).map_or(0, |at| at + 1);
    let (above, below) = parts.split_at(above);
    let above = here.join(above.iter().collect::<PathBuf>());
    let above = match above.components().any(|part| part == Component::ParentDir) {
        true => above.canonicalize().unwrap_or(above),
        false => above,
    };
    let whole = below.iter().fold(above, |whole, part| whole.join(part));
    let clean: PathBuf = whole.components().skip(1).collect();
    let clean = clean.into_os_string().into_vec();
    Ok(if named { ArchiveSource::Path(clean) } else { ArchiveSource::Content(clean) })
}

/// The name of this machine.
fn this_host() -> anyhow::Result<HostName> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    name.parse().context("the name of this machine can not be used: give --host")
}
