//! Memory of connections, in two budgets: what is being worked on, and what waits.
//!
//! A connection that waits for its client has no buffer. When bytes have arrived it leases one
//! pair of large buffers, serves everything that is there, and gives them back: so a thousand
//! idle connections cost nothing, and as many are served at once as there are pairs. What a
//! connection must keep while it waits (the start of a message whose end has not come, replies
//! that the client does not take) is copied out at its exact size and charged to the second
//! budget; a connection that would overrun it is closed. So nobody can make others wait by being
//! slow.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes read from a socket at once: large enough that sixteen blocks of 56 KiB, which are hashed
/// together, arrive together. With a quarter of this a server needs a fifth more time to take them.
pub(crate) const RECEIVE_BUFFER: usize = 1 << 20;

/// The two buffers of a connection that is being served.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Received bytes; its length is [`RECEIVE_BUFFER`] always.
    pub(crate) receive: Vec<u8>,
    /// Replies that are not sent yet.
    pub(crate) reply: Vec<u8>,
}

/// Pairs of buffers, of which there are only so many.
#[derive(Debug)]
pub(crate) struct BufferPool {
    permits: Arc<Semaphore>,
    free: Mutex<Vec<Buffers>>,
    /// What a reply buffer may keep of its capacity when it comes back, in bytes.
    reply_bytes: usize,
}

impl BufferPool {
    /// As many pairs as fit in `budget` bytes, each with `reply_bytes` of replies; at least two.
    pub(crate) fn new(budget: u64, reply_bytes: usize) -> BufferPool {
        let pairs = budget / (RECEIVE_BUFFER + reply_bytes) as u64;
        let pairs = usize::try_from(pairs).unwrap_or(usize::MAX).clamp(2, Semaphore::MAX_PERMITS);
        BufferPool {
            permits: Arc::new(Semaphore::new(pairs)),
            free: Mutex::new(Vec::new()),
            reply_bytes,
        }
    }

    /// Waits its turn for a pair of buffers.
    pub(crate) async fn lease(self: &Arc<Self>) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let mut buffers = self.free.lock().pop().unwrap_or_default();
        buffers.receive.resize(RECEIVE_BUFFER, 0);
        Some(Lease { buffers, pool: Arc::clone(self), _permit: permit })
    }
}

/// A pair of buffers, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    buffers: Buffers,
    pool: Arc<BufferPool>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lease {
    type Target = Buffers;

    fn deref(&self) -> &Buffers {
        &self.buffers
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Buffers {
        &mut self.buffers
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.reply.clear();
        buffers.reply.shrink_to(self.pool.reply_bytes);
        self.pool.free.lock().push(buffers);
    }
}

/// Bytes that waiting connections may keep together.
#[derive(Debug)]
pub(crate) struct HeldBudget {
    limit: u64,
    used: AtomicU64,
}

impl HeldBudget {
    pub(crate) fn new(limit: u64) -> HeldBudget {
        HeldBudget { limit, used: AtomicU64::new(0) }
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes that one waiting connection keeps.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    budget: Arc<HeldBudget>,
}

impl Held {
    pub(crate) fn new(budget: Arc<HeldBudget>) -> Held {
        Held { bytes: Vec::new(), budget }
    }

    /// Keeps a copy of `bytes` instead of what was kept; false if the budget does not allow it.
    #[must_use]
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> bool {
        self.clear();
        let wanted = bytes.len() as u64;
        let before = self.budget.used.fetch_add(wanted, Ordering::Relaxed);
        if before + wanted > self.budget.limit {
            self.budget.used.fetch_sub(wanted, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes.to_vec();
        true
    }

    /// Frees what is kept.
    pub(crate) fn clear(&mut self) {
        self.budget.used.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
        self.bytes = Vec::new();
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pair_that_is_out_makes_the_next_one_wait() {
        let pool = Arc::new(BufferPool::new(0, 1 << 10));
        let first = pool.lease().await.unwrap();
        let _second = pool.lease().await.unwrap();
        assert_eq!(pool.permits.available_permits(), 0);
        drop(first);
        let mut third = pool.lease().await.unwrap();
        assert_eq!(third.receive.len(), RECEIVE_BUFFER);
        third.reply.resize(1 << 20, 0);
        drop(third);
        let again = pool.lease().await.unwrap();
        assert!(again.reply.is_empty() && again.reply.capacity() < 1 << 20);
    }

    #[test]
    fn what_waits_is_counted_and_limited() {
        let budget = Arc::new(HeldBudget::new(10));
        let (mut one, mut two) = (Held::new(Arc::clone(&budget)), Held::new(Arc::clone(&budget)));
        assert!(one.keep(&[1; 6]));
        assert!(!two.keep(&[2; 5]));
        assert!(two.is_empty());
        assert!(one.keep(&[1; 5]) && two.keep(&[2; 5]));
        assert_eq!(budget.used(), 10);
        drop(one);
        two.clear();
        assert_eq!(budget.used(), 0);
    }
}
