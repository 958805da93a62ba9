//! Finding things: mounting, the top, histories, yesterday.

use anyhow::{Result, ensure};

use crate::report::Row;
use crate::stores::{BUSY, CHRONICLE, QUIET, VERSIONS};
use crate::world::{Server, is_mount_point, wait_until};

/// Mounts the dump, lists its top, and unmounts it again.
pub(crate) fn mount_and_list(server: &Server<'_>, what: &str, rounds: usize) -> Result<Row> {
    let mut times = Vec::new();
    let at = server.ground.fresh("dump")?;
    for _ in 0..rounds {
        let ran = server.shell("fossil-lite mount $DUMP && ls $DUMP");
        server.shell("umount $DUMP")?;
        wait_until("the dump is unmounted", || Ok(!is_mount_point(&at)))?;
        let ran = ran?;
        ensure!(ran.out.contains("host00"), "a host is missing at the top");
        times.push(ran.cost.seconds);
    }
    Ok(Row::new(what, &times, "s").at_most(0.1))
}

/// Lists the years of one host and the days of one year.
pub(crate) fn list_a_year(server: &Server<'_>) -> Result<Row> {
    let _mounted = server.mount(&server.address())?;
    let ran = server.shell(&format!("ls $DUMP/{CHRONICLE}/2003"))?;
    ensure!(ran.out.lines().count() == 365, "a year of {} days", ran.out.lines().count());
    Ok(Row::new("ls of a year of one host: 365 dumps", &[ran.cost.seconds], "s"))
}

/// The history of a file, first and again.
pub(crate) fn history(server: &Server<'_>, rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (file, what) in [
        (QUIET, "hist, 12 versions in 1,000 dumps, nothing else changes there"),
        (BUSY, "hist, 12 versions in 1,000 dumps, its directory changes every day"),
    ] {
        let script = format!("hist --host {CHRONICLE} {file}");
        let (mut first, mut again) = (Vec::new(), Vec::new());
        let before = server.blocks_read()?;
        for _ in 0..rounds {
            server.ground.fresh("cache")?;
            for times in [&mut first, &mut again] {
                let ran = server.shell(&script)?;
                let versions = ran.out.lines().count() as u64;
                ensure!(versions == VERSIONS, "{script}: {versions} versions");
                times.push(ran.cost.seconds);
            }
        }
        let blocks = (server.blocks_read()? - before) / rounds as u64;
        rows.push(Row::new(what, &first, "s").at_most(0.5).note(format!("{blocks} blocks")));
        rows.push(Row::new("the same again", &again, "s").at_most(0.05));
    }
    Ok(rows)
}

/// The name of a file in a dump, which has to be mounted, and its content.
pub(crate) fn yesterday(server: &Server<'_>, rounds: usize) -> Result<Vec<Row>> {
    let _mounted = server.mount(&server.address())?;
    let mut rows = Vec::new();
    for (options, what) in [
        ("", "yesterday"),
        ("-d 2003/0505", "yesterday -d"),
        ("--cat -d 2003/0505", "yesterday --cat -d"),
    ] {
        let script = format!("yesterday --host {CHRONICLE} {options} {BUSY}");
        let mut times = Vec::new();
        for _ in 0..rounds {
            let ran = server.shell(&script)?;
            ensure!(!ran.out.is_empty(), "{script} says nothing");
            times.push(ran.cost.seconds);
        }
        rows.push(Row::new(what, &times, "s").at_most(0.1));
    }
    Ok(rows)
}
