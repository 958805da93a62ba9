//! What several tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use venti_proto::{BlockBatch, BlockStore, BlockType, MemoryStore};

/// The directory with the golden data, if there is one: the variable `VENTI_GOLDEN` or the
/// directory beside the repository. Says so when there is none.
pub(crate) fn golden() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let path = std::env::var_os("VENTI_GOLDEN").map_or(beside, PathBuf::from);
    if !path.is_dir() {
        println!("skipped: no golden data at {}", path.display());
        return None;
    }
    Some(path)
}

/// A store with the blocks of a file made of type, length and data, compressed by gzip.
pub(crate) fn store_of(blocks: &Path) -> Arc<MemoryStore> {
    let output = Command::new("gzip").arg("-dc").arg(blocks).output().unwrap();
    assert!(output.status.success());
    let store = MemoryStore::new();
    let mut rest = output.stdout.as_slice();
    let mut batch = BlockBatch::default();
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (data, tail) = tail.split_at(length);
        batch.push(BlockType::from_wire(head[0]).unwrap(), data);
        rest = tail;
    }
    assert!(rest.is_empty());
    store.write(&batch.hash()).unwrap();
    Arc::new(store)
}

/// Unpacks a tar file compressed by gzip.
pub(crate) fn untar(file: &Path, into: &Path) {
    fs::create_dir_all(into).unwrap();
    let status = Command::new("tar").arg("-xpzf").arg(file).arg("-C").arg(into).status().unwrap();
    assert!(status.success());
}
