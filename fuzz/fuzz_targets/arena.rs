//! Every record of an arena, with a magic, a place and a checksum that are right, so that the
//! fields are reached: what decodes encodes to the same, as far as it is kept.

#![no_main]

use arenas::arena::{
    ARENA_HEADER_SIZE, ArenaHeader, FOOTER_SIZE, FORMAT_VERSION, Footer, GAP_HEADER_SIZE, Gap,
    MARK_SIZE, Mark, TOC_PAGE_ENTRIES, TOC_PAGE_SIZE, TocPage,
};
use arenas::clump::{CLUMP_HEADER_SIZE, ClumpHeader, open_payload};
use arenas::{Location, StoreIdentity};
use libfuzzer_sys::fuzz_target;

const STORE: StoreIdentity = StoreIdentity::new([7; 16]);
const PLACE: Location = Location { arena: 1, offset: 8192 };

/// A record of `size` bytes: `head`, of `bytes` what there is room for, zeros, a checksum.
fn sealed(head: &[u8], bytes: &[u8], size: usize, checksum: impl Fn(&[u8]) -> u32) -> Vec<u8> {
    let mut record = [head, bytes].concat();
    record.resize(size - 4, 0);
    record.extend_from_slice(&checksum(&record).to_be_bytes());
    record
}

/// A magic and the place.
fn placed(magic: &[u8; 4]) -> Vec<u8> {
    [*magic, PLACE.arena.to_be_bytes(), PLACE.offset.to_be_bytes()].concat()
}

fn clump(bytes: &[u8], checksum: impl Fn(&[u8]) -> u32) {
    let (fields, payload) = bytes.split_at(bytes.len().min(CLUMP_HEADER_SIZE - 16));
    let record = sealed(&placed(b"VClp"), fields, CLUMP_HEADER_SIZE, checksum);
    if let Ok(header) = ClumpHeader::decode(&STORE, PLACE, &record) {
        let payload = &payload[..payload.len().min(header.info.stored as usize)];
        let _ = open_payload(&header.info, payload, &mut Vec::new());
    }
}

fn footer(bytes: &[u8], checksum: impl Fn(&[u8]) -> u32) {
    let mut head = [*b"VFot", FORMAT_VERSION.to_be_bytes()].concat();
    head.extend_from_slice(STORE.as_bytes());
    head.extend_from_slice(&placed(b"    ")[4..]);
    if let Ok(footer) = Footer::decode(&STORE, PLACE, &sealed(&head, bytes, FOOTER_SIZE, checksum))
    {
        assert_eq!(Footer::decode(&STORE, PLACE, &footer.encode(&STORE)), Ok(footer));
    }
}

fn header(bytes: &[u8]) {
    let record = sealed(b"VArn", bytes, ARENA_HEADER_SIZE, crc32c::crc32c);
    if let Ok(header) = ArenaHeader::decode(&record) {
        assert_eq!(ArenaHeader::decode(&header.encode()), Ok(header));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let checksum = |bytes: &[u8]| STORE.checksum(bytes);
    match choice % 6 {
        0 => clump(bytes, checksum),
        1 => {
            let record = sealed(&placed(b"VMrk"), bytes, MARK_SIZE, checksum);
            if let Ok(mark) = Mark::decode(&STORE, PLACE, &record) {
                assert_eq!(mark.encode(&STORE, PLACE)[..], record);
            }
        }
        2 => {
            let record = sealed(&placed(b"VGap"), bytes, GAP_HEADER_SIZE, checksum);
            if let Ok(gap) = Gap::decode(&STORE, PLACE, &record) {
                assert_eq!(gap.encode(&STORE, PLACE)[..], record);
            }
        }
        3 => footer(bytes, checksum),
        4 => {
            let head = [*b"VToc", PLACE.arena.to_be_bytes(), [0; 4]].concat();
            let record = sealed(&head, bytes, TOC_PAGE_SIZE, checksum);
            if let Ok(page) = TocPage::decode(&STORE, PLACE.arena, 0, &record) {
                assert!(page.number == 0 && page.entries.len() <= TOC_PAGE_ENTRIES);
            }
        }
        _ => header(bytes),
    }
});
