//! Compares a store with its log of roots.
//!
//! The end of an arena that was never sealed can be cut off between two blocks, and what is left
//! is a whole store of an earlier time: nothing in the arenas shows it. The log of roots is kept
//! in a file of its own, and says which archives there must be.

use std::sync::Arc;

use arenas::{Finding, Severity, Store, SystemEnvironment};
use venti_proto::roots::{RootLog as _, RootLogError, RootQuery, RootRecord};
use venti_proto::{BlockRequest, BlockStore as _, BlockType, Presence, StoreError};

/// Records whose blocks are looked up at once.
const AT_ONCE: usize = 1024;

/// What is recorded and not stored.
pub(super) fn lost(store: &Store) -> Vec<Finding> {
    look(store).unwrap_or_else(|error| {
        let detail = format!("the log of roots can not be compared with the blocks: {error}");
        vec![Finding::of_store(Severity::Damaged, detail)]
    })
}

fn look(store: &Store) -> Result<Vec<Finding>, RootLogError> {
    let log = store.roots_log("UTC", Arc::new(SystemEnvironment))?;
    let mut findings = Vec::new();
    let report = log.report();
    if report.missing > 0 {
        let detail = format!("{} records of the log of roots are lost", report.missing);
        findings.push(Finding::of_store(Severity::Damaged, detail));
    }
    let (mut batch, mut failed) = (Vec::new(), None);
    log.each(&RootQuery::default(), &mut |record| {
        batch.push(record);
        if batch.len() == AT_ONCE {
            failed = absent(store, &mut batch, &mut findings).err();
        }
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(absent(store, &mut batch, &mut findings).map(|()| findings)?),
    }
}

/// Empties `batch`, and reports the archives in it whose root is not stored.
fn absent(
    store: &Store,
    batch: &mut Vec<RootRecord>,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let request = |record: &RootRecord| BlockRequest {
        score: record.root.score,
        block_type: BlockType::ROOT,
    };
    let requests: Vec<_> = batch.iter().map(request).collect();
    for (record, presence) in batch.drain(..).zip(store.probe(&requests)?) {
        if presence == Presence::Absent {
            let root = &record.root;
            let detail = format!(
                "the log of roots has archive {} of {} as vac:{}, and that block is not stored",
                root.archive, root.host, root.score
            );
            findings.push(Finding::of_store(Severity::Damaged, detail));
        }
    }
    Ok(())
}
