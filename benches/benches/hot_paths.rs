//! The paths that every block takes: hashing, compression, messages, the index, meta blocks.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use arenas::disk::RealDisk;
use arenas::index::{Index, IndexEntry, IndexOptions, SealedArena};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vac::format::{DirectoryWriter, Mode, VacDir};
use venti_benches::blocks::{BlockMaker, Content};
use venti_proto::message::{Message, Tag, Version};
use venti_proto::{BlockBatch, BlockRequest, BlockType, Entry, Score, StreamKind};

/// Blocks of a batch.
const BLOCKS: u64 = 64;
/// Bytes of a block.
const SIZE: usize = 8192;

fn blocks(content: Content) -> Vec<u8> {
    let maker = BlockMaker::new(content, SIZE, 1);
    let mut blocks = Vec::new();
    (0..BLOCKS).for_each(|number| maker.append(number, &mut blocks));
    blocks
}

fn hashing(criterion: &mut Criterion) {
    let blocks = blocks(Content::Random);
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(blocks.len() as u64));
    group.bench_function("one after another", |b| {
        b.iter(|| blocks.chunks(SIZE).map(Score::of).fold(0, |sum, s| sum ^ s.as_bytes()[0]));
    });
    group.bench_function("batch", |b| {
        let fill = || {
            let mut batch = BlockBatch::with_capacity(blocks.len());
            blocks.chunks(SIZE).for_each(|block| {
                batch.push(BlockType::DATA, block);
            });
            batch
        };
        b.iter_batched(fill, BlockBatch::hash, BatchSize::LargeInput);
    });
    group.bench_function("BLAKE3", |b| {
        b.iter(|| blocks.chunks(SIZE).for_each(|block| _ = black_box(blake3::hash(block))));
    });
    group.finish();
}

fn compression(criterion: &mut Criterion) {
    for content in [Content::Text, Content::Random] {
        let blocks = blocks(content);
        let mut output = vec![0; lz4_flex::block::get_maximum_output_size(SIZE)];
        let mut group = criterion.benchmark_group(format!("LZ4, {content:?}"));
        group.throughput(Throughput::Bytes(blocks.len() as u64));
        group.bench_function("compress", |b| {
            b.iter(|| {
                for block in blocks.chunks(SIZE) {
                    _ = black_box(lz4_flex::block::compress_into(block, &mut output));
                }
            });
        });
        let packed: Vec<_> = blocks.chunks(SIZE).map(lz4_flex::block::compress).collect();
        group.bench_function("decompress", |b| {
            b.iter(|| {
                for block in &packed {
                    _ = black_box(lz4_flex::block::decompress_into(block, &mut output));
                }
            });
        });
        group.finish();
    }
}

fn messages(criterion: &mut Criterion) {
    let blocks = blocks(Content::Random);
    let mut wire = Vec::new();
    for block in blocks.chunks(SIZE) {
        let (tag, block_type) = (Tag(1), BlockType::DATA);
        Message::Twrite { tag, block_type, data: Cow::Borrowed(block) }
            .encode(Version::V04, &mut wire)
            .expect("a block fits");
    }
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(BLOCKS));
    group.bench_function("decode Twrite", |b| {
        b.iter(|| {
            let mut input = wire.as_slice();
            while let Ok(Some(frame)) = Version::V04.next_frame(&mut input) {
                _ = black_box(Message::decode(frame));
            }
        });
    });
    group.finish();
}

/// Clumps of the arena whose index is searched.
const CLUMPS: u32 = 131_072;

fn index(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = RealDisk::create(directory.path()).expect("a disk");
    let arena = SealedArena { number: 0, identity: [1; 16], clumps: CLUMPS };
    let index =
        Index::open(Arc::new(disk), &[arena], IndexOptions::default()).expect("an empty index");
    let score = |number: u32| Score::of(&number.to_be_bytes());
    let block_type = BlockType::DATA;
    let entry = |n: u32| IndexEntry { score: score(n), block_type, arena: 0, offset: n };
    index.add_arena(arena, (0..CLUMPS).map(entry).collect()).expect("added");
    let mut group = criterion.benchmark_group("index lookup, batch of 256");
    group.throughput(Throughput::Elements(256));
    for (what, first) in [("hit", 0), ("miss", CLUMPS)] {
        let request = |n: u32| BlockRequest { score: score(first + n * 499), block_type };
        let requests: Vec<_> = (0..256).map(request).collect();
        let mut answers = Vec::new();
        group.bench_function(what, |b| b.iter(|| index.lookup(&requests, &mut answers)));
    }
    group.finish();
}

/// Names in the directory that is written.
const NAMES: u32 = 1000;

fn meta_blocks(criterion: &mut Criterion) {
    let content = Entry {
        generation: 0,
        pointer_size: 8192,
        data_size: 8192,
        kind: StreamKind::Data,
        depth: 0,
        local: false,
        no_archive: false,
        size: 100,
        score: Score::ZERO,
    };
    let child = |number: u32| VacDir {
        name: format!("file-{number:07}").into_bytes(),
        owner: b"root".to_vec(),
        group: b"root".to_vec(),
        mode: Mode::from_unix(0o10_0644),
        ..VacDir::default()
    };
    let children: Vec<_> = (0..NAMES).map(child).collect();
    let mut group = criterion.benchmark_group("directory");
    group.throughput(Throughput::Elements(u64::from(NAMES)));
    group.bench_function("write 1000 names", |b| {
        let write = |children: Vec<VacDir>| {
            let mut batch = BlockBatch::default();
            let mut writer = DirectoryWriter::new(8192, 8192);
            for child in children {
                writer.push(child, &content, None, &mut batch).expect("sorted names");
            }
            writer.finish(&mut batch).expect("a directory")
        };
        b.iter_batched(|| children.clone(), write, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, hashing, compression, messages, index, meta_blocks);
criterion_main!(benches);
