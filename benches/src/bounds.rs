//! What the machine allows, measured in the run whose figures are held against it.
//!
//! Each rate is bytes of block data a second of one core, or of the device. From them follows the
//! most that a server and its client can reach together on this machine: the time that every byte
//! needs in all steps of its way, spread over the cores, or the device, whichever is slower.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::fdatasync;
use serde::Serialize;
use venti_proto::{BlockBatch, BlockType, Score};

use crate::blocks::BlockMaker;

/// Time for each primitive.
const ROUND: Duration = Duration::from_millis(300);
/// Blocks in a batch that is hashed together.
const BATCH: u64 = 64;
/// Bytes written to measure the disk.
const DISK_BYTES: usize = 256 << 20;
/// Bytes a write to the loopback device and to the disk.
const CHUNK: usize = 1 << 20;

/// Rates in bytes a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bounds {
    /// SHA-1, one block after another, one core.
    pub sha1: f64,
    /// SHA-1 of a batch of blocks, as the programs compute it, one core.
    pub sha1_batch: f64,
    /// BLAKE3, one core.
    pub blake3: f64,
    /// LZ4 compression, one core.
    pub lz4_compress: f64,
    /// LZ4 decompression, one core, bytes of the block.
    pub lz4_decompress: f64,
    /// How many times smaller LZ4 makes the blocks, at least 1.
    pub lz4_ratio: f64,
    /// TCP over the loopback device: a sender and a receiver, a core each.
    pub loopback: f64,
    /// Sequential writes to the disk with one fdatasync at the end, if a directory was given.
    pub disk: Option<f64>,
    /// Cores.
    pub cores: usize,
}

impl Bounds {
    /// Measures everything with blocks of `maker`, and the disk that `directory` is on.
    ///
    /// # Errors
    /// Of the loopback device and of the disk.
    pub fn measure(maker: &BlockMaker, directory: Option<&Path>) -> io::Result<Bounds> {
        let mut blocks = Vec::new();
        (0..BATCH).for_each(|number| maker.append(number, &mut blocks));
        let each = |work: &mut dyn FnMut(&[u8])| {
            rate(blocks.len(), || blocks.chunks(maker.size()).for_each(&mut *work))
        };
        let packed: Vec<Vec<u8>> =
            blocks.chunks(maker.size()).map(lz4_flex::block::compress).collect();
        let smaller: usize = packed.iter().map(|p| p.len().min(maker.size())).sum();
        let mut output = vec![0; lz4_flex::block::get_maximum_output_size(maker.size())];
        let lz4_compress = each(&mut |block| {
            std::hint::black_box(lz4_flex::block::compress_into(block, &mut output).ok());
        });
        let lz4_decompress = rate(blocks.len(), || {
            for block in &packed {
                let unpacked = lz4_flex::block::decompress_into(block, &mut output);
                std::hint::black_box(unpacked.ok());
            }
        });
        Ok(Bounds {
            sha1: each(&mut |block| {
                std::hint::black_box(Score::of(block));
            }),
            sha1_batch: sha1_of_batches(&blocks, maker.size()),
            blake3: each(&mut |block| {
                std::hint::black_box(blake3::hash(block));
            }),
            lz4_compress,
            lz4_decompress,
            lz4_ratio: blocks.len() as f64 / smaller as f64,
            loopback: loopback()?,
            disk: directory.map(disk).transpose()?,
            cores: thread::available_parallelism().map_or(1, usize::from),
        })
    }

    /// The most that client and server reach together when the given steps of one core each, and
    /// a trip over the loopback device, are all that is done to a byte.
    #[must_use]
    pub fn over_all_cores(&self, steps: &[(&'static str, f64)]) -> Bound {
        // A byte on the loopback device keeps two cores busy: the sender's and the receiver's.
        let loopback = ("loopback", self.loopback / 2.0);
        let time: f64 = steps.iter().chain([&loopback]).map(|(_, rate)| 1.0 / rate).sum();
        let slowest = steps.iter().chain([&loopback]).min_by(|a, b| a.1.total_cmp(&b.1));
        Bound { rate: self.cores as f64 / time, set_by: slowest.map_or("", |(name, _)| *name) }
    }
}

/// The most that is possible, and the step that costs most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Bytes of block data a second.
    pub rate: f64,
    /// Name of the most expensive step.
    pub set_by: &'static str,
}

impl Bound {
    /// The lower of this bound and that of a device.
    #[must_use]
    pub fn and(self, set_by: &'static str, rate: Option<f64>) -> Bound {
        match rate {
            Some(rate) if rate < self.rate => Bound { rate, set_by },
            _ => self,
        }
    }
}

/// Calls `work`, which handles `bytes` bytes, again and again for a while.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < ROUND {
        work();
        done += bytes;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

fn sha1_of_batches(blocks: &[u8], size: usize) -> f64 {
    let mut batch = BlockBatch::with_capacity(blocks.len());
    let (mut done, mut spent) = (0, Duration::ZERO);
    while spent < ROUND {
        blocks.chunks(size).for_each(|block| {
            batch.push(BlockType::DATA, block);
        });
        // Gathering is not hashing: only the latter is timed.
        let start = Instant::now();
        let hashed = batch.hash();
        spent += start.elapsed();
        done += blocks.len();
        batch = hashed.recycle();
    }
    done as f64 / spent.as_secs_f64()
}

fn loopback() -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let start = Instant::now();
    let sending = thread::spawn(move || -> io::Result<()> {
        let chunk = vec![1; CHUNK];
        while start.elapsed() < 2 * ROUND {
            sender.write_all(&chunk)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; CHUNK];
    let mut received = 0;
    loop {
        match receiver.read(&mut buffer)? {
            0 => break,
            length => received += length,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    Ok(received as f64 / seconds)
}

fn disk(directory: &Path) -> io::Result<f64> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    let chunk = vec![1; CHUNK];
    let start = Instant::now();
    for _ in 0..DISK_BYTES / CHUNK {
        file.write_all(&chunk)?;
    }
    fdatasync(&file)?;
    Ok(DISK_BYTES as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Content;

    #[test]
    fn bounds_are_measured_and_combined() {
        let maker = BlockMaker::new(Content::Text, 8192, 1);
        let bounds = Bounds::measure(&maker, None).expect("loopback works");
        assert!(bounds.lz4_ratio > 2.0, "{bounds:?}");
        let one = bounds.over_all_cores(&[("SHA-1", bounds.sha1)]);
        let two = bounds.over_all_cores(&[("SHA-1", bounds.sha1), ("LZ4", bounds.lz4_compress)]);
        assert!(two.rate < one.rate);
        assert_eq!(two.and("disk", Some(1.0)), Bound { rate: 1.0, set_by: "disk" });
    }
}
