//! The dump over 9P, with a client that others wrote: what is there, and who may see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use fossil_lite::p9::{FileSystem, Limits, Listener, Peer, serve};
use fossil_lite::p9_dump::DumpFor;
use ninep::sync::client::Client;

use crate::counting::Counting;
use crate::world::World;

fn world_with_secrets() -> World {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for (name, mode) in [("open", 0o644), ("group", 0o640), ("secret", 0o600)] {
        fs::write(source.path().join(name), name).unwrap();
        let path = source.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(source.path().join("closed")).unwrap();
    fs::write(source.path().join("closed/inside"), "inside").unwrap();
    fs::set_permissions(source.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("open", source.path().join("link")).unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    world
}

#[test]
fn the_crate_ninep_sees_hosts_days_and_files() {
    let world = world_with_secrets();
    let tree = world.tree(None);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9p").to_str().unwrap().to_owned();
    let listener = Listener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let limits = Limits::default();
        serve(&listener, limits, |peer| DumpFor::new(Arc::clone(&tree), peer, false));
    });
    let client = Client::new_unix_with_explicit_path("", path, "").unwrap();
    let names = |path: &str| -> Vec<String> {
        client.read_dir(path).unwrap().into_iter().map(|stat| stat.name).collect()
    };
    assert_eq!(names("moby"), ["latest", "2004"]);
    assert_eq!(names("moby/2004"), ["0611"]);
    assert_eq!(client.read_str("moby/2004/0611/open").unwrap(), "open");
    assert_eq!(client.read_str("moby/latest/open").unwrap(), "open");
    assert_eq!(client.read_str("moby/latest/link").unwrap(), "open", "the target");
    let stat = client.stat("moby/latest/open").unwrap();
    assert_eq!((stat.name.as_str(), stat.n_bytes), ("open", 4));
    let error = client.read_str("ahab").unwrap_err().to_string();
    assert!(error.contains("file does not exist"), "{error}");
}

#[test]
fn whoever_comes_over_the_network_gets_what_everybody_gets() {
    let world = world_with_secrets();
    let tree = world.tree(None);
    let may = |peer, trust, user: &str, path: &str| {
        let dump = DumpFor::new(Arc::clone(&tree), peer, trust);
        let (mut node, _) = dump.attach(user, "").map_err(|error| error.to_string())?;
        for name in ["moby", "latest"].into_iter().chain(path.split('/')) {
            node = dump.walk(&node, name).map_err(|error| error.to_string())?.0;
        }
        dump.open(&node, false).map(drop).map_err(|error| error.to_string())
    };
    let denied = Err("permission denied".to_owned());
    let root = Peer::Local { uid: 0 };
    for user in ["root", "none", ""] {
        assert_eq!(may(Peer::Network, false, user, "open"), Ok(()));
        assert_eq!(may(Peer::Network, false, user, "group"), denied, "{user}");
        assert_eq!(may(Peer::Network, false, user, "secret"), denied, "{user}");
        assert_eq!(may(Peer::Network, false, user, "closed/inside"), denied, "{user}");
    }
    // The owner by name, where names are believed; but not everything, as root has it.
    let owner = uzers::get_user_by_uid(rustix::process::geteuid().as_raw());
    let owner = owner.map(|user| user.name().to_string_lossy().into_owned()).unwrap_or_default();
    assert_eq!(may(Peer::Network, true, &owner, "secret"), Ok(()));
    assert_eq!(may(Peer::Network, true, "nobody-at-all", "secret"), denied);
    // The kernel says who it is; only root may come as somebody else.
    assert_eq!(may(root, false, "", "closed/inside"), Ok(()));
    assert_eq!(may(root, false, "nobody-at-all", "secret"), denied);
    let other = Peer::Local { uid: 54_321 };
    assert_eq!(may(other, false, "", "open"), Ok(()));
    assert_eq!(may(other, false, "", "secret"), denied);
    assert_eq!(may(other, true, &owner, "open"), denied, "claims another's name");
}

/// As Plan 9's fshistory has it: what is the same shows the same qid.
#[test]
fn what_did_not_change_has_the_same_qid_in_every_dump() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    for name in ["changes", "stays/below"] {
        fs::create_dir_all(at(name)).unwrap();
        fs::write(at(name).join("file"), "x").unwrap();
    }
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    // What comes before it in the archive has nothing to do with it.
    for number in 0..100 {
        fs::write(at("changes").join(format!("new{number}")), "new").unwrap();
    }
    fs::create_dir(at("another")).unwrap();
    world.dump("moby", "2004-06-12T03:00:00Z", source.path());
    let tree = world.tree(Some("moby"));
    let dump = DumpFor::new(tree, Peer::Local { uid: 0 }, false);
    let qid = |day: &str, path: &str| {
        let (mut node, mut qid) = dump.attach("", "").unwrap();
        for name in ["2004", day].into_iter().chain(path.split('/')) {
            (node, qid) = dump.walk(&node, name).unwrap();
        }
        qid
    };
    for path in ["stays", "stays/below", "stays/below/file", "changes/file"] {
        assert_eq!(qid("0611", path), qid("0612", path), "{path}");
    }
    let (before, after) = (qid("0611", "changes"), qid("0612", "changes"));
    assert!(before.path == after.path && before.version != after.version);
    assert_ne!(qid("0612", "another").path, qid("0612", "changes").path);
}

/// A round trip for a window, not one for each message.
#[test]
fn a_file_that_is_read_from_start_to_end_is_read_ahead() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..6_000_000u32).flat_map(u32::to_be_bytes).collect();
    fs::write(source.path().join("large"), &content).unwrap();
    fs::write(source.path().join("small"), "small").unwrap();
    world.dump("moby", "2004-06-11T03:00:00Z", source.path());
    let counting = Counting::of(&world);
    let tree = world.tree_over(Arc::clone(&counting) as _, Some("moby"));
    let dump = DumpFor::new(tree, Peer::Local { uid: 0 }, false);
    let (mut node, _) = dump.attach("", "").unwrap();
    for name in ["2004", "0611", "large"] {
        node = dump.walk(&node, name).unwrap().0;
    }
    dump.open(&node, false).unwrap();
    let (calls, blocks, read) = counting.during(|| {
        let mut read = Vec::new();
        loop {
            match dump.read(&node, read.len() as u64, 32 << 10).unwrap() {
                data if data.is_empty() => return read,
                data => read.extend(data),
            }
        }
    });
    assert!(read == content);
    let needed = content.len().div_ceil(8192) as u64;
    assert!(blocks <= needed + needed / 50, "{blocks} blocks for {needed}");
    assert!(calls <= 40, "{calls} round trips for 24 MB");
    // One piece somewhere brings no others.
    let (_, blocks, data) = counting.during(|| dump.read(&node, 9_000_000, 100).unwrap());
    assert_eq!(data, content[9_000_000..][..100]);
    assert!(blocks <= 4, "{blocks} blocks for 100 bytes");
}
