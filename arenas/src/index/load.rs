//! Reads the index's directory: which runs count, which are dropped, which files are left over.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::SealedArena;
use super::error::{Damage, IndexError};
use super::manifest::{Manifest, RunRecord};
use super::run::Run;
use super::stats::{Counters, add};
use super::writer::{Writer, removed};
use crate::disk::Disk;
use crate::names;

/// How often a read-only index looks again when a writer removes runs under its eyes.
const ATTEMPTS: u32 = 4;

/// Loads what of the index can be believed. `opened` are runs that need not be opened again.
pub(super) fn load(
    disk: &dyn Disk,
    sealed: &[SealedArena],
    opened: &[Arc<Run>],
    read_only: bool,
    counters: &Counters,
) -> Result<Writer, IndexError> {
    let sealed: BTreeMap<u32, SealedArena> =
        sealed.iter().map(|arena| (arena.number, *arena)).collect();
    let mut attempt = 1;
    loop {
        let files = match disk.list(names::INDEX) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let manifest = Manifest::read(disk);
        let readable = manifest.is_ok();
        let mut found = Vec::new();
        let manifest = manifest.unwrap_or_else(|damage| {
            found.push(format!("the index manifest is damaged: {damage}"));
            None
        });
        let manifest = manifest.unwrap_or_default();
        let named: Vec<u32> = manifest.runs.iter().map(|record| record.number).collect();
        let sequence = manifest.sequence;
        let (runs, dropped) = open_runs(disk, manifest, &sealed, opened);
        let vanished = dropped.iter().any(|(_, damage)| is_missing(damage));
        if read_only && vanished && attempt < ATTEMPTS {
            attempt += 1;
            continue;
        }
        add(&counters.runs_dropped, dropped.len() as u64);
        for (run, damage) in dropped {
            if is_legal(&damage) {
                tracing::warn!(run, %damage, "index run is dropped");
            } else {
                found.push(format!("index run {run} is damaged: {damage}"));
            }
        }
        let present = files.iter().filter_map(|file| names::parse_run(file)).max();
        let highest = named.iter().copied().max().max(present).unwrap_or(0);
        let next_run = highest.saturating_add(1);
        let mut garbage = if read_only { Vec::new() } else { leftovers(&files, &runs) };
        // What a crash left over goes at once, the disk may be full; but what a manifest names
        // that may only be unreadable just now, or not be durable yet, waits for the next one.
        if readable && !garbage.is_empty() && disk.sync_dir(names::INDEX).is_ok() {
            let unnamed = |name: &String| !named.iter().any(|run| names::run(*run) == *name);
            garbage.retain(|name| !(unnamed(name) && removed(disk, name)));
        }
        return Ok(Writer { sealed, runs, sequence, next_run, garbage, damage: found });
    }
}

/// Opens what the manifest lists, and says which runs are dropped and why.
fn open_runs(
    disk: &dyn Disk,
    manifest: Manifest,
    sealed: &BTreeMap<u32, SealedArena>,
    opened: &[Arc<Run>],
) -> (Vec<Arc<Run>>, Vec<(u32, Damage)>) {
    let mut runs = Vec::new();
    let mut dropped = Vec::new();
    for record in manifest.runs {
        let number = record.number;
        let known = opened.iter().find(|run| run.record == record && !run.is_damaged());
        let run = check_coverage(&record, sealed).and_then(|()| match known {
            Some(run) => Ok(Arc::clone(run)),
            None => Run::open(disk, record).map(Arc::new),
        });
        match run {
            Ok(run) => runs.push(run),
            Err(damage) => dropped.push((number, damage)),
        }
    }
    (runs, dropped)
}

/// A run counts only if every arena that it covers is in the store and the same.
fn check_coverage(record: &RunRecord, sealed: &BTreeMap<u32, SealedArena>) -> Result<(), Damage> {
    match record.covered.iter().find(|arena| sealed.get(&arena.number) != Some(arena)) {
        Some(stale) => Err(Damage::Stale { arena: stale.number }),
        None => Ok(()),
    }
}

/// An index may be an old copy, or deleted: that costs time, and nothing is wrong.
fn is_legal(damage: &Damage) -> bool {
    is_missing(damage) || matches!(damage, Damage::Stale { .. })
}

fn is_missing(damage: &Damage) -> bool {
    matches!(damage, Damage::Disk(error) if error.kind() == ErrorKind::NotFound)
}

/// Our own files that no run in use is in. Files of others are left alone.
fn leftovers(files: &[String], runs: &[Arc<Run>]) -> Vec<String> {
    let unused = |number: &u32| !runs.iter().any(|run| run.record.number == *number);
    let numbers = files.iter().filter_map(|file| names::parse_run(file)).filter(unused);
    numbers.map(names::run).collect()
}
