//! The roots that a server owns, asked for over the first connection.

use std::time::Duration;

use super::call::Outcome;
use super::{Client, NO_BLOCK};
use crate::roots::{NewRoot, RootLog, RootLogError, RootPage, RootQuery, RootRecord, RootWatch};
use crate::session::{NOT_ALLOWED, RequestKind, store_error_from_text};
use crate::{Message, StoreError, Tag, Version};

/// A watch that ends sooner than asked for is allowed. One that takes longer than a server has for
/// an answer would end the connection.
const LONGEST_WATCH: Duration = Duration::from_secs(300);

impl Client {
    fn ask_roots(
        &self,
        kind: RequestKind,
        message: &dyn Fn(Tag) -> Message<'static>,
    ) -> Result<(Outcome, Vec<u8>), RootLogError> {
        let connection = match self.connections.first() {
            Some(connection) if self.version() == Version::X1 => connection,
            _ => return Err(RootLogError::Unsupported),
        };
        match connection.ask_for_answer(kind, message)? {
            (Outcome::Refused(text), _) => Err(refusal(&text)),
            answer => Ok(answer),
        }
    }
}

/// What a server means that refuses: one that has no log of roots says so in these words.
fn refusal(text: &str) -> RootLogError {
    if text == "unknown request" || text == RootLogError::Unsupported.to_string() {
        return RootLogError::Unsupported;
    }
    if let Some(detail) = text.strip_prefix(NOT_ALLOWED) {
        return RootLogError::NotAllowed { detail: detail.to_owned() };
    }
    RootLogError::Store(store_error_from_text(text, &NO_BLOCK, 0))
}

fn damaged(detail: &(impl ToString + ?Sized)) -> RootLogError {
    RootLogError::Damaged { detail: detail.to_string() }
}

impl RootLog for Client {
    fn record(&self, root: &NewRoot) -> Result<RootRecord, RootLogError> {
        let mut data = Vec::new();
        root.encode(&mut data);
        let message = |tag| Message::TrecordRoot { tag, data: data.clone().into() };
        let (_, answer) = self.ask_roots(RequestKind::RecordRoot, &message)?;
        let record = RootRecord::decode(&answer).map_err(|error| damaged(&error))?;
        if record.root != *root {
            return Err(damaged("the server recorded something else"));
        }
        Ok(record)
    }

    fn list(&self, query: &RootQuery) -> Result<RootPage, RootLogError> {
        let data = query.encode();
        let message = |tag| Message::TlistRoots { tag, data: data.clone().into() };
        let (_, answer) = self.ask_roots(RequestKind::ListRoots, &message)?;
        let page = RootPage::decode(&answer).map_err(|error| damaged(&error))?;
        if !page.records.iter().all(|record| query.wants(record)) {
            return Err(damaged("the server sent a record that was not asked for"));
        }
        Ok(page)
    }

    fn watch(&self, known: u64, time: Duration) -> Result<u64, RootLogError> {
        let milliseconds = u32::try_from(time.min(LONGEST_WATCH).as_millis()).unwrap_or(u32::MAX);
        let watch = RootWatch { known, milliseconds };
        let message = |tag| Message::TwatchRoots { tag, watch };
        match self.ask_roots(RequestKind::WatchRoots, &message)? {
            (Outcome::Next(next), _) => Ok(next),
            _ => Err(StoreError::Connection { detail: "no answer to a watch".to_owned() }.into()),
        }
    }
}
