//! Entries and root blocks: what decodes encodes to something that decodes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::{Entry, Root};

/// The bytes cut or extended to `size`: nothing else decodes at all.
fn sized(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut sized = bytes.to_vec();
    sized.resize(size, 0);
    sized
}

fuzz_target!(|bytes: &[u8]| {
    let _ = (Entry::decode(bytes), Root::decode(bytes));
    if let Ok(Some(entry)) = Entry::decode(&sized(bytes, Entry::SIZE)) {
        let again = entry.encode().expect("what was decoded can be encoded");
        assert_eq!(Entry::decode(&again), Ok(Some(entry)));
    }
    if let Ok(root) = Root::decode(&sized(bytes, Root::SIZE)) {
        // A text that is not UTF-8 may have become too long.
        if let Ok(again) = root.encode() {
            assert_eq!(Root::decode(&again), Ok(root));
        }
    }
});
