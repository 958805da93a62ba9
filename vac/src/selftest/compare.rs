//! Compares a subject with what the archive has of it, and with what came back.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::readlinkat;

use super::subjects::Subject;
use crate::reader::Node;
use crate::walk::{Attributes, Directory, Extended, FileKind, holes};

/// A file that is looked at: by its directory, for its path may be too long.
struct Found {
    parent: Directory,
    name: CString,
    attributes: Attributes,
}

fn find(top: &Path, path: &[Vec<u8>]) -> Result<Found, String> {
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|e| e.to_string());
    let missing = |error: rustix::io::Errno| error.to_string();
    let mut parent =
        Directory::open_path(&c_string(top.as_os_str().as_bytes())?).map_err(missing)?;
    let (last, directories) = path.split_last().ok_or("no path")?;
    for name in directories {
        parent = parent.open_child(&c_string(name)?).map_err(missing)?;
    }
    let name = c_string(last)?;
    let attributes = parent.attributes_of(&name).map_err(|_| "it is not there".to_owned())?;
    Ok(Found { parent, name, attributes })
}

impl Found {
    /// Attributes and flags; what can not be read is a difference.
    fn extended(&self) -> Result<Extended, String> {
        let mut errors = Vec::new();
        let opens = matches!(self.attributes.kind, FileKind::Regular | FileKind::Directory);
        let found = if opens {
            let file = self.parent.open_file(&self.name).map_err(|e| e.to_string())?;
            Extended::of_open(file, &mut errors)
        } else {
            Extended::of_child(&self.parent, &self.name, &mut errors)
        };
        errors.first().map_or(Ok(found), |error| Err(error.errno.to_string()))
    }

    /// Where a regular file has no space on disk, if the system tells.
    fn holes(&self) -> Result<Option<Vec<(u64, u64)>>, String> {
        if self.attributes.kind != FileKind::Regular {
            return Ok(None);
        }
        let file = self.parent.open_file(&self.name).map_err(|e| e.to_string())?;
        Ok(holes(file, self.attributes.size))
    }

    fn content(&self) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        match self.attributes.kind {
            FileKind::Regular => {
                let file = self.parent.open_file(&self.name).map_err(|e| e.to_string())?;
                File::from(file).read_to_end(&mut content).map_err(|e| e.to_string())?;
            }
            FileKind::SymbolicLink => {
                let target = readlinkat(&self.parent, &self.name, content);
                content = target.map_err(|e| e.to_string())?.into_bytes();
            }
            _ => {}
        }
        Ok(content)
    }
}

fn expect(equal: bool, what: &str) -> Result<(), String> {
    if equal { Ok(()) } else { Err(format!("other {what}")) }
}

/// Whether what came back is what was there.
pub(super) fn is_restored(tree: &Path, restored: &Path, subject: &Subject) -> Result<(), String> {
    let before = find(tree, &subject.path)?;
    let after = find(restored, &subject.path)?;
    let (a, b) = (&before.attributes, &after.attributes);
    expect(a.kind == b.kind, "kind")?;
    expect(a.permissions == b.permissions, "permissions")?;
    expect((a.user, a.group) == (b.user, b.group), "owner")?;
    expect(a.kind != FileKind::Regular || a.size == b.size, "size")?;
    expect(a.special == b.special, "device")?;
    expect(a.modified == b.modified, "time")?;
    expect(a.links == b.links || a.kind == FileKind::Directory, "number of links")?;
    expect(before.holes()? == after.holes()?, "use of space")?;
    expect(before.content()? == after.content()?, "content")?;
    let (a, b) = (before.extended()?, after.extended()?);
    expect(a.attributes == b.attributes, "extended attributes")?;
    expect(a.flags == b.flags, "inode flags")?;
    if let Some(twin) = &subject.twin {
        let twin = find(restored, twin)?;
        expect(twin.attributes.identity == after.attributes.identity, "file under the two names")?;
    }
    Ok(())
}

/// Whether the archive has all that is promised to be kept.
pub(super) fn is_kept(tree: &Path, top: Option<&Node>, subject: &Subject) -> Result<(), String> {
    let found = find(tree, &subject.path)?;
    let path = subject.path.join(&b'/');
    let top = top.ok_or("there is no archive")?;
    let node = top.walk(&path).map_err(|e| e.to_string())?.ok_or("it is not there")?;
    let unix = node.unix().map_err(|e| e.to_string())?.ok_or("nothing of Unix is there")?;
    let attributes = &found.attributes;
    expect(unix.mode & 0o7777 == attributes.permissions, "permissions")?;
    expect((unix.uid, unix.gid) == (attributes.user, attributes.group), "owner")?;
    let modified = (unix.modified.seconds, unix.modified.nanoseconds);
    let expected = (attributes.modified.seconds, attributes.modified.nanoseconds);
    expect(modified == expected, "time")?;
    expect(unix.born.is_some() == attributes.born.is_some(), "time of birth")?;
    expect(unix.accessed.is_some(), "time of reading")?;
    expect(unix.link.is_some() == subject.twin.is_some(), "hard link")?;
    let extended = found.extended()?;
    let kept = unix.xattrs.iter().map(|x| (&x.name, &x.value));
    expect(kept.eq(extended.attributes.iter().map(|(n, v)| (n, v))), "extended attributes")?;
    expect(unix.inode_flags.unwrap_or(0) == extended.flags, "inode flags")
}

#[cfg(test)]
mod tests {
    use crate::selftest::run;

    #[test]
    fn everything_that_can_be_made_here_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let rows = run(place.path(), None).unwrap();
        assert!(rows.len() > 25);
        let bad: Vec<_> = rows.iter().filter(|row| !row.is_good()).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        let made = rows.iter().filter(|row| row.impossible.is_none()).count();
        assert!(made >= 15, "{rows:#?}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_another_program_loses_is_shown() {
        let place = tempfile::tempdir().unwrap();
        let copy = "cat \"$TREE/file\" > \"$RESTORED/file\"; exit 9";
        let rows = run(place.path(), Some(copy.as_ref())).unwrap();
        let row = |subject| rows.iter().find(|row| row.subject == subject).unwrap();
        assert_eq!(row("file").not_restored.as_deref(), Some("other time"));
        assert_eq!(row("symbolic link").not_restored.as_deref(), Some("it is not there"));
    }
}
