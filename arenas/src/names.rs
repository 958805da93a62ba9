//! Every file name of a store is built and parsed here, and nowhere else.
//!
//! Names are relative to the store's directory and use `/`. A name that does not parse is not
//! ours: it is left alone.

/// Directory of the log.
pub const ARENAS: &str = "arenas";
/// Directory of the derived index.
pub const INDEX: &str = "index";
/// The list of the index's runs.
pub const INDEX_MANIFEST: &str = "index/manifest";
/// Where [`INDEX_MANIFEST`] is written before it is renamed into place.
pub const INDEX_MANIFEST_TEMPORARY: &str = "index/manifest.new";
/// Directory of the log of roots.
pub const ROOTS: &str = "roots";
/// The log of roots.
pub const ROOTS_LOG: &str = "roots/log";
/// Where a rebuilt log of roots is written before it is renamed into place.
pub const ROOTS_LOG_TEMPORARY: &str = "roots/log.new";
/// The time zone that days are cut in.
pub const ROOTS_ZONE: &str = "roots/zone";
/// Where [`ROOTS_ZONE`] is written before it is renamed into place.
pub const ROOTS_ZONE_TEMPORARY: &str = "roots/zone.new";
/// How far the log of blocks was looked through for records.
pub const ROOTS_SEEN: &str = "roots/seen";
/// Where [`ROOTS_SEEN`] is written before it is renamed into place.
pub const ROOTS_SEEN_TEMPORARY: &str = "roots/seen.new";
/// The store's own directory.
pub const ROOT: &str = "";
/// Held with `flock` by the one process that writes.
pub const LOCK: &str = "lock";
/// Identity and format version, written once.
pub const IDENTITY: &str = "store.toml";
/// Where [`IDENTITY`] is written before it is renamed into place.
pub const IDENTITY_TEMPORARY: &str = "store.toml.new";

/// Digits in the number of an arena: every `u32` fits, and names sort as numbers do.
const DIGITS: usize = 10;

/// The log file of arena `number`.
#[must_use]
pub fn arena(number: u32) -> String {
    format!("{ARENAS}/{number:010}.arena")
}

/// Where recovery number `copy` of arena `number` keeps the bytes that it dropped.
#[must_use]
pub fn torn(number: u32, copy: u32) -> String {
    format!("{ARENAS}/{number:010}.torn.{copy}")
}

/// The sorted run `number` of the index.
#[must_use]
pub fn run(number: u32) -> String {
    format!("{INDEX}/{number:010}.run")
}

/// The number of a run, from its file name without the directory.
#[must_use]
pub fn parse_run(file_name: &str) -> Option<u32> {
    number(file_name.strip_suffix(".run")?)
}

/// The number of an arena, from its file name without the directory.
#[must_use]
pub fn parse_arena(file_name: &str) -> Option<u32> {
    number(file_name.strip_suffix(".arena")?)
}

/// The arena and the number of the copy, from the name of a torn tail without the directory.
#[must_use]
pub fn parse_torn(file_name: &str) -> Option<(u32, u32)> {
    let (arena, copy) = file_name.split_once(".torn.")?;
    let copy_number: u32 = copy.parse().ok()?;
    (copy == copy_number.to_string()).then_some((number(arena)?, copy_number))
}

/// Exactly ten digits, so that no two names stand for one number.
fn number(digits: &str) -> Option<u32> {
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_nothing_else_does() {
        for number in [0, 1, 4_294_967_295] {
            let name = arena(number);
            assert_eq!(parse_arena(name.strip_prefix("arenas/").unwrap()), Some(number));
            let name = run(number);
            assert_eq!(parse_run(name.strip_prefix("index/").unwrap()), Some(number));
            let name = torn(number, 7);
            assert_eq!(parse_torn(name.strip_prefix("arenas/").unwrap()), Some((number, 7)));
        }
        for foreign in
            ["1.arena", "+000000001.arena", "4294967296.arena", "0000000001.arena~", ".arena"]
        {
            assert_eq!(parse_arena(foreign), None, "{foreign}");
        }
        for foreign in ["0000000001.torn.", "0000000001.torn.01", "1.torn.1", "0000000001.torn"] {
            assert_eq!(parse_torn(foreign), None, "{foreign}");
        }
    }
}
