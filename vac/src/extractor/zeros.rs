//! Zeros that were written are written again; only holes come back as holes.
//!
//! An archive stores no zeros: neither whole blocks of them nor those at the end of a block. Its
//! entry says which parts of the file had no space on disk. Everything else gets space here, so
//! that a file which was not sparse is not sparse. Archives that do not say where the holes were
//! get one wherever there is nothing but zeros.

use std::os::fd::BorrowedFd;

use super::ExtractError;
use super::batch::write_all;
use super::session::Session;
use crate::format::Hole;
use crate::reader::Node;

/// Writing one byte gives space to at least so many, where they start at a multiple of it.
const SPACE: u64 = 4096;
/// Bytes of zeros that are written at once.
const AT_ONCE: usize = 256 << 10;
static NOTHING: [u8; AT_ONCE] = [0; AT_ONCE];

/// The holes that a file had, in order.
pub(super) struct Holes(Option<Vec<Hole>>);

impl Holes {
    /// What the archive says of them. If it can not be read, that is reported where the rest of
    /// the file's metadata is.
    pub(super) fn of(node: &Node) -> Holes {
        let unix = node.unix().ok().flatten();
        Holes(unix.and_then(|unix| unix.holes.clone()))
    }

    /// Writes bytes of the file at `offset`, but no zeros where there was a hole.
    pub(super) fn write_around(
        &self,
        file: BorrowedFd<'_>,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), ExtractError> {
        let end = offset.saturating_add(bytes.len() as u64);
        let place = |at: u64| usize::try_from(at - offset).unwrap_or(bytes.len()).min(bytes.len());
        let mut from = offset;
        let write = |from: u64, to: u64| {
            write_all(file, &bytes[place(from)..place(to)], from)
                .map_err(ExtractError::system("write"))
        };
        for hole in self.from(offset).iter().take_while(|hole| hole.offset < end) {
            let (start, stop) = (hole.offset.max(from), hole.offset.saturating_add(hole.length));
            // Whatever the archive says of holes, what is not zero is written; and so is the last
            // byte, which makes the file as long as it has to be.
            let skips = start < stop
                && stop < end
                && bytes[place(start)..place(stop)].iter().all(|byte| *byte == 0);
            if skips {
                write(from, start)?;
                from = stop;
            }
        }
        write(from, end)
    }

    /// The holes that may have something to do with what is at `offset` and behind it.
    fn from(&self, offset: u64) -> &[Hole] {
        let holes = self.0.as_deref().unwrap_or_default();
        // The one that starts before may reach into this.
        let first = holes.partition_point(|hole| hole.offset < offset).saturating_sub(1);
        &holes[first..]
    }

    /// Gives space to zeros from `start` to `end`, except where there was a hole.
    pub(super) fn fill(
        &self,
        session: &Session<'_>,
        file: BorrowedFd<'_>,
        start: u64,
        end: u64,
    ) -> Result<(), ExtractError> {
        let mut failure = Ok(());
        self.each_gap(start, end, &mut |from, to| {
            if failure.is_ok() {
                failure = write_zeros(session, file, from, to);
            }
        });
        failure
    }

    /// Bytes between `start` and `end` that [`Holes::fill`] would write.
    pub(super) fn space(&self, start: u64, end: u64) -> u64 {
        let mut bytes = 0;
        self.each_gap(start, end, &mut |from, to| bytes += to - from);
        bytes
    }

    fn each_gap(&self, start: u64, end: u64, take: &mut dyn FnMut(u64, u64)) {
        if self.0.is_none() {
            return;
        }
        let mut from = start.checked_next_multiple_of(SPACE).unwrap_or(end);
        for hole in self.from(from) {
            if hole.offset >= end {
                break;
            }
            if hole.offset > from {
                take(from, hole.offset);
            }
            from = from.max(hole.offset.saturating_add(hole.length));
        }
        if from < end {
            take(from, end);
        }
    }
}

fn write_zeros(
    session: &Session<'_>,
    file: BorrowedFd<'_>,
    mut from: u64,
    to: u64,
) -> Result<(), ExtractError> {
    while from < to {
        if session.stopped() {
            return Err(ExtractError::NotPossible { what: "interrupted" });
        }
        let length = usize::try_from(to - from).unwrap_or(usize::MAX).min(AT_ONCE);
        write_all(file, &NOTHING[..length], from).map_err(ExtractError::system("write"))?;
        session.wrote(length as u64);
        from += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(holes: &[(u64, u64)], start: u64, end: u64) -> Vec<(u64, u64)> {
        let holes = holes.iter().map(|(offset, length)| Hole { offset: *offset, length: *length });
        let mut found = Vec::new();
        Holes(Some(holes.collect())).each_gap(start, end, &mut |from, to| found.push((from, to)));
        found
    }

    #[test]
    fn what_was_no_hole_gets_space() {
        assert_eq!(gaps(&[], 0, 8192), [(0, 8192)]);
        assert_eq!(gaps(&[], 1, 8192), [(4096, 8192)], "the first page has space already");
        assert_eq!(gaps(&[], 1, 4096), []);
        assert_eq!(gaps(&[(0, 8192)], 0, 8192), []);
        assert_eq!(gaps(&[(0, 100_000)], 8192, 16_384), [], "a hole from before");
        let two = [(4096, 4096), (16_384, u64::MAX)];
        assert_eq!(gaps(&two, 0, 1 << 20), [(0, 4096), (8192, 16_384)]);
        let mut none = 0;
        Holes(None).each_gap(0, 1 << 20, &mut |_, _| none += 1);
        assert_eq!(none, 0, "nothing is known of holes");
    }
}
