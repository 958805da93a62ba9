//! What parses prints to a text that parses to the same address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::address::Address;

fuzz_target!(|text: &str| {
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.to_string().parse(), Ok(address));
});
