//! What the store takes from the world besides a disk: the time and a name for itself.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time and randomness, passed in so that a run can be replayed.
pub trait Environment: Send + Sync {
    /// Milliseconds since 1970 in UTC. It may jump either way: nothing is ordered by it.
    fn milliseconds(&self) -> u64;

    /// Sixteen bytes that no other store has got.
    ///
    /// # Errors
    /// What the system says when it has no randomness to give.
    fn identity(&self) -> io::Result<[u8; 16]>;
}

/// The system's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn milliseconds(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed in")]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn identity(&self) -> io::Result<[u8; 16]> {
        let mut identity = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut identity)?;
        Ok(identity)
    }
}

/// A clock that goes on by one millisecond each time it is read, and an identity from a seed.
#[derive(Debug, Default)]
pub struct ScriptedEnvironment {
    /// The time that is read next.
    now: AtomicU64,
    seed: u64,
}

impl ScriptedEnvironment {
    /// Starts at `now`; stores with the same `seed` get the same identity.
    #[must_use]
    pub const fn new(now: u64, seed: u64) -> ScriptedEnvironment {
        ScriptedEnvironment { now: AtomicU64::new(now), seed }
    }
}

impl Environment for ScriptedEnvironment {
    fn milliseconds(&self) -> u64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }

    fn identity(&self) -> io::Result<[u8; 16]> {
        let mut identity = [0x5a; 16];
        identity[..8].copy_from_slice(&self.seed.to_be_bytes());
        Ok(identity)
    }
}
