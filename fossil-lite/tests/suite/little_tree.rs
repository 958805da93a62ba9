//! A small tree in memory, for the tests of 9P alone.
//!
//! `/hello` (everybody), `/secret` (glenda only), `/usr/glenda/...`, `/numbers/0` to `/numbers/99`.

use fossil_lite::FileError;
use fossil_lite::p9::{FileSystem, Opened, Qid, Stat};

pub(crate) struct LittleTree;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    user: String,
    path: Vec<String>,
}

enum Kind {
    File(Vec<u8>),
    Directory(Vec<String>),
}

fn kind(path: &[String]) -> Option<Kind> {
    let names = |names: &[&str]| Kind::Directory(names.iter().map(|n| (*n).to_owned()).collect());
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Some(match path.as_slice() {
        [] => names(&["hello", "numbers", "secret", "usr"]),
        ["hello"] => Kind::File(b"hello, world".to_vec()),
        ["secret"] => Kind::File(b"xyzzy".to_vec()),
        ["usr"] => names(&["glenda"]),
        ["usr", "glenda"] => names(&[]),
        ["numbers"] => Kind::Directory((0..100).map(|n| n.to_string()).collect()),
        ["numbers", n] if n.parse::<u32>().is_ok_and(|n| n < 100) => {
            Kind::File(n.as_bytes().to_vec())
        }
        _ => return None,
    })
}

/// Numbers that a transcript can be read with.
fn number(path: &[String]) -> u64 {
    match path.last().map(String::as_str) {
        None => 0,
        Some("hello") => 1,
        Some("secret") => 2,
        Some("usr") => 3,
        Some("glenda") => 4,
        Some("numbers") => 5,
        Some(n) => 100 + n.parse::<u64>().unwrap_or(0),
    }
}

fn stat(path: &[String]) -> Result<Stat, FileError> {
    let kind = kind(path).ok_or(FileError::NotFound)?;
    let (bits, mode, length) = match &kind {
        Kind::File(data) => (Qid::FILE, 0o644, data.len() as u64),
        Kind::Directory(_) => (Qid::DIRECTORY, 0o755 | Stat::MODE_DIRECTORY, 0),
    };
    let secret = path.last().is_some_and(|name| name == "secret");
    Ok(Stat {
        device_type: 0,
        device: 0,
        qid: Qid { kind: bits, version: 0, path: number(path) },
        mode: if secret { 0o600 } else { mode },
        access_time: 1_086_912_000,
        modification_time: 1_086_912_000,
        length,
        name: path.last().map_or("/", String::as_str).to_owned(),
        owner: "glenda".to_owned(),
        group: "sys".to_owned(),
        modifier: "glenda".to_owned(),
    })
}

impl FileSystem for LittleTree {
    type Node = Node;

    fn attach(&self, user: &str, tree: &str) -> Result<(Node, Qid), FileError> {
        if !tree.is_empty() {
            return Err(FileError::NotFound);
        }
        Ok((Node { user: user.to_owned(), path: Vec::new() }, stat(&[])?.qid))
    }

    fn walk(&self, from: &Node, name: &str) -> Result<(Node, Qid), FileError> {
        let mut node = from.clone();
        match name {
            ".." => drop(node.path.pop()),
            name => node.path.push(name.to_owned()),
        }
        let qid = stat(&node.path)?.qid;
        Ok((node, qid))
    }

    fn open(&self, node: &Node, _execute: bool) -> Result<Opened, FileError> {
        let stat = stat(&node.path)?;
        if stat.mode & 0o004 == 0 && node.user != stat.owner {
            return Err(FileError::PermissionDenied);
        }
        Ok(Opened { qid: stat.qid, iounit: 0 })
    }

    fn read(&self, node: &Node, offset: u64, count: u32) -> Result<Vec<u8>, FileError> {
        let Some(Kind::File(data)) = kind(&node.path) else { return Err(FileError::IsADirectory) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let end = start.saturating_add(count as usize).min(data.len());
        Ok(data[start..end].to_vec())
    }

    fn list(
        &self,
        node: &Node,
        position: u64,
        take: &mut dyn FnMut(Stat, u64) -> bool,
    ) -> Result<(), FileError> {
        let Some(Kind::Directory(names)) = kind(&node.path) else {
            return Err(FileError::NotADirectory);
        };
        for (at, name) in
            names.into_iter().enumerate().skip(usize::try_from(position).unwrap_or(usize::MAX))
        {
            let mut path = node.path.clone();
            path.push(name);
            if !take(stat(&path)?, at as u64 + 1) {
                break;
            }
        }
        Ok(())
    }

    fn stat(&self, node: &Node) -> Result<Stat, FileError> {
        stat(&node.path)
    }
}
