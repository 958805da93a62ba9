//! A page of a run: up to 127 entries in order, and a checksum that binds them to their place.
//!
//! The checksum starts from the run's identity and the page's number in its file, so that a page
//! that was written to the wrong place, or left from another run, does not verify.

use super::entry::{ENTRY_SIZE, RawEntry, RawKey};
use super::error::Damage;

/// Bytes in a page: what one read of a lookup fetches.
pub(super) const PAGE_SIZE: usize = 4096;

/// Bytes of a page behind its entries: count, zeros, checksum.
const TRAILER_SIZE: usize = 32;

/// The most entries in a page.
pub(super) const PAGE_ENTRIES: usize = (PAGE_SIZE - TRAILER_SIZE) / ENTRY_SIZE;

const COUNT_AT: usize = PAGE_ENTRIES * ENTRY_SIZE;
const CHECKSUM_AT: usize = PAGE_SIZE - 4;
const _: () = assert!(PAGE_ENTRIES == 127 && COUNT_AT + TRAILER_SIZE == PAGE_SIZE);

/// A page with room for everything that is stored in it.
pub(super) type Page = [u8; PAGE_SIZE];

/// What a run is a function of: the arenas it covers and how it was cut (docs/store-format.md,
/// "Run identity"). Two runs with one identity hold the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RunIdentity(pub(super) [u8; 16]);

/// The checksum of `bytes` as the part of run `identity` that starts at page `number`.
pub(super) fn checksum(identity: RunIdentity, number: u64, bytes: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&identity.0), &number.to_be_bytes());
    crc32c::crc32c_append(place, bytes)
}

/// Fills in the end of a page whose first `count` entries are in place.
pub(super) fn seal(page: &mut Page, identity: RunIdentity, number: u64, count: u16) {
    page[usize::from(count) * ENTRY_SIZE..].fill(0);
    page[COUNT_AT..COUNT_AT + 2].copy_from_slice(&count.to_be_bytes());
    seal_whole(page, identity, number);
}

/// Puts the checksum at the end of any page of a run.
pub(super) fn seal_whole(page: &mut Page, identity: RunIdentity, number: u64) {
    let sum = checksum(identity, number, &page[..CHECKSUM_AT]);
    page[CHECKSUM_AT..].copy_from_slice(&sum.to_be_bytes());
}

/// Checks the checksum at the end of any page of a run.
pub(super) fn verify_whole(
    page: &Page,
    identity: RunIdentity,
    number: u64,
) -> Result<&[u8], Damage> {
    let (body, sum) = page.split_at(CHECKSUM_AT);
    let found = sum.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let expected = checksum(identity, number, body);
    if found != expected {
        return Err(Damage::Checksum { part: "page", page: number, found, expected });
    }
    Ok(body)
}

/// Checks a page that was read, and gives its entries.
pub(super) fn verify(
    page: &Page,
    identity: RunIdentity,
    number: u64,
) -> Result<&[RawEntry], Damage> {
    verify_whole(page, identity, number)?;
    match entries(page) {
        [] => Err(Damage::Field { part: "page", field: "count", found: count(page) as u64 }),
        entries => Ok(entries),
    }
}

/// The entries of a page that was verified already; none if their number is impossible.
pub(super) fn entries(page: &Page) -> &[RawEntry] {
    page[..COUNT_AT].as_chunks().0.get(..count(page)).unwrap_or(&[])
}

fn count(page: &Page) -> usize {
    usize::from(u16::from_be_bytes([page[COUNT_AT], page[COUNT_AT + 1]]))
}

/// The entry of `key` in a verified page.
pub(super) fn find<'a>(entries: &'a [RawEntry], key: &RawKey) -> Option<&'a RawEntry> {
    let at = entries.binary_search_by(|entry| entry[..key.len()].cmp(key)).ok()?;
    entries.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: RunIdentity = RunIdentity([7; 16]);

    fn example() -> Page {
        let mut page = [0xff; PAGE_SIZE];
        for (i, raw) in page.as_chunks_mut::<ENTRY_SIZE>().0.iter_mut().enumerate() {
            raw.fill(u8::try_from(i).unwrap());
            raw[21..24].fill(0);
        }
        seal(&mut page, IDENTITY, 9, 100);
        page
    }

    #[test]
    fn entries_come_back_and_are_found() {
        let page = example();
        let entries = verify(&page, IDENTITY, 9).unwrap();
        assert_eq!(entries.len(), 100);
        assert_eq!(find(entries, &[42; 21]), Some(&entries[42]));
        assert_eq!(find(entries, &[100; 21]), None);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut page = example();
        for bit in 0..PAGE_SIZE * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&page, IDENTITY, 9).is_err(), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_page_of_another_place_or_run_is_noticed() {
        let page = example();
        assert!(verify(&page, IDENTITY, 10).is_err());
        assert!(verify(&page, RunIdentity([8; 16]), 9).is_err());
    }

    #[test]
    fn impossible_counts_are_refused() {
        for count in [0_u16, 128, 0xffff] {
            let mut page = example();
            page[COUNT_AT..COUNT_AT + 2].copy_from_slice(&count.to_be_bytes());
            seal_whole(&mut page, IDENTITY, 9);
            assert!(verify(&page, IDENTITY, 9).is_err(), "{count}");
        }
    }
}
