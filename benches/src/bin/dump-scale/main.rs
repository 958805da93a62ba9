//! Makes stores with years of dumps, asks the real programs for things in them, and prints one
//! table of goals and figures.
//!
//! The stores are made in this process, with a clock that goes from day to day; everything that is
//! measured is a program that a person would run, against a server that is a process of its own.

mod content;
mod great;
mod link;
mod living;
mod names;
mod report;
mod stores;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use venti_benches::remove::remove;

use crate::report::Row;
use crate::world::{Ground, Server};

/// Measures the dump with many hosts, days and files
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory for stores, mounts and copies (needs about 2 GB)
    #[arg(long, default_value = "/dev/shm/venti-dump-scale")]
    work: PathBuf,
    /// Directory of our programs (default: the one this program is in)
    #[arg(long)]
    ours: Option<PathBuf>,
    /// Rounds; the table has the medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Real files, of which one dump is made and copied
    #[arg(long, value_delimiter = ':', default_value = "/usr/include:/usr/share/doc")]
    real: Vec<PathBuf>,
    /// Entries of the great directory
    #[arg(long, default_value_t = 2_000_000)]
    entries: u64,
    /// Roots in the long log
    #[arg(long, default_value_t = 100_000)]
    roots: u64,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Leave the stores where they are; they are used again by the next run
    #[arg(long)]
    keep: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Mounting, the top, histories, yesterday
    Names,
    /// The long log of roots
    Roots,
    /// Copying a dump, reading a file
    Content,
    /// The directory of millions of entries
    Great,
    /// Round trips
    Link,
    /// New dumps, and a server that goes away and comes back
    Living,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let ours = match &arguments.ours {
        Some(directory) => fs::canonicalize(directory)?,
        None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    fs::create_dir_all(&arguments.work)?;
    let ground = Ground { ours, work: fs::canonicalize(&arguments.work)? };
    let rows = measure(&arguments, &ground)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", report::table(&rows));
    }
    if !arguments.keep {
        remove(&ground.work)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, ground: &Ground) -> Result<Vec<Row>> {
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rounds = arguments.rounds;
    let mut rows = Vec::new();
    let hosts =
        made(ground, "hosts", |path| stores::make_hosts(path, &arguments.real, arguments.entries))?;
    let mut server = Server::start(ground, &hosts)?;
    if wants(Part::Names) {
        let what = "mount and ls of the top, 2,000 dumps of 51 hosts";
        rows.push(names::mount_and_list(&server, what, rounds)?);
        rows.push(names::list_a_year(&server)?);
        rows.extend(names::history(&server, rounds)?);
        rows.extend(names::yesterday(&server, rounds)?);
    }
    if wants(Part::Content) {
        rows.extend(content::copy(&server, rounds.min(3))?);
        rows.push(content::cat(&server)?);
    }
    if wants(Part::Great) {
        rows.extend(content::great(&server, arguments.entries, rounds.min(3))?);
    }
    if wants(Part::Link) {
        rows.extend(content::first_byte(&server)?);
    }
    if wants(Part::Living) {
        rows.push(living::new_dump(&server)?);
        rows.extend(living::server_away(&mut server)?);
    }
    drop(server);
    if wants(Part::Roots) {
        let roots = arguments.roots;
        let store = made(ground, "roots", |path| stores::make_roots(path, roots))?;
        let server = Server::start(ground, &store)?;
        let what = format!("mount and ls of the top, {roots} dumps of 50 hosts");
        rows.push(names::mount_and_list(&server, &what, rounds)?);
    }
    Ok(rows)
}

/// Makes a store, unless an earlier run has left it.
fn made(ground: &Ground, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = ground.work.join(name);
    if !path.exists() {
        eprintln!("making {}", path.display());
        // Made beside and renamed: a store that is there is whole.
        let unfinished = ground.fresh("unfinished")?.join(name);
        make(&unfinished)?;
        fs::rename(&unfinished, &path)?;
    }
    Ok(path)
}
