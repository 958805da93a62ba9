//! Prints what is in an archive: names, or lines as `ls -l` prints them.

use std::io::Write;

use jiff::tz::TimeZone;
use vac::extractor::{ExtractError, Observer, Selection, Visitor};
use vac::format::FileKind;
use vac::reader::{Node, Piece};
use vac::shown::shown;

/// Prints one line a file.
pub(crate) struct Lister<'a> {
    pub(crate) to: &'a mut dyn Write,
    pub(crate) long: bool,
    pub(crate) zone: TimeZone,
    pub(crate) observer: &'a dyn Observer,
}

impl Visitor for Lister<'_> {
    fn enter(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError> {
        let slash = if node.is_directory() { "/" } else { "" };
        let name = shown(path);
        let line = if self.long {
            format!("{}{name}{slash}\n", self.details(node))
        } else {
            format!("{name}{slash}\n")
        };
        self.to.write_all(line.as_bytes()).map_err(|error| write_error(&error))
    }

    fn stopped(&self) -> bool {
        self.observer.stopped()
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        self.observer.problem(path, error);
    }
}

impl Lister<'_> {
    fn details(&self, node: &Node) -> String {
        let metadata = node.metadata();
        let time = jiff::Timestamp::from_second(metadata.modified().seconds).unwrap_or_default();
        let time = time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        let [owner, group] = [&metadata.owner, &metadata.group].map(|name| shown(name));
        let size = if node.is_directory() { 0 } else { node.size() };
        let mode = mode_text(node.kind(), metadata.permissions());
        format!("{mode} {owner:<10} {group:<10} {size:>11} {time} ")
    }
}

/// The ten characters of `ls -l`.
fn mode_text(kind: FileKind, permissions: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = permissions >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (permissions & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Writes the content of files, one after another. What has none is named if it was asked for.
pub(crate) struct Printer<'a> {
    pub(crate) to: &'a mut dyn Write,
    pub(crate) selection: &'a Selection,
    pub(crate) observer: &'a dyn Observer,
}

impl Visitor for Printer<'_> {
    fn enter(&mut self, path: &[u8], node: &Node) -> Result<(), ExtractError> {
        if node.kind() != FileKind::Regular {
            if !node.is_directory() && self.selection.names(path) {
                let what = without_content(node.kind());
                self.observer.problem(path, &ExtractError::NoContent { what });
            }
            return Ok(());
        }
        self.observer.entry(path, node);
        let printed = node.read_in_order(&mut |piece| match piece {
            Piece::Data(bytes) => self.print(bytes),
            Piece::Zeros(mut count) => {
                while count > 0 {
                    let part = count.min(ZEROS.len() as u64);
                    self.print(&ZEROS[..usize::try_from(part).unwrap_or(0)])?;
                    count -= part;
                }
                Ok(())
            }
        });
        match printed {
            Err(error @ ExtractError::Read(_)) => {
                self.observer.problem(path, &error);
                Ok(())
            }
            other => other,
        }
    }

    fn stopped(&self) -> bool {
        self.observer.stopped()
    }

    fn problem(&mut self, path: &[u8], error: &ExtractError) {
        self.observer.problem(path, error);
    }
}

impl Printer<'_> {
    fn print(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        if self.observer.stopped() {
            return Err(ExtractError::Interrupted);
        }
        self.to.write_all(bytes).map_err(|error| write_error(&error))
    }
}

/// What is printed where a file has zeros that are not stored.
const ZEROS: [u8; 8192] = [0; 8192];

/// Why nothing of a file is printed.
const fn without_content(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Symlink => "a symbolic link, which has no content (-t -v lists it)",
        FileKind::CharDevice | FileKind::BlockDevice => "a device, which has no content",
        FileKind::Fifo => "a pipe, which has no content",
        _ => "what has no content",
    }
}

pub(crate) fn write_error(error: &std::io::Error) -> ExtractError {
    let errno = rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO);
    ExtractError::System { action: "write", errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_ls_shows_them() {
        assert_eq!(mode_text(FileKind::Regular, 0o4755), "-rwsr-xr-x");
        assert_eq!(mode_text(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode_text(FileKind::Fifo, 0o2640), "prw-r-S---");
    }

    #[test]
    fn terminals_are_not_disturbed() {
        assert_eq!(shown(b"a\x1b[2J\nb"), "a\\u{1b}[2J\\nb");
    }
}
