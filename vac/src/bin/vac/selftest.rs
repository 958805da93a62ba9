//! `vac selftest DIRECTORY`: prints what is kept and restored there.

use std::ffi::OsStr;
use std::path::Path;

use vac::selftest::{Row, run};

/// Runs the test and returns the exit status: 0 if everything promised was found, 3 if not.
pub(crate) fn selftest(directory: &Path, through: Option<&OsStr>) -> u8 {
    let rows = match run(directory, through) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("vac: selftest: {error}");
            return 1;
        }
    };
    println!("{:<36} {:<5} {:<9} remark", "what", "kept", "restored");
    rows.iter().for_each(|row| println!("{}", line(row, through.is_some())));
    if rows.iter().all(Row::is_good) { 0 } else { 3 }
}

/// What another program keeps and does not restore is not known.
fn line(row: &Row, by_another: bool) -> String {
    let word = |missing: &Option<String>| if missing.is_none() { "yes" } else { "no" };
    let (kept, restored, remark) = match &row.impossible {
        Some(reason) => ("-", "-", format!("not possible here: {reason}")),
        None => {
            let remark = row.not_kept.as_ref().or(row.not_restored.as_ref());
            let kept = if by_another { "?" } else { word(&row.not_kept) };
            (kept, word(&row.not_restored), remark.cloned().unwrap_or_default())
        }
    };
    format!("{:<36} {kept:<5} {restored:<9} {remark}", row.subject).trim_end().to_owned()
}
