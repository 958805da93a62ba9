//! One sync of the store for all connections that wait for one, on one thread.
//!
//! The store groups syncs by itself, but each that waits there takes a thread. Here whoever gets
//! the lock leads; those who asked before the leader began find their answer when the lock
//! reaches them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use venti_proto::StoreError;

/// A sync that has ended: its number, and how it went.
type Ended = (u64, Result<(), StoreError>);

/// The syncs of a server, one at a time.
#[derive(Default)]
pub(crate) struct SyncGroup {
    /// How many syncs have begun.
    begun: AtomicU64,
    /// The last one.
    last: Mutex<Option<Ended>>,
}

impl SyncGroup {
    /// Returns once a call of `sync` that began after this one has ended.
    ///
    /// # Errors
    /// Those of that call.
    pub(crate) async fn sync(
        &self,
        sync: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let covers_me = self.begun.load(Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if let Some((number, result)) = &*last
            && *number >= covers_me
        {
            return result.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let result = sync();
        *last = Some((number, result.clone()));
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_together_share_one_sync_and_later_ones_do_not() {
        let group = Arc::new(SyncGroup::default());
        let calls = Arc::new(AtomicUsize::new(0));
        let held = group.last.lock().await;
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (group, calls) = (Arc::clone(&group), Arc::clone(&calls));
                tokio::spawn(async move {
                    group
                        .sync(|| {
                            calls.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .await
                })
            })
            .collect();
        // On one thread every task runs up to the lock before this one goes on.
        tokio::task::yield_now().await;
        drop(held);
        for task in waiting {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let refused = || Err(StoreError::ReadOnly { detail: "poisoned".to_owned() });
        assert_eq!(group.sync(refused).await, refused());
    }
}
