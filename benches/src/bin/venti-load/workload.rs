//! The phases of a load, and running one with several clients.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use venti_benches::blocks::BlockMaker;
use venti_benches::bounds::{Bound, Bounds};
use venti_benches::random::Random;
use venti_proto::Score;

use crate::connection::{Connection, Reply, Request};

/// What is done with the blocks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Write blocks that the server has never seen, then sync.
    VirginWrite,
    /// Write the same blocks again, then sync.
    DuplicateWrite,
    /// Ask for every block whether it is there, with reads of count 0.
    Probe,
    SequentialRead,
    RandomRead,
    /// As above, after the kernel was told to forget the files of the store.
    SequentialReadCold,
    RandomReadCold,
}

impl Phase {
    pub(crate) const ALL: [Phase; 7] = [
        Phase::VirginWrite,
        Phase::DuplicateWrite,
        Phase::Probe,
        Phase::SequentialReadCold,
        Phase::SequentialRead,
        Phase::RandomReadCold,
        Phase::RandomRead,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Phase::VirginWrite => "virgin write",
            Phase::DuplicateWrite => "duplicate write",
            Phase::Probe => "probe",
            Phase::SequentialRead => "sequential read",
            Phase::RandomRead => "random read",
            Phase::SequentialReadCold => "sequential read, cold",
            Phase::RandomReadCold => "random read, cold",
        }
    }

    pub(crate) const fn is_cold(self) -> bool {
        matches!(self, Phase::SequentialReadCold | Phase::RandomReadCold)
    }

    const fn is_random(self) -> bool {
        matches!(self, Phase::RandomRead | Phase::RandomReadCold)
    }

    /// The most that the machine allows; none for probes, which move no data.
    pub(crate) fn bound(self, bounds: &Bounds) -> Option<Bound> {
        let sha1 = ("SHA-1", bounds.sha1_batch);
        let blake3 = ("BLAKE3", bounds.blake3);
        match self {
            Phase::VirginWrite => {
                let steps = [sha1, blake3, ("LZ4", bounds.lz4_compress)];
                let disk = bounds.disk.map(|rate| rate * bounds.lz4_ratio);
                Some(bounds.over_all_cores(&steps).and("disk", disk))
            }
            Phase::DuplicateWrite => Some(bounds.over_all_cores(&[sha1, blake3])),
            Phase::Probe => None,
            _ => Some(bounds.over_all_cores(&[sha1, ("LZ4", bounds.lz4_decompress)])),
        }
    }
}

/// The blocks of a run: which, how many, and their scores once they are written.
pub(crate) struct Workload<'a> {
    pub(crate) address: &'a str,
    pub(crate) window: usize,
    pub(crate) maker: &'a BlockMaker,
    /// Number of the run's first block: no other run has the same.
    pub(crate) first: u64,
    /// Of block `first + i`, as the server gave them.
    pub(crate) scores: Vec<Score>,
    pub(crate) clients: usize,
}

impl Workload<'_> {
    /// Runs a phase and returns its seconds: from all clients being connected to the last reply,
    /// for writes to the last sync.
    pub(crate) fn run(&mut self, phase: Phase) -> Result<f64> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        if phase.is_random() {
            Random::new(self.first).shuffle(&mut order);
        }
        let share = order.len().div_ceil(self.clients).max(1);
        let mut connections = Vec::new();
        for part in order.chunks(share) {
            connections.push((Connection::open(self.address, self.window)?, part));
        }
        let scores = Mutex::new(Vec::with_capacity(self.scores.len()));
        let (this, scores_found) = (&*self, &scores);
        let start = Instant::now();
        thread::scope(|scope| {
            let clients: Vec<_> = connections
                .iter_mut()
                .map(|(connection, part)| {
                    scope.spawn(move || this.client(phase, connection, part, scores_found))
                })
                .collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        for (position, score) in scores.into_inner().map_err(|_| anyhow!("a client panicked"))? {
            self.scores[position] = score;
        }
        Ok(seconds)
    }

    /// One client's part of a phase: the blocks at `part`, in that order.
    fn client(
        &self,
        phase: Phase,
        connection: &mut Connection,
        part: &[usize],
        scores: &Mutex<Vec<(usize, Score)>>,
    ) -> Result<()> {
        let number = |i: usize| self.first + part[i] as u64;
        let mut written = Vec::new();
        let request = |i: usize, block: &mut Vec<u8>| match phase {
            Phase::VirginWrite | Phase::DuplicateWrite => {
                self.maker.append(number(i), block);
                Request::Write
            }
            Phase::Probe => Request::Probe(self.scores[part[i]]),
            _ => Request::Read(self.scores[part[i]]),
        };
        connection.run(part.len(), request, |i, reply| {
            match (phase, reply) {
                (Phase::VirginWrite, Reply::Score(score)) => written.push((part[i], score)),
                (Phase::DuplicateWrite, Reply::Score(score)) => {
                    ensure!(score == self.scores[part[i]], "block {}: score {score}", number(i));
                }
                // The original says of a block that is there how large it is.
                (Phase::Probe, Reply::Error(error)) => {
                    ensure!(error.contains("too small"), "block {}: {error}", number(i));
                }
                (Phase::Probe, Reply::Data(_)) => {}
                (_, Reply::Data(data)) => {
                    ensure!(self.maker.is_block(number(i), data), "block {} differs", number(i));
                }
                (_, Reply::Error(error)) => bail!("block {}: {error}", number(i)),
                (_, Reply::Score(_)) => bail!("block {}: a score for a read", number(i)),
            }
            Ok(())
        })?;
        if matches!(phase, Phase::VirginWrite | Phase::DuplicateWrite) {
            connection.sync()?;
        }
        if let Ok(mut scores) = scores.lock() {
            scores.append(&mut written);
        }
        Ok(())
    }
}

/// Tells the kernel to forget what it keeps in memory of every file below `directory`.
pub(crate) fn forget_files(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            forget_files(&path)?;
        } else if path.is_file() {
            let file = File::open(&path).with_context(|| path.display().to_string())?;
            // Only what is on the disk can be forgotten.
            file.sync_data().with_context(|| path.display().to_string())?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
