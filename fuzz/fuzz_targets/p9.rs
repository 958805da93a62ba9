//! Messages of 9P: what decodes encodes to the same bytes, and prints and parses to the same.

#![no_main]

use fossil_lite::p9::Tagged;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(tagged) = Tagged::decode(body) else { return };
    assert_eq!(&tagged.encode()[4..], body);
    assert_eq!(tagged.to_string().parse().as_ref(), Ok(&tagged));
});
