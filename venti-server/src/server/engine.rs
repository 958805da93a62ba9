//! What a connection needs of a store.

use arenas::UnverifiedBlock;
use serde_json::Value;
use venti_proto::roots::RootLog;
use venti_proto::{BlockRequest, BlockStore, Score, StoreError};

/// A store that takes whole batches as they came from the wire.
///
/// [`super::StoredBlocks`] is the one that is served; tests put failing and slow ones in its
/// place.
pub trait Engine: BlockStore {
    /// Hashes and stores every block, with one result each in the same order.
    fn write_unverified(
        &self,
        blocks: &[UnverifiedBlock<'_>],
        results: &mut Vec<Result<Score, StoreError>>,
    );

    /// Says of each block how many bytes it has, `None` if it is not there, from the index only.
    fn sizes(&self, requests: &[BlockRequest], sizes: &mut Vec<Result<Option<u32>, StoreError>>);

    /// The log of roots, if the store keeps one.
    fn roots(&self) -> Option<&dyn RootLog> {
        None
    }

    /// What there is to say about the store, for status pages.
    fn stats(&self) -> Value;
}
