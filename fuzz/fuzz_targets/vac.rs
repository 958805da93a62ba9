//! Directory entries, their Unix metadata, and meta blocks of an archive.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vac::format::{MetaBlock, UnixMetadata, VacDir, decode_external};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(vac_dir) = VacDir::decode(bytes) {
        let mut again = Vec::new();
        if vac_dir.encode(&mut again).is_ok() {
            assert_eq!(VacDir::decode(&again).expect("what was encoded"), vac_dir);
        }
        let _ = (vac_dir.checked_name(), vac_dir.kind(), vac_dir.modified());
    }
    if let Ok(unix) = UnixMetadata::decode(bytes) {
        let mut again = Vec::new();
        if unix.encode(&mut again).is_ok() {
            assert_eq!(UnixMetadata::decode(&again).expect("what was encoded"), unix);
        }
    }
    let _ = decode_external(&mut UnixMetadata::default(), bytes);
    if let Ok(block) = MetaBlock::parse(bytes) {
        for number in 0..block.len() {
            if let (Ok(name), Ok(_)) = (block.name(number), block.entry(number)) {
                let _ = block.find(name);
            }
        }
    }
});
