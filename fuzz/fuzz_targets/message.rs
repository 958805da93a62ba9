//! What decodes encodes to the same message, and prints and parses to it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use venti_proto::{Message, Version};

fuzz_target!(|body: &[u8]| {
    let Ok(message) = Message::decode(body) else { return };
    assert_eq!(message.to_string().parse::<Message>().as_ref(), Ok(&message));
    for version in Version::ALL {
        let mut bytes = Vec::new();
        // A string that was not UTF-8 may have become too long.
        if message.encode(version, &mut bytes).is_ok() {
            let mut input = &bytes[..];
            let body = version.next_frame(&mut input).expect("a length").expect("a whole message");
            assert!(input.is_empty());
            assert_eq!(Message::decode(body).as_ref(), Ok(&message));
        }
    }
});
