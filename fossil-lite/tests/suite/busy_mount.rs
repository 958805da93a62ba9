//! A mount that many read while a host archives, and what else the kernel carries: extended
//! attributes and ACLs. Needs root and `/dev/fuse`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};

use crate::fuse_mount::{Mounted, can_mount};
use crate::world::World;

/// Readers at once.
const READERS: usize = 200;

#[test]
fn two_hundred_read_the_mount_while_a_host_archives() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let content = |number: usize| vec![u8::try_from(number).unwrap(); 20_000 + number];
    for number in 0..20 {
        fs::write(source.path().join(format!("file{number}")), content(number)).unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let root = mounted.path().join("2004/0611");
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let root = &root;
            scope.spawn(move || {
                for step in 0..20 {
                    let number = (reader + step) % 20;
                    let read = fs::read(root.join(format!("file{number}"))).unwrap();
                    assert!(read == content(number), "file{number}");
                }
                assert_eq!(fs::read_dir(root).unwrap().count(), 20);
            });
        }
        for day in 12..17 {
            fs::write(source.path().join(format!("new{day}")), content(day)).unwrap();
            world.dump("moby", &format!("2004-06-{day}T03:00:00Z"), source.path());
        }
    });
    let last = world.tree(Some("moby"));
    last.catalogue().refresh().unwrap();
    assert_eq!(last.catalogue().dumps(&"moby".parse().unwrap()).unwrap().len(), 6);
}

/// An ACL as the kernel has it: little-endian version 2, then tag, permissions and number of each
/// entry. The owner may all, user 2002 may read, nobody else anything.
#[expect(clippy::little_endian_bytes, reason = "the kernel's format, whatever the machine")]
fn acl() -> Vec<u8> {
    const NO_NUMBER: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (1, 7, NO_NUMBER),
        (2, 4, 2002),
        (4, 0, NO_NUMBER),
        (16, 4, NO_NUMBER),
        (32, 0, NO_NUMBER),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, number) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

#[test]
fn attributes_are_shown_and_acls_are_kept_to() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    fs::set_permissions(source.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = source.path().join("file");
    fs::write(&file, "secret").unwrap();
    let set = |name: &str, value: &[u8]| setxattr(&file, name, value, XattrFlags::empty());
    if set("user.colour", b"blue").and_then(|()| set("system.posix_acl_access", &acl())).is_err() {
        eprintln!("skipped: this file system has no attributes and ACLs");
        return;
    }
    set("user.large", &[7; 2000]).unwrap();
    set("trusted.secret", b"for root").unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let mounted = Mounted::new(world.tree(Some("moby")));
    let archived = mounted.path().join("2004/0611/file");
    let mut buffer = vec![0; 65_536];
    for (name, value) in [
        ("user.colour", b"blue".to_vec()),
        ("user.large", vec![7; 2000]),
        ("trusted.secret", b"for root".to_vec()),
        ("system.posix_acl_access", acl()),
    ] {
        let length = getxattr(&archived, name, &mut buffer[..]).unwrap();
        assert_eq!(buffer[..length], value, "{name}");
        let length = listxattr(&archived, &mut buffer[..]).unwrap();
        assert!(buffer[..length].split(|byte| *byte == 0).any(|n| n == name.as_bytes()), "{name}");
    }
    let none = getxattr(&archived, "user.none", &mut buffer[..]);
    assert_eq!(none, Err(rustix::io::Errno::NODATA));
    for (user, may) in [("2002", true), ("2003", false)] {
        let output = Command::new("setpriv")
            .args(["--reuid", user, "--regid", user, "--clear-groups", "cat"])
            .arg(&archived)
            .output()
            .unwrap();
        assert_eq!(output.status.success(), may, "user {user}");
        assert_eq!(output.stdout == b"secret", may, "user {user}");
    }
}
