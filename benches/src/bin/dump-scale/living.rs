//! What changes while the dump is mounted: new dumps come, and the server goes and comes back.

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::report::Row;
use crate::stores::CHRONICLE;
use crate::world::{Server, wait_until};

/// A dump is seen so many seconds after it was recorded at the latest: the kernel and the
/// catalogue each ask once a second.
const SEEN: f64 = 2.5;
/// A server that does not answer is an error after so many seconds.
const ERROR: f64 = 20.5;

/// Archives with the real vac, and waits until the mount shows it.
pub(crate) fn new_dump(server: &Server<'_>) -> Result<Row> {
    let mounted = server.mount(&server.address())?;
    // A store that an earlier run has left has that one's newcomer.
    let name = format!("newcomer{}", std::process::id());
    let host = mounted.at.join(&name);
    ensure!(!host.exists(), "there is a dump of {name} already");
    fs::write(server.ground.work.join("news"), "news\n")?;
    server.shell(&format!("vac --host {name} $WORK/news"))?;
    let start = Instant::now();
    wait_until("the new dump is seen", || Ok(host.join("latest").exists()))?;
    let seen = start.elapsed().as_secs_f64();
    Ok(Row::new("a new dump of a new host is seen after", &[seen], "s").at_most(SEEN))
}

/// Kills the server under the mount, and starts it again; stops it, and lets it go on.
pub(crate) fn server_away(server: &mut Server<'_>) -> Result<Vec<Row>> {
    let mounted = server.mount(&server.address())?;
    // This directory changes every day, so none of its blocks come with another dump; days of
    // different years are not read ahead together.
    let day = |day: &str| mounted.at.join(format!("{CHRONICLE}/{day}/usr/glenda/lib"));
    ensure!(fs::read_dir(day("2002/0601")).is_ok(), "the dump can not be read");
    let mut rows = Vec::new();
    for (signal, what, day_away) in [
        ("KILL", "the server is killed: an error after", day("2003/0601")),
        ("STOP", "the server is stopped: an error after", day("2004/0601")),
    ] {
        server.signal(signal)?;
        let start = Instant::now();
        ensure!(fs::read_dir(&day_away).is_err(), "{what}: no error");
        rows.push(Row::new(what, &[start.elapsed().as_secs_f64()], "s").at_most(ERROR));
        match signal {
            "KILL" => server.start_again()?,
            _ => server.signal("CONT")?,
        }
        let start = Instant::now();
        wait_until("the mount heals", || Ok(fs::read_dir(&day_away).is_ok()))?;
        let healed = start.elapsed().as_secs_f64();
        rows.push(Row::new("it is back: readable after", &[healed], "s").at_most(1.0));
    }
    Ok(rows)
}
