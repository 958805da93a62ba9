//! Four users, sixteen modes; files, directories, and links to both: who may see what, by FUSE and
//! over 9P. Needs root, to make files of others and to become them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::sync::Arc;

use fossil_lite::FileError;
use fossil_lite::p9::{FileSystem, Peer};
use fossil_lite::p9_dump::DumpFor;
use uzers::{get_user_by_name, get_user_groups};

use crate::fuse_mount::{Mounted, can_mount};
use crate::world::World;

const MODES: [u32; 16] = [
    0o000, 0o400, 0o040, 0o004, 0o600, 0o640, 0o644, 0o444, 0o700, 0o750, 0o755, 0o711, 0o440,
    0o404, 0o044, 0o4755,
];

/// A file and a directory of each mode, with a second name, and links to them, in a dump of moby.
fn world_of_modes(uid: u32, gid: u32) -> World {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let at = |name: String| source.path().join(name);
    for mode in MODES {
        let (file, directory) = (at(format!("file{mode:o}")), at(format!("directory{mode:o}")));
        fs::write(&file, "secret").unwrap();
        fs::hard_link(&file, at(format!("hard{mode:o}"))).unwrap();
        symlink(format!("file{mode:o}"), at(format!("link{mode:o}"))).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("inside"), "secret").unwrap();
        symlink(format!("directory{mode:o}"), at(format!("way{mode:o}"))).unwrap();
        for path in [file, directory] {
            chown(&path, Some(uid), Some(gid)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    fs::set_permissions(source.path(), fs::Permissions::from_mode(0o755)).unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    world
}

/// What a user may who has the bits at this shift.
fn expected(shift: u32, words: &[(&str, u32)]) -> String {
    let mut expected = String::new();
    for mode in MODES {
        for (word, bit) in words {
            if mode >> shift & bit != 0 {
                expected += &format!("{word} {mode:o}\n");
            }
        }
    }
    expected
}

#[test]
fn by_fuse_the_kernel_keeps_to_the_archived_modes() {
    if !can_mount() {
        return;
    }
    let world = world_of_modes(2001, 3001);
    let mounted = Mounted::new(world.tree(Some("moby")));
    let root = mounted.path().join("2004/0611");
    let words = [
        ("read", 4),
        ("read-hard", 4),
        ("read-link", 4),
        ("list", 4),
        ("list-way", 4),
        ("search", 1),
        ("search-way", 1),
    ];
    // One process for all: what it could read and search. The links themselves are for everybody.
    let script = "cd \"$0\" && for m; do \
        cat file$m && echo read $m >&2; \
        cat hard$m && echo read-hard $m >&2; \
        cat link$m && echo read-link $m >&2; \
        ls directory$m/ && echo list $m >&2; \
        ls way$m/ && echo list-way $m >&2; \
        cat directory$m/inside && echo search $m >&2; \
        cat way$m/inside && echo search-way $m >&2; \
        readlink link$m way$m || echo no link >&2; done";
    let script = format!("exec 3>&2 2>/dev/null; {}", script.replace(">&2", ">&3"));
    for (uid, gid, shift) in
        [("2001", "3001", 6), ("2002", "3001", 3), ("2003", "3003", 0), ("2004", "2001", 0)]
    {
        let output = Command::new("setpriv")
            .args(["--reuid", uid, "--regid", gid, "--clear-groups", "sh", "-c", &script])
            .arg(&root)
            .args(MODES.map(|mode| format!("{mode:o}")))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected(shift, &words), "{uid}");
    }
}

/// What `who` may do over 9P with a name below the dump, and why not.
fn try_over_9p(dump: &DumpFor, way: &str, execute: bool) -> Result<(), FileError> {
    let (mut node, _) = dump.attach("", "")?;
    for name in ["2004", "0611"].into_iter().chain(way.split('/')) {
        node = dump.walk(&node, name)?.0;
    }
    dump.open(&node, execute).map(drop)
}

#[test]
fn over_9p_names_keep_to_the_archived_modes() {
    let is_root = rustix::process::geteuid().is_root();
    let users = ["daemon", "bin", "sys", "nobody"].map(get_user_by_name);
    let [Some(daemon), Some(bin), Some(sys), Some(nobody)] = users else {
        eprintln!("skipped: this machine lacks users that any Unix has");
        return;
    };
    if !is_root {
        eprintln!("skipped: needs root");
        return;
    }
    let gid = bin.primary_group_id();
    for stranger in [&sys, &nobody] {
        let groups = get_user_groups(stranger.name(), stranger.primary_group_id()).unwrap();
        assert!(groups.iter().all(|group| group.gid() != gid));
    }
    let world = world_of_modes(daemon.uid(), gid);
    let tree = world.tree(Some("moby"));
    let words =
        [("read", 4), ("execute", 1), ("read-hard", 4), ("list", 4), ("enter", 1), ("search", 1)];
    let (owner, strangers) = (daemon.uid(), [sys.uid(), nobody.uid(), 54_321]);
    let cases = [(owner, 6), (bin.uid(), 3)].into_iter().chain(strangers.map(|uid| (uid, 0)));
    for (uid, shift) in cases {
        let dump = DumpFor::new(Arc::clone(&tree), Peer::Local { uid }, false);
        let mut may = String::new();
        for mode in MODES {
            for (word, way, execute) in [
                ("read", format!("file{mode:o}"), false),
                ("execute", format!("file{mode:o}"), true),
                ("read-hard", format!("hard{mode:o}"), false),
                ("list", format!("directory{mode:o}"), false),
                ("enter", format!("directory{mode:o}"), true),
                ("search", format!("directory{mode:o}/inside"), false),
            ] {
                match try_over_9p(&dump, &way, execute) {
                    Ok(()) => may += &format!("{word} {mode:o}\n"),
                    Err(error) => assert_eq!(error, FileError::PermissionDenied, "{way}"),
                }
            }
            // A link is what it leads to, for everybody; through it leads no way.
            assert_eq!(try_over_9p(&dump, &format!("link{mode:o}"), false), Ok(()));
            let through = try_over_9p(&dump, &format!("way{mode:o}/inside"), false);
            assert_eq!(through, Err(FileError::NotADirectory));
        }
        assert_eq!(may, expected(shift, &words), "user {uid}");
    }
    // Root of this machine, and nobody else, sees all of it.
    let dump = DumpFor::new(Arc::clone(&tree), Peer::Local { uid: 0 }, false);
    for mode in MODES {
        assert_eq!(try_over_9p(&dump, &format!("directory{mode:o}/inside"), false), Ok(()));
    }
}
