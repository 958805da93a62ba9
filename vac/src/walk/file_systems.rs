//! What is mounted, and which of it is left out unless asked for.
//!
//! A file system that the kernel makes up (`/proc`), one that is somebody else's (NFS), and one
//! in memory that the next start clears are not entered below the archived directory, and are
//! named in the report. The file system that the user named is always archived, whatever it is.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::DeviceNumber;

/// Made up by the kernel, or cleared at the next start.
const PSEUDO: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Somewhere else, or a view of what is stored elsewhere.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Its type as the mount table names it, such as `ext4`.
    pub kind: String,
    /// Where it is mounted: the last one of several places.
    pub at: Vec<u8>,
}

/// The mount table, and what of it is entered.
#[derive(Clone, Debug, Default)]
pub struct FileSystems {
    by_device: HashMap<DeviceNumber, Mounted>,
    /// Every line of the table.
    mounts: Vec<Mounted>,
    excluded: HashSet<String>,
    included: HashSet<String>,
}

impl FileSystems {
    /// Reads the mount table of this process. Without one (no `/proc`) nothing is known, and
    /// nothing is left out by its type.
    #[must_use]
    pub fn of_this_process() -> FileSystems {
        std::fs::read("/proc/self/mountinfo")
            .map_or_else(|_| FileSystems::default(), |table| FileSystems::parse(&table))
    }

    /// Reads a mount table as `/proc/self/mountinfo` has it (proc_pid_mountinfo(5)). Lines that
    /// do not parse are passed over.
    #[must_use]
    pub fn parse(table: &[u8]) -> FileSystems {
        let lines = table.split(|byte| *byte == b'\n').filter_map(parse_line);
        let by_device: Vec<_> = lines.collect();
        let mounts = by_device.iter().map(|(_, mounted)| mounted.clone()).collect();
        let by_device = by_device.into_iter().collect();
        FileSystems { by_device, mounts, ..FileSystems::default() }
    }

    /// Leaves out file systems of this type as well.
    pub fn exclude(&mut self, kind: &str) {
        self.included.remove(kind);
        self.excluded.insert(kind.to_owned());
    }

    /// Enters file systems of this type though they are left out by themselves.
    pub fn include(&mut self, kind: &str) {
        self.excluded.remove(kind);
        self.included.insert(kind.to_owned());
    }

    /// What is mounted from this device, if the table has it. A file system that reports other
    /// numbers than its mount (a Btrfs subvolume, a file in an overlay) is not found.
    #[must_use]
    pub fn get(&self, device: DeviceNumber) -> Option<&Mounted> {
        self.by_device.get(&device)
    }

    /// A mount below this absolute path, without symbolic links on the way, that is entered.
    #[must_use]
    pub fn entered_below(&self, path: &Path) -> Option<&Mounted> {
        self.mounts.iter().find(|mounted| {
            let at = Path::new(OsStr::from_bytes(&mounted.at));
            at != path && at.starts_with(path) && self.enters(&mounted.kind)
        })
    }

    /// A mount on or below this absolute path, without symbolic links on the way.
    #[must_use]
    pub fn at_or_below(&self, path: &Path) -> Option<&Mounted> {
        let mut mounts = self.mounts.iter();
        mounts.find(|mounted| Path::new(OsStr::from_bytes(&mounted.at)).starts_with(path))
    }

    /// Whether a mount of this type is entered when the walk comes to it.
    #[must_use]
    pub fn enters(&self, kind: &str) -> bool {
        if self.included.contains(kind) {
            return true;
        }
        let family = kind.split_once('.').map_or(kind, |(family, _)| family);
        let listed = |name: &str| PSEUDO.contains(&name) || NETWORK.contains(&name);
        !(self.excluded.contains(kind) || listed(kind) || listed(family))
    }
}

/// The device and the mount of one line: `36 35 98:0 /root /at options ... - ext4 source ...`.
fn parse_line(line: &[u8]) -> Option<(DeviceNumber, Mounted)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let numbers = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = numbers.split_once(':')?;
    let device = DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? };
    let at = unescape(fields.nth(1)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let kind = String::from_utf8_lossy(kind).into_owned();
    Some((device, Mounted { kind, at }))
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw shared:5 - proc proc rw\n\
        24 22 0:50 / /mnt/my\\040dump rw - fuse.sshfs host:/ rw\n\
        nonsense\n";

    fn device(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    #[test]
    fn the_mount_table_is_read() {
        let table = FileSystems::parse(TABLE);
        assert_eq!(table.get(device(254, 0)).unwrap().kind, "ext4");
        assert_eq!(table.get(device(0, 50)).unwrap().at, b"/mnt/my dump");
        assert_eq!(table.get(device(9, 9)), None);
    }

    #[test]
    fn mounts_below_a_directory_are_those_that_are_entered() {
        let mut table = FileSystems::parse(TABLE);
        let below = |table: &FileSystems, path: &str| {
            table.entered_below(Path::new(path)).map(|mounted| mounted.at.clone())
        };
        assert_eq!(below(&table, "/"), None, "neither itself, nor what is not entered");
        table.include("fuse.sshfs");
        assert_eq!(below(&table, "/").unwrap(), b"/mnt/my dump");
        assert_eq!(below(&table, "/mnt").unwrap(), b"/mnt/my dump");
        assert_eq!(below(&table, "/mn"), None);
        assert_eq!(below(&table, "/mnt/my dump"), None);
    }

    #[test]
    fn made_up_and_remote_ones_are_left_out_unless_asked_for() {
        let mut table = FileSystems::parse(TABLE);
        assert!(table.enters("ext4"));
        assert!(table.enters("fuseblk"));
        for kind in ["proc", "nfs4", "fuse.sshfs", "tmpfs"] {
            assert!(!table.enters(kind), "{kind}");
        }
        table.include("fuse.sshfs");
        table.exclude("ext4");
        assert!(table.enters("fuse.sshfs"));
        assert!(!table.enters("ext4"));
        table.include("ext4");
        assert!(table.enters("ext4"));
    }
}
