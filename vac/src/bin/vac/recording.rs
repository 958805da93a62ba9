//! The server's log of roots: where the last archive is found, and the new one is recorded.
//!
//! A server without such a log gets a plain archive, as of old.

use anyhow::Context;
use vac::archiver::Outcome;
use vac::store::OpenedStore;
use venti_proto::Score;
use venti_proto::roots::{ArchiveName, Completeness, HostName, NewRoot, RootLogError, RootQuery};

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
        let mut paths: Vec<String> =
            arguments.files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let lists = arguments.files_from.iter().chain(&arguments.files_from0);
        paths.extend(lists.map(|list| format!("from {}", list.display())));
        paths.extend(arguments.stdin.iter().map(|name| name.to_string_lossy().into_owned()));
        let archive = ArchiveName::of_paths(paths.iter().map(String::as_str));
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

    /// The newest archive of this host.
    pub(crate) fn newest_of_host(&self, store: &OpenedStore) -> Result<Score, Failure> {
        let found = self.find(store, |_| true).context("can not find the latest archive")?;
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

/// The name of this machine.
fn this_host() -> anyhow::Result<HostName> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    name.parse().context("the name of this machine can not be used: give --host")
}
