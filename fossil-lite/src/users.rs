//! Who asks, and what they may: for 9P, which has no kernel to enforce it.

use uzers::{Group, get_user_by_name, get_user_by_uid, get_user_groups};

use crate::FileError;
use crate::dump::{Attributes, DumpFile};

/// What a user wants to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read a file, list a directory.
    Read,
    /// Execute a file, look a name up in a directory.
    Search,
}

impl Want {
    const fn bit(self) -> u32 {
        match self {
            Want::Read => 4,
            Want::Search => 1,
        }
    }
}

/// A user by name, with the groups by name that this machine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Vec<u8>,
    groups: Vec<Vec<u8>>,
    uid: Option<u32>,
    gids: Vec<u32>,
    /// Whom no permission stops.
    everything: bool,
}

impl User {
    /// Somebody of whom nothing is known: gets what everybody gets.
    #[must_use]
    pub fn nobody() -> User {
        User {
            name: b"none".to_vec(),
            groups: Vec::new(),
            uid: None,
            gids: Vec::new(),
            everything: false,
        }
    }

    /// The user of this machine with this number.
    #[must_use]
    pub fn local(uid: u32) -> User {
        let user = get_user_by_uid(uid).map(|user| {
            let name = user.name().to_string_lossy().into_owned();
            User::known(&name, uid, user.primary_group_id())
        });
        User { everything: uid == 0, uid: Some(uid), ..user.unwrap_or_else(User::nobody) }
    }

    /// Somebody who claims this name and is believed; never with the powers of root.
    #[must_use]
    pub fn named(name: &str) -> User {
        match get_user_by_name(name) {
            Some(user) => User::known(name, user.uid(), user.primary_group_id()),
            None => User { name: name.as_bytes().to_vec(), ..User::nobody() },
        }
    }

    fn known(name: &str, uid: u32, gid: u32) -> User {
        let groups = get_user_groups(name, gid).unwrap_or_default();
        let group_name = |group: &Group| group.name().to_string_lossy().into_owned().into_bytes();
        User {
            name: name.as_bytes().to_vec(),
            groups: groups.iter().map(group_name).collect(),
            uid: Some(uid),
            gids: groups.iter().map(Group::gid).collect(),
            everything: false,
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Whether no permission stops this user.
    #[must_use]
    pub fn may_everything(&self) -> bool {
        self.everything
    }

    /// Whether the user may do this with a file.
    ///
    /// # Errors
    /// [`FileError::PermissionDenied`], or why the ACL can not be read.
    pub fn check(&self, file: &DumpFile, want: Want) -> Result<(), FileError> {
        if self.everything {
            return Ok(());
        }
        let attributes = file.attributes()?;
        let acl = file.xattrs()?.into_iter().find(|x| x.name == b"system.posix_acl_access");
        let acl = acl.map(|xattr| Acl::decode(&xattr.value)).transpose()?;
        if self.granted(&attributes, acl.as_ref()) & want.bit() != 0 {
            Ok(())
        } else {
            Err(FileError::PermissionDenied)
        }
    }

    fn is_member(&self, name: &[u8]) -> bool {
        self.groups.iter().any(|group| group == name)
    }

    /// The permission bits that count for this user: those of the first class that fits, as
    /// acl(5) has it. The owner and group of a file go by name; ACL entries have numbers only.
    fn granted(&self, attributes: &Attributes, acl: Option<&Acl>) -> u32 {
        let mode = attributes.permissions;
        if self.name == attributes.owner {
            return mode >> 6 & 7;
        }
        let Some(acl) = acl else {
            let in_group = self.is_member(&attributes.group);
            return if in_group { mode >> 3 & 7 } else { mode & 7 };
        };
        let mask = acl.mask.unwrap_or(7);
        if let Some((_, bits)) = acl.users.iter().find(|(uid, _)| Some(*uid) == self.uid) {
            return bits & mask;
        }
        let own = self.is_member(&attributes.group).then_some(acl.group);
        let named = acl.groups.iter().filter(|(gid, _)| self.gids.contains(gid));
        let classes: Vec<u32> = own.into_iter().chain(named.map(|(_, bits)| *bits)).collect();
        match classes.is_empty() {
            true => mode & 7,
            // Any one class that grants a bit grants it.
            false => classes.iter().fold(0, |all, bits| all | bits) & mask,
        }
    }
}

/// An access ACL.
#[derive(Debug, Default)]
struct Acl {
    users: Vec<(u32, u32)>,
    group: u32,
    groups: Vec<(u32, u32)>,
    mask: Option<u32>,
}

impl Acl {
    /// Reads the value of `system.posix_acl_access`: a version and entries of tag, bits, number,
    /// as the kernel has them in its own byte order, which is little-endian where it is archived.
    fn decode(value: &[u8]) -> Result<Acl, FileError> {
        let wrong = || FileError::Io { detail: "the ACL is malformed".to_owned() };
        let (version, entries) = value.split_at_checked(4).ok_or_else(wrong)?;
        if version != [2, 0, 0, 0] || entries.len() % 8 != 0 {
            return Err(wrong());
        }
        let mut acl = Acl::default();
        for entry in entries.chunks_exact(8) {
            let number = entry[4..].iter().rev().fold(0, |n: u32, byte| n << 8 | u32::from(*byte));
            let bits = u32::from(entry[2]) & 7;
            match u16::from(entry[0]) | u16::from(entry[1]) << 8 {
                0x02 => acl.users.push((number, bits)),
                0x04 => acl.group = bits,
                0x08 => acl.groups.push((number, bits)),
                0x10 => acl.mask = Some(bits),
                // Owner and others are in the mode as well.
                0x01 | 0x20 => {}
                _ => return Err(wrong()),
            }
        }
        Ok(acl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vac::format::{FileKind, Timestamp};

    fn user(name: &str, groups: &[&str], uid: u32, gids: &[u32]) -> User {
        User {
            name: name.as_bytes().to_vec(),
            groups: groups.iter().map(|group| group.as_bytes().to_vec()).collect(),
            uid: Some(uid),
            gids: gids.to_vec(),
            everything: false,
        }
    }

    fn file(permissions: u32) -> Attributes {
        let directory = Attributes::synthetic(2, Timestamp::default());
        let (owner, group) = (b"glenda".to_vec(), b"sys".to_vec());
        Attributes { kind: FileKind::Regular, permissions, owner, group, ..directory }
    }

    /// Four users and every mode: only the class that fits counts, even if another grants more.
    #[test]
    fn the_matrix_of_users_and_modes() {
        let users = [
            (user("glenda", &["sys"], 1, &[1]), 6),
            (user("rob", &["sys"], 2, &[1]), 3),
            (user("ken", &["adm"], 3, &[2]), 0),
            (User::nobody(), 0),
        ];
        for mode in 0..0o1000 {
            for (user, shift) in &users {
                assert_eq!(user.granted(&file(mode), None), mode >> shift & 7, "{mode:o}");
            }
        }
    }

    #[test]
    fn acls_grant_and_deny() {
        let entry = |tag: u8, bits: u8, number: u8| [tag, 0, bits, 0, number, 0, 0, 0];
        let value = [
            vec![2, 0, 0, 0],
            entry(1, 6, 255).to_vec(),
            entry(2, 7, 2).to_vec(),
            entry(2, 0, 3).to_vec(),
            entry(4, 0, 255).to_vec(),
            entry(8, 4, 9).to_vec(),
            entry(0x10, 5, 255).to_vec(),
            entry(0x20, 4, 255).to_vec(),
        ];
        let acl = Acl::decode(&value.concat()).unwrap();
        let granted = |user: &User| user.granted(&file(0o654), Some(&acl));
        assert_eq!(granted(&user("glenda", &[], 1, &[])), 6);
        assert_eq!(granted(&user("rob", &["sys"], 2, &[])), 5, "named, within the mask");
        assert_eq!(granted(&user("ken", &["sys"], 3, &[])), 0, "named and denied");
        assert_eq!(granted(&user("bart", &["sys"], 4, &[])), 0, "the owning group's own bits");
        assert_eq!(granted(&user("lisa", &["sys"], 4, &[9])), 4, "another group grants");
        assert_eq!(granted(&User::nobody()), 4);
        assert!(Acl::decode(&[2, 0, 0, 0, 1]).is_err());
        assert!(Acl::decode(&[3, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_name_that_is_claimed_never_gets_everything() {
        assert!(!User::named("root").may_everything());
        assert!(User::local(0).may_everything());
        assert_eq!(User::named("nobody-here").name(), "nobody-here");
    }
}
