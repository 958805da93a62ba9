//! The pax records of a file: what does not fit into its header.

use std::fmt::Write;

use super::Header;
use crate::extractor::ExtractError;
use crate::format::Xattr;
use crate::reader::Node;

/// The largest time that a header can hold: in 2242.
const LATEST: i64 = 0o77_777_777_777;

/// The records that a file needs.
pub(super) fn records(header: &Header<'_>, node: &Node) -> Result<Vec<u8>, ExtractError> {
    let mut records = Vec::new();
    if header.path.len() > 100 || !header.path.is_ascii() {
        record(&mut records, b"path", header.path);
    }
    if header.link.len() > 100 || !header.link.is_ascii() {
        record(&mut records, b"linkpath", header.link);
    }
    if header.size >= 1 << 33 {
        record(&mut records, b"size", header.size.to_string().as_bytes());
    }
    let modified = node.metadata().modified();
    if modified.nanoseconds != 0 || !(0..=LATEST).contains(&modified.seconds) {
        // Nanoseconds count forward: 1.5 s before 1970 is -1.5 in the record.
        let total = i128::from(modified.seconds) * 1_000_000_000 + i128::from(modified.nanoseconds);
        let sign = if total < 0 { "-" } else { "" };
        let total = total.unsigned_abs();
        let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
        record(&mut records, b"mtime", text.as_bytes());
    }
    if let Some(unix) = node.unix()? {
        for (key, number) in [(&b"uid"[..], unix.uid), (b"gid", unix.gid)] {
            if number > 0o7_777_777 {
                record(&mut records, key, number.to_string().as_bytes());
            }
        }
        unix.xattrs.iter().for_each(|xattr| attribute(&mut records, xattr));
    }
    if let Some((path, size)) = header.sparse {
        record(&mut records, b"GNU.sparse.major", b"1");
        record(&mut records, b"GNU.sparse.minor", b"0");
        record(&mut records, b"GNU.sparse.name", path);
        record(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
    }
    Ok(records)
}

/// ACLs are text in tar; what is none as Linux has them stays an attribute as any other.
fn attribute(records: &mut Vec<u8>, xattr: &Xattr) {
    let key: Option<&[u8]> = match xattr.name.as_slice() {
        b"system.posix_acl_access" => Some(b"SCHILY.acl.access"),
        b"system.posix_acl_default" => Some(b"SCHILY.acl.default"),
        _ => None,
    };
    if let Some(key) = key
        && let Some(text) = acl_text(&xattr.value)
    {
        return record(records, key, text.as_bytes());
    }
    let mut key = b"SCHILY.xattr.".to_vec();
    for byte in &xattr.name {
        match byte {
            // As GNU tar escapes them: a key ends at the first of the one.
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            byte => key.push(*byte),
        }
    }
    record(records, &key, &xattr.value);
}

/// An ACL as acl_from_text(3) reads it, from the kernel's version 2: entries of a tag, permissions
/// and a number, little-endian.
fn acl_text(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&[2, 0, 0, 0])?;
    let mut text = String::new();
    let (entries, rest) = entries.as_chunks::<8>();
    for [tag, _, permissions, _, a, b, c, d] in entries {
        let number = u32::from_be_bytes([*d, *c, *b, *a]);
        let who = match tag {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{number}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{number}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let letter = |bit: u8, letter| if permissions & bit != 0 { letter } else { '-' };
        let comma = if text.is_empty() { "" } else { "," };
        let (r, w, x) = (letter(4, 'r'), letter(2, 'w'), letter(1, 'x'));
        write!(text, "{comma}{who}:{r}{w}{x}").ok()?;
    }
    (rest.is_empty() && !text.is_empty()).then_some(text)
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(length.to_string().as_bytes());
    to.push(b' ');
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acls_become_text() {
        let entries: [[u8; 8]; 4] = [
            [1, 0, 7, 0, 255, 255, 255, 255],
            [2, 0, 4, 0, 0xe8, 3, 0, 0],
            [16, 0, 5, 0, 255, 255, 255, 255],
            [32, 0, 0, 0, 255, 255, 255, 255],
        ];
        let acl = [&[2, 0, 0, 0][..], &entries.concat()].concat();
        let expected = "user::rwx,user:1000:r--,mask::r-x,other::---";
        assert_eq!(acl_text(&acl).as_deref(), Some(expected));
        assert_eq!(acl_text(&acl[..acl.len() - 1]), None);
        assert_eq!(acl_text(b"\x03\0\0\0"), None);
    }

    #[test]
    fn names_of_attributes_do_not_end_the_key() {
        let mut records = Vec::new();
        attribute(&mut records, &Xattr { name: b"user.a=b%".to_vec(), value: b"c".to_vec() });
        assert_eq!(records, b"32 SCHILY.xattr.user.a%3Db%25=c\n");
    }
}
