//! What parses prints to a text that parses to the same message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::Message;

fuzz_target!(|line: &str| {
    let Ok(message) = line.parse::<Message>() else { return };
    assert_eq!(message.to_string().parse(), Ok(message));
});
