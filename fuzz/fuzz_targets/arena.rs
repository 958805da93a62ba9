//! Every record of an arena, with a checksum that is right, so that the fields are reached.

#![no_main]

use arenas::arena::{
    ARENA_HEADER_SIZE, ArenaHeader, FOOTER_SIZE, Footer, GAP_HEADER_SIZE, Gap, MARK_SIZE, Mark,
    TOC_PAGE_SIZE, TocPage,
};
use arenas::clump::{CLUMP_HEADER_SIZE, ClumpHeader, open_payload};
use arenas::{Location, StoreIdentity};
use libfuzzer_sys::fuzz_target;

const STORE: StoreIdentity = StoreIdentity::new([7; 16]);
const PLACE: Location = Location { arena: 1, offset: 4096 };

/// The first `size` bytes with a checksum at their end, and what follows them.
fn sealed(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut record = bytes.to_vec();
    record.resize(size.max(bytes.len()), 0);
    let checksum = STORE.checksum(&record[..size - 4]);
    record[size - 4..size].copy_from_slice(&checksum.to_be_bytes());
    record
}

fuzz_target!(|bytes: &[u8]| {
    let clump = sealed(bytes, CLUMP_HEADER_SIZE);
    if let Ok(header) = ClumpHeader::decode(&STORE, PLACE, &clump) {
        let payload = &clump[CLUMP_HEADER_SIZE..];
        let payload = &payload[..payload.len().min(header.info.stored as usize)];
        let _ = open_payload(&header.info, payload, &mut Vec::new());
    }
    if let Ok(mark) = Mark::decode(&STORE, PLACE, &sealed(bytes, MARK_SIZE)) {
        assert_eq!(mark.encode(&STORE, PLACE), sealed(bytes, MARK_SIZE)[..MARK_SIZE]);
    }
    if let Ok(gap) = Gap::decode(&STORE, PLACE, &sealed(bytes, GAP_HEADER_SIZE)) {
        assert_eq!(gap.encode(&STORE, PLACE), sealed(bytes, GAP_HEADER_SIZE)[..GAP_HEADER_SIZE]);
    }
    let _ = Footer::decode(&STORE, PLACE, &sealed(bytes, FOOTER_SIZE));
    let _ = TocPage::decode(&STORE, PLACE.arena, 0, &sealed(bytes, TOC_PAGE_SIZE));
    let mut header = bytes.to_vec();
    header.resize(ARENA_HEADER_SIZE, 0);
    let _ = ArenaHeader::decode(&header);
});
