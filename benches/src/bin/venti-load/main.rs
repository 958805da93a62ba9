//! Puts any Venti server under load and holds each figure against the bound that it is up against.
//!
//! For every kind of content, block size and number of clients: virgin writes, duplicate writes,
//! probes, and reads in order and at random, cached and cold. The bounds (SHA-1, BLAKE3, LZ4,
//! loopback, disk) are measured in the same run with the same blocks.

mod connection;
#[cfg(test)]
mod tests;
mod workload;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;
use venti_benches::blocks::{BlockMaker, Content};
use venti_benches::bounds::{Bound, Bounds};
use venti_benches::table::Table;
use venti_proto::{MAX_BLOCK_SIZE, Score};

use crate::workload::{Phase, Workload, forget_files};

/// Puts a Venti server under load
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Host and port of the server
    #[arg(default_value = "127.0.0.1:17034")]
    address: String,
    /// Megabytes of blocks for each row of the table
    #[arg(long, default_value_t = 256)]
    megabytes: u64,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    clients: Vec<usize>,
    /// Bytes in a block
    #[arg(long, value_delimiter = ',', default_values_t = [8192, MAX_BLOCK_SIZE])]
    block_sizes: Vec<usize>,
    /// How well the blocks compress
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Content::Text, Content::Random])]
    content: Vec<Content>,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 250)]
    window: usize,
    /// Seed of all blocks: with one that a server has seen, virgin writes are duplicates
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory of the server's store: cold reads are done only with it, and the disk measured
    #[arg(long)]
    store: Option<PathBuf>,
    /// Print what was measured as JSON
    #[arg(long)]
    json: bool,
}

/// One row of the table.
#[derive(Debug, Serialize)]
struct Row {
    phase: Phase,
    content: Content,
    block_size: usize,
    clients: usize,
    blocks: usize,
    seconds: f64,
    bytes_per_second: f64,
    requests_per_second: f64,
    bound: Option<Bound>,
}

/// Everything that is printed.
#[derive(Debug, Default, Serialize)]
struct Report {
    bounds: Vec<(Content, usize, Bounds)>,
    rows: Vec<Row>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.clients.iter().all(|clients| *clients > 0), "--clients: at least 1");
    let usual = |size: &usize| (512..=MAX_BLOCK_SIZE).contains(size);
    ensure!(
        arguments.block_sizes.iter().all(usual),
        "--block-sizes: from 512 to {MAX_BLOCK_SIZE} bytes"
    );
    let mut report = Report::default();
    let mut first = 0;
    for &content in &arguments.content {
        for &size in &arguments.block_sizes {
            let maker = BlockMaker::new(content, size, arguments.seed);
            let bounds = Bounds::measure(&maker, arguments.store.as_deref())?;
            report.bounds.push((content, size, bounds));
            for &clients in &arguments.clients {
                first += measure(&arguments, content, &maker, clients, first, &mut report.rows)?;
            }
        }
    }
    for row in &mut report.rows {
        let mut of_row = report.bounds.iter();
        row.bound = of_row
            .find(|(content, size, _)| (*content, *size) == (row.content, row.block_size))
            .and_then(|(.., bounds)| row.phase.bound(bounds));
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_tables(&report);
    }
    Ok(())
}

/// Runs all phases with blocks from number `first` on; returns how many numbers were used.
fn measure(
    arguments: &Arguments,
    content: Content,
    maker: &BlockMaker,
    clients: usize,
    first: u64,
    rows: &mut Vec<Row>,
) -> Result<u64> {
    let blocks = usize::try_from(arguments.megabytes * 1_000_000)?.div_ceil(maker.size());
    let mut workload = Workload {
        address: &arguments.address,
        window: arguments.window,
        maker,
        first,
        scores: vec![Score::ZERO; blocks],
        clients,
    };
    for phase in Phase::ALL {
        if phase.is_cold() {
            let Some(store) = &arguments.store else { continue };
            forget_files(store)?;
        }
        let seconds = workload.run(phase)?;
        let bytes = blocks * maker.size();
        let row = Row {
            phase,
            content,
            block_size: maker.size(),
            clients,
            blocks,
            seconds,
            bytes_per_second: bytes as f64 / seconds,
            requests_per_second: blocks as f64 / seconds,
            bound: None,
        };
        eprintln!("{clients} x {content:?} {}: {} {seconds:.3} s", maker.size(), phase.name());
        rows.push(row);
    }
    Ok(blocks as u64)
}

fn print_tables(report: &Report) {
    let mut limits = Table::new([
        "MB/s",
        "SHA-1",
        "SHA-1, batch",
        "BLAKE3",
        "LZ4",
        "un-LZ4",
        "ratio",
        "loopback",
        "disk",
    ]);
    for (content, size, bounds) in &report.bounds {
        let mut row = vec![format!("{content:?}, {size}")];
        row.extend(
            [
                bounds.sha1,
                bounds.sha1_batch,
                bounds.blake3,
                bounds.lz4_compress,
                bounds.lz4_decompress,
                bounds.lz4_ratio * 1e6,
                bounds.loopback,
                bounds.disk.unwrap_or(0.0),
            ]
            .map(|rate| if rate < 1e8 { format!("{:.2}", rate / 1e6) } else { mega(rate) }),
        );
        limits.push(row);
    }
    let mut table = Table::new([
        "phase",
        "content",
        "block",
        "clients",
        "MB/s",
        "requests/s",
        "bound MB/s",
        "set by",
        "%",
    ]);
    for row in &report.rows {
        let bound = |show: &dyn Fn(Bound) -> String| row.bound.map_or_else(String::new, show);
        table.push(vec![
            row.phase.name().to_owned(),
            format!("{:?}", row.content).to_lowercase(),
            row.block_size.to_string(),
            row.clients.to_string(),
            // A probe moves no block.
            if row.phase == Phase::Probe { String::new() } else { mega(row.bytes_per_second) },
            format!("{:.0}", row.requests_per_second),
            bound(&|b| mega(b.rate)),
            bound(&|b| b.set_by.to_owned()),
            bound(&|b| format!("{:.0}", row.bytes_per_second / b.rate * 100.0)),
        ]);
    }
    println!("{limits}\n{table}");
}

fn mega(rate: f64) -> String {
    format!("{:.0}", rate / 1e6)
}
