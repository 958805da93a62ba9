//! Records of the log of roots, and the messages about them: what decodes encodes to the same
//! bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::roots::{NewRoot, RootPage, RootQuery, RootRecord};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = NewRoot::decode(bytes) {
        let mut again = Vec::new();
        root.encode(&mut again);
        assert_eq!(again, bytes);
    }
    if let Ok((record, length)) = RootRecord::decode_first(bytes) {
        assert_eq!(record.encode(), &bytes[..length]);
    }
    if let Ok(query) = RootQuery::decode(bytes) {
        assert_eq!(query.encode(), bytes);
    }
    if let Ok(page) = RootPage::decode(bytes) {
        assert_eq!(page.encode(), bytes);
    }
});
