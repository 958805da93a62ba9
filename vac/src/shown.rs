//! Paths as people and programs read them, whatever bytes they are.

use serde_json::{Value, json};

/// A path for people: what would disturb a terminal is escaped.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.into() }
}

/// Puts a path into a line of JSON, as [`put_bytes`] does.
pub fn put_path(value: &mut Value, path: &[u8]) {
    put_bytes(value, "path", path);
}

/// Puts what is most often text into a line of JSON: as text, and if that is not all of it, its
/// bytes beside it, in `NAME_base64`.
pub fn put_bytes(value: &mut Value, name: &str, bytes: &[u8]) {
    value[name] = json!(String::from_utf8_lossy(bytes));
    if std::str::from_utf8(bytes).is_err() {
        value[format!("{name}_base64")] = json!(base64(bytes));
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| u32::from(group.get(i).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() { DIGITS[digit].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_standard() {
        let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="];
        let found = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_do_not_disturb_the_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
        let mut value = json!({});
        put_path(&mut value, b"\xff");
        assert_eq!(value["path_base64"], "/w==");
    }
}
