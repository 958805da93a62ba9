//! Which call of a simulated disk fails, and how.

use std::io;

use rustix::io::Errno;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO. A failed write may have changed part of what it was to change, and a failed sync
    /// leaves pages that read well, count as clean, and are not on the disk.
    Io,
    /// ENOSPC.
    Full,
    /// A read or write transfers half of what it could. Other calls are not affected.
    Short,
    /// EINTR, with no effect.
    Interrupted,
}

impl Fault {
    /// What the system would say; nothing for a short transfer, which is no error.
    pub(super) fn error(self) -> Option<io::Error> {
        let errno = match self {
            Fault::Io => Errno::IO,
            Fault::Full => Errno::NOSPC,
            Fault::Interrupted => Errno::INTR,
            Fault::Short => return None,
        };
        Some(errno.into())
    }
}

/// Makes the Nth call fail.
#[derive(Clone, Copy, Debug)]
pub struct FaultPlan {
    /// How many calls succeed first.
    pub after: u64,
    /// What then happens.
    pub fault: Fault,
    /// To every later call also, and not just to one.
    pub forever: bool,
}

impl FaultPlan {
    /// What happens to call number `call`, counted from 0.
    pub(super) fn strikes(&self, call: u64) -> Option<Fault> {
        let struck = if self.forever { call >= self.after } else { call == self.after };
        struck.then_some(self.fault)
    }
}
