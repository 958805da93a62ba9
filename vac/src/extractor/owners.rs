//! Whose a restored file is: by number or by name.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use parking_lot::Mutex;

use super::Owners;
use crate::format::VacDir;

/// Numbers of names, asked of the system once each.
#[derive(Debug, Default)]
pub(super) struct OwnerMap {
    users: Mutex<HashMap<Vec<u8>, Option<u32>>>,
    groups: Mutex<HashMap<Vec<u8>, Option<u32>>>,
}

impl OwnerMap {
    /// Owner and group of a file, each if it is to be set.
    pub(super) fn of(&self, vac_dir: &VacDir, rule: Owners) -> (Option<u32>, Option<u32>) {
        let numbers = vac_dir.unix.as_ref().map(|unix| (unix.uid, unix.gid));
        let by_name = || (self.user(&vac_dir.owner), self.group(&vac_dir.group));
        match (rule, numbers) {
            (Owners::Mine, _) => (None, None),
            (Owners::Numbers, Some((user, group))) => (Some(user), Some(group)),
            (Owners::Numbers, None) => by_name(),
            (Owners::Names, numbers) => {
                let (user, group) = by_name();
                (user.or(numbers.map(|n| n.0)), group.or(numbers.map(|n| n.1)))
            }
        }
    }

    fn user(&self, name: &[u8]) -> Option<u32> {
        let ask = |name: &OsStr| uzers::get_user_by_name(name).map(|user| user.uid());
        number_of(&self.users, name, ask)
    }

    fn group(&self, name: &[u8]) -> Option<u32> {
        let ask = |name: &OsStr| uzers::get_group_by_name(name).map(|group| group.gid());
        number_of(&self.groups, name, ask)
    }
}

fn number_of(
    known: &Mutex<HashMap<Vec<u8>, Option<u32>>>,
    name: &[u8],
    ask: impl Fn(&OsStr) -> Option<u32>,
) -> Option<u32> {
    if let Some(number) = known.lock().get(name) {
        return *number;
    }
    let digits = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok());
    let number = digits.or_else(|| ask(OsStr::from_bytes(name)));
    known.lock().insert(name.to_vec(), number);
    number
}
