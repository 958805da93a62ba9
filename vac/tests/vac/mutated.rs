//! Archives with bytes changed at random, as if a hostile archiver had given them right scores:
//! no change makes the restore panic, hang, or leave the target.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vac::extractor::{ExtractOptions, Limits, Selection, Silent, TarWriter, restore, visit};
use vac::format::{FileKind, HardLink, Xattr};
use vac::reader::Archive;
use venti_proto::{
    BlockRequest, BlockStore, Deliver, HashedBatch, MemoryStore, Presence, StoreError,
};

use crate::builder::{Builder, Item};

/// A store that changes some of what it gives, always in the same way for one block and seed.
struct Lying {
    inner: Arc<MemoryStore>,
    seed: u64,
}

impl Lying {
    /// A number that depends on the block, the seed and what it is for.
    fn number(&self, request: &BlockRequest, purpose: u64) -> usize {
        let mut hash = self.seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in request.score.as_bytes() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
        usize::try_from(hash >> 24).unwrap()
    }
}

impl BlockStore for Lying {
    fn write(&self, batch: &HashedBatch) -> Result<(), StoreError> {
        self.inner.write(batch)
    }

    fn read(&self, requests: &[BlockRequest], deliver: &mut Deliver<'_>) {
        self.inner.read(requests, &mut |position, block| {
            let request = &requests[position];
            let Ok(block) = block else { return deliver(position, block) };
            let mut block = block.to_vec();
            // One block in four is changed, in up to three places.
            if self.number(request, 0).is_multiple_of(4) && !block.is_empty() {
                for place in 0..=self.number(request, 1) as u64 % 3 {
                    let at = self.number(request, 2 + place) % block.len();
                    block[at] = match self.number(request, 10 + place) % 4 {
                        0 => 0,
                        1 => 0xff,
                        2 => block[at].wrapping_add(1),
                        _ => u8::try_from(self.number(request, 20 + place) & 0xff).unwrap(),
                    };
                }
            }
            if self.number(request, 30).is_multiple_of(16) {
                block.truncate(self.number(request, 31) % (block.len() + 1));
            }
            deliver(position, Ok(&block));
        });
    }

    fn probe(&self, requests: &[BlockRequest]) -> Result<Vec<Presence>, StoreError> {
        self.inner.probe(requests)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }
}

/// A tree with something of each kind in it.
fn tree(builder: &Builder) -> Item {
    let link = |item: Item| item.unix(|u| u.link = Some(HardLink { group: 1, count: 2 }));
    let xattr = Xattr { name: b"user.a".to_vec(), value: b"value".to_vec() };
    let mut items = vec![
        builder.link(b"link", b"../outside/victim"),
        builder.node(b"pipe", FileKind::Fifo, 0o600, b""),
        link(builder.file(b"first", b"two names")),
        link(builder.file(b"second", b"two names")),
        builder.file(b"attribute", b"x").unix(|unix| unix.xattrs = vec![xattr]),
        builder.file(b"large", &(0..9000u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>()),
        builder.file(b"victim", b"hostile").plain(),
    ];
    items.extend((0..40).map(|n| builder.file(format!("file {n}").as_bytes(), &[n; 30])));
    let below = builder.directory(b"below", items.clone());
    items.push(builder.directory(b"outside", vec![below, builder.file(b"victim", b"hostile")]));
    builder.directory(b"/", items)
}

#[test]
fn no_changed_byte_leads_outside_of_the_target() {
    let rounds = std::env::var("VAC_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let builder = Builder::new();
    let score = builder.archive(&tree(&builder));
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("outside")).unwrap();
    fs::write(place.path().join("outside/victim"), "canary").unwrap();
    let mut opened = 0;
    for seed in 0..rounds {
        let store = Arc::new(Lying { inner: builder.store.clone(), seed });
        let Ok(archive) = Archive::open(store, score) else { continue };
        opened += 1;
        let target = place.path().join("target");
        let limits = Limits { depth: 50, entries: 5000, ..Limits::default() };
        let over = seed % 3 == 0;
        let options =
            ExtractOptions { limits, differences: over, delete: over, ..Default::default() };
        let (everything, stop) = (Selection::everything(), AtomicBool::new(false));
        // The target stays for the next round, which then meets what this one made.
        restore(archive.root(), &target, &everything, &options, &Silent, &stop).unwrap();
        let mut sink = std::io::sink();
        let mut tar = TarWriter::new(&mut sink, &Silent);
        let _ = visit(archive.root(), &everything, &limits, &mut tar);
        let names = fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["outside", "target"], "seed {seed}");
        assert_eq!(fs::read_dir(place.path().join("outside")).unwrap().count(), 1, "seed {seed}");
        let victim = fs::read(place.path().join("outside/victim")).unwrap();
        assert_eq!(victim, b"canary", "seed {seed}");
    }
    assert!(opened > rounds / 10, "{opened} of {rounds} archives could be opened");
}
