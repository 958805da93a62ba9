//! One of everything that a file system may have.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags, ioctl_getflags,
    ioctl_setflags, lsetxattr, makedev, mkdirat, mknodat, openat, setxattr, utimensat,
};

/// Something to be made, archived, restored and compared.
pub(super) struct Subject {
    pub(super) name: &'static str,
    /// Components of the path that is looked at.
    pub(super) path: Vec<Vec<u8>>,
    /// A second path that must lead to the same file.
    pub(super) twin: Option<Vec<Vec<u8>>>,
    pub(super) make: fn(&Path) -> io::Result<()>,
    /// Whether it must come back.
    pub(super) is_promised: bool,
}

const LONG_NAME: [u8; 255] = [b'n'; 255];
/// Components of 200 bytes: together more than a path may have.
const DEEP: usize = 30;
const DEEP_NAME: [u8; 200] = [b'd'; 200];
const ODD_NAME: &[u8] = b"odd \xff\xfe\n\t name";
/// `user::rw-,user:1000:r--,group::r--,mask::r--,other::---` as the kernel takes it.
const ACL: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255,
    255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];
/// `cap_net_bind_service=ep` as the kernel takes it.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Everything, in the order of the table.
pub(super) fn subjects() -> Vec<Subject> {
    let mut all = contents();
    all.extend(kinds());
    all.extend(properties());
    all
}

fn subject(name: &'static str, path: &str, make: fn(&Path) -> io::Result<()>) -> Subject {
    let path = path.split('/').map(|part| part.as_bytes().to_vec()).collect();
    Subject { name, path, twin: None, make, is_promised: true }
}

fn contents() -> Vec<Subject> {
    vec![
        subject("empty file", "empty", |top| fs::write(top.join("empty"), "")),
        subject("file", "file", |top| fs::write(top.join("file"), noise(100_000))),
        subject("large file", "large", |top| fs::write(top.join("large"), noise(5_000_001))),
        subject("sparse file stays sparse", "sparse", |top| {
            let file = File::create(top.join("sparse"))?;
            file.set_len(64 << 20)?;
            file.write_all_at(b"island", 32 << 20)
        }),
        subject("zeros that were written stay written", "zeros", |top| {
            fs::write(top.join("zeros"), vec![0; 8 << 20])
        }),
        subject("holes beside zeros that were written", "partly", |top| {
            let file = File::create(top.join("partly"))?;
            file.set_len(16 << 20)?;
            file.write_all_at(&vec![0; 4 << 20], 4 << 20)?;
            file.write_all_at(b"end", (12 << 20) - 3)
        }),
        subject("empty directory", "directory", |top| fs::create_dir(top.join("directory"))),
        Subject {
            path: vec![ODD_NAME.to_vec()],
            ..subject("name that is not UTF-8", "", |top| {
                fs::write(top.join(OsStr::from_bytes(ODD_NAME)), "odd")
            })
        },
        Subject {
            path: vec![LONG_NAME.to_vec()],
            ..subject("name of 255 bytes", "", |top| {
                fs::write(top.join(OsStr::from_bytes(&LONG_NAME)), "long")
            })
        },
        Subject {
            path: vec![DEEP_NAME.to_vec(); DEEP],
            ..subject("path longer than PATH_MAX", "", make_deep)
        },
    ]
}

fn kinds() -> Vec<Subject> {
    let mut linked = subject("hard link in another directory", "hard", |top| {
        fs::write(top.join("hard"), "linked")?;
        fs::create_dir(top.join("other"))?;
        fs::hard_link(top.join("hard"), top.join("other/link"))
    });
    linked.twin = Some(vec![b"other".to_vec(), b"link".to_vec()]);
    let mut socket = subject("socket (kept only)", "socket", |top| {
        std::os::unix::net::UnixListener::bind(top.join("socket")).map(drop)
    });
    socket.is_promised = false;
    vec![
        subject("symbolic link", "link", |top| symlink("t".repeat(1000), top.join("link"))),
        linked,
        subject("named pipe", "pipe", |top| node(&top.join("pipe"), FileType::Fifo)),
        subject("character device", "char", |top| {
            node(&top.join("char"), FileType::CharacterDevice)
        }),
        subject("block device", "block", |top| node(&top.join("block"), FileType::BlockDevice)),
        socket,
    ]
}

fn properties() -> Vec<Subject> {
    vec![
        subject("permissions, setuid, setgid", "mode", |top| {
            fs::write(top.join("mode"), "x")?;
            fs::set_permissions(top.join("mode"), Permissions::from_mode(0o6751))
        }),
        subject("sticky directory", "sticky", |top| {
            fs::create_dir(top.join("sticky"))?;
            fs::set_permissions(top.join("sticky"), Permissions::from_mode(0o1777))
        }),
        subject("owner and group by number", "owned", |top| {
            fs::write(top.join("owned"), "x")?;
            chown(top.join("owned"), Some(12_345), Some(54_321))
        }),
        subject("time before 1970, in nanoseconds", "old", |top| {
            let file = File::create(top.join("old"))?;
            file.set_modified(SystemTime::UNIX_EPOCH - Duration::new(1000, 1))
        }),
        subject("time of a directory with content", "dated", |top| {
            fs::create_dir(top.join("dated"))?;
            fs::write(top.join("dated/inside"), "x")?;
            set_time(&top.join("dated"))
        }),
        subject("time of a symbolic link", "dated-link", |top| {
            symlink("nowhere", top.join("dated-link"))?;
            set_time(&top.join("dated-link"))
        }),
        subject("user attributes", "user", |top| attribute(top, "user", "user.note", b"value")),
        subject("user attribute of 3000 bytes", "user-large", |top| {
            attribute(top, "user-large", "user.large", &[7; 3000])
        }),
        subject("trusted attribute", "trusted", |top| {
            attribute(top, "trusted", "trusted.note", b"value")
        }),
        subject("trusted attribute of a link", "trusted-link", |top| {
            symlink("nowhere", top.join("trusted-link"))?;
            let flags = XattrFlags::empty();
            Ok(lsetxattr(top.join("trusted-link"), "trusted.note", b"value", flags)?)
        }),
        subject("file capability", "capable", |top| {
            attribute(top, "capable", "security.capability", &CAPABILITY)
        }),
        subject("access control list", "acl", |top| {
            attribute(top, "acl", "system.posix_acl_access", &ACL)
        }),
        subject("default access control list", "default-acl", |top| {
            let path = top.join("default-acl");
            fs::create_dir(&path)?;
            Ok(setxattr(&path, "system.posix_acl_default", &ACL, XattrFlags::empty())?)
        }),
        subject("inode flags (chattr +dA)", "flags", |top| {
            let file = File::create(top.join("flags"))?;
            let flags = ioctl_getflags(&file)? | IFlags::NODUMP | IFlags::NOATIME;
            Ok(ioctl_setflags(&file, flags)?)
        }),
    ]
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let step = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Some(state.to_be_bytes()[0])
    };
    std::iter::repeat_n((), length).scan(1u64, |state, ()| step(state)).collect()
}

fn node(path: &Path, kind: FileType) -> io::Result<()> {
    Ok(mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), makedev(1, 300))?)
}

fn set_time(path: &Path) -> io::Result<()> {
    let time = Timespec { tv_sec: 1_086_912_000, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn attribute(top: &Path, file: &str, name: &str, value: &[u8]) -> io::Result<()> {
    let path = top.join(file);
    fs::write(&path, "x")?;
    Ok(setxattr(&path, name, value, XattrFlags::empty())?)
}

fn make_deep(top: &Path) -> io::Result<()> {
    let mut directory: std::os::fd::OwnedFd = File::open(top)?.into();
    for _ in 0..DEEP {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        mkdirat(&directory, &DEEP_NAME[..], Mode::from_raw_mode(0o755))?;
        directory = openat(&directory, &DEEP_NAME[..], flags, Mode::empty())?;
    }
    Ok(())
}
