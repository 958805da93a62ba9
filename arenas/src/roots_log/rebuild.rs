//! Finds the records of a log again in the blocks of its store.

use std::collections::BTreeMap;

use venti_proto::roots::{RootLogError, RootRecord};
use venti_proto::{BlockStore, BlockType, Root, StoreError};

use super::file::is_about_one_block;
use super::recover::{RootBlocks, START};
use super::{RECORD_KIND, seal};

/// What was found.
pub(super) struct Rebuilt {
    pub(super) records: Vec<RootRecord>,
    /// Records that must have been there, because later ones follow them.
    pub(super) missing: u64,
}

/// Follows the chain back from the newest sealed record to the last one of `prefix`, which is the
/// part of the file that is right.
pub(super) fn rebuild(
    blocks: &dyn BlockStore,
    key: &[u8; 32],
    prefix: Vec<RootRecord>,
    roots: &dyn RootBlocks,
) -> Result<Rebuilt, RootLogError> {
    let end = prefix.last().map(|last| last.sequence);
    let mut found: BTreeMap<u64, Vec<RootRecord>> = BTreeMap::new();
    let mut failure = None;
    roots.each(START, &mut |root| match record_of(blocks, key, root) {
        Ok(None) => true,
        Ok(Some(record)) => {
            let sequence = record.sequence;
            found.entry(sequence).or_default().push(record);
            end.is_none_or(|end| sequence > end)
        }
        Err(error) => {
            failure = Some(error);
            false
        }
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    Ok(join(prefix, found))
}

/// The record that a root block leads to; `None` if it leads to none of this store, or to one that
/// can not be read. What was not sealed here is some client's block that looks like a record.
pub(super) fn record_of(
    blocks: &dyn BlockStore,
    key: &[u8; 32],
    root: &Root,
) -> Result<Option<RootRecord>, StoreError> {
    if root.kind != RECORD_KIND {
        return Ok(None);
    }
    match blocks.read_block(root.score, BlockType::DATA) {
        Ok(bytes) => Ok(RootRecord::decode(&bytes).ok().filter(|r| r.seal == seal(key, r))),
        Err(error) if is_about_one_block(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Chooses one record for each sequence number: the one that the next one names.
fn join(prefix: Vec<RootRecord>, found: BTreeMap<u64, Vec<RootRecord>>) -> Rebuilt {
    let first = prefix.last().map_or(0, |last| last.sequence + 1);
    let mut tail: Vec<RootRecord> = Vec::new();
    for (_, candidates) in found.into_iter().rev().filter(|(sequence, _)| *sequence >= first) {
        let wanted = tail.last().map(|next| next.previous);
        let named = candidates.iter().position(|record| Some(record.seal) == wanted);
        tail.extend(candidates.into_iter().nth(named.unwrap_or(0)));
    }
    tail.reverse();
    let last = tail.last().map_or(first, |last| last.sequence + 1);
    let missing = last - first - tail.len() as u64;
    let mut records = prefix;
    records.append(&mut tail);
    Rebuilt { records, missing }
}
