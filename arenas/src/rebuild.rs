//! Building the index anew from the arenas' tables of contents, while the store is in use.

use venti_proto::StoreError;

use crate::store::Store;

/// How far a long operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is counted: `arenas` or `bytes`.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

impl Store {
    /// Throws the index away and builds it again. Reads and writes go on meanwhile: what the
    /// index does not cover yet is looked up in the tables of contents.
    ///
    /// # Errors
    /// `ReadOnly` if the store was opened so; `Io` if arenas remain that the index did not take.
    pub fn rebuild_index(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        let shared = self.shared();
        if shared.log.is_none() {
            let detail = "it was opened read-only".to_owned();
            return Err(StoreError::ReadOnly { detail });
        }
        shared.catalogue.rebuild(progress)
    }
}
