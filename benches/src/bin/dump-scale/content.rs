//! Reading files: a whole dump, one file, one name among millions.

use std::fs;

use anyhow::{Result, ensure};

use crate::great;
use crate::link::{self, ROUND_TRIP};
use crate::report::Row;
use crate::stores::{BUSY, CHRONICLE, GREAT, MEGABYTE, REAL};
use crate::world::Server;

/// Bytes in a block of the archives.
const BLOCK: u64 = 8192;

/// `cp -r` of a whole dump out of a fresh mount, and unvac of the same archive.
pub(crate) fn copy(server: &Server<'_>, rounds: usize) -> Result<Vec<Row>> {
    let score = server.newest(REAL)?;
    let (mut unvac, mut copied, mut with_all, mut peak) = (vec![], vec![], vec![], 0);
    let scripts = [
        (format!("cd $WORK/copy && unvac vac:{score}"), &mut unvac),
        (format!("cp -r $DUMP/{REAL}/latest/. $WORK/copy"), &mut copied),
        (format!("cp -a $DUMP/{REAL}/latest/. $WORK/copy"), &mut with_all),
    ];
    let mut files = 0;
    for (script, times) in scripts {
        for _ in 0..rounds {
            server.ground.fresh("copy")?;
            let mounted = server.mount(&server.address())?;
            times.push(server.shell(&script)?.cost.seconds);
            peak = peak.max(mounted.peak_memory());
        }
        let found = count(&server.ground.work.join("copy"))?;
        ensure!(files == 0 || files == found, "{script}: {found} files instead of {files}");
        files = found;
    }
    let unvac = Row::new(format!("unvac of a dump of {files} files"), &unvac, "s");
    let limit = 2.0 * unvac.figure;
    let with_all = Row::new("cp -a of the same out of a fresh mount", &with_all, "s");
    let memory = Row::new("memory of the mount, at most", &[peak as f64 / 1e6], "MB");
    let copied = Row::new("cp -r of the same out of a fresh mount", &copied, "s").at_most(limit);
    Ok(vec![unvac, copied, with_all, memory])
}

/// Everything below a directory, itself too.
fn count(directory: &std::path::Path) -> Result<u64> {
    let mut files = 1;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// `cat` of a file of a megabyte, with nothing in any cache of the mount.
pub(crate) fn cat(server: &Server<'_>) -> Result<Row> {
    let _mounted = server.mount(&server.address())?;
    let before = server.blocks_read()?;
    let ran = server.shell(&format!("cat $DUMP/{CHRONICLE}/2003/0505{MEGABYTE} | wc -c"))?;
    ensure!(ran.out.trim() == (1 << 20).to_string(), "{} bytes", ran.out.trim());
    let blocks = (server.blocks_read()? - before) as f64;
    let needed = needed_for(1 << 20);
    let row = Row::new("cat of 1 MB out of a fresh mount: blocks read", &[blocks], "blocks");
    Ok(row.at_most(3.0 * needed).note(format!("{needed} are in the file")))
}

/// The blocks of a file of so many bytes: its data, and the pointers to that.
fn needed_for(bytes: u64) -> f64 {
    let data = bytes.div_ceil(BLOCK);
    (data + data.div_ceil(BLOCK / 20)) as f64
}

/// Listing a directory of so many entries, and finding one of them.
pub(crate) fn great(server: &Server<'_>, entries: u64, rounds: usize) -> Result<Vec<Row>> {
    let directory = format!("$DUMP/{GREAT}/latest/{}", great::NAME);
    let (mut listed, mut found, mut peak, mut blocks) = (vec![], vec![], 0, 0);
    for round in 0..rounds as u64 {
        let mounted = server.mount(&server.address())?;
        let before = server.blocks_read()?;
        let name = great::entry_name(entries / 3 + round);
        found.push(server.shell(&format!("ls -l {directory}/{name}"))?.cost.seconds);
        blocks = server.blocks_read()? - before;
        let ran = server.shell(&format!("ls -U {directory} | wc -l"))?;
        ensure!(ran.out.trim() == entries.to_string(), "{} entries", ran.out.trim());
        listed.push(ran.cost.seconds);
        peak = peak.max(mounted.peak_memory());
    }
    let what = format!("ls -U of a directory of {entries} entries");
    Ok(vec![
        Row::new("one name in it, in a fresh mount", &found, "s")
            .at_most(0.1)
            .note(format!("{blocks} blocks")),
        Row::new(what, &listed, "s"),
        Row::new("memory of the mount, at most", &[peak as f64 / 1e6], "MB"),
    ])
}

/// The first byte of a file over a slow link, counted in round trips.
pub(crate) fn first_byte(server: &Server<'_>) -> Result<Vec<Row>> {
    let port = link::to(server.port)?;
    let _mounted = server.mount(&format!("127.0.0.1:{port}"))?;
    server.shell(&format!("ls $DUMP/{CHRONICLE}/2002"))?;
    let trips = |path: &str| -> Result<f64> {
        let ran = server.shell(&format!("head -c 1 $DUMP/{CHRONICLE}/2003/{path} > /dev/null"))?;
        Ok(ran.cost.seconds / ROUND_TRIP.as_secs_f64())
    };
    // The dump: its root, the directory of its streams, the names at its top.
    let levels = BUSY.split('/').count() as f64 - 1.0;
    let goal = 3.0 + levels;
    let first = trips(&format!("0505{BUSY}"))?;
    let next = trips("0505/sys/src/libc/1.c")?;
    let link = format!("link of {} ms there and back", ROUND_TRIP.as_millis());
    Ok(vec![
        Row::new("first byte of a file in the 4th directory of a dump", &[first], "round trips")
            .at_most(goal + 0.5)
            .note(link),
        Row::new("of one in other directories of it", &[next], "round trips").at_most(levels + 0.5),
    ])
}
