//! How much memory the server takes, and how it is divided.
//!
//! One number is given, or none: the server divides it itself between the store's caches, the
//! buffers of connections that are being served, and what connections hold while they wait.

use std::fs;
use std::path::Path;

use crate::size::Size;

/// The least that a server runs in.
pub const LEAST_MEMORY: u64 = 32 << 20;

/// The parts of the memory budget, in bytes. Together less than the whole: threads, the index of
/// the open arena and the allocator's slack take the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Caches of the store.
    pub store: u64,
    /// Buffers of connections whose requests are being served.
    pub buffers: u64,
    /// Half messages and untaken replies of connections that wait for their client.
    pub held: u64,
}

impl MemoryPlan {
    /// Divides `total` bytes.
    ///
    /// # Errors
    /// A sentence for the user, if `total` is less than [`LEAST_MEMORY`].
    pub fn divide(total: Size) -> Result<MemoryPlan, String> {
        if total.0 < LEAST_MEMORY {
            return Err(format!(
                "{total} of memory is too little, the server needs at least {}",
                Size(LEAST_MEMORY)
            ));
        }
        let eighth = total.0 / 8;
        Ok(MemoryPlan { store: 3 * eighth, buffers: eighth, held: eighth })
    }
}

/// A quarter of the machine's memory, or of what the control group allows where that is less.
#[must_use]
pub fn default_memory() -> Size {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let allowed = limits.iter().filter_map(|path| group_limit(Path::new(path))).min();
    Size((machine.min(allowed.unwrap_or(u64::MAX)) / 4).max(LEAST_MEMORY))
}

/// The number in a control group's limit file; `max` and absent files are no limit.
fn group_limit(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stay_within_the_whole() {
        for total in [LEAST_MEMORY, 256 << 20, 1 << 40] {
            let MemoryPlan { store, buffers, held } = MemoryPlan::divide(Size(total)).unwrap();
            assert!(store + buffers + held < total);
            assert!(buffers >= 1 << 20);
        }
        assert!(MemoryPlan::divide(Size(LEAST_MEMORY - 1)).unwrap_err().contains("32m"));
    }

    #[test]
    fn the_default_is_something_that_can_be_divided() {
        assert!(MemoryPlan::divide(default_memory()).is_ok());
    }
}
